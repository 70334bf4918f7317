"""What happens to replicas, in order, and the service events that CloudTrail makes of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import NAMESPACE_OID, uuid5

from local.secrets_manager.model import Params
from local.secrets_manager.worlds import Worlds

SOURCE = "secretsmanager.amazonaws.com"
EVENT_NAMES = {
    "InProgress": "ReplicationStarted",
    "InSync": "ReplicationSucceeded",
    "Failed": "ReplicationFailed",
}


@dataclass(frozen=True)
class StatusChange:
    """A replica got another status, or the same one again. `arn` is the primary's."""

    time: float
    name: str
    arn: str
    region: str
    status: str
    message: str | None = None


def service_events(history: Sequence[StatusChange], worlds: Worlds, since: int = 0) -> Iterator[Params]:
    """Yield the event of each change that has one, from the change with this number on."""
    for number, change in enumerate(history[since:], since):
        if change.status in EVENT_NAMES:
            yield service_event(number, change, worlds)


def service_event(number: int, change: StatusChange, worlds: Worlds) -> Params:
    """Replication sends `ReplicationStarted`, `ReplicationSucceeded` and `ReplicationFailed`.

    Documented: https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html
    Here: any ARN of a secret in the event counts, mapped to the home Region.
    Held by: test_an_event_has_the_shape_of_cloudtrails_record, unit/test_messages.py.
    """
    _arn, _aws, _service, home, account, *_rest = change.arn.split(":")
    region = home if worlds.event_sent_by == "primary" else change.region
    arn = change.arn.replace(f":{home}:", f":{region}:", 1)
    time = datetime.fromtimestamp(change.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    listed = worlds.arn_in_events == "resources"
    entity = {"accountId": account, "type": "AWS::SecretsManager::Secret", "ARN": arn}
    detail = {
        "eventVersion": "1.11",
        "userIdentity": {"accountId": account, "invokedBy": SOURCE},
        "eventTime": time,
        "eventSource": SOURCE,
        "eventName": EVENT_NAMES[change.status],
        "awsRegion": region,
        "sourceIPAddress": SOURCE,
        "userAgent": SOURCE,
        **({"errorMessage": change.message} if change.status == "Failed" else {}),
        "requestParameters": None,
        "responseElements": None,
        "additionalEventData": None if listed else {"SecretId": arn},
        "requestID": _identity("request", number),
        "eventID": _identity("event", number),
        "readOnly": False,
        "eventType": "AwsServiceEvent",
        "managementEvent": True,
        "recipientAccountId": account,
        "eventCategory": "Management",
        **({"resources": [entity]} if listed else {}),
    }
    return envelope("AWS Service Event via CloudTrail", detail, _identity("delivery", number))


def envelope(detail_type: str, record: Params, identity: str) -> Params:
    """Return the event that EventBridge gets of CloudTrail's record.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
    """
    return {
        "version": "0",
        "id": identity,
        "detail-type": detail_type,
        "source": "aws.secretsmanager",
        "account": record["recipientAccountId"],
        "time": record["eventTime"],
        "region": record["awsRegion"],
        "resources": [],
        "detail": record,
    }


def _identity(of: str, number: int) -> str:
    """Return the same id for the same change, however often it is read."""
    return str(uuid5(NAMESPACE_OID, f"{of} {number}"))
