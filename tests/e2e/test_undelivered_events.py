"""An event that EventBridge cannot deliver to the queue: where it is then, what counts it, and the way out.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.aws import observe
from local.aws.observe import DeadLetter
from local.stack import STACK, logical_id
from tests.e2e.world import World, service

pytestmark = pytest.mark.xdist_group("e2e, few secrets")

RULE = "SecretLabelUpdatedRule"
"""The event that is played: a new value, of which MiniStack itself tells EventBridge."""


def policy_of(world: World, url: str) -> str:
    answer = world.stack.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    return answer["Attributes"]["Policy"]


@pytest.fixture
def reopen(world: World) -> Iterator[Callable[[], None]]:
    """What brings the queues' policies and keys back, at the latest at the end of the test."""
    client, urls = world.stack.clients.sqs, (world.stack.queue_url, world.stack.dead_letter_queue_url)
    before = [policy_of(world, url) for url in urls]

    def done() -> None:
        for url, policy in zip(urls, before, strict=True):
            client.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy, "KmsMasterKeyId": ""})

    yield done
    done()


def replicas(world: World, *arguments: str) -> str:
    command = [str(Path(sys.prefix) / "bin/replicas"), *arguments, "--stack", STACK]
    environment = world.stack.aws.environment
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def shut_out(world: World, url: str) -> None:
    """Take away what lets EventBridge send to the queue."""
    policy = json.loads(policy_of(world, url))
    allowed = [each for each in policy["Statement"] if each["Effect"] == "Allow"]
    assert [each["Principal"] for each in allowed] == [{"Service": "events.amazonaws.com"}]
    rest = {**policy, "Statement": [each for each in policy["Statement"] if each["Effect"] == "Deny"]}
    world.stack.clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(rest)})


KEY_POLICY = json.dumps(
    {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
                "Resource": "*",
            }
        ]
    }
)


def encrypt(world: World, key: str) -> None:
    world.stack.clients.sqs.set_queue_attributes(
        QueueUrl=world.stack.queue_url, Attributes={"KmsMasterKeyId": key}
    )


def breaching(world: World) -> set[str]:
    """Return the logical IDs of the alarms on EventBridge whose own metric is above their threshold."""
    client = service(world.stack, "cloudwatch")
    now = datetime.now(UTC)
    found = set()
    for page in client.get_paginator("describe_alarms").paginate():
        for alarm in page["MetricAlarms"]:
            if alarm.get("Namespace") != "AWS/Events":
                continue
            points = client.get_metric_statistics(
                Namespace=alarm["Namespace"],
                MetricName=alarm["MetricName"],
                Dimensions=alarm["Dimensions"],
                StartTime=now - timedelta(seconds=alarm["Period"]),
                EndTime=now + timedelta(seconds=1),
                Period=alarm["Period"],
                Statistics=[alarm["Statistic"]],
            )["Datapoints"]
            if any(point[alarm["Statistic"]] > alarm["Threshold"] for point in points):
                found.add(logical_id(alarm["AlarmName"]))
    return found


@pytest.fixture
def secret(world: World) -> str:
    """A secret that is selected, and that nobody has told the function of."""
    name = world.create()
    world.wait(lambda: not world.unfinished_sweeps())  # a sweep would tell it
    world.tag(name, {"replicate-to": "eu-west-1"})
    return name


def change_value(world: World, name: str) -> None:
    """Have EventBridge told of a new value."""
    world.stack.clients.secrets.put_secret_value(SecretId=name, SecretString="new")


def undelivered(world: World, name: str) -> list[DeadLetter]:
    found = observe.dead_letters(world.stack.clients.sqs, world.stack.dead_letter_queue_url)
    return [dead_letter for dead_letter in found if f":secret:{name}-" in dead_letter.body]


def shut_policy(world: World) -> None:
    shut_out(world, world.stack.queue_url)


def shut_key(world: World) -> None:
    """What a key's own policy says by default: nothing of EventBridge."""
    encrypt(world, service(world.stack, "kms").create_key()["KeyMetadata"]["KeyId"])


def shut_disabled_key(world: World) -> None:
    keys = service(world.stack, "kms")
    key = keys.create_key(Policy=KEY_POLICY)["KeyMetadata"]["KeyId"]
    encrypt(world, key)
    keys.disable_key(KeyId=key)


def shut_managed_key(world: World) -> None:
    encrypt(world, "alias/aws/sqs")


@pytest.mark.parametrize("shut", [shut_policy, shut_key, shut_disabled_key, shut_managed_key])
def test_an_event_that_the_queue_refuses_is_a_dead_letter_that_can_be_redriven(
    world: World, reopen: Callable[[], None], secret: str, shut: Callable[[World], None]
) -> None:
    shut(world)
    change_value(world, secret)
    world.wait(lambda: undelivered(world, secret))
    (dead_letter,) = undelivered(world, secret)
    assert dead_letter.reasons["ERROR_CODE"] == "NO_PERMISSIONS"
    assert f":rule/{STACK}-{RULE}-" in dead_letter.reasons["RULE_ARN"]
    assert f"{RULE}UndeliveredAlarm" in breaching(world)
    assert world.replicas(secret) == set()
    reopen()
    assert "EventBridge could not deliver it: Lack of permissions" in replicas(
        world, "redrive", "--dry-run", "--json"
    )
    replicas(world, "redrive", "--yes", "--secret", secret)
    world.wait_for_replicas(secret, "eu-west-1")
    assert undelivered(world, secret) == []


@pytest.mark.usefixtures("reopen")
def test_a_queue_whose_key_lets_eventbridge_use_it_gets_the_event(world: World, secret: str) -> None:
    encrypt(world, service(world.stack, "kms").create_key(Policy=KEY_POLICY)["KeyMetadata"]["KeyId"])
    change_value(world, secret)
    world.wait_for_replicas(secret, "eu-west-1")


@pytest.mark.usefixtures("reopen")
def test_an_event_that_no_queue_takes_raises_the_alarm_of_its_rule_and_the_sweep_makes_up_for_it(
    world: World, secret: str
) -> None:
    assert f"{RULE}LostAlarm" not in breaching(world)
    shut_policy(world)
    shut_out(world, world.stack.dead_letter_queue_url)
    change_value(world, secret)
    world.wait(lambda: f"{RULE}LostAlarm" in breaching(world))
    assert {alarm for alarm in breaching(world) if alarm.endswith("LostAlarm")} == {f"{RULE}LostAlarm"}
    assert undelivered(world, secret) == []
    assert world.said(secret) == []
    world.send('{"sweep": {}}')
    world.wait_for_replicas(secret, "eu-west-1")
