"""From what is asked of `replicas doctor` to what is shown and an exit code."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from replicas.aws.accounts import Answers, ask_each
from replicas.aws.connection import connect, default_stack
from replicas.aws.deployment import policy_file
from replicas.commands.doctor.deployed import find
from replicas.commands.doctor.examination import examine
from replicas.commands.doctor.findings import Finding, Verdict, code_of
from replicas.exit_codes import exit_code
from replicas.options import Access, Where
from replicas.terminal import Screen, count

_HANGING = len("not checkable  ")
_STYLES = {Verdict.GOOD: "", Verdict.BAD: "bold red", Verdict.UNKNOWN: "yellow"}


@dataclass(frozen=True)
class Stack:
    """What was found of one stack."""

    account: str
    region: str
    findings: list[Finding]


@dataclass
class Examined:
    """What was found of the stacks of an account, or of several."""

    stacks: list[Stack] = field(default_factory=list)

    def add(self, other: "Examined") -> None:
        """Take in what was found in another account."""
        self.stacks += other.stacks

    @property
    def findings(self) -> list[Finding]:
        """What was found, stack by stack."""
        return [finding for stack in self.stacks for finding in stack.findings]

    def counts(self) -> dict[str, int]:
        """Return how many checks ended in each way."""
        found = Counter(finding.verdict for finding in self.findings)
        return {str(verdict): found[verdict] for verdict in Verdict}

    def __str__(self) -> str:
        """Say how many checks ended in each way."""
        return ", ".join(f"{number:,} {verdict}" for verdict, number in self.counts().items())


def run(where: Where, screen: Screen, *, as_json: bool) -> int:
    """Show a line for each thing that was checked; return the exit code."""
    return exit_code(lambda: _run(where, screen, as_json=as_json), screen, "Stopped.")


def _run(where: Where, screen: Screen, *, as_json: bool) -> int:
    answers = ask_each(
        where,
        lambda place, _: Examined([_examined(place, access) for access in place.accesses]),
        Examined(),
        screen,
    )
    if as_json:
        screen.write_json(document(answers))
    else:
        show(answers, screen)
    answers.require_all()
    return code_of(answers.total.findings)


def _examined(place: Where, access: Access) -> Stack:
    aws = connect(access)
    file = policy_file(place.policy, local=place.local)
    deployed = find(aws, place.stack or default_stack(), file)
    return Stack(place.account, aws.region, [*examine(deployed)])


def show(answers: Answers[Examined], screen: Screen) -> None:
    """Print the lines. Of several stacks what is good is only counted: it would hide what is not."""
    stacks = answers.total.stacks
    several = len(stacks) > 1 or len(answers.of) > 1
    for stack in stacks:
        place = f"{stack.account} {stack.region}".lstrip() + ": " if several else ""
        for finding in stack.findings:
            if not several or finding.verdict is not Verdict.GOOD:
                screen.show(_line(finding, place), _STYLES[finding.verdict], hanging=_HANGING)
    answers.show(screen)
    if several:
        screen.show(f"Checked {count(len(stacks), 'stack')}: {answers.total}", "bold")


def _line(finding: Finding, place: str) -> str:
    remedy = f". To do: {finding.remedy}" if finding.verdict is not Verdict.GOOD else ""
    return f"{finding.verdict:13}  {place}{finding.text}{remedy}"


def document(answers: Answers[Examined]) -> dict[str, Any]:
    """Return what was found as JSON has it."""
    return {
        "findings": [
            {
                "account": stack.account or None,
                "primary_region": stack.region,
                "status": str(finding.verdict),
                "text": finding.text,
                "remedy": finding.remedy or None,
            }
            for stack in answers.total.stacks
            for finding in stack.findings
        ],
        "summary": {
            **{name.replace(" ", "_"): number for name, number in answers.total.counts().items()},
            "text": str(answers.total),
        },
        "accounts": answers.entries(),
    }
