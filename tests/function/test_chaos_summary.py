"""The summary of `make chaos` sees what is wrong: a count that can only be zero would prove nothing."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from local.secrets_manager.model import Call
from secret_replicator.messages import ReconcileRequest, parse
from tests.support.model.oracle import HOME, TAG, Snapshot, wish
from tools.chaos.aws import Moment, World, secret_name
from tools.chaos.cases import (
    ODD,
    Case,
    Failure,
    Fate,
    Message,
    draw_cases,
    draw_failure_messages,
    draw_messages,
)
from tools.chaos.fast_queue import FastQueue
from tools.chaos.summary import FOLLOWED, DeadLetter, Observed, Said, Summary, most_in_a_second, summarize

NAME = "accepted/0001"
ARN = f"arn:aws:secretsmanager:{HOME}:123456789012:secret:{NAME}-AbCdEf"
BODY = "an event"
END = 1000.0
"""When the last attempt at the message ended."""
CONVERGED = Said("converged", "done", at=END)
DEAD_LETTERED = Said("failed", "dead_letter", at=END)
MAX_ATTEMPTS = 10


def snapshot(case: Case, **statuses: str) -> Snapshot:
    return Snapshot(
        name=NAME,
        arn=ARN,
        visible=True,
        primary_elsewhere=case.replica,
        deleted=case.deleted,
        owned=case.owned,
        wish=wish(case.tags),
        statuses={region.replace("_", "-"): status for region, status in statuses.items()},
    )


def observed(
    case: Case, said: Said | None, *dead_letters: DeadLetter, left: int = 0, **statuses: str
) -> Observed:
    """Return one message about one secret, which is like this in the end, and was at the message's end."""
    final = snapshot(case, **statuses) if case.exists else None
    return Observed(
        cases={NAME: case},
        messages={"id": Message(BODY, NAME)},
        dead_letters=dead_letters,
        left=left,
        said={"id": [said]} if said else {},
        moments={NAME: [Moment(END - 1, final)]} if final else {},
        final={NAME: final},
        calls=[],
    )


def dead_letter(kind: str, text: str, regions: str = "none", **reasons: str) -> DeadLetter:
    said = {"ErrorType": kind, "ErrorMessage": f"{ARN} - {text} - do it", "SecretArn": ARN, "Attempts": "10"}
    return DeadLetter(BODY, {**said, "FailedRegions": regions, **reasons}, END)


def wrong(seen: Observed) -> Mapping[str, int]:
    found = summarize(seen, MAX_ATTEMPTS).wrong
    return {name: len(sentences) for name, sentences in found.items() if sentences}


FINE = Case("tagged", {TAG: "eu-west-1"}, {"eu-west-1": Fate.FINE}, name=NAME)
HOPELESS = replace(FINE, fates={"eu-west-1": Fate.FAILED_FOR_GOOD})
UNTAGGED = Case("nothing selects it", {}, name=NAME)
NO_HOPE = dead_letter("AttemptsUsedUp", "eu-west-1 is Failed (no hope in eu-west-1)", "eu-west-1")
THROTTLED = dead_letter("AttemptsUsedUp", "DescribeSecret failed (ThrottlingException: Rate exceeded)")


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(observed(FINE, CONVERGED, eu_west_1="InSync"), id="converged"),
        pytest.param(observed(UNTAGGED, Said("skipped", "done", at=END)), id="skipped"),
        pytest.param(observed(replace(FINE, exists=False), Said("skipped", "done", at=END)), id="gone"),
        pytest.param(observed(HOPELESS, DEAD_LETTERED, NO_HOPE, eu_west_1="Failed"), id="dead-lettered"),
        pytest.param(
            observed(HOPELESS, DEAD_LETTERED, NO_HOPE, NO_HOPE, eu_west_1="Failed"),
            id="killed between its dead letter and its deletion",
        ),
    ],
)
def test_what_ended_as_it_must_is_not_wrong(seen: Observed) -> None:
    assert wrong(seen) == {}


LOST, FALSELY_CONVERGED, FALSELY_DEAD_LETTERED = "lost", "falsely converged", "falsely dead-lettered"


