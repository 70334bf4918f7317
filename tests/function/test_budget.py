"""Writes stay inside the budget, and never outlast the function."""

import math

import pytest

from local.secrets_manager.model import ManualClock
from secret_replicator.app import app
from secret_replicator.budget import CALL_SECONDS, PAUSE_SECONDS, POLL_SECONDS, WINDOW_SECONDS, Budget
from secret_replicator.errors import DeadlineExceededError, SecretNotFoundError
from secret_replicator.models import DesiredReplica
from tests.support.world import World


def budget_of(writes_per_second: float, clock: ManualClock) -> Budget:
    """Return the budget of an instance that began a while ago."""
    budget = Budget(writes_per_second, clock, clock.advance, clock)
    clock.now = 1000
    return budget


def writes(budget: Budget, clock: ManualClock, number: int) -> list[float]:
    begun = []
    for _ in range(number):
        with budget.slot(deadline=2000):
            begun.append(round(clock(), 6))
    return begun


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(0)


def test_a_share_may_be_used_at_once_and_the_next_one_a_second_later(clock: ManualClock) -> None:
    first, second = 1000 + WINDOW_SECONDS, 1000 + 2 * WINDOW_SECONDS
    assert writes(budget_of(2, clock), clock, 5) == [1000, 1000, first, first, second]


def test_an_instance_that_replaces_another_leaves_it_the_share_of_its_last_second(clock: ManualClock) -> None:
    killed = budget_of(3, clock)
    begun = writes(killed, clock, 3)
    begun += writes(Budget(3, clock, clock.advance, clock), clock, 3)
    assert begun == [1000] * 3 + [1000 + WINDOW_SECONDS] * 3


def test_whenever_writes_begin_no_second_has_more_than_the_share(clock: ManualClock) -> None:
    budget = budget_of(4, clock)
    begun = []
    for pause in [0, 0, 0.3, 0, 0.4, 0.1, 0, 0, 2, 0, 0, 0, 0.9, 0, 0]:
        clock.advance(pause)
        begun += writes(budget, clock, 1)
    for start in begun:
        assert len([one for one in begun if start <= one <= start + 1]) <= 4


def test_a_call_that_reaches_aws_late_holds_back_the_one_a_share_behind_it(clock: ManualClock) -> None:
    budget = budget_of(2, clock)
    with budget.slot(deadline=2000):
        clock.advance(0.7)
    assert writes(budget, clock, 2) == [1000.7, 1000.7 + WINDOW_SECONDS]


def test_a_write_waits_for_one_that_has_no_answer_yet(clock: ManualClock) -> None:
    """A thread that was held up: what it sends may reach AWS at any moment until its answer is there."""
    budget = budget_of(1, clock)
    slept: list[float] = []
    first = budget.slot(deadline=2000)
    first.__enter__()

    def sleep(seconds: float) -> None:
        clock.advance(seconds)
        slept.append(seconds)
        if len(slept) == 5:
            first.__exit__(None, None, None)

    budget.sleep = sleep
    ended = 1000 + 5 * POLL_SECONDS
    assert writes(budget, clock, 1) == [pytest.approx(ended + WINDOW_SECONDS)]
    assert max(slept[:5]) <= POLL_SECONDS


def test_a_write_that_waits_for_another_for_too_long_is_out_of_time_and_frees_nothing(
    clock: ManualClock,
) -> None:
    budget = budget_of(1, clock)
    with budget.slot(deadline=2000):
        for _ in range(3):
            late = budget.slot(deadline=clock() + 3 + CALL_SECONDS)
            with pytest.raises(DeadlineExceededError), late:
                pytest.fail("its turn came all the same")
        ended = clock()
    assert ended == pytest.approx(1009, abs=1)
    assert writes(budget, clock, 1) == [pytest.approx(ended + WINDOW_SECONDS)]


