"""Move dead letters back into the ReplicationQueue: read, choose, move. Nothing is lost, wherever it stops.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from replicas.errors import OperatorError
from replicas.terminal import Report, count
from secret_replicator.errors import MalformedMessageError
from secret_replicator.messages import SweepRequest, parse
from secret_replicator.work_queue import DEAD_LETTER_ATTRIBUTES, REDRIVEN

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import (
        ListMessageMoveTasksResultEntryTypeDef,
        MessageAttributeValueUnionTypeDef,
        MessageTypeDef,
    )

HIDDEN_SECONDS = 120
"""How long a dead letter that is read is hidden from others, should we be killed before we show it again."""

NO_REASON = "NoReason"
NO_REASON_TEXT = "no reason given: the function crashed or timed out; see its log"
UNKNOWN_SECRET = "unknown"  # noqa: S105  what stands where a secret's name would
NO_SECRETS = frozenset({UNKNOWN_SECRET, SweepRequest().secret_id})
"""What a dead letter says that is about no secret. A secret may have such a name, too."""

_REDRIVEN: "Mapping[str, MessageAttributeValueUnionTypeDef]" = {
    REDRIVEN: {"DataType": "String", "StringValue": "by replicas redrive"}
}
_BATCH = 10
_ANSWERS_WITHOUT_NEWS = 3
_CHECK_SECONDS = 1
_CHECKS_FOR_TASK = 60
_NO_SUCH_ACTION = frozenset(
    {
        "AWS.SimpleQueueService.UnsupportedOperation",
        "InvalidAction",
        "NotImplemented",
        "UnknownOperationException",
        "UnsupportedOperation",
    }
)
# Nothing tells a name's last word of six letters from what AWS draws: these are words that names end in.
_WORDS = (
    "access|backup|bearer|broker|bucket|client|config|cookie|devops|docker|github|gitlab|google|grants|mailer|"
    "master|mobile|oracle|output|portal|public|reader|remote|runner|schema|secret|server|signer|simple|static|"
    "stream|stripe|system|tenant|tokens|twilio|vendor|viewer|worker|writer"
)
_SECRET_ARN = re.compile(
    rf"(arn:[^:]+:secretsmanager:[^:]*:[^:]*:secret:(.+?))(?:-(?!(?:{_WORDS})$)[A-Za-z0-9]{{6}})?"
)
_COUNTS: "tuple[QueueAttributeNameType, ...]" = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
)


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter, without its body. `since` is when the trouble began; no attempts means not known."""

    since: datetime
    secret: str
    error_type: str
    reason: str
    attempts: int | None
    message_id: str

    @property
    def name(self) -> str:
        """The secret's name, where its ARN is given."""
        return secret_name(self.secret)

    def entry(self) -> dict[str, str | int | None]:
        """Return it as JSON has it."""
        return {
            "name": self.name,
            "arn": self.secret if self.secret.startswith("arn:") else None,
            "error_type": self.error_type,
            "reason": self.reason,
            "attempts": self.attempts,
            "since": self.since.isoformat(),
            "message_id": self.message_id,
        }


@dataclass(frozen=True)
class Queues:
    """The two queues. An answer without dead letters is waited for: then all of SQS's servers are asked."""

    client: "SQSClient"
    queue_url: str
    dead_letter_queue_url: str
    wait_seconds: int = 1


@dataclass(frozen=True)
class _Hold:
    """The dead letters that we hide from others while we read them, by message id."""

    queues: Queues
    handles: dict[str, str] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic

    def messages(self) -> "Iterator[MessageTypeDef]":
        """Yield each dead letter once, until nothing new comes. What is held stays hidden until then."""
        seen: set[str] = set()
        without_news, hidden_at = 0, self.clock()
        while without_news < _ANSWERS_WITHOUT_NEWS and (messages := self._receive()):
            if self.clock() - hidden_at > HIDDEN_SECONDS / 3:
                self.hide(HIDDEN_SECONDS)
                hidden_at = self.clock()
            new = [message for message in messages if message["MessageId"] not in seen]
            seen.update(message["MessageId"] for message in new)
            without_news = 0 if new else without_news + 1
            yield from new

    def delete(self, message_id: str) -> None:
        """Delete a dead letter that is held."""
        self.queues.client.delete_message(
            QueueUrl=self.queues.dead_letter_queue_url, ReceiptHandle=self.handles[message_id]
        )
        del self.handles[message_id]

    def hide(self, seconds: int) -> None:
        """Hide what is held for so long; 0 shows it again. What SQS refuses is visible already, or gone."""
        handles = [*self.handles.values()]
        for start in range(0, len(handles), _BATCH):
            self.queues.client.change_message_visibility_batch(
                QueueUrl=self.queues.dead_letter_queue_url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                    for number, handle in enumerate(handles[start : start + _BATCH])
                ],
            )

    def _receive(self) -> "Sequence[MessageTypeDef]":
        messages = self.queues.client.receive_message(
            QueueUrl=self.queues.dead_letter_queue_url,
            MaxNumberOfMessages=_BATCH,
            VisibilityTimeout=HIDDEN_SECONDS,
            WaitTimeSeconds=self.queues.wait_seconds,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages", [])
        self.handles.update((message["MessageId"], message["ReceiptHandle"]) for message in messages)
        return messages


def count_messages(client: "SQSClient", queue_url: str) -> int:
    """Return about how many messages there are, those included that somebody reads or that are delayed."""
    answer = client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=[*_COUNTS])
    return sum(int(number) for number in answer["Attributes"].values())


