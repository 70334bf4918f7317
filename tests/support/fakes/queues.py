"""A fake of the two queues and of Lambda's poller: visibility, receive counts, partial batch responses."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from botocore.exceptions import ClientError

QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/ReplicationQueue"
DEAD_LETTER_QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/DeadLetterQueue"
VISIBILITY_TIMEOUT = 360

Record = dict[str, Any]
Handle = Callable[[list[Record]], Mapping[str, Any]]


@dataclass
class QueuedMessage:
    """A message in the ReplicationQueue."""

    message_id: str
    body: str
    sent_at: float
    visible_at: float
    receives: int = 0
    first_received_at: float = 0.0
    attributes: Mapping[str, str] = field(default_factory=dict)
    moved_from: str = ""
    """The queue from which SQS itself had moved it to the dead-letter queue, before it was redriven."""

    def record(self) -> Record:
        return {
            "messageId": self.message_id,
            "receiptHandle": f"{self.message_id}#{self.receives}",
            "body": self.body,
            "attributes": {
                "ApproximateReceiveCount": str(self.receives),
                "SentTimestamp": str(round(self.sent_at * 1000)),
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": str(round(self.first_received_at * 1000)),
                **({"DeadLetterQueueSourceArn": self.moved_from} if self.moved_from else {}),
            },
            "messageAttributes": {
                name: {"stringValue": value, "dataType": "String"} for name, value in self.attributes.items()
            },
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:ReplicationQueue",
            "awsRegion": "us-east-1",
        }


@dataclass
class DeadLetter:
    """A message in the DeadLetterQueue."""

    body: str
    attributes: dict[str, str]


@dataclass
class FakeQueues:
    """What the function's SQS client calls, and what the poller does with its answers."""

    clock: Callable[[], float]
    messages: list[QueuedMessage] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    """Operations that answer ServiceUnavailable."""
    maximum_message_size: int = 1_048_576
    """In bytes. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""
    in_flight_limit: int = 120_000
    """So many may be received and not deleted; SQS gives no more until some are visible again or gone.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
    """
    max_receive_count: int = 25
    """After so many receives SQS itself moves a message, as template.yaml has it."""
    _numbers: Iterable[int] = field(default_factory=count)

    def send(
        self,
        body: str,
        delay_seconds: int = 0,
        attributes: Mapping[str, str] | None = None,
        moved_from: str = "",
    ) -> None:
        now = self.clock()
        number = f"message-{next(iter(self._numbers))}"
        message = QueuedMessage(
            number, body, now, now + delay_seconds, attributes=attributes or {}, moved_from=moved_from
        )
        self.messages.append(message)

    def redrive(self) -> None:
        """Move all dead letters back, as they are: with their reasons."""
        dead_letters, self.dead_letters = self.dead_letters, []
        for dead_letter in dead_letters:
            self.send(dead_letter.body, attributes=dead_letter.attributes)

    def deliver(self, handle: Handle) -> int:
        """Give the visible messages, ten at most, to the function; delete those it does not return."""
        visible = [message for message in self.messages if message.visible_at <= self.clock()]
        batch = self.take(visible[: min(10, self._room(visible))])
        if batch:
            self.settle(batch, handle([message.record() for message in batch]))
        return len(batch)

    def take(self, batch: list[QueuedMessage]) -> list[QueuedMessage]:
        """Receive these messages: nobody else sees them for a while. What was received too often is moved."""
        spent = [message for message in batch if message.receives >= self.max_receive_count]
        for message in spent:
            self.messages.remove(message)
            self.dead_letters.append(DeadLetter(message.body, dict(message.attributes)))
        batch = [message for message in batch if message not in spent]
        for message in batch:
            message.receives += 1
            message.first_received_at = message.first_received_at or self.clock()
            message.visible_at = self.clock() + VISIBILITY_TIMEOUT
        return batch

    def _room(self, visible: list[QueuedMessage]) -> int:
        """Return how many may be received; one that is delayed and was never received is not in flight."""
        if len(self.messages) <= self.in_flight_limit:
            return len(visible)
        now = self.clock()
        in_flight = sum(1 for message in self.messages if message.receives and message.visible_at > now)
        return max(0, self.in_flight_limit - in_flight)

    def settle(self, batch: Iterable[QueuedMessage], answer: Mapping[str, Any]) -> None:
        """Delete what the function did not return."""
        kept = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        done = {message.message_id for message in batch} - kept
        self.messages = [message for message in self.messages if message.message_id not in done]

    # What the function calls, by boto3's names.

    def send_message(
        self, *, QueueUrl: str, MessageBody: str, MessageAttributes: Mapping[str, Any]
    ) -> dict[str, Any]:
        self._fail_if_asked("SendMessage")
        assert QueueUrl == DEAD_LETTER_QUEUE_URL
        attributes = {name: value["StringValue"] for name, value in MessageAttributes.items()}
        assert all(attributes.values()), "SQS refuses empty attributes"
        assert len(attributes) <= 10, "SQS takes no more attributes"
        self._fail_if_too_large(MessageBody, MessageAttributes)
        self.dead_letters.append(DeadLetter(MessageBody, attributes))
        return {"MessageId": "dead-letter"}

    def send_message_batch(self, *, QueueUrl: str, Entries: list[Mapping[str, Any]]) -> dict[str, Any]:
        self._fail_if_asked("SendMessageBatch")
        assert QueueUrl == QUEUE_URL
        assert 1 <= len(Entries) <= 10
        for entry in Entries:
            assert 0 <= entry["DelaySeconds"] <= 900, "SQS delays no longer"
            self.send(entry["MessageBody"], entry["DelaySeconds"])
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def change_message_visibility_batch(
        self, *, QueueUrl: str, Entries: list[Mapping[str, Any]]
    ) -> dict[str, Any]:
        self._fail_if_asked("ChangeMessageVisibilityBatch")
        assert QueueUrl == QUEUE_URL
        assert 1 <= len(Entries) <= 10
        by_handle = {message.record()["receiptHandle"]: message for message in self.messages}
        for entry in Entries:
            assert 0 <= entry["VisibilityTimeout"] <= 43_200, "SQS hides a message no longer"
            by_handle[entry["ReceiptHandle"]].visible_at = self.clock() + entry["VisibilityTimeout"]
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def handle(self, operation: str, _region: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Do a call that came over HTTP (see transport.py)."""
        calls = {
            "SendMessage": self.send_message,
            "SendMessageBatch": self.send_message_batch,
            "ChangeMessageVisibilityBatch": self.change_message_visibility_batch,
        }
        return calls[operation](**params)

    def _fail_if_too_large(self, body: str, attributes: Mapping[str, Any]) -> None:
        parts = [name + value["DataType"] + value["StringValue"] for name, value in attributes.items()]
        if sum(len(part.encode()) for part in (body, *parts)) > self.maximum_message_size:
            reason = f"Message must be shorter than {self.maximum_message_size} bytes."
            message = f"One or more parameters are invalid. Reason: {reason}"
            raise ClientError({"Error": {"Code": "InvalidParameterValue", "Message": message}}, "SendMessage")

    def _fail_if_asked(self, operation: str) -> None:
        if operation in self.failing:
            error = {"Error": {"Code": "ServiceUnavailable", "Message": "try again"}}
            raise ClientError(error, operation)