@pytest.mark.parametrize(
    ("seen", "counts"),
    [
        pytest.param(observed(FINE, None, eu_west_1="InSync"), {LOST: 1}, id="gone, and nobody said why"),
        pytest.param(
            observed(FINE, Said("waiting", "put_off", at=END), eu_west_1="InSync"),
            {LOST: 1},
            id="gone, though it was only put off",
        ),
        pytest.param(
            observed(HOPELESS, DEAD_LETTERED, eu_west_1="Failed"), {LOST: 1}, id="its letter was not written"
        ),
        pytest.param(observed(FINE, None, left=1, eu_west_1="InSync"), {LOST: 1}, id="it never leaves"),
        pytest.param(
            observed(FINE, CONVERGED, eu_west_1="InProgress"),
            {LOST: 1, FALSELY_CONVERGED: 1},
            id="InProgress was taken for success",
        ),
        pytest.param(
            observed(HOPELESS, CONVERGED, eu_west_1="Failed"), {FALSELY_CONVERGED: 1}, id="so was Failed"
        ),
        pytest.param(
            observed(FINE, Said("skipped", "done", at=END)),
            {LOST: 1, FALSELY_CONVERGED: 1},
            id="falsely skipped",
        ),
        pytest.param(
            observed(FINE, DEAD_LETTERED, NO_HOPE, eu_west_1="InSync"),
            {FALSELY_DEAD_LETTERED: 1},
            id="a letter about a secret that has all it wants",
        ),
        pytest.param(
            observed(UNTAGGED, DEAD_LETTERED, NO_HOPE),
            {FALSELY_DEAD_LETTERED: 1},
            id="a letter about a secret that nothing selects",
        ),
        pytest.param(
            observed(HOPELESS, DEAD_LETTERED, THROTTLED, eu_west_1="Failed"),
            {FALSELY_DEAD_LETTERED: 1},
            id="a letter that blames a fault that there was not",
        ),
        pytest.param(
            observed(FINE, CONVERGED, replace(NO_HOPE, body="not ours"), eu_west_1="InSync"),
            {FALSELY_DEAD_LETTERED: 1},
            id="a letter whose body nobody sent",
        ),
        *[
            pytest.param(
                observed(
                    HOPELESS,
                    DEAD_LETTERED,
                    replace(NO_HOPE, reasons={**NO_HOPE.reasons, **other}),
                    eu_west_1="Failed",
                ),
                {FALSELY_DEAD_LETTERED: 1},
                id=f"a letter with another {next(iter(other))}",
            )
            for other in (
                {"ErrorType": "Refused"},
                {"FailedRegions": "eu-west-1,us-west-2"},
                {"SecretArn": "unknown"},
                {"ErrorMessage": "eu-west-1 is Failed"},
            )
        ],
    ],
)
def test_what_is_wrong_is_seen(seen: Observed, counts: Mapping[str, int]) -> None:
    assert wrong(seen) == counts


LEFT = Said("skipped", "done", FOLLOWED, at=END)


def left_to_another(failed_at: float | None, *, said: Said = LEFT, **changes: Any) -> Observed:
    """Return what is seen if one message ended well, and another about the same secret was left to it."""
    seen = observed(FINE, CONVERGED, eu_west_1="InSync")
    other = Message("another event", NAME, failed_at)
    return replace(
        seen,
        messages={**seen.messages, "left": other},
        said={**seen.said, "left": [said]},
        **changes,
    )


def test_a_failure_may_be_left_to_a_message_that_ended_well_after_it() -> None:
    fair = summarize(left_to_another(END - 2), MAX_ATTEMPTS)
    assert not any(fair.wrong.values())
    assert fair.messages["deleted: left to another message"] == 1


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(left_to_another(None), id="it named no failure"),
        pytest.param(left_to_another(END - 0.5), id="the other had looked before"),
        pytest.param(left_to_another(END - 2, moments={}), id="the other ended wrongly"),
    ],
)
def test_what_was_wrongly_left_to_another_is_seen(seen: Observed) -> None:
    assert FALSELY_CONVERGED in wrong(seen)