def read_dead_letters(
    queues: Queues, report: Report, clock: Callable[[], float] = time.monotonic
) -> list[DeadLetter]:
    """Return the dead letters that nobody else reads, the oldest trouble first, and leave them there."""
    dead_letters: list[DeadLetter] = []
    with _holding(queues, clock) as hold:
        for message in hold.messages():
            dead_letters.append(_dead_letter(message, queues.client.meta.region_name))
            report(len(dead_letters))
    return sorted(dead_letters, key=lambda found: (found.since, found.name, found.message_id))


def read_and_count(queues: Queues, report: Report) -> tuple[list[DeadLetter], int]:
    """Return the dead letters that nobody else reads, and how many others there are: somebody reads them."""
    before = count_messages(queues.client, queues.dead_letter_queue_url)
    found = read_dead_letters(queues, report)
    # What comes or goes meanwhile is in one of the counts only.
    there = min(before, count_messages(queues.client, queues.dead_letter_queue_url))
    return found, max(0, there - len(found))


def format_hidden(number: int) -> str:
    """Say that dead letters could not be read."""
    return (
        f"{count(number, 'dead letter')} could not be read: somebody else reads them. Run it again in "
        f"{HIDDEN_SECONDS // 60} minutes"
    )


def choose(
    dead_letters: Iterable[DeadLetter], secrets: Sequence[str], error_types: Sequence[str]
) -> list[DeadLetter]:
    """Return the dead letters of these secrets (names or ARNs) with these error types. None means any."""
    types = {error_type.casefold() for error_type in error_types}
    return [
        dead_letter
        for dead_letter in dead_letters
        if (not secrets or any(is_about(dead_letter, secret) for secret in secrets))
        and (not types or dead_letter.error_type.casefold() in types)
    ]


def is_about(dead_letter: DeadLetter, secret: str) -> bool:
    """Tell whether the dead letter's secret is that of this name or ARN, whole or without its last part."""
    known = (*names_of(dead_letter.secret), dead_letter.secret.partition(":secret:")[2])
    return secret in known or dead_letter.secret in names_of(secret)


