"""All checks, in the order in which things must be there."""

from collections.abc import Iterator, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from replicas.commands.doctor import backlog, events, function, regions
from replicas.commands.doctor.deployed import Check, Deployed
from replicas.commands.doctor.findings import MAKE_IT_AGAIN, Finding, bad, is_gone, refused, unknown

CHECKS: tuple[Check, ...] = (
    function.the_function_can_start,
    function.versions_are_the_same,
    events.trail_logs_management_events,
    events.rules_are_enabled,
    events.queues_can_be_written_by_eventbridge,
    function.sweeps_are_not_taken_for_a_loop,
    regions.regions_can_be_used,
    regions.keys_can_be_used,
    function.policy_is_the_deployed_one,
    backlog.no_dead_letters,
    backlog.nothing_is_stuck,
    backlog.no_alarm_fires,
)


def examine(deployed: Deployed, checks: "Sequence[Check] | None" = None) -> Iterator[Finding]:
    """Yield what each check finds. What AWS refuses is not checkable, and stops no other check."""
    for check in CHECKS if checks is None else checks:
        try:
            yield from check(deployed)
        except ClientError as error:
            yield _gone(check, error) if is_gone(error) else refused(_name(check), error)
        except BotoCoreError as error:
            yield unknown(f"{_name(check)}: AWS gave no answer ({type(error).__name__})", "run it again")


def _gone(check: Check, error: ClientError) -> Finding:
    """Return what it means that a part of the stack was deleted by hand."""
    return bad(f"{_name(check)}? {error.operation_name}: it is not there any more", MAKE_IT_AGAIN)


def _name(check: Check) -> str:
    return check.__name__.replace("_", " ").capitalize()
