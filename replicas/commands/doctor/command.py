"""From what is asked of `replicas doctor` to what is shown and an exit code."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from replicas.aws.accounts import Answers, ask_each
from replicas.commands.doctor import backlog, events, function, regions
from replicas.commands.doctor.findings import (
    MAKE_IT_AGAIN,
    Finding,
    Status,
    bad,
    code_of,
    is_gone,
    refused,
    unknown,
)
from replicas.commands.doctor.stack import Check, Stack, read_stack
from replicas.options import DoctorOptions, Scope
from replicas.terminal import Screen, count

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
"""In the order in which things must be there."""

_HANGING = len("not checkable  ")
_STYLES = {Status.GOOD: "", Status.BAD: "bold red", Status.UNKNOWN: "yellow"}


@dataclass
class Examined:
    """What was found of the stacks of an account, or of several."""

    findings: list[Finding] = field(default_factory=list)

    def add(self, other: "Examined") -> None:
        """Take in what was found in another account."""
        self.findings += other.findings

    def counts(self) -> dict[str, int]:
        """Return how many checks ended in each way."""
        found = Counter(finding.status for finding in self.findings)
        return {str(status): found[status] for status in Status}

    def __str__(self) -> str:
        """Say how many checks ended in each way."""
        return ", ".join(f"{number:,} {status}" for status, number in self.counts().items())


def run(options: DoctorOptions, scope: Scope, screen: Screen) -> int:
    """Show a line for each thing that was checked; return the exit code."""
    answers = ask_each(scope, lambda place, _: Examined([*_examined(place)]), Examined(), screen)
    if options.as_json:
        screen.write_json(document(answers))
    else:
        show(answers, screen)
    answers.require_all()
    return code_of(answers.total.findings)


def _examined(place: Scope) -> Iterator[Finding]:
    for access in place.accesses:
        stack = read_stack(access, place.stack, place.policy)
        for finding in examine(stack):
            yield replace(finding, account=place.account, region=stack.connection.region)


def examine(stack: Stack, checks: Sequence[Check] = CHECKS) -> Iterator[Finding]:
    """Yield what each check finds. What AWS refuses is not checkable, and stops no other check."""
    for check in checks:
        name = check.__name__.replace("_", " ").capitalize()
        try:
            yield from check(stack)
        except ClientError as error:
            gone = bad(f"{name}? {error.operation_name}: it is not there any more", MAKE_IT_AGAIN)
            yield gone if is_gone(error) else refused(name, error)
        except BotoCoreError as error:
            yield unknown(f"{name}: AWS gave no answer ({type(error).__name__})", "run it again")


def show(answers: Answers[Examined], screen: Screen) -> None:
    """Print the lines. Of several stacks what is good is only counted: it would hide what is not."""
    stacks = {(finding.account, finding.region) for finding in answers.total.findings}
    several = len(stacks) > 1 or len(answers.of) > 1
    for finding in answers.total.findings:
        if not several or finding.status is not Status.GOOD:
            place = f"{finding.account} {finding.region}".lstrip() + ": " if several else ""
            remedy = f". To do: {finding.remedy}" if finding.status is not Status.GOOD else ""
            line = f"{finding.status:13}  {place}{finding.text}{remedy}"
            screen.show(line, _STYLES[finding.status], hanging=_HANGING)
    answers.show(screen)
    if several:
        screen.show(f"Checked {count(len(stacks), 'stack')}: {answers.total}", "bold")


def document(answers: Answers[Examined]) -> dict[str, Any]:
    """Return what was found as JSON has it."""
    return {
        "findings": [
            {
                "account": finding.account or None,
                "primary_region": finding.region,
                "status": str(finding.status),
                "text": finding.text,
                "remedy": finding.remedy or None,
            }
            for finding in answers.total.findings
        ],
        "summary": {
            **{name.replace(" ", "_"): number for name, number in answers.total.counts().items()},
            "text": str(answers.total),
        },
        "accounts": answers.entries(),
    }
