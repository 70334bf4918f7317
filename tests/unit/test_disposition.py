"""What becomes of a message. A message deleted too early is a secret nobody looks at again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secret_replicator.disposition import LAST_ATTEMPT, Disposition, conclude, outcome_of_error
from secret_replicator.errors import (
    AccessDeniedError,
    DeadlineExceededError,
    KeyRefusedError,
    MalformedMessageError,
    PermanentError,
    RefusedError,
    ReplicatorError,
    SecretNotFoundError,
    TransientError,
)
from secret_replicator.models import Drift, Kind, Outcome, Plan, Problem


def verdict(outcome: Outcome, attempt: int, max_attempts: int) -> Disposition:
    return conclude(outcome, attempt, max_attempts)[1]


def settled(outcome: Outcome) -> Outcome:
    return conclude(outcome, 10, 10)[0]


@pytest.mark.parametrize(
    ("kind", "attempt", "expected"),
    [
        pytest.param(Kind.CONVERGED, 1, Disposition.DELETE, id="converged: deleted"),
        pytest.param(Kind.CONVERGED, 10, Disposition.DELETE, id="converged at the last attempt: deleted"),
        pytest.param(Kind.SKIPPED, 1, Disposition.DELETE, id="rightly skipped: deleted"),
        pytest.param(Kind.SWEPT, 1, Disposition.DELETE, id="swept: deleted"),
        pytest.param(Kind.WAITING, 1, Disposition.RETRY_LATER, id="waiting: put off"),
        pytest.param(Kind.WAITING, 9, Disposition.RETRY_LATER, id="waiting before the last attempt: put off"),
        pytest.param(Kind.WAITING, 10, Disposition.DEAD_LETTER, id="waiting at the last: dead letter"),
        pytest.param(Kind.WAITING, 11, Disposition.DEAD_LETTER, id="waiting after it: dead letter"),
        pytest.param(Kind.FAILED, 1, Disposition.DEAD_LETTER, id="failed: dead letter at once"),
        pytest.param(Kind.FAILED, 10, Disposition.DEAD_LETTER, id="failed at the last attempt: dead letter"),
    ],
)
def test_disposition(kind: Kind, attempt: int, expected: Disposition) -> None:
    assert verdict(Outcome(kind), attempt, max_attempts=10) is expected


@pytest.mark.parametrize("attempt", [1, 9, 10, LAST_ATTEMPT - 1])
def test_a_message_that_was_not_attempted_is_never_blamed_for_it(attempt: int) -> None:
    """Out of time says nothing about the secret: it is neither deleted nor dead-lettered."""
    disposition = verdict(Outcome(Kind.OUT_OF_TIME), attempt, max_attempts=10)
    assert disposition in (Disposition.RELEASE, Disposition.RETRY_LATER)


def test_a_message_goes_back_at_once_when_time_ran_short_the_first_time_only() -> None:
    assert verdict(Outcome(Kind.OUT_OF_TIME), 1, max_attempts=10) is Disposition.RELEASE
    assert verdict(Outcome(Kind.OUT_OF_TIME), 2, max_attempts=10) is Disposition.RETRY_LATER


def test_a_message_that_sqs_would_move_next_time_has_a_dead_letter_with_its_reason() -> None:
    assert verdict(Outcome(Kind.OUT_OF_TIME), LAST_ATTEMPT, max_attempts=10) is Disposition.DEAD_LETTER


@given(st.sampled_from(Kind), st.integers(1, 30), st.integers(1, 20))
def test_only_converged_skipped_and_swept_are_ever_deleted(
    kind: Kind, attempt: int, max_attempts: int
) -> None:
    deleted = verdict(Outcome(kind), attempt, max_attempts) is Disposition.DELETE
    assert deleted == (kind in (Kind.CONVERGED, Kind.SKIPPED, Kind.SWEPT))


@pytest.mark.parametrize(
    ("error", "kind", "error_type"),
    [
        pytest.param(TransientError("p", "r"), Kind.WAITING, "Transient", id="transient"),
        pytest.param(SecretNotFoundError("p", "r"), Kind.WAITING, "SecretNotFound", id="not found yet"),
        pytest.param(DeadlineExceededError("p", "r"), Kind.OUT_OF_TIME, "DeadlineExceeded", id="out of time"),
        pytest.param(PermanentError("p", "r"), Kind.FAILED, "Permanent", id="permanent"),
        pytest.param(MalformedMessageError("p", "r"), Kind.FAILED, "MalformedMessage", id="malformed"),
        pytest.param(KeyRefusedError("p", "r"), Kind.WAITING, "KeyRefused", id="a KMS key is refused"),
        pytest.param(ReplicatorError("p", "r"), Kind.WAITING, "Replicator", id="unclassified"),
    ],
)
@pytest.mark.parametrize("attempt", [1, 10])
def test_an_error_is_an_outcome_by_what_to_do_next(
    error: ReplicatorError, kind: Kind, error_type: str, attempt: int
) -> None:
    expected = Outcome(kind, "orders/db", problems=(Problem("", "p", "r", error_type),))
    assert outcome_of_error(error, "orders/db", attempt) == expected


@pytest.mark.parametrize("error", [RefusedError("p", "r"), AccessDeniedError("p", "r")])
def test_a_refusal_is_waited_for_at_the_first_attempt(error: ReplicatorError) -> None:
    """Another call for the same secret may be under way, or IAM does not know a new permission yet."""
    assert outcome_of_error(error, "orders/db", 1).kind is Kind.WAITING


@pytest.mark.parametrize("attempt", [2, 3, 4, 10])
@pytest.mark.parametrize("error", [RefusedError("p", "r"), AccessDeniedError("p", "r")])
def test_a_refusal_is_permanent_in_the_end(error: ReplicatorError, attempt: int) -> None:
    assert outcome_of_error(error, "orders/db", attempt).kind is Kind.FAILED


@pytest.mark.parametrize("error", [KeyError("hunter2"), RuntimeError("hunter2"), SystemExit("hunter2")])
def test_an_unknown_error_is_transient_and_is_named_without_its_text(error: BaseException) -> None:
    """Nobody knows what an unknown error quotes, so its text stays out of the dead letter."""
    outcome = outcome_of_error(error, "orders/db", 1)
    assert outcome.kind is Kind.WAITING
    assert outcome.problems[0].error_type == type(error).__name__.removesuffix("Error")
    assert type(error).__name__ in outcome.reason
    assert "hunter2" not in repr(outcome)
    assert outcome.remedy


def test_an_error_names_the_secret_and_the_regions_it_is_about() -> None:
    error = TransientError("p", "r").about("arn", ("eu-west-1", "us-west-2"))
    outcome = outcome_of_error(error, "orders/db", 1)
    assert (outcome.secret, outcome.regions, outcome.reason) == ("arn", ("eu-west-1", "us-west-2"), "p")


def test_a_region_that_was_requested_only_now_is_followed_whatever_the_receives() -> None:
    requested = Outcome(Kind.WAITING, requested=True)
    assert verdict(requested, 10, 10) is Disposition.RETRY_LATER
    assert verdict(requested, LAST_ATTEMPT, 10) is Disposition.DEAD_LETTER


TAKEN = Problem("us-west-2", "us-west-2 is Failed", "mend it", "Waiting", drift="name_taken")
WRONG = Problem("eu-wst-1", "no such Region", "correct the tag")
PENDING = Problem("eu-west-1", "eu-west-1 is InProgress", "mend it", "Waiting")
DRIFT = Plan(drift=(Drift("us-west-2", "name_taken"),))


def test_what_ends_as_drift_alone_leaves_the_queue_as_skipped() -> None:
    outcome = settled(Outcome(Kind.WAITING, "a", problems=(TAKEN,)))
    assert outcome == Outcome(Kind.SKIPPED, "a", "name_taken", DRIFT)


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        pytest.param(WRONG, Kind.FAILED, id="beside a wrong tag"),
        pytest.param(PENDING, Kind.WAITING, id="beside a Region that is not there yet"),
    ],
)
def test_what_ends_as_drift_does_not_hide_another_problem(other: Problem, kind: Kind) -> None:
    outcome = settled(Outcome(Kind.WAITING, "a", problems=(TAKEN, other)))
    assert outcome == Outcome(kind, "a", plan=DRIFT, problems=(other,))
    assert verdict(outcome, 10, 10) is Disposition.DEAD_LETTER


def test_an_outcome_without_drift_is_settled_as_it_is() -> None:
    outcome = Outcome(Kind.WAITING, "a", problems=(PENDING, WRONG))
    assert settled(outcome) is outcome


def test_drift_that_the_plan_knew_is_kept() -> None:
    key = Drift("eu-west-1", "kms_key")
    outcome = settled(Outcome(Kind.FAILED, "a", plan=Plan(drift=(key,)), problems=(TAKEN,)))
    assert outcome.plan.drift == (key, *DRIFT.drift)
