"""From an outcome, or the error instead of one, to what becomes of the message."""

from dataclasses import replace
from enum import StrEnum

from secret_replicator.errors import (
    AccessDeniedError,
    DeadlineExceededError,
    PermanentError,
    RefusedError,
    ReplicatorError,
)
from secret_replicator.models import Drift, Kind, Outcome, Problem

REFUSED_ATTEMPTS = 2
"""A refused call may have crossed another that is under way, and IAM may not know a new permission yet.

Refused or denied by this many attempts, it is wrong."""


LAST_ATTEMPT = 24
"""One receive later, SQS itself would move the message, without a reason (template.yaml: maxReceiveCount)."""


class Disposition(StrEnum):
    """What becomes of a message."""

    DELETE = "done"
    RELEASE = "return"
    RETRY_LATER = "put_off"
    DEAD_LETTER = "dead_letter"


def error_type(error: BaseException) -> str:
    """Return the kind of error as dead letters name it."""
    return type(error).__name__.removesuffix("Error")


def region_problem(region: str, error: ReplicatorError) -> Problem:
    """Return what keeps the secret from one Region, while others may do."""
    return Problem(region, f"{region}: {error.problem}", error.remedy, error_type(error))


def outcome_of_error(error: BaseException, secret: str, attempt: int) -> Outcome:
    """Return the outcome that the error stands for. An error we do not know is transient."""
    kind = Kind.WAITING
    if isinstance(error, DeadlineExceededError):
        kind = Kind.OUT_OF_TIME
    elif isinstance(error, PermanentError) or (
        isinstance(error, RefusedError | AccessDeniedError) and attempt >= REFUSED_ATTEMPTS
    ):
        kind = Kind.FAILED
    if isinstance(error, ReplicatorError):
        secret, regions = error.secret or secret, error.regions or ("",)
        text, remedy = error.problem, error.remedy
    else:
        regions, text, remedy = ("",), f"unexpected {type(error).__name__}", "see the function's log"
    problems = (Problem(region, text, remedy, error_type(error)) for region in regions)
    return Outcome(kind, secret, problems=tuple(problems))


def conclude(outcome: Outcome, attempt: int, max_attempts: int) -> tuple[Outcome, Disposition]:
    """Return what becomes of the message after its `attempt`th receive, counted from 1, and why.

    What ends as drift is no problem any more when the message would be dead-lettered for it.
    """
    found = _disposition(outcome, attempt, max_attempts)
    if found is not Disposition.DEAD_LETTER:
        return outcome, found
    outcome = _settled(outcome)
    return outcome, _disposition(outcome, attempt, max_attempts)


def _disposition(outcome: Outcome, attempt: int, max_attempts: int) -> Disposition:
    """Crashes use up receives without a check: a Region that was requested only now is still followed."""
    match outcome.kind:
        case Kind.CONVERGED | Kind.SKIPPED | Kind.SWEPT:
            return Disposition.DELETE
        case Kind.OUT_OF_TIME if attempt == 1:
            return Disposition.RELEASE
        case Kind.OUT_OF_TIME if attempt < LAST_ATTEMPT:
            # At once it would meet the same batch again.
            return Disposition.RETRY_LATER
        case Kind.WAITING if attempt < (LAST_ATTEMPT if outcome.requested else max_attempts):
            return Disposition.RETRY_LATER
        case _:
            return Disposition.DEAD_LETTER


def _settled(outcome: Outcome) -> Outcome:
    """Return the outcome if it is not to change any more."""
    drift = {Drift(problem.region, problem.drift) for problem in outcome.problems if problem.drift}
    if not drift:
        return outcome
    problems = tuple(problem for problem in outcome.problems if not problem.drift)
    kind = Kind.WAITING if any(problem.error_type == "Waiting" for problem in problems) else Kind.FAILED
    return replace(
        outcome,
        kind=kind if problems else Kind.SKIPPED,
        note="" if problems else ", ".join(sorted({each.kind for each in drift})),
        problems=problems,
        plan=replace(outcome.plan, drift=tuple(sorted(drift | {*outcome.plan.drift}))),
    )
