"""In which calls Regions are asked for: one that AWS refuses keeps no other waiting."""

from collections.abc import Iterable

import pytest

from secret_replicator.models import Attempt, DesiredReplica, Plan, Problem
from secret_replicator.writes import REMEMBERED_SECONDS, Answers, Requests, Write

REGIONS = ["a", "b", "c", "d"]
ALL = frozenset(REGIONS)
REFUSAL = Problem("", "refused", "fix it", "Refused")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def missing(*regions: str, overwrite: bool = False) -> Plan:
    return Plan(add=tuple(DesiredReplica(region, overwrite=overwrite) for region in regions))


def requests(attempt: int = 1, answers: Answers | None = None) -> Requests:
    made = Attempt(attempt, 0, 0, 0, together=attempt == 1)
    return Requests("arn", made, answers or Answers(Clock()))


def regions(write: Write | None) -> Iterable[str]:
    return sorted(write.regions) if write else []


def play(asked: Requests, todo: Plan, refused: str) -> list[str]:
    """Return the calls that are made where AWS refuses some of the Regions."""
    calls = []
    while write := asked.next_write(todo):
        calls.append("".join(sorted(write.regions)))
        assert len(calls) <= 2 * len(REGIONS), f"it goes on for ever: {calls}"
        bad = write.regions & {*refused}
        asked.answers.ask(write.regions)
        if bad and len(write.regions) > 1:
            asked.refused_together.append(write.regions)
        else:
            asked.refused |= dict.fromkeys(bad, REFUSAL)
            asked.taken |= write.regions - bad
            asked.answers.note(write.regions, taken=not bad)
    return calls


def test_all_regions_go_in_one_call() -> None:
    assert play(requests(), missing(*REGIONS), refused="") == ["abcd"]


def test_what_was_refused_together_is_never_asked_for_together_again() -> None:
    calls = play(requests(), missing(*REGIONS), refused="b")
    assert calls[0] == "abcd"
    assert sorted(calls[1:]) == REGIONS


def test_a_later_attempt_does_not_repeat_the_call_that_was_perhaps_refused() -> None:
    assert sorted(play(requests(2), missing(*REGIONS), refused="b")) == REGIONS


def test_attempts_begin_with_different_regions() -> None:
    firsts = {requests(attempt).next_write(missing(*REGIONS)) for attempt in range(2, 6)}
    assert len(firsts) == len(REGIONS)


def test_secrets_that_ask_at_the_same_time_ask_for_different_regions() -> None:
    answers = Answers(Clock())
    firsts = set()
    for number in range(4):
        second = Attempt(2, 0, 0, 0, together=False)
        write = Requests(f"arn {number}", second, answers).next_write(missing(*REGIONS))
        assert write
        answers.ask(write.regions)
        firsts |= write.regions
    assert firsts == ALL


def test_another_secret_begins_with_the_regions_that_aws_takes_and_leaves_the_others_for_later() -> None:
    answers = Answers(Clock())
    play(requests(1, answers), missing(*REGIONS), refused="b")
    assert play(requests(1, answers), missing(*REGIONS), refused="b") == ["acd"]
    assert play(requests(2, answers), missing(*REGIONS), refused="b") == ["acd", "b"]


def test_a_region_that_was_lately_refused_is_asked_for_if_there_is_no_other() -> None:
    answers = Answers(Clock())
    answers.note(["b"], taken=False)
    assert play(requests(1, answers), missing("b"), refused="") == ["b"]
    assert answers.took("b")


def test_what_aws_answered_is_forgotten_after_a_while() -> None:
    clock = Clock()
    answers = Answers(clock)
    answers.note(["b"], taken=False)
    clock.now = REMEMBERED_SECONDS
    assert play(requests(1, answers), missing(*REGIONS), refused="") == ["abcd"]


def test_a_group_of_good_regions_that_is_refused_all_the_same_is_taken_apart() -> None:
    answers = Answers(Clock())
    answers.note(REGIONS, taken=True)
    calls = play(requests(2, answers), missing(*REGIONS), refused="ab")
    assert calls[0] == "abcd"
    assert {"a", "b"} <= {*calls[1:]}


def test_regions_that_may_be_overwritten_have_calls_of_their_own() -> None:
    todo = Plan(add=(*missing("a", "b").add, *missing("c", "d", overwrite=True).add))
    assert play(requests(), todo, refused="") == ["ab", "cd"]


@pytest.mark.parametrize("refused", ["", "d"])
def test_what_is_removed_is_removed_last_and_once(refused: str) -> None:
    asked = requests()
    todo = Plan(add=missing("a").add, remove=("d",))
    assert regions(asked.next_write(todo)) == ["a"]
    asked.taken.add("a")
    assert asked.next_write(todo) == Write(remove=("d",))
    if refused:
        asked.refused["d"] = REFUSAL
    else:
        asked.removed = ("d",)
    assert asked.next_write(todo) is None
    assert asked.has_written
