"""From an outcome, or the error instead of one, to what becomes of the message."""

from enum import StrEnum

from secret_replicator.errors import OutOfTimeError, PermanentError, RefusedError, ReplicatorError
from secret_replicator.models import Kind, Outcome, Problem

REFUSED_LOOKS = 2
"""A refused call may have crossed another that is under way. Refused by this many looks, it is wrong."""


class Verdict(StrEnum):
    """What becomes of a message."""

    DELETE = "delete"
    RETURN = "return"
    PUT_OFF = "put_off"
    DEAD_LETTER = "dead_letter"


def outcome_of_error(error: BaseException, secret: str, attempt: int) -> Outcome:
    """Return the outcome that the error stands for. An error we do not know is transient."""
    kind = Kind.WAITING
    if isinstance(error, OutOfTimeError):
        kind = Kind.OUT_OF_TIME
    elif isinstance(error, PermanentError) or (isinstance(error, RefusedError) and attempt >= REFUSED_LOOKS):
        kind = Kind.FAILED
    problem = Problem("", f"unexpected {type(error).__name__}", "look for it in the function's log")
    if isinstance(error, ReplicatorError):
        problem = Problem("", error.problem, error.remedy)
    return Outcome(kind, secret, problems=(problem,), error_type=type(error).__name__.removesuffix("Error"))


def verdict(outcome: Outcome, attempt: int, max_attempts: int) -> Verdict:
    """Return what becomes of the message after its `attempt`th receive, counted from 1."""
    match outcome.kind:
        case Kind.CONVERGED | Kind.SKIPPED | Kind.SWEPT:
            return Verdict.DELETE
        case Kind.OUT_OF_TIME:
            return Verdict.RETURN
        case Kind.WAITING if attempt < max_attempts:
            return Verdict.PUT_OFF
        case _:
            return Verdict.DEAD_LETTER
