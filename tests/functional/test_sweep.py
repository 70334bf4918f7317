"""A sweep finds what events missed, page by page, through the same queue."""

import json

import pytest

from tests.fakes.secrets_model import THROTTLED
from tests.functional.conftest import HOME, World


def test_a_sweep_converges_every_selected_secret_and_touches_no_other(world: World) -> None:
    for number in range(230):
        world.add(f"tagged/{number:03}", to="eu-west-1")
        world.add(f"other/{number:03}")
    world.queues.send('{"sweep": {}}')
    world.deliver_until_empty(batches=1000)
    assert all(world.status(f"tagged/{number:03}") == {"eu-west-1": "InSync"} for number in range(230))
    described = {call.secret for call in world.calls("DescribeSecret")}
    assert not [name for name in described if name and "other/" in name]
    assert not world.queues.dead_letters


def test_a_sweep_finds_what_only_a_rule_selects_and_leaves_replicas_out(world: World) -> None:
    world.add("ruled", environment="prod", criticality="high")
    world.add("nearly", environment="prod", criticality="low")
    world.secrets.add_secret("eu-west-1", "theirs", tags={"replicate-to": "us-west-2"})
    world.secrets.handle(
        "ReplicateSecretToRegions",
        "eu-west-1",
        {"SecretId": "theirs", "AddReplicaRegions": [{"Region": HOME}]},
    )
    world.deliver()
    world.queues.send('{"sweep": {}}')
    world.deliver()
    assert [json.loads(message.body) for message in world.queues.messages] == [
        {"secret_id": world.secrets.secret(HOME, "ruled").arn}
    ]


@pytest.mark.parametrize("operation", ["SendMessageBatch"])
def test_a_page_that_could_not_be_enqueued_is_swept_again(world: World, operation: str) -> None:
    world.add("orders/db", to="eu-west-1")
    world.queues.send('{"sweep": {}}')
    world.queues.failing = {operation}
    world.deliver()
    assert [message.body for message in world.queues.messages] == ['{"sweep": {}}']
    world.queues.failing = set()
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}


def test_a_throttled_page_is_swept_again(world: World) -> None:
    world.add("orders/db", to="eu-west-1")
    world.secrets.fail_next("ListSecrets", THROTTLED)
    world.queues.send('{"sweep": {}}')
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}


def test_a_policy_with_more_tag_keys_than_a_filter_takes_is_swept_without_one(world: World) -> None:
    rules = "".join(f'[[rules]]\nmatch = {{ key{number} = "*" }}\nregions = ["dr"]\n' for number in range(10))
    policy_file = world.app.settings.policy_file.with_name("many.toml")
    policy_file.write_text(f'[tag]\nkey = "replicate-to"\n[groups]\ndr = ["us-west-2"]\n{rules}')
    wide = world.having(policy_file=policy_file)
    wide.add("ruled", key9="yes")
    wide.add("other")
    wide.queues.send('{"sweep": {}}')
    wide.deliver_until_empty()
    assert "Filters" not in wide.calls("ListSecrets")[0].parameters
    assert wide.status("ruled") == {"us-west-2": "InSync"}
    assert wide.status("other") == {}


def test_a_page_is_filtered_by_the_keys_that_can_select(world: World) -> None:
    world.queues.send('{"sweep": {}}')
    world.deliver()
    (call,) = world.calls("ListSecrets")
    assert call.parameters["Filters"] == [{"Key": "tag-key", "Values": ["environment", "replicate-to"]}]


def test_a_page_whose_token_is_refused_says_that_the_next_sweep_begins_anew(world: World) -> None:
    world.queues.send('{"sweep": {"next_token": "no such token"}}')
    world.deliver_until_empty()
    letter = world.only_dead_letter()
    assert (letter["ErrorType"], letter["SecretArn"]) == ("Refused", "sweep")
    assert letter["ErrorMessage"].endswith("delete this letter: the next sweep begins anew")


def test_a_tag_key_that_no_filter_takes_is_swept_without_one(world: World) -> None:
    policy_file = world.app.settings.policy_file.with_name("accents.toml")
    policy_file.write_text('[tag]\nkey = "réplique-à"\n', encoding="utf-8")
    accents = world.having(policy_file=policy_file)
    accents.add("tagged", **{"réplique-à": "eu-west-1"})
    accents.queues.send('{"sweep": {}}')
    accents.deliver_until_empty()
    assert "Filters" not in accents.calls("ListSecrets")[0].parameters
    assert accents.status("tagged") == {"eu-west-1": "InSync"}


def test_the_schedules_own_event_is_a_sweep(world: World) -> None:
    world.add("orders/db", to="eu-west-1")
    world.queues.send('{"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}')
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}
