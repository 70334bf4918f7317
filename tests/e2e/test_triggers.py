"""Each way a secret comes to the function's notice, through the deployed rules."""

import json
from typing import Any

import pytest

from local.aws.ministack import clients
from local.demo import examples
from local.stack import logical_id
from tests.e2e.world import World

pytestmark = pytest.mark.xdist_group("e2e")

TAG = {"replicate-to": "eu-west-1"}


@pytest.fixture
def converged(relayed: World) -> str:
    """A tagged secret that is already where it must be."""
    name = relayed.create(TAG, in_regions=["eu-west-1"])
    relayed.wait(lambda: relayed.said(name) == ["converged"])
    return name


def test_untagging_is_checked_and_takes_nothing_away(relayed: World, converged: str) -> None:
    relayed.stack.clients.secrets.untag_resource(SecretId=converged, TagKeys=["replicate-to"])
    relayed.wait(lambda: relayed.said(converged) == ["converged", "skipped not_selected"])
    assert relayed.replicas(converged) == {"eu-west-1"}


def test_an_update_is_checked(relayed: World, converged: str) -> None:
    relayed.stack.clients.secrets.update_secret(SecretId=relayed.arn(converged), Description="other words")
    relayed.wait(lambda: relayed.said(converged) == ["converged", "converged"])


def test_a_deletion_is_not_checked_and_a_restoration_is(relayed: World) -> None:
    name = relayed.create({"replicate-to": "none"})  # AWS deletes nothing that has replicas
    relayed.wait(lambda: relayed.said(name) == ["converged"])
    relayed.stack.clients.secrets.delete_secret(SecretId=name)
    relayed.ask_for(name)
    relayed.wait(lambda: relayed.said(name) == ["converged", "skipped scheduled_for_deletion"])
    relayed.stack.clients.secrets.restore_secret(SecretId=name)
    relayed.wait(lambda: relayed.said(name)[2:] == ["converged"])


def test_a_new_value_is_checked_without_cloudtrail(world: World) -> None:
    name = world.create(TAG)
    world.stack.clients.secrets.put_secret_value(SecretId=name, SecretString="new")
    world.wait_for_replicas(name, "eu-west-1")


def test_a_secret_can_be_named_in_the_queue_by_hand(world: World) -> None:
    name = world.create(TAG)
    world.ask_for(name)
    world.wait_for_replicas(name, "eu-west-1")


def test_the_schedules_own_message_finds_what_no_event_named(world: World) -> None:
    name = world.create(TAG)
    events = world.stack.clients.events
    (rule,) = [rule for rule in events.list_rules()["Rules"] if rule.get("ScheduleExpression")]
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"].rpartition(":")[2] == world.stack.queue_url.rpartition("/")[2]
    assert not world.replicas(name)
    world.send(target["Input"])
    world.wait_for_replicas(name, "eu-west-1")


def test_called_with_one_event_the_function_answers_with_the_outcome(
    world: World, event_files: dict[str, Any]
) -> None:
    name = world.create(TAG)
    arn = world.arn(name)
    event = event_files["create-secret"]
    event["detail"]["responseElements"]["arn"] = arn
    answer = world.stack.clients.functions.invoke(
        FunctionName=world.stack.function_name, Payload=json.dumps(event)
    )
    outcome = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer
    assert (outcome["outcome"], outcome["secret"]) == ("waiting", arn)
    assert world.replicas(name) == {"eu-west-1"}


def test_that_aws_could_not_replicate_is_checked_through_its_rule(relayed: World) -> None:
    # local/policy.toml names a key for this team, which is not there.
    name = relayed.create({"replicate-to": "us-west-2", "team": "payments"})
    relayed.wait(lambda: [each for each in relayed.deliveries if each.call == "ReplicationFailed"])
    failed = next(each for each in relayed.deliveries if each.call == "ReplicationFailed")
    assert failed.secret_id == relayed.arn(name)
    assert [logical_id(rule) for rule in failed.rules] == ["ReplicationFailedRule"]
    examples.create_key(clients(relayed.stack.aws, examples.KEY_REGION).keys)
    relayed.wait_for_replicas(name, "us-west-2")
