"""From the body of a queue message to what it asks for. Nothing else of an event is believed.

Shapes: https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html and
https://docs.aws.amazon.com/secretsmanager/latest/userguide/monitoring-eventbridge.html
"""

import json
import math
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from secret_replicator.errors import MalformedMessageError

API_EVENTS = frozenset(
    {
        "CreateSecret",
        "DeleteResourcePolicy",
        "PutResourcePolicy",
        "RestoreSecret",
        "StopReplicationToReplica",
        "TagResource",
        "UntagResource",
        "UpdateSecret",
    }
)
"""The calls that are listened to. What else changes a secret, and who notices: docs/reference/events.md."""

SERVICE_EVENTS = frozenset({"ReplicationStarted", "ReplicationSucceeded", "ReplicationFailed"})

_EXPECTED = 'an EventBridge event of Secrets Manager, {"secret_id": "<name or ARN>"} or {"sweep": {}}'
_PRINTABLE = re.compile(r"[ -~]{1,4096}")
_LONGEST_SECRET_ID = 2048
_SECRET_NAME = re.compile(r"[A-Za-z0-9/_+=.@!-]+")
_SECRET_ARN = re.compile(r"arn:[a-z-]+:secretsmanager:([a-z0-9-]+):[0-9]{12}:secret:[A-Za-z0-9/_+=.@!-]+")
_HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
"""What CloudTrail writes in place of what it does not show: it looks like a name, and is none."""

_RESPONSE = tuple(("detail", "responseElements", key) for key in ("arn", "aRN", "ARN"))
_REQUEST = tuple(("detail", "requestParameters", key) for key in ("secretId", "name"))
_OF_SERVICE = (("detail", "additionalEventData", "SecretId"), ("detail", "serviceEventDetails", "secretId"))
_RESOURCES = (("detail", "resources", "ARN"), ("detail", "resources"), ("resources", "ARN"), ("resources",))


@dataclass(frozen=True)
class _EventType:
    """What is known of a detail-type: its events, and where in them the secret may stand, surest first."""

    places: tuple[tuple[str, ...], ...]
    names: frozenset[str] = frozenset()
    anywhere: bool = False
    """Whether AWS does not document where, so that any ARN of a secret in `detail` counts."""
    echo: bool = False


_EVENT_TYPES = {
    "AWS API Call via CloudTrail": _EventType(_RESPONSE + _REQUEST + _RESOURCES + _OF_SERVICE, API_EVENTS),
    "AWS Service Event via CloudTrail": _EventType(
        _OF_SERVICE + _RESPONSE + _REQUEST + _RESOURCES, SERVICE_EVENTS, anywhere=True, echo=True
    ),
    "Secret Label Updated": _EventType((*_RESOURCES, ("detail", "name"))),
}


@dataclass(frozen=True)
class ReconcileRequest:
    """Look at this secret."""

    secret_id: str
    event_id: str = ""
    sweep_id: str = ""
    echo: bool = False
    """Whether one of our own calls may have caused the event: to act on it could go on for ever."""
    happened_at: float = math.inf
    """When what an echo tells of happened, in seconds since the epoch; unknown is inf."""

    def body(self) -> str:
        """Return the message that asks for this, without its event."""
        sweep = {"sweep_id": self.sweep_id} if self.sweep_id else {}
        return json.dumps({"secret_id": self.secret_id, **sweep})


@dataclass(frozen=True)
class SweepRequest:
    """Look at this page of all secrets. Without a token it is the first."""

    sweep_id: str = ""
    page: int = 1
    next_token: str = ""
    restarted: bool = False
    event_id: str = ""
    echo = False

    @property
    def secret_id(self) -> str:
        """What stands in logs and dead letters where a secret's name would."""
        return "sweep"

    def body(self) -> str:
        """Return the message that asks for this page."""
        fields = {
            "id": self.sweep_id,
            "page": self.page,
            "next_token": self.next_token,
            "restarted": self.restarted,
        }
        return json.dumps({"sweep": {key: value for key, value in fields.items() if value}})


Request = ReconcileRequest | SweepRequest