def test_a_failure_may_be_left_to_a_dead_letter() -> None:
    seen = observed(HOPELESS, DEAD_LETTERED, NO_HOPE, eu_west_1="Failed")
    left = replace(seen, messages={"left": Message("another event", NAME, END - 1)}, said={"left": [LEFT]})
    assert (
        wrong(replace(left, messages={**seen.messages, **left.messages}, said={**seen.said, **left.said}))
        == {}
    )
    assert FALSELY_CONVERGED in wrong(replace(left, dead_letters=[]))
    late = Message("another event", NAME, END + 1)
    assert FALSELY_CONVERGED in wrong(replace(left, messages={**seen.messages, "left": late}))


def test_a_bad_region_that_stopped_a_good_one_is_seen() -> None:
    both = Case(
        "tagged",
        {TAG: "eu-west-1 us-west-2"},
        {"eu-west-1": Fate.FAILED_FOR_GOOD, "us-west-2": Fate.FINE},
        name=NAME,
    )
    assert wrong(observed(both, DEAD_LETTERED, NO_HOPE, eu_west_1="Failed")) == {LOST: 1}


def test_a_write_to_what_is_to_be_left_alone_is_seen() -> None:
    call = Call("ReplicateSecretToRegions", HOME, NAME, {}, END)
    seen = replace(observed(UNTAGGED, Said("skipped", "done", at=END)), calls=[call])
    assert wrong(seen) == {"touched, though to be left alone": 1}


def test_a_secret_was_converged_at_the_attempt_that_said_so_not_only_in_the_end() -> None:
    seen = observed(FINE, CONVERGED, eu_west_1="InSync")
    early = replace(seen, moments={NAME: [Moment(END - 1, snapshot(FINE, eu_west_1="InProgress"))]})
    assert wrong(early) == {FALSELY_CONVERGED: 1}
    later = replace(seen, moments={NAME: [Moment(END + 1, snapshot(FINE, eu_west_1="InSync"))]})
    assert wrong(later) == {FALSELY_CONVERGED: 1}


def struck(attempts: int, error: str | None, at: float = END - 1) -> Summary:
    reasons = {**THROTTLED.reasons, "Attempts": str(attempts)}
    seen = observed(FINE, DEAD_LETTERED, replace(THROTTLED, reasons=reasons))
    call = Call("DescribeSecret", HOME, NAME, {}, at, error)
    return summarize(replace(seen, calls=[call]), MAX_ATTEMPTS)


def test_faults_may_use_up_the_attempts_if_they_struck_the_last_one() -> None:
    fair = struck(MAX_ATTEMPTS, "ThrottlingException")
    assert not any(fair.wrong.values())
    assert fair.dead_letters == {"AttemptsUsedUp, by faults alone": 1}
    for unfair in (
        struck(MAX_ATTEMPTS - 1, "ThrottlingException"),
        struck(MAX_ATTEMPTS, None),
        struck(MAX_ATTEMPTS, "ThrottlingException", END - 100),
    ):
        assert unfair.falsely_dead_lettered


@pytest.mark.parametrize(("status", "count"), [("InProgress", 0), ("Failed", 1)])
def test_a_dead_letter_may_say_in_progress_if_it_was_so(status: str, count: int) -> None:
    in_progress = dead_letter("AttemptsUsedUp", "eu-west-1 is InProgress", "eu-west-1")
    seen = observed(HOPELESS, DEAD_LETTERED, in_progress, eu_west_1="Failed")
    then = replace(seen, moments={NAME: [Moment(END - 1, snapshot(HOPELESS, eu_west_1=status))]})
    assert len(summarize(then, MAX_ATTEMPTS).falsely_dead_lettered) == count


@pytest.mark.parametrize(("kind", "count"), [("MalformedMessage", 0), ("Refused", 1)])
def test_a_message_that_names_no_secret_must_be_dead_lettered_as_that(kind: str, count: int) -> None:
    reasons = {"ErrorType": kind, "SecretArn": "unknown"}
    malformed = replace(
        observed(UNTAGGED, DEAD_LETTERED, DeadLetter(BODY, reasons, END)),
        cases={},
        messages={"id": Message(BODY)},
    )
    assert wrong(malformed) == ({FALSELY_DEAD_LETTERED: count} if count else {})
    assert wrong(replace(malformed, dead_letters=[])) == {LOST: 1}


