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

API_EVENTS = frozenset({"CreateSecret", "TagResource", "UntagResource", "UpdateSecret", "RestoreSecret"})
SERVICE_EVENTS = frozenset({"ReplicationStarted", "ReplicationSucceeded", "ReplicationFailed"})

_EXPECTED = 'an EventBridge event of Secrets Manager, {"secret_id": "<name or ARN>"} or {"sweep": {}}'
_PRINTABLE = re.compile(r"[ -~]{1,4096}")
_LONGEST_SECRET_ID = 2048
_SERVICE_EVENT = "AWS Service Event via CloudTrail"
_SECRET_ARN = re.compile(r"arn:[a-z-]+:secretsmanager:([a-z0-9-]+):[0-9]{12}:secret:[A-Za-z0-9/_+=.@!-]+")


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
        return _sweep(_object(message, "sweep"))
    if "secret_id" in message:
        secret_id = _at_home(_text(message, "secret_id"), home_region)
        return ReconcileRequest(secret_id, sweep_id=_text(message, "sweep_id", optional=True))
    event_id = _text(message, "id", optional=True)
    if message.get("source") == "aws.events":
        # The schedule's own event, which EventBridge may dead-letter in place of the target's input.
        return SweepRequest(event_id, event_id=event_id)
    secret_id = _at_home(_secret_of_event(message), home_region)
    if message["detail-type"] != _SERVICE_EVENT:
        return ReconcileRequest(secret_id, event_id)
    return ReconcileRequest(secret_id, event_id, echo=True, happened_at=_time(message.get("time")))


def _sweep(fields: Mapping[str, object]) -> SweepRequest:
    page, restarted = fields.get("page", 1), fields.get("restarted", False)
    if type(page) is not int or page < 1:
        raise _malformed("a page that is not a whole number above 0")
    if not isinstance(restarted, bool):
        raise _malformed("restarted that is not true or false")
    sweep_id, next_token = (_text(fields, key, optional=True) for key in ("id", "next_token"))
    return SweepRequest(sweep_id, page, next_token, restarted)


def _secret_of_event(event: Mapping[str, object]) -> str:
    if event.get("source") != "aws.secretsmanager":
        raise _malformed("an object from another source, or without a source")
    detail = _object(event, "detail")
    match event.get("detail-type"):
        case "AWS API Call via CloudTrail":
            return _secret_of_api_call(detail)
        case kind if kind == _SERVICE_EVENT:
            return _secret_of_service_event(detail)
        case "Secret Label Updated":
            return next(_secret_arns(event.get("resources")), "") or _text(detail, "name")
        case _:
            raise _malformed("an event of another detail-type")


def _secret_of_api_call(detail: Mapping[str, object]) -> str:
    _require_event(detail, API_EVENTS)
    if "errorCode" in detail:
        raise _malformed("a call that AWS refused (it has an errorCode)")
    response = _object(detail, "responseElements", optional=True)
    request = _object(detail, "requestParameters", optional=True)
    for fields, keys in ((response, ("arn", "aRN", "ARN")), (request, ("secretId", "name"))):
        for key in keys:
            if secret_id := _text(fields, key, optional=True):
                return secret_id
    raise _malformed("a call that names no secret")


def _secret_of_service_event(detail: Mapping[str, object]) -> str:
    _require_event(detail, SERVICE_EVENTS)
    # AWS does not document which key holds the ARN: take the first, wherever it stands.
    for key in ("additionalEventData", "serviceEventDetails"):
        for arn in _secret_arns(detail.get(key)):
            return arn
    raise _malformed("a service event without the ARN of a secret")


def _require_event(detail: Mapping[str, object], names: frozenset[str]) -> None:
    name = detail.get("eventName")
    if detail.get("eventSource") != "secretsmanager.amazonaws.com":
        raise _malformed("an event with another eventSource")
    if not isinstance(name, str) or name not in names:
        raise _malformed("an event with another eventName")


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


def _object(fields: Mapping[str, object], key: str, *, optional: bool = False) -> Mapping[str, object]:
    value = fields.get(key)
    if value is None and optional:
        return {}
    if not isinstance(value, dict):
        raise _malformed(f"{key} that is not an object")
    return value


def _text(fields: Mapping[str, object], key: str, *, optional: bool = False) -> str:
    value = fields.get(key)
    if value is None and optional:
        return ""
    if not (isinstance(value, str) and _PRINTABLE.fullmatch(value) and value.strip()):
        raise _malformed(f"{key} that is not a short text of printable ASCII characters")
    return value


def _malformed(found: str) -> MalformedMessageError:
    return MalformedMessageError(
        f"the message was expected to be {_EXPECTED}; found: {found}",
        "send one of these, or delete this dead letter",
    )