def parse(body: str, home_region: str) -> Request:
    """Return what the message asks for; raise MalformedMessageError if it asks for nothing we know."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise _malformed("text that is not JSON") from None
    if not isinstance(message, dict):
        raise _malformed("JSON that is not an object")
    if "sweep" in message:
        return _sweep(message["sweep"])
    if "secret_id" in message:
        secret_id = _at_home(_text(message, "secret_id"), home_region)
        return ReconcileRequest(secret_id, sweep_id=_optional_text(message, "sweep_id"))
    event_id = _optional_text(message, "id")
    if message.get("source") == "aws.events":
        # The schedule's own event, which EventBridge may dead-letter in place of the target's input.
        return SweepRequest(event_id, event_id=event_id)
    event_type = _type_of(message)
    secret_id = _at_home(_secret_of_event(message, event_type), home_region)
    if not event_type.echo:
        return ReconcileRequest(secret_id, event_id)
    return ReconcileRequest(secret_id, event_id, echo=True, happened_at=_time(message.get("time")))


def _sweep(fields: object) -> SweepRequest:
    if not isinstance(fields, dict):
        raise _malformed("a sweep that is not an object")
    page, restarted = fields.get("page", 1), fields.get("restarted", False)
    if type(page) is not int or page < 1:
        raise _malformed("a page that is not a whole number above 0")
    if not isinstance(restarted, bool):
        raise _malformed("restarted that is not true or false")
    sweep_id, next_token = (
        "" if fields.get(key) is None else _text(fields, key) for key in ("id", "next_token")
    )
    return SweepRequest(sweep_id, page, next_token, restarted)


def _type_of(event: Mapping[str, object]) -> _EventType:
    """Return what is known of an event that we listen to."""
    if "Records" in event:
        raise _malformed("Records that are not a batch of SQS")
    if event.get("source") != "aws.secretsmanager":
        raise _malformed("an object from another source, or without a source")
    if not (found := _EVENT_TYPES.get(str(event.get("detail-type")))):
        raise _malformed("an event of another detail-type")
    if found.names:
        _require_event(event.get("detail"), found.names)
    return found


def _require_event(detail: object, names: frozenset[str]) -> None:
    if not isinstance(detail, dict):
        raise _malformed("detail that is not an object")
    name = str(detail.get("eventName"))
    if detail.get("eventSource") != "secretsmanager.amazonaws.com":
        raise _malformed("an event with another eventSource")
    if name not in names:
        raise _malformed("an event with another eventName")
    if detail.get("errorCode") is not None and name in API_EVENTS:
        raise _malformed("a call that AWS refused (it has an errorCode)")


def _secret_of_event(event: Mapping[str, object], event_type: _EventType) -> str:
    """Return the secret that whatever part names: what is missing or of a wrong type is passed over."""
    named = [text for path in event_type.places for text in _texts(event, path) if _is_secret_id(text)]
    arns = [text for text in named if _SECRET_ARN.fullmatch(text)]
    if event_type.anywhere:
        arns += _secret_arns(event.get("detail"))
    if not (found := arns + named):
        raise _malformed("an event that names no secret")
    return found[0]


def _texts(value: object, path: tuple[str, ...]) -> Iterator[str]:
    """Yield the texts at the path, of each item where a list is on the way."""
    for item in value if isinstance(value, list) else (value,):
        if path and isinstance(item, dict):
            yield from _texts(item.get(path[0]), path[1:])
        elif not path and isinstance(item, str):
            yield item


def _is_secret_id(text: str) -> bool:
    found = _SECRET_ARN.fullmatch(text) or (text != _HIDDEN and _SECRET_NAME.fullmatch(text))
    return bool(found) and len(text) <= _LONGEST_SECRET_ID


def _secret_arns(value: object) -> Iterator[str]:
    pending = deque([value])
    while pending:
        match pending.popleft():
            case str() as text if found := _SECRET_ARN.fullmatch(text):
                yield found.group()
            case dict() as fields:
                pending.extend(fields.values())
            case list() as items:
                pending.extend(items)


def _at_home(secret_id: str, home_region: str) -> str:
    """Return the id of the primary: a replica's ARN differs from it by the Region alone."""
    if len(secret_id) > _LONGEST_SECRET_ID:
        raise _malformed("a secret id longer than AWS allows")
    found = _SECRET_ARN.fullmatch(secret_id)
    if not found:
        return secret_id
    start, end = found.span(1)
    return secret_id[:start] + home_region + secret_id[end:]


def _time(value: object) -> float:
    """Return the time of an event, inf if it has none that can be read."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        time = None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() if time else math.inf


def _text(fields: Mapping[str, object], key: str) -> str:
    if text := _optional_text(fields, key):
        return text
    raise _malformed(f"{key} that is not a short text of printable ASCII characters")


def _optional_text(fields: Mapping[str, object], key: str) -> str:
    """Return the text, empty if it is missing or none."""
    value = fields.get(key)
    return value if isinstance(value, str) and _PRINTABLE.fullmatch(value) and value.strip() else ""


def _malformed(found: str) -> MalformedMessageError:
    return MalformedMessageError(
        f"the message was expected to be {_EXPECTED}; found: {found}",
        "send one of these, or delete this dead letter",
    )
