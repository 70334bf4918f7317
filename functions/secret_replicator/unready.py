"""What stands in for the app where settings or policy are wrong: messages wait, and end with the reason."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NoReturn

from secret_replicator.clients import Clients
from secret_replicator.disposition import error_type
from secret_replicator.errors import MalformedMessageError, TransientError
from secret_replicator.messages import parse
from secret_replicator.work_queue import Message, WorkQueue, error_message, retry_delay_seconds

ATTEMPTS = 10
"""As MaxAttempts by default, which may be what is wrong: a deployment has 50 minutes to correct it."""

REMEDY = "deploy again with this corrected, then redrive"


@dataclass(frozen=True)
class Unready:
    """Why the function cannot start, and the queues if they are known."""

    error: Exception
    region: str
    queue: WorkQueue | None

    def handle_batch(self, records: Sequence[Mapping[str, Any]], _deadline: float) -> dict[str, Any]:
        """Put messages off, and dead-letter those that were received often enough; return what must stay.

        Raise the error unless a message has ended: then Lambda counts it, and FunctionErrorsAlarm fires.
        """
        messages = [Message.from_record(record) for record in records]
        ended = self._dead_letter_all([one for one in messages if one.attempt >= ATTEMPTS])
        left = [one for one in messages if one not in ended]
        self._put_off(left)
        if not ended:
            self.fail()
        return {"batchItemFailures": [{"itemIdentifier": one.message_id} for one in left]}

    def handle_one(self, _event: object, _deadline: float, _request_id: str) -> NoReturn:
        """Raise the error."""
        self.fail()

    def fail(self) -> NoReturn:
        """Raise the error, without the traces of the times before."""
        raise self.error.with_traceback(None)

    def _dead_letter_all(self, messages: Sequence[Message]) -> set[Message]:
        """Return those whose dead letter was written. All at the same time: one may take seconds."""
        with ThreadPoolExecutor(max_workers=10) as pool:
            written = [*pool.map(self._dead_letter, messages)]
        return {message for message, done in zip(messages, written, strict=True) if done}

    def _dead_letter(self, message: Message) -> bool:
        if self.queue is None:
            return False
        secret = self._secret(message)
        try:
            self.queue.dead_letter(
                message,
                error_type=error_type(self.error),
                error=error_message(secret, f"the function cannot start: {self.error}", REMEDY),
                secret=secret,
                regions="none",
            )
        except TransientError:
            return False
        return True

    def _secret(self, message: Message) -> str:
        try:
            return parse(message.body, self.region).secret_id
        except MalformedMessageError:
            return "unknown"

    def _put_off(self, messages: Sequence[Message]) -> None:
        if self.queue is None or not messages:
            return
        try:
            self.queue.put_off({one: retry_delay_seconds(one.attempt, 0) for one in messages})
        except TransientError:
            return  # they come back all the same, after the queue's own visibility timeout


def unready(error: Exception, environment: Mapping[str, str]) -> Unready:
    """Return what stands in for the app, with the queues if the environment names them."""
    names = ("AWS_REGION", "QUEUE_URL", "DEAD_LETTER_QUEUE_URL")
    region, queue_url, dead_letter_queue_url = (environment.get(name, "") for name in names)
    if not (region and queue_url and dead_letter_queue_url):
        return Unready(error, region, None)
    return Unready(error, region, WorkQueue(Clients(region).sqs(), queue_url, dead_letter_queue_url))
