"""What a person finds in the DeadLetterQueue, and the way back from there."""

import json
from collections.abc import Iterator

import pytest

from local.aws import observe
from local.demo.play import redrive
from tests.e2e.world import World

pytestmark = pytest.mark.xdist_group("e2e")


def test_a_malformed_message_is_dead_lettered_at_once(world: World) -> None:
    world.send("orders/db, please")
    dead_letter = world.dead_letter("unknown")
    assert dead_letter.body == "orders/db, please"
    assert dead_letter.reasons.keys() == set(observe.REASONS)
    assert dead_letter.reasons["Attempts"] == "1"
    assert dead_letter.reasons["ErrorType"].startswith("Malformed")
    world.delete_dead_letter(dead_letter)


def test_a_dead_letter_has_the_original_body_and_converges_once_fixed_and_redriven(world: World) -> None:
    name = world.create({"replicate-to": "eu-wst-1"})
    body = json.dumps({"secret_id": world.arn(name), "note": "as it was"})
    world.send(body)
    dead_letter = world.dead_letter(name)
    assert dead_letter.body == body
    world.tag(name, {"replicate-to": "eu-west-1"})
    redrive(world.stack, dead_letter)
    world.wait_for_replicas(name, "eu-west-1")
    world.wait(lambda: "converged" in world.said(name))
    assert not world.dead_letters(name)


@pytest.fixture
def small_dead_letters(world: World) -> Iterator[None]:
    queues, url = world.stack.clients.sqs, world.stack.dead_letter_queue_url
    queues.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "4096"})
    yield
    queues.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "1048576"})


@pytest.mark.usefixtures("small_dead_letters")
def test_a_dead_letter_that_the_queue_does_not_take_whole_names_the_secret_and_can_be_redriven(
    world: World,
) -> None:
    name = world.create({"replicate-to": "eu-wst-1"})
    world.send(json.dumps({"secret_id": name, "note": "n" * 4000}))
    dead_letter = world.dead_letter(name)
    assert "replaced" in dead_letter.reasons["OriginalBody"]
    world.tag(name, {"replicate-to": "eu-west-1"})
    redrive(world.stack, dead_letter)
    world.wait_for_replicas(name, "eu-west-1")
