"""Where SQS is stricter than a list of messages, and a promise depends on it."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.world import World


def test_more_secrets_than_may_be_in_flight_converge_all_the_same(world: World) -> None:
    world.queues.in_flight_limit = 15
    world.secrets.worlds.seconds_in_progress = 60
    names = [f"secret-{number}" for number in range(40)]
    for name in names:
        world.add(name, to="eu-west-1")
        world.send(name)
    assert [world.deliver() for _ in range(3)] == [10, 5, 0]
    world.deliver_until_empty()
    assert {name: world.status(name) for name in names} == {name: {"eu-west-1": "InSync"} for name in names}
    assert not world.queues.dead_letters


def test_a_message_that_always_kills_the_function_is_moved_by_sqs_without_a_reason(world: World) -> None:
    class KilledError(Exception):
        pass

    def die(_records: list[Mapping[str, Any]]) -> Mapping[str, Any]:
        raise KilledError

    world.send("orders/db")
    body = world.only_message().body
    for _ in range(world.queues.max_receive_count):
        with pytest.raises(KilledError):
            world.queues.deliver(die)
        assert world.deliver() == 0, "it is invisible, so nobody else has it"
        world.clock.advance(360)
    assert world.deliver() == 0
    assert not world.queues.messages
    (dead_letter,) = world.queues.dead_letters
    assert (dead_letter.body, dead_letter.attributes) == (body, {})
