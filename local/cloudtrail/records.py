"""From the local CloudTrail's record to the event that CloudTrail sends through EventBridge.

https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html
"""

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from local.secrets_manager.events import EVENT_NAMES, envelope
from local.secrets_manager.model import Params

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

CHANGES = frozenset(
    {
        "CancelRotateSecret",
        "CreateSecret",
        "DeleteResourcePolicy",
        "DeleteSecret",
        "PutResourcePolicy",
        "PutSecretValue",
        "RemoveRegionsFromReplication",
        "ReplicateSecretToRegions",
        "RestoreSecret",
        "RotateSecret",
        "StopReplicationToReplica",
        "TagResource",
        "UntagResource",
        "UpdateSecret",
        "UpdateSecretVersionStage",
        *EVENT_NAMES.values(),
    }
)
"""The calls that EventBridge hears of, and what Secrets Manager says of itself: nothing that only reads."""

_VALUES = frozenset({"SecretString", "SecretBinary"})
_UNANSWERED = frozenset({"RestoreSecret"})


def secret_id(record: Params) -> str:
    """Return the name or ARN that the call was made for."""
    named = (record.get("requestParameters") or {}) | (record.get("additionalEventData") or {})
    listed = [entity.get("ARN") for entity in record.get("resources") or ()]
    return str(next(filter(None, (named.get("SecretId"), named.get("Name"), *listed)), ""))


def event(record: Params, secret: "DescribeSecretResponseTypeDef | None") -> Params:
    """Return the event for the record of a call on this secret (None: there is no such secret now).

    A call that IAM refuses is not recorded here. A call that was refused, and one on a secret that is gone,
    have no response. A service event is what CloudTrail has of it.
    """
    identity = str(uuid.uuid5(uuid.NAMESPACE_OID, str(record["eventID"])))
    if record["eventType"] == "AwsServiceEvent":
        return envelope("AWS Service Event via CloudTrail", record, identity)
    return envelope("AWS API Call via CloudTrail", _detail(record, secret), identity)


def _detail(record: Params, secret: "DescribeSecretResponseTypeDef | None") -> Params:
    kept = {
        name: value for name, value in record.items() if name not in ("requestParameters", "responseElements")
    }
    return kept | {
        "eventVersion": "1.11",
        "requestParameters": _lower_camel_case(record["requestParameters"]),
        "responseElements": _response(record["eventName"], None if "errorCode" in record else secret),
        "readOnly": False,
        "managementEvent": True,
        "eventCategory": "Management",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": f"secretsmanager.{record['awsRegion']}.amazonaws.com",
        },
    }


def _response(call: str, secret: "DescribeSecretResponseTypeDef | None") -> Params | None:
    if secret is None or call in _UNANSWERED:
        return None
    if call == "DeleteSecret":
        deletion = secret.get("DeletedDate") or datetime.now(UTC)
        return {"name": secret["Name"], "deletionDate": _format(deletion), "arn": secret["ARN"]}
    return {"arn": secret["ARN"]}


def _format(time: datetime) -> str:
    """Return the time as CloudTrail writes it inside an answer: Dec 20, 2026 11:20:40 AM."""
    utc = time.astimezone(UTC)
    return f"{utc:%b} {utc.day}, {utc.year} {utc.hour % 12 or 12}:{utc:%M:%S %p}"


def _lower_camel_case(value: object) -> object:
    """Return the request with CloudTrail's names, and without the secret's value."""
    if isinstance(value, list):
        return [_lower_camel_case(item) for item in value]
    if isinstance(value, dict):
        return {
            name[:1].lower() + name[1:]: _lower_camel_case(item)
            for name, item in value.items()
            if name not in _VALUES
        }
    return value