def redrive(
    queues: Queues,
    dead_letters: Sequence[DeadLetter],
    report: Report,
    *,
    everything: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Move these dead letters, or with `everything` whatever is in the queue; return how many were moved.

    Dead letters that are not moved then are gone, or hidden because somebody else reads them.
    Raise OperatorError, ClientError or BotoCoreError; what was not moved by then is still there.
    """
    wanted = {dead_letter.message_id for dead_letter in dead_letters}
    moved = 0
    if everything:
        # First what the function would not know for a dead letter after SQS's own redrive.
        unknown = {
            dead_letter.message_id for dead_letter in dead_letters if dead_letter.error_type == NO_REASON
        }
        moved = _move_one_by_one(queues, unknown, report) if unknown else 0
        moved += _move_by_sqs(queues, _after(moved, report), sleep)
    # SQS passes over dead letters that are hidden when it comes by, so check once more.
    moved += _move_one_by_one(queues, wanted, _after(moved, report))
    return min(len(dead_letters), moved)


def clear(queues: Queues, dead_letters: Sequence[DeadLetter], report: Report) -> int:
    """Delete these very dead letters, and none that came later; return how many were deleted."""
    chosen = {dead_letter.message_id for dead_letter in dead_letters}
    return _delete_each(queues, chosen, report, lambda _: None)


def _after(moved: int, report: Report) -> Report:
    """Return a report that counts on from what was moved before."""
    return lambda count: report(moved + count)


def _move_one_by_one(queues: Queues, wanted: set[str], report: Report) -> int:
    """Send each dead letter before it is deleted: stopped in between, it comes twice, which is harmless."""

    def send(message: "MessageTypeDef") -> None:
        # With its reason, as SQS's own redrive does: so the function knows that it was a dead letter.
        attributes = message.get("MessageAttributes", {})
        mark = {} if DEAD_LETTER_ATTRIBUTES & attributes.keys() else _REDRIVEN
        queues.client.send_message(
            QueueUrl=queues.queue_url, MessageBody=message["Body"], MessageAttributes={**attributes, **mark}
        )

    return _delete_each(queues, wanted, report, send)


def _delete_each(
    queues: Queues, wanted: set[str], report: Report, before: "Callable[[MessageTypeDef], None]"
) -> int:
    deleted = 0
    with _holding(queues) as hold:
        for message in hold.messages():
            if message["MessageId"] in wanted:
                before(message)
                hold.delete(message["MessageId"])
                deleted += 1
                report(deleted)
            if deleted == len(wanted):
                break
    return deleted


def _move_by_sqs(queues: Queues, report: Report, sleep: Callable[[float], None]) -> int:
    """Let SQS itself move everything; return how many it moved: 0, if this service cannot."""
    client = queues.client
    source, destination = (_arn(client, url) for url in (queues.dead_letter_queue_url, queues.queue_url))
    try:
        earlier = _started(_latest_task(client, source))
        # The function's dead letters were sent, not moved here by SQS: without a destination they would stay.
        handle = client.start_message_move_task(SourceArn=source, DestinationArn=destination)["TaskHandle"]
    except ClientError as error:
        if error.response["Error"].get("Code") not in _NO_SUCH_ACTION:
            raise
        return 0
    try:
        return _follow(client, source, earlier, report, sleep)
    except KeyboardInterrupt:
        # It may have ended by itself, and then cannot be cancelled. Either way nothing is lost.
        with suppress(ClientError):
            client.cancel_message_move_task(TaskHandle=handle)
        raise


def _follow(
    client: "SQSClient", source: str, earlier: int, report: Report, sleep: Callable[[float], None]
) -> int:
    """Return how many dead letters the task that began after `earlier` has moved, once it is through."""
    checks_left = _CHECKS_FOR_TASK
    while checks_left:
        task = _latest_task(client, source)
        if _started(task) > earlier:
            moved = task.get("ApproximateNumberOfMessagesMoved", 0)
            report(moved)
            if task.get("Status") == "COMPLETED":
                return moved
            if task.get("Status") in ("FAILED", "CANCELLED"):
                reason = task.get("FailureReason", "somebody cancelled it")
                raise OperatorError(f"SQS stopped moving after {moved} dead letters ({reason}): run it again")
        else:
            checks_left -= 1
        sleep(_CHECK_SECONDS)
    raise OperatorError("SQS took the task but does not show it: see with --dry-run what is left")


def _latest_task(client: "SQSClient", source: str) -> "ListMessageMoveTasksResultEntryTypeDef":
    tasks = client.list_message_move_tasks(SourceArn=source, MaxResults=1).get("Results", [])
    return tasks[0] if tasks else {}


def _started(task: "ListMessageMoveTasksResultEntryTypeDef") -> int:
    return task.get("StartedTimestamp", 0)


def _arn(client: "SQSClient", queue_url: str) -> str:
    answer = client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    return answer["Attributes"]["QueueArn"]


def names_of(secret: str) -> tuple[str, ...]:
    """Return the ARN, the ARN without its last part, and the name; what is no ARN as it is."""
    found = _SECRET_ARN.fullmatch(secret)
    return (secret, found[1], found[2]) if found else (secret,)


def secret_name(secret: str) -> str:
    """Return the name in an ARN, with or without its last part; what is no ARN as it is."""
    return names_of(secret)[-1]


@contextmanager
def _holding(queues: Queues, clock: Callable[[], float] = time.monotonic) -> Iterator[_Hold]:
    hold = _Hold(queues, clock=clock)
    try:
        yield hold
    finally:
        hold.hide(0)


def _dead_letter(message: "MessageTypeDef", home_region: str) -> DeadLetter:
    system = message.get("Attributes", {})
    # What SQS moved here after crashes has older reasons, if any: SQS's own redrive leaves them there.
    attributes = {} if "DeadLetterQueueSourceArn" in system else message.get("MessageAttributes", {})
    given = {name: value.get("StringValue", "") for name, value in attributes.items()}
    secret = given.get("SecretArn") or _secret_in(message["Body"], home_region)
    error_type, reason = _reason(given)
    attempts = given.get("Attempts") or given.get("RETRY_ATTEMPTS") or ""
    return DeadLetter(
        since=_since(given.get("FirstReceived", ""), int(system["SentTimestamp"])),
        secret=secret,
        error_type=error_type,
        reason=reason.removeprefix(f"{secret} - "),
        attempts=int(attempts) if re.fullmatch("[0-9]{1,9}", attempts) else None,
        message_id=message["MessageId"],
    )


def _reason(given: dict[str, str]) -> tuple[str, str]:
    """Return error type and reason, as the function or else EventBridge gives them.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    if error_type := given.get("ErrorType"):
        body = given.get("OriginalBody")
        return error_type, given.get("ErrorMessage", "") + (f" - body {body}" if body else "")
    if code := given.get("ERROR_CODE"):
        return code, f"EventBridge could not deliver it: {given.get('ERROR_MESSAGE', '')}"
    return NO_REASON, NO_REASON_TEXT


def _secret_in(body: str, home_region: str) -> str:
    try:
        return parse(body, home_region).secret_id
    except MalformedMessageError:
        return UNKNOWN_SECRET


def _since(first_received: str, sent_milliseconds: int) -> datetime:
    try:
        return datetime.fromisoformat(first_received).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.fromtimestamp(sent_milliseconds // 1000, UTC)
