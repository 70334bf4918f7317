"""The demo's tables: what was observed, as a person reads it."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.table import Table

from local.aws.observe import REASONS, DeadLetter
from local.demo.cases import Case
from replicas.aws.dead_letters import secret_name


@dataclass(frozen=True)
class Result:
    """What one secret has come to; `regions` is what AWS said of each Region, one after the other."""

    case: Case
    regions: dict[str, str]
    outcome: str
    reason: str = ""
    seconds: float | None = None


def secrets_table(results: Iterable[Result]) -> Table:
    """Return the table of all secrets."""
    table = Table(title="Secrets", title_justify="left", box=SIMPLE)
    table.add_column("Secret")
    table.add_column("Tags")
    table.add_column("What AWS said of each Region", no_wrap=True)
    table.add_column("Outcome")
    table.add_column("Seconds\nto InSync", justify="right")
    for result in results:
        table.add_row(*_row(result))
    return table


def dead_letter_table(dead_letter: DeadLetter) -> Table:
    """Return the table of one dead letter's reasons."""
    name = secret_name(dead_letter.secret)
    table = Table(title=f"Dead letter: {name}", title_justify="left", box=SIMPLE, show_header=False)
    for reason in REASONS:
        table.add_row(reason, dead_letter.reasons.get(reason, "-"))
    return table


def _row(result: Result) -> list[str]:
    case = result.case
    reason = result.reason if result.outcome == "skipped" else case.refused and f"for {case.refused}"
    outcome = "dead-lettered" if result.outcome == "failed" else result.outcome
    return [
        f"{case.name}\n{case.story}",
        _lines(f"{key}={value}" for key, value in {**case.tags, **case.later}.items()),
        _lines(f"{region} {life}" for region, life in result.regions.items()),
        _lines(filter(None, [outcome, reason])),
        "-" if result.seconds is None else f"{result.seconds:.1f}",
    ]


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines) or "-"
