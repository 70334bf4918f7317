"""The relay's events have CloudTrail's shape: the files in events/ are the measure."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from local.cloudtrail import records
from local.cloudtrail.relay import Delivery, deliver

EVENTS = Path(__file__).parents[2] / "events"
ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:orders/db-AbCdEf"
SECRET: Any = {
    "ARN": ARN,
    "Name": "orders/db",
    "DeletedDate": datetime(2026, 12, 20, 11, 20, 40, tzinfo=UTC),
}
REPLICA = ARN.replace("us-east-1", "eu-west-1")
VALUE = "***REDACTED***"
RESOURCE_POLICY = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":'
    '"arn:aws:iam::123456789012:role/orders"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}'
)

REQUESTS: dict[str, dict[str, Any]] = {
    "create-secret": {
        "Name": "orders/db",
        "ClientRequestToken": "c2f6e537-3657-567e-8ad2-f62ba5c0f428",
        "Description": "Credentials of the orders database",
        "ForceOverwriteReplicaSecret": False,
        "SecretString": VALUE,
    },
    "delete-resource-policy": {"SecretId": ARN},
    "delete-secret": {"SecretId": ARN, "RecoveryWindowInDays": 30},
    "put-resource-policy": {
        "SecretId": "orders/db",
        "ResourcePolicy": RESOURCE_POLICY,
        "BlockPublicPolicy": True,
    },
    "put-secret-value": {
        "SecretId": ARN,
        "ClientRequestToken": "7f0c3d6e-0f9b-4a5e-9b1e-2f1f2a0c6b11",
        "SecretString": VALUE,
    },
    "remove-regions-from-replication": {"SecretId": ARN, "RemoveReplicaRegions": ["us-west-2"]},
    "replicate-secret-to-regions": {
        "SecretId": ARN,
        "AddReplicaRegions": [
            {"Region": "eu-west-1"},
            {"Region": "us-west-2", "KmsKeyId": "alias/secrets"},
        ],
        "ForceOverwriteReplicaSecret": False,
    },
    "restore-secret": {"SecretId": "orders/db"},
    "stop-replication-to-replica": {"SecretId": REPLICA},
    "tag-resource": {"SecretId": ARN, "Tags": [{"Key": "replicate-to", "Value": "eu-west-1 us-west-2"}]},
    "tag-resource-by-name": {
        "SecretId": "orders/db",
        "Tags": [{"Key": "replicate-to", "Value": "eu-west-1 us-west-2"}],
    },
    "untag-resource": {"SecretId": ARN, "TagKeys": ["replicate-to"]},
    "update-secret": {
        "SecretId": ARN,
        "ClientRequestToken": "f30368e7-9af7-5a67-9d82-f842b1b647d5",
        "Description": "Credentials of the orders database, owned by team orders",
        "SecretBinary": VALUE,
    },
}
"""What the caller sent, for each file of events/ that shows a call that changes something and succeeded."""

FROM_THE_CONSOLE_ALONE = "sessionCredentialFromConsole"


def file(name: str) -> dict[str, Any]:
    return json.loads((EVENTS / f"{name}.json").read_text("utf-8"))


def recorded(event: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the call as MiniStack 1.5 records it."""
    detail = event["detail"]
    kept = (
        *("userIdentity", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress"),
        *("userAgent", "requestID", "eventID", "eventType", "recipientAccountId"),
    )
    return {name: detail[name] for name in kept} | {
        "eventVersion": "1.08",
        "requestParameters": dict(request),
        "responseElements": None,
        "readOnly": "false",
    }


def shape(value: object) -> object:
    """Return the keys, recursively, and the types of what they lead to."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


@pytest.mark.parametrize("name", REQUESTS)
def test_the_event_is_the_one_in_the_file(name: str) -> None:
    expected = file(name)
    expected["detail"].pop(FROM_THE_CONSOLE_ALONE, None)
    secret = SECRET | {"ARN": REPLICA} if name == "stop-replication-to-replica" else SECRET
    event = records.event(recorded(expected, REQUESTS[name]), secret)
    assert shape(event) == shape(expected)
    assert event | {"id": "any"} == expected | {"id": "any"}


def test_every_file_with_a_change_that_succeeded_is_measured() -> None:
    shown = {
        path.stem
        for path in EVENTS.glob("*.json")
        if (detail := file(path.stem).get("detail", {})).get("eventType") == "AwsApiCall"
        and detail.get("eventVersion") == "1.11"
        and detail["readOnly"] is False
        and "errorCode" not in detail
    }
    assert shown == REQUESTS.keys()


def test_every_call_in_the_files_that_changes_something_is_relayed() -> None:
    calls = {file(name)["detail"]["eventName"] for name in REQUESTS}
    assert calls <= records.CHANGES


@pytest.mark.parametrize("key", ["SecretString", "SecretBinary"])
def test_a_value_is_absent_not_masked(key: str) -> None:
    record = recorded(file("update-secret"), {"SecretId": ARN, key: VALUE})
    event: dict[str, Any] = records.event(record, SECRET)
    assert event["detail"]["requestParameters"] == {"secretId": ARN}


def test_a_secret_that_is_not_there_any_more_leaves_the_response_out() -> None:
    event: dict[str, Any] = records.event(recorded(file("tag-resource"), REQUESTS["tag-resource"]), None)
    assert event["detail"]["responseElements"] is None


def test_a_call_that_was_refused_has_its_error_and_no_response() -> None:
    refused = recorded(file("tag-resource"), REQUESTS["tag-resource"]) | {"errorCode": "AccessDenied"}
    event: dict[str, Any] = records.event(refused, SECRET)
    assert event["detail"]["errorCode"] == "AccessDenied"
    assert event["detail"]["responseElements"] is None


@pytest.mark.parametrize(
    "name", ["replication-failed", "replication-failed-by-resources", "replication-started"]
)
def test_a_service_event_is_passed_on_as_it_is(name: str) -> None:
    expected = file(name)
    assert records.secret_id(expected["detail"]) == ARN
    assert records.event(expected["detail"], None) | {"id": "any"} == expected | {"id": "any"}


def test_one_record_always_makes_the_same_event() -> None:
    record = recorded(file("create-secret"), REQUESTS["create-secret"])
    assert records.event(record, SECRET) == records.event(record, SECRET)
    assert records.event(record, SECRET)["id"] != record["eventID"]


def test_a_call_that_names_no_secret_was_refused_and_has_no_event() -> None:
    """MiniStack records it like one that succeeded, and botocore describes nothing without a name."""
    record: Any = recorded(file("tag-resource"), REQUESTS["tag-resource"] | {"SecretId": ""})
    secrets = boto3.client("secretsmanager", region_name="us-east-1")
    events = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=list))
    clients: Any = SimpleNamespace(secrets=secrets, events=events)
    assert list(deliver(clients, [record])) == [Delivery("TagResource", "", ())]