def test_a_world_is_accounted_for_by_itself() -> None:
    seen = observed(HOPELESS, DEAD_LETTERED, NO_HOPE, eu_west_1="Failed")
    stray = replace(seen, dead_letters=[NO_HOPE, DeadLetter("?", {}, END)])
    assert summarize(stray.of("accepted"), MAX_ATTEMPTS).messages.total() == 1
    assert summarize(stray.of("refused"), MAX_ATTEMPTS) == Summary()
    assert wrong(stray.of("")) == {FALSELY_DEAD_LETTERED: 1}


def test_the_busiest_second_is_found_wherever_it_begins() -> None:
    assert most_in_a_second([]) == 0
    assert most_in_a_second([0.0, 0.9, 1.0, 1.1, 1.8, 5.0]) == 4
    assert most_in_a_second([0.0, 1.0, 2.0]) == 1


# What is drawn


def test_the_same_seed_draws_the_same_and_another_one_does_not() -> None:
    def drawn(seed: int) -> Any:
        cases = draw_cases(seed, "accepted", 50)
        return cases, draw_messages(seed, cases, {})

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_the_shares_are_those_that_are_promised() -> None:
    cases = draw_cases(1, "refused", 3000)
    fates = [fate for case in cases for fate in case.fates.values() if case.story == "tagged"]
    assert fates.count(Fate.FAILED_ONCE) / len(fates) == pytest.approx(0.10, abs=0.02)
    assert fates.count(Fate.FAILED_FOR_GOOD) / len(fates) == pytest.approx(0.03, abs=0.01)
    assert {case.story for case in cases} == {"tagged", *(case.story for case in ODD)}
    messages = draw_messages(1, cases, {})
    malformed = [message for message in messages if not message.name]
    assert len(malformed) / len(messages) == pytest.approx(0.02, abs=0.001)
    events = [sum(message.name == case.name for message in messages) for case in cases[:300]]
    assert {*events} == {1, 2, 3}
    assert len({message.body for message in messages}) == len(messages)


def test_each_failure_is_reported_once_to_three_times_and_when_it_was() -> None:
    failures = [Failure(NAME, ARN, "eu-west-1", 1795166067.9 + number) for number in range(200)]
    random = Random(1)  # noqa: S311  repeatable on purpose
    messages = [*draw_failure_messages(random, failures, 7)]
    events = [sum(message.failed_at == failure.at for message in messages) for failure in failures]
    assert {*events} == {1, 2, 3}
    assert len({message.body for message in messages}) == len(messages)
    asked = [parse(message.body, HOME) for message in messages]
    assert {one.secret_id for one in asked} == {ARN}
    assert all(isinstance(one, ReconcileRequest) and one.echo for one in asked)
    assert {message.body.count("us-east-1") for message in messages} == {0, 1}, "from both Regions"
    assert asked[0].happened_at == 1795166067


def test_every_failure_of_a_region_is_noted_once() -> None:
    secrets = World(1, "accepted", [replace(HOPELESS, seconds={"eu-west-1": 0})])
    secrets.begin()
    secrets.secrets.faults = None
    for _ in range(2):
        asked = {"SecretId": NAME, "AddReplicaRegions": [{"Region": "eu-west-1"}]}
        secrets.handle("ReplicateSecretToRegions", HOME, asked | {"ForceOverwriteReplicaSecret": False})
        (failure,) = secrets.take_failures()
        assert failure[:3] == (NAME, failure.arn, "eu-west-1")
        assert not secrets.take_failures()


def test_a_secrets_name_is_found_in_its_arn() -> None:
    assert secret_name(ARN) == secret_name(NAME) == NAME


def test_delays_are_shortened_to_whole_seconds() -> None:
    queue = FastQueue(60)
    assert [queue.shortened(seconds) for seconds in (0, 1, 60, 61, 900)] == [0, 1, 1, 2, 15]
