"""The fake queues as the model needs them: any order, calls that fail, outdated receipt handles."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from tests.support.fakes.queues import FakeQueues, QueuedMessage


class ModelQueues(FakeQueues):
    """Receiving and deleting are apart, so that two instances can have batches at the same time."""

    def __init__(
        self,
        clock: Callable[[], float],
        before_call: Callable[[], None],
        note_enqueued: Callable[[str], None],
        note_failed: Callable[[str], None],
    ) -> None:
        super().__init__(clock)
        self.fail_next: list[str] = []
        """Operations whose next call fails: "SendMessage", or "SendMessage after effect"."""
        self._before_call = before_call
        self._note_enqueued = note_enqueued
        self._note_failed = note_failed

    def receive(self, places: Sequence[int], *, half: bool = False) -> list[QueuedMessage]:
        """Take ten visible messages at most: those at the places first, then the rest in their order."""
        visible = [message for message in self.messages if message.visible_at <= self.clock()]
        batch = [visible.pop(place % len(visible)) for place in places if visible]
        batch = (batch + visible)[:10]
        if half:
            batch = batch[: (len(batch) + 1) // 2]
        return self.take(batch)

    def delete(self, gone: Iterable[QueuedMessage]) -> None:
        ids = {message.message_id for message in gone}
        self.messages = [message for message in self.messages if message.message_id not in ids]

    def send_message(self, **params: Any) -> object:
        return self._call("SendMessage", lambda: FakeQueues.send_message(self, **params))

    def send_message_batch(self, **params: Any) -> object:
        answer = self._call("SendMessageBatch", lambda: FakeQueues.send_message_batch(self, **params))
        for entry in params["Entries"]:
            self._note_enqueued(entry["MessageBody"])
        return answer

    def change_message_visibility_batch(self, *, QueueUrl: str, Entries: list[Mapping[str, Any]]) -> object:
        handles = {message.record()["receiptHandle"] for message in self.messages}
        valid = [entry for entry in Entries if entry["ReceiptHandle"] in handles]
        failed = [
            {"Id": entry["Id"], "SenderFault": True, "Code": "InvalidParameterValue"}
            for entry in Entries
            if entry not in valid
        ]

        def change() -> dict[str, Any]:
            if valid:
                FakeQueues.change_message_visibility_batch(self, QueueUrl=QueueUrl, Entries=valid)
            return {"Successful": [{"Id": entry["Id"]} for entry in valid], "Failed": failed}

        return self._call("ChangeMessageVisibilityBatch", change)

    def _call(self, operation: str, effect: Callable[[], object]) -> object:
        self._before_call()
        self._strike(operation, operation)
        answer = effect()
        self._strike(operation, f"{operation} after effect")
        return answer

    def _strike(self, operation: str, fault: str) -> None:
        if fault in self.fail_next:
            self.fail_next.remove(fault)
            self._note_failed(operation)
            raise ClientError({"Error": {"Code": "ServiceUnavailable", "Message": "try again"}}, operation)
