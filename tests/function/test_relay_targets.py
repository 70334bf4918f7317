"""What a person adds to the local AWS: rules and targets of every kind never end `make local`."""

import io
import json
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from rich.console import Console

from local import up
from local.cloudtrail.relay import Delivery, deliver
from local.stack import logical_id

RECORD: Any = {
    "eventID": "1",
    "eventTime": "2026-11-20T09:14:05Z",
    "eventName": "TagResource",
    "eventType": "AwsApiCall",
    "eventSource": "secretsmanager.amazonaws.com",
    "awsRegion": "us-east-1",
    "recipientAccountId": "123456789012",
    "userIdentity": {},
    "requestParameters": {"SecretId": "orders/db", "Tags": []},
}
PATTERN = json.dumps({"source": ["aws.secretsmanager"]})
TARGETS = {
    "function": {"Arn": "arn:aws:lambda:us-east-1:123456789012:function:audit"},
    "transformed": {"Arn": "arn:aws:sqs:us-east-1:123456789012:own", "InputPath": "$.detail"},
    "gone": {"Arn": "arn:aws:sqs:us-east-1:123456789012:gone"},
    "group": {
        "Arn": "arn:aws:sqs:us-east-1:123456789012:own.fifo",
        "SqsParameters": {"MessageGroupId": "all"},
    },
}


@pytest.fixture
def clients() -> Any:
    with mock_aws():
        events = boto3.client("events", region_name="us-east-1")
        # Moto cannot test a pattern; which rules want it is not what matters here.
        events.test_event_pattern = lambda **_: {"Result": True}
        queues = boto3.client("sqs", region_name="us-east-1")
        queues.create_queue(QueueName="own")
        queues.create_queue(QueueName="own.fifo", Attributes={"FifoQueue": "true"})
        secrets = boto3.client("secretsmanager", region_name="us-east-1")
        secrets.create_secret(Name="orders/db")
        yield SimpleNamespace(events=events, sqs=queues, secrets=secrets)


def sent(clients: Any) -> Delivery:
    (delivery,) = deliver(clients, [RECORD])
    return delivery


def received(clients: Any) -> int:
    url = clients.sqs.get_queue_url(QueueName="own")["QueueUrl"]
    return len(clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []))


@pytest.mark.parametrize("kind", TARGETS)
def test_a_target_that_cannot_be_reached_is_named_and_the_others_are_reached(clients: Any, kind: str) -> None:
    clients.events.put_rule(Name="mine", EventPattern=PATTERN)
    queue = {"Id": "queue", "Arn": "arn:aws:sqs:us-east-1:123456789012:own"}
    clients.events.put_rule(Name="theirs", EventPattern=PATTERN)
    clients.events.put_targets(Rule="mine", Targets=[{"Id": kind, **TARGETS[kind]}])
    clients.events.put_targets(Rule="theirs", Targets=[queue])
    delivery = sent(clients)
    assert "theirs" in delivery.rules
    assert [target.rpartition(":")[2].rpartition("/")[2] for target in delivery.missed] == [
        TARGETS[kind]["Arn"].rpartition(":")[2]
    ]
    assert received(clients) == 1


def test_a_rule_that_is_deleted_meanwhile_is_passed_over(
    clients: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients.events.put_rule(Name="mine", EventPattern=PATTERN)
    before = clients.events.list_targets_by_rule

    def late(**asked: Any) -> Any:
        clients.events.delete_rule(Name="mine")
        return before(**asked)

    monkeypatch.setattr(clients.events, "list_targets_by_rule", late)
    assert sent(clients) == Delivery("TagResource", "orders/db", ())


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        ("secret-replicator-SecretChangedRule-1A2B3C", "SecretChangedRule"),
        ("audit", "audit"),
        ("my-own", "my-own"),
        ("secret-replicator-", "secret-replicator-"),
    ],
)
def test_a_rule_is_shown_by_its_logical_id_or_the_name_its_owner_gave(rule: str, shown: str) -> None:
    console = Console(file=io.StringIO(), width=200)
    up._show_delivery(console, Delivery("TagResource", "orders/db", (rule,), ("arn:of:target",)))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0].endswith(f"relay    orders/db: TagResource, delivered by {shown}")
    assert lines[1].endswith("not delivered to arn:of:target: only to queues, and the whole event")

    assert logical_id(rule) == shown
