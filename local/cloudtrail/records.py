"""From MiniStack's record of a call to the event that CloudTrail sends through EventBridge.

https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
Fields: TypeAlias = dict[str, Json]

SOURCE = "secretsmanager.amazonaws.com"

WRITES = (
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
)
"""The calls that EventBridge hears of. It does not pass on calls that only read."""

_VALUES = frozenset({"SecretString", "SecretBinary"})
_UNANSWERED = frozenset({"RestoreSecret"})


@dataclass(frozen=True)
class Secret:
    """What CloudTrail's record says of the secret and MiniStack's does not."""

    arn: str
    name: str
    deletion: datetime | None = None


def secret_id(record: Mapping[str, Json]) -> str:
    """Return the name or ARN that the call was made for."""
    request = _fields(record["requestParameters"])
    return str(request.get("SecretId") or request.get("Name") or "")


def event(record: Mapping[str, Json], secret: Secret | None) -> Fields:
    """Return the event for MiniStack's record of a call on this secret (None: there is no such secret now).

    MiniStack records a call that its service refused like one that succeeded, and one that IAM refused not at
    all. So no event has an `errorCode`. A secret that is gone, or never was, leaves the response out.
    """
    return {
        "version": "0",
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(record["eventID"]))),
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.secretsmanager",
        "account": record["recipientAccountId"],
        "time": record["eventTime"],
        "region": record["awsRegion"],
        "resources": [],
        "detail": _detail(record, secret),
    }


def _detail(record: Mapping[str, Json], secret: Secret | None) -> Fields:
    kept = {
        name: value for name, value in record.items() if name not in ("requestParameters", "responseElements")
    }
    return kept | {
        "eventVersion": "1.11",
        "requestParameters": _lower_camel_case(_fields(record["requestParameters"])),
        "responseElements": _response(str(record["eventName"]), secret),
        "readOnly": False,
        "managementEvent": True,
        "eventCategory": "Management",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": f"secretsmanager.{record['awsRegion']}.amazonaws.com",
        },
    }


def _response(call: str, secret: Secret | None) -> Json:
    if secret is None or call in _UNANSWERED:
        return None
    if call == "DeleteSecret":
        deletion = secret.deletion or datetime.now(UTC)
        return {"name": secret.name, "deletionDate": _in_words(deletion), "arn": secret.arn}
    return {"arn": secret.arn}


def _in_words(time: datetime) -> str:
    """Return the time as CloudTrail writes it inside an answer: Dec 20, 2026 11:20:40 AM."""
    utc = time.astimezone(UTC)
    return f"{utc:%b} {utc.day}, {utc.year} {utc.hour % 12 or 12}:{utc:%M:%S %p}"


def _lower_camel_case(value: Json) -> Json:
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


def _fields(value: Json) -> Fields:
    if not isinstance(value, dict):
        raise TypeError(f"a JSON object was expected, found a {type(value).__name__}")
    return value


def read(text: str) -> Fields:
    """Return the record that LookupEvents gives as text."""
    return _fields(json.loads(text))
