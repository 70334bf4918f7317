"""Nothing is written by an old reading: tags may change while a write waits for its turn."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from local.secrets_manager.model import Call
from secret_replicator.budget import CALL_SECONDS, LEAD_SECONDS, Budget
from secret_replicator.errors import DeadlineExceededError
from secret_replicator.models import Attempt
from secret_replicator.reconciler import MOMENT_SECONDS
from tests.support.world import HOME, World

BUDGETS = pytest.mark.parametrize("writes_per_second", [2, 20], ids=["a low budget", "the default budget"])


def retag(world: World, name: str, tags: Mapping[str, str]) -> None:
    world.secrets.secret(HOME, name).tags = dict(tags)


def while_it_waits(world: World, change: Callable[[], None]) -> None:
    """Change something when a write waits for its turn."""

    def sleep(seconds: float) -> None:
        if seconds > MOMENT_SECONDS:
            change()
        world.clock.advance(seconds)

    world.app.reconciler.budget.sleep = sleep


@BUDGETS
def test_a_replica_that_is_wanted_again_is_not_removed(world: World, writes_per_second: int) -> None:
    names = [f"orders/{number}" for number in range(4)]
    for name in names:
        world.converge(name, "eu-west-1 us-west-2")
        retag(world, name, {"replicate-to": "us-west-2"})
        world.send(name)
    pruning = world.having(prune_replicas=True, writes_per_second=writes_per_second)

    def want_again() -> None:
        for name in names:
            retag(world, name, {"replicate-to": "eu-west-1 us-west-2"})

    while_it_waits(pruning, want_again)
    pruning.deliver_until_empty()
    assert [set(world.status(name)) for name in names] == [{"eu-west-1", "us-west-2"}] * 4
    assert not world.calls("RemoveRegionsFromReplication")


@BUDGETS
@pytest.mark.parametrize(
    ("tags", "replicas"),
    [
        pytest.param({}, set(), id="its tag is taken off"),
        pytest.param({"replicate-to": "all", "residency": "eu"}, {"eu-west-1"}, id="it must stay in Europe"),
        pytest.param({"replicate-to": "us-west-2"}, {"us-west-2"}, id="it is wanted elsewhere"),
    ],
)
def test_a_secret_is_not_replicated_where_it_is_not_wanted_any_more(
    world: World, writes_per_second: int, tags: dict[str, str], replicas: set[str]
) -> None:
    world.add("orders/db", to="all")
    world.send("orders/db")
    other = world.having(writes_per_second=writes_per_second)
    while_it_waits(other, lambda: retag(world, "orders/db", tags))
    other.deliver()
    assert set(world.status("orders/db")) == replicas


def test_a_secret_that_is_deleted_meanwhile_is_skipped(world: World) -> None:
    world.add("orders/db", to="all")
    world.send("orders/db")
    world.secrets.regions -= {"eu-west-1"}
    while_it_waits(
        world, lambda: setattr(world.secrets.secret(HOME, "orders/db"), "delete_at", world.clock() + 99)
    )
    world.deliver()
    assert not world.queues.messages
    assert not world.calls("ReplicateSecretToRegions")


@pytest.mark.parametrize("tags", [{"replicate-to": "eu-west-1 us-west-2"}, {}])
def test_an_attempt_that_has_removed_something_does_not_end_its_message(
    world: World, tags: dict[str, str]
) -> None:
    world.converge("orders/db", "eu-west-1 us-west-2")
    pruning = world.having(prune_replicas=True, max_attempts=1)
    retag(world, "orders/db", {"replicate-to": "us-west-2"})
    pruning.send("orders/db")
    pruning.deliver()
    assert set(world.status("orders/db")) == {"us-west-2"}
    assert world.queues.messages, "nobody sees whether the replica is wanted again"
    retag(world, "orders/db", tags)
    pruning.deliver_until_empty()
    assert set(world.status("orders/db")) == ({"eu-west-1", "us-west-2"} if tags else {"us-west-2"})
    assert not world.queues.dead_letters


def test_nor_one_whose_secret_is_not_selected_any_more_when_it_is_read_again(world: World) -> None:
    world.converge("orders/db", "eu-west-1")
    world.secrets.regions -= {"us-west-2"}
    retag(world, "orders/db", {"replicate-to": "us-west-2"})
    pruning = world.having(prune_replicas=True)
    pruning.send("orders/db")

    def take_the_tag_off(call: Call, _random: object) -> None:
        if call.operation == "RemoveRegionsFromReplication":
            retag(world, "orders/db", {})

    world.secrets.faults = take_the_tag_off
    pruning.deliver()
    assert world.calls("RemoveRegionsFromReplication")
    assert world.queues.messages, "nobody sees whether the replica is wanted again"


def test_what_has_not_waited_is_written_by_the_reading_there_is(world: World) -> None:
    for name in ("first", "second"):
        world.add(name, to="all")
        world.send(name)
        world.secrets.calls.clear()
        world.deliver()
    assert [call.operation for call in world.secrets.calls] == ["DescribeSecret", "ReplicateSecretToRegions"]


def test_what_was_read_before_a_sleep_that_took_too_long_is_read_again(world: World) -> None:
    """A paused process wakes late: then even the last reading before the write is old."""
    world.add("orders/db", to="all")
    world.send("orders/db")

    def oversleep(seconds: float) -> None:
        if seconds <= LEAD_SECONDS:
            retag(world, "orders/db", {"replicate-to": "us-west-2"})
        world.clock.advance(seconds + 2 * MOMENT_SECONDS)

    world.app.reconciler.budget.sleep = oversleep
    world.deliver()
    assert set(world.status("orders/db")) == {"us-west-2"}


def test_out_of_time_before_its_first_write_an_attempt_asks_for_nothing(world: World) -> None:
    world.add("a", "eu-west-1")
    now = world.clock()
    reconciler = replace(
        world.app.reconciler, budget=Budget(20, world.clock, world.clock.advance, world.clock)
    )
    with pytest.raises(DeadlineExceededError):
        reconciler.reconcile("a", Attempt(1, 0, now + CALL_SECONDS + 0.5, now))
    assert not any(call.operation.startswith("Replicate") for call in world.secrets.calls)
