"""A replica whose KMS key cannot be used is tried while attempts are left; the remedy names both ends."""

import json

import pytest

from tests.support.world import HOME, World

KEY, WEST = "alias/payments", "us-west-2"
STATES = [
    pytest.param(None, f"The KMS key {KEY} is missing in {WEST}", id="not found"),
    pytest.param("Creating", f"The KMS key {KEY} is Creating in {WEST}", id="young"),
    pytest.param("Disabled", f"The KMS key {KEY} is Disabled in {WEST}", id="disabled"),
    pytest.param("PendingDeletion", f"The KMS key {KEY} is PendingDeletion in {WEST}", id="pending deletion"),
    pytest.param("AccessDenied", "Access to KMS is not allowed", id="not permitted"),
]


def begin(world: World, state: str | None) -> None:
    if state:
        world.secrets.set_key(WEST, KEY, state)
    world.add("orders/db", to="dr", team="payments")
    world.send("orders/db")


def put(world: World) -> None:
    world.secrets.handle("PutSecretValue", HOME, {"SecretId": "orders/db", "SecretString": "new"})


@pytest.mark.parametrize(("state", "said"), STATES)
def test_a_key_that_cannot_be_used_is_waited_for_until_the_attempts_are_used_up(
    world: World, state: str | None, said: str
) -> None:
    begin(world, state)
    world.deliver_until_empty()
    dead_letter = world.only_dead_letter()
    assert (dead_letter["ErrorType"], dead_letter["Attempts"]) == ("AttemptsUsedUp", "10")
    assert dead_letter["FailedRegions"] == WEST
    assert said in dead_letter["ErrorMessage"]
    assert "the key's own policy" in dead_letter["ErrorMessage"]
    assert "KmsKeyArns" in dead_letter["ErrorMessage"]


@pytest.mark.parametrize(("state", "said"), STATES)
def test_a_key_that_can_be_used_again_heals_its_replica(world: World, state: str | None, said: str) -> None:
    begin(world, state)
    world.deliver()
    world.clock.advance(600)
    assert said in str(world.secrets.secret(HOME, "orders/db").replicas[WEST].message)
    world.secrets.set_key(WEST, KEY)
    if world.secrets.worlds.repeat == "refused":
        put(world)
    world.deliver_until_empty()
    assert world.status("orders/db") == {WEST: "InSync"}
    assert not world.queues.dead_letters


def test_a_key_that_is_disabled_months_later_is_waited_for_and_heals_with_the_next_value(
    world: World,
) -> None:
    begin(world, "Enabled")
    world.deliver_until_empty()
    world.clock.advance(90 * 86_400)
    world.secrets.set_key(WEST, KEY, "Disabled")
    put(world)
    event = world.secrets.service_events[-1]
    assert event["detail"]["eventName"] == "ReplicationFailed"
    world.queues.send(json.dumps(event))
    world.deliver()
    world.clock.advance(600)
    assert world.status("orders/db") == {WEST: "Failed"}
    world.secrets.set_key(WEST, KEY)
    put(world)
    world.deliver_until_empty()
    assert world.status("orders/db") == {WEST: "InSync"}
    assert not world.queues.dead_letters
