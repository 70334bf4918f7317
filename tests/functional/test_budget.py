"""Writes stay inside the budget, and never outlast the function."""

import pytest

from secret_replicator.app import app
from secret_replicator.errors import OutOfTimeError
from secret_replicator.gateway import CALL_SECONDS, Budget
from tests.fakes.secrets_model import ManualClock


def test_writes_are_spaced_evenly() -> None:
    clock = ManualClock(1000)
    budget = Budget(4, clock, clock.advance)
    turns = []
    for _ in range(5):
        budget.wait_for_turn(deadline=2000)
        turns.append(clock())
    assert turns == [1000, 1000.25, 1000.5, 1000.75, 1001]


def test_time_without_writes_is_not_saved_up() -> None:
    clock = ManualClock(1000)
    budget = Budget(4, clock, clock.advance)
    budget.wait_for_turn(deadline=2000)
    clock.advance(100)
    budget.wait_for_turn(deadline=2000)
    budget.wait_for_turn(deadline=2000)
    assert clock() == 1100.25


def test_a_turn_that_would_come_too_late_is_refused_at_once_and_not_taken() -> None:
    clock = ManualClock(1000)
    budget = Budget(0.1, clock, clock.advance)
    budget.wait_for_turn(deadline=1000 + CALL_SECONDS)
    with pytest.raises(OutOfTimeError):
        budget.wait_for_turn(deadline=1000 + CALL_SECONDS)
    assert clock() == 1000
    budget.wait_for_turn(deadline=2000)
    assert clock() == 1010


def test_every_instance_takes_its_share_of_the_budget() -> None:
    settings = app.settings
    assert (settings.writes_per_second, settings.maximum_concurrency) == (20, 2)
    assert app.reconciler.gateway.budget.writes_per_second == 10
