"""The only module that calls SQS: put messages off, write dead letters, enqueue.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from secret_replicator.errors import AGAIN, MalformedMessageError, TransientError
from secret_replicator.messages import ReconcileRequest, parse
from secret_replicator.models import Kind, Outcome

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MAX_DELAY_SECONDS = 900
MAX_ERROR_CHARACTERS = 1024
MAX_MESSAGE_BYTES = 1_048_576
"""Body and attributes. A queue may have been made with a lower limit: then SQS refuses."""

CUT_CHARACTERS = 32_768
"""What is left of a body that names no secret: enough to see what it was."""

REDRIVEN = "Redriven"
"""The attribute that `replicas redrive` gives a dead letter that has no reason of the function's."""

DEAD_LETTER_ATTRIBUTES = frozenset({"ErrorType", "ERROR_CODE", REDRIVEN})
"""An attribute of the function's own, or of EventBridge's, or of `replicas`."""

_NOT_IN_ATTRIBUTES = r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
"""Compiled when there is a dead letter to write: it takes 4 % of a cold start."""


@dataclass(frozen=True)
class Message:
    """One record of the batch that Lambda receives from SQS. Times are seconds since the epoch."""

    message_id: str
    receipt_handle: str
    body: str
    attempt: int
    sent_at: float
    first_received_at: float
    redriven: bool = False
    """Whether it was a dead letter, whoever wrote it: a person wants another try."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Message":
        """Read a record as https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html shows it.

        Raise MalformedMessageError if it is another, which only a person can have written.
        """
        match record:
            case {
                "messageId": str(message_id),
                "receiptHandle": str(receipt_handle),
                "body": str(body),
                "attributes": {
                    "ApproximateReceiveCount": attempt,
                    "SentTimestamp": sent,
                    "ApproximateFirstReceiveTimestamp": received,
                } as attributes,
            } if all(str(number).isdecimal() for number in (attempt, sent, received)):
                redriven = _was_dead_letter(attributes, record.get("messageAttributes") or {})
                times = (int(sent) / 1000, int(received) / 1000)
                return cls(message_id, receipt_handle, body, int(attempt), *times, redriven)
        raise MalformedMessageError(
            "a record of SQS was expected, with its messageId, receiptHandle, body and attributes",
            "give a batch such as events/sqs-batch.json, or one event by itself",
        )


def _was_dead_letter(system: Mapping[str, str], attributes: Mapping[str, object]) -> bool:
    """Tell whether SQS had moved it to a dead-letter queue, or somebody has given it a reason."""
    return "DeadLetterQueueSourceArn" in system or not DEAD_LETTER_ATTRIBUTES.isdisjoint(attributes)


def retry_delay_seconds(attempt: int, jitter: float) -> int:
    """Return the delay after the `attempt`th receive, varied by up to 20 % as `jitter` is -1 to 1."""
    seconds = min(MAX_DELAY_SECONDS, 10 << (attempt - 1))
    return round(seconds * (1 + 0.2 * jitter))


def error_message(secret: str, reason: str, remedy: str) -> str:
    """Return `secret - what is wrong - what to do`; the middle is cut where it would be too long."""
    room = MAX_ERROR_CHARACTERS - len(f"{secret} -  - {remedy}")
    return f"{secret} - {reason[: max(0, room)]} - {remedy}"[:MAX_ERROR_CHARACTERS]


@dataclass(frozen=True)
class WorkQueue:
    """The ReplicationQueue and its DeadLetterQueue. Every method raises TransientError."""

    client: "SQSClient"
    queue_url: str
    dead_letter_queue_url: str

    def put_off(self, delays_seconds: Mapping[Message, int]) -> None:
        """Make the messages, one to ten, visible again after their delays."""
        entries = [
            {"ReceiptHandle": message.receipt_handle, "VisibilityTimeout": seconds}
            for message, seconds in delays_seconds.items()
        ]
        self._call("ChangeMessageVisibilityBatch", self.client.change_message_visibility_batch, entries)

    def enqueue(self, bodies: Sequence[str], delay_seconds: int = 0) -> None:
        """Put new messages into the ReplicationQueue, to be received after this delay (900 s at most)."""
        batches = [bodies[start : start + 10] for start in range(0, len(bodies), 10)]
        # At the same time: the rest of the function's batch waits for this.
        with ThreadPoolExecutor(max_workers=10) as pool:
            for _ in pool.map(lambda batch: self._send(batch, delay_seconds), batches):
                pass

    def _send(self, bodies: Sequence[str], delay_seconds: int) -> None:
        entries = [{"MessageBody": body, "DelaySeconds": delay_seconds} for body in bodies]
        self._call("SendMessageBatch", self.client.send_message_batch, entries)

    def _call(
        self,
        action: str,
        batch_call: Callable[..., Mapping[str, Any]],
        entries: Iterable[Mapping[str, object]],
    ) -> None:
        """Make a call for a batch of the ReplicationQueue; what a part of it did not do, it did not do."""
        numbered = [{"Id": str(number), **entry} for number, entry in enumerate(entries)]
        with _errors_translated(action):
            answer = batch_call(QueueUrl=self.queue_url, Entries=numbered)
        if failed := answer.get("Failed"):
            codes = ", ".join(sorted({entry["Code"] for entry in failed}))
            raise TransientError(f"{action} failed for {len(failed)} ({codes})", AGAIN)

    def dead_letter(self, message: Message, outcome: Outcome) -> None:
        """Write the message's own body to the DeadLetterQueue, with the reason in its attributes.

        If SQS does not take so much, the body is what must be redriven, and OriginalBody says so.
        """
        used_up = outcome.kind in (Kind.WAITING, Kind.OUT_OF_TIME)
        attributes = {
            "ErrorType": "AttemptsUsedUp" if used_up else outcome.problems[0].error_type,
            "ErrorMessage": error_message(outcome.secret, outcome.reason, outcome.remedy),
            "SecretArn": outcome.secret,
            "FailedRegions": ",".join(outcome.regions) or "none",
            "Attempts": str(message.attempt),
            "FirstReceived": datetime.fromtimestamp(message.first_received_at, UTC).isoformat(
                timespec="seconds"
            ),
        }
        try:
            self._send_dead_letter(message.body, attributes)
        except _TooLargeError:
            body, what_was_done = _shortened(message.body, outcome.secret)
            self._send_dead_letter(body, attributes | {"OriginalBody": what_was_done})

    def _send_dead_letter(self, body: str, attributes: Mapping[str, str]) -> None:
        typed = {name: ("String", re.sub(_NOT_IN_ATTRIBUTES, "?", text)) for name, text in attributes.items()}
        parts = (body, *(name + kind + text for name, (kind, text) in typed.items()))
        if sum(len(part.encode("utf-8", "surrogatepass")) for part in parts) > MAX_MESSAGE_BYTES:
            raise _TooLargeError("the dead letter is too large for SQS", "make the message smaller")
        with _errors_translated("SendMessage"):
            self.client.send_message(
                QueueUrl=self.dead_letter_queue_url,
                MessageBody=body,
                MessageAttributes={
                    name: {"DataType": kind, "StringValue": text} for name, (kind, text) in typed.items()
                },
            )


class _TooLargeError(TransientError):
    """SQS does not take the message as it is: only a smaller one."""


def _shortened(body: str, secret: str) -> tuple[str, str]:
    """Return what is to be redriven instead of a body that is too large, and what was done to it."""
    try:
        request = parse(body, home_region="")
    except MalformedMessageError:
        return body[:CUT_CHARACTERS], f"shortened, as SQS does not take all of its {len(body)} characters"
    if isinstance(request, ReconcileRequest):
        request = replace(request, secret_id=secret)
    return request.body(), f"replaced, as SQS does not take all of its {len(body)} characters"


@contextmanager
def _errors_translated(action: str) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        kind = _TooLargeError if code == "InvalidParameterValue" else TransientError
        raise kind(f"{action} failed ({error})", AGAIN) from error