def test_a_wait_that_is_given_up_frees_nothing(clock: ManualClock) -> None:
    budget = budget_of(1, clock)
    writes(budget, clock, 1)

    def gone() -> None:
        raise SecretNotFoundError("", "")

    with pytest.raises(SecretNotFoundError), budget.slot(2000, refresh=gone):
        pytest.fail("its slot came all the same")
    assert writes(budget, clock, 1) == [1000 + WINDOW_SECONDS]


def test_an_instance_that_was_idle_leaves_its_first_second_to_others(clock: ManualClock) -> None:
    """Two run at once, but a third may stand ready: between its invocations another has run in its place."""
    budget = budget_of(2, clock)
    with budget.invocation():
        writes(budget, clock, 2)
    clock.advance(2)
    with budget.invocation():
        assert writes(budget, clock, 2) == [pytest.approx(clock())] * 2
    assert clock() == pytest.approx(1002 + 2 * WINDOW_SECONDS)


def test_so_does_one_that_was_frozen_while_its_clock_stood_still(clock: ManualClock) -> None:
    budget, frozen = budget_of(2, clock), ManualClock(0)
    budget.now = lambda: clock() + frozen()
    with budget.invocation():
        writes(budget, clock, 1)
    frozen.advance(600)
    thawed = clock()
    with budget.invocation():
        assert writes(budget, clock, 1) == [pytest.approx(thawed + WINDOW_SECONDS)]


def test_an_instance_that_goes_straight_on_uses_all_of_its_share(clock: ManualClock) -> None:
    budget = budget_of(2, clock)
    with budget.invocation():
        writes(budget, clock, 2)
    clock.advance(PAUSE_SECONDS / 2)
    with budget.invocation():
        assert writes(budget, clock, 2) == [1000 + 2 * WINDOW_SECONDS] * 2


def test_time_without_writes_is_not_saved_up(clock: ManualClock) -> None:
    budget = budget_of(2, clock)
    writes(budget, clock, 1)
    clock.advance(100)
    assert writes(budget, clock, 3) == [1100, 1100, 1100 + WINDOW_SECONDS]


def test_a_share_that_is_not_whole_is_rounded_down(clock: ManualClock) -> None:
    """Each instance knows only its own writes: two of one and a half would be three in some second."""
    assert writes(budget_of(1.5, clock), clock, 2) == [1000, 1000 + WINDOW_SECONDS]


def test_a_turn_that_would_come_too_late_is_refused_at_once_and_not_taken(clock: ManualClock) -> None:
    budget = budget_of(1, clock)
    with budget.slot(deadline=1000 + CALL_SECONDS):
        pass
    with pytest.raises(DeadlineExceededError), budget.slot(deadline=1000 + CALL_SECONDS):
        pytest.fail("its turn came all the same")
    assert clock() == 1000
    assert writes(budget, clock, 1) == [1000 + WINDOW_SECONDS]


def test_a_removal_is_a_write_like_any_other(world: World) -> None:
    reconciler = world.having(writes_per_second=2, maximum_concurrency=2).app.reconciler
    gateway, budget = reconciler.gateway, reconciler.budget
    arn = world.add("orders/db").arn
    with budget.slot(math.inf):
        gateway.replicate(arn, [DesiredReplica("eu-west-1")])
    before = world.clock()
    with budget.slot(math.inf):
        gateway.remove(arn, ["eu-west-1"])
    assert world.clock() - before == pytest.approx(WINDOW_SECONDS, abs=0.001)


def test_every_instance_takes_its_share_of_the_budget() -> None:
    settings = app.settings
    assert (settings.writes_per_second, settings.maximum_concurrency) == (20, 2)
    assert app.reconciler.budget.writes_per_second == 10


def test_no_write_is_repeated_behind_the_budgets_back() -> None:
    """A retry inside the client would be a second write in the same turn."""
    assert app.reconciler.gateway.client.meta.config.retries["total_max_attempts"] == 1
