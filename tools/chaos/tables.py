"""What a run shows of itself: tables on a terminal, plain text elsewhere."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from local.secrets_manager.service import METERED
from tools.chaos.aws import FAULTY
from tools.chaos.cases import Fate
from tools.chaos.run import Chosen, Finished
from tools.chaos.summary import Summary, most_in_a_second

SHOWN = 10
"""How many sentences are shown of each kind that is wrong."""


def report(chosen: Chosen, finished: Finished, summaries: Mapping[str, Summary]) -> Group:
    """Return all that is to be shown."""
    return Group(_deeds(chosen, finished), _summary(summaries), *_sentences(summaries))


def writes(finished: Finished) -> list[float]:
    """Return when the function called what AWS meters."""
    observed = finished.observed
    return [call.time for call in observed.calls if call.operation in METERED & FAULTY]


def _summary(summaries: Mapping[str, Summary]) -> Table:
    table = Table("", title="What became of it", title_justify="left", box=SIMPLE)
    for world in summaries:
        table.add_column(world, justify="right")
    for part in ("secrets", "messages", "dead_letters"):
        _section(table, part.replace("_", " "), [getattr(summary, part) for summary in summaries.values()])
    for name in Summary().wrong:
        table.add_row(name, *(str(len(summary.wrong[name])) for summary in summaries.values()))
    return table


def _section(table: Table, title: str, counters: Sequence[Counter[str]]) -> None:
    table.add_row(title, *(str(counter.total()) for counter in counters))
    for key in sorted({key for counter in counters for key in counter}):
        table.add_row(f"  {key}", *(str(counter[key]) for counter in counters))
    table.add_section()


def _deeds(chosen: Chosen, finished: Finished) -> Table:
    """Show what was done to the system."""
    observed = finished.observed
    calls = [call for call in observed.calls if call.operation in FAULTY]
    errors = Counter(call.error for call in calls)
    fates = Counter(fate for case in observed.cases.values() for fate in case.fates.values())
    rows = {
        "calls of the function": len(calls),
        **{
            f"  {error}": f"{errors[error]}, {errors[error] / max(1, len(calls)):.0%}"
            for error in ("ThrottlingException", "InternalServiceError", "ConnectionCut")
        },
        f"  writes, at most {chosen.writes_per_second} in a second": len(writes(finished)),
        "  most in one second": most_in_a_second(writes(finished)),
        "Regions asked for by tagged secrets": fates.total(),
        **{f"  {fate}": fates[fate] for fate in (Fate.FAILED_ONCE, Fate.FAILED_FOR_GOOD)},
        "function instances killed": finished.killed,
        **{f"  batches without an answer: {why}": count for why, count in finished.failed_batches.items()},
        f"delays that were made {chosen.factor} times shorter": finished.delays,
    }
    table = Table("", "", title="What was done", title_justify="left", box=SIMPLE, show_header=False)
    table.columns[1].justify = "right"
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def _sentences(summaries: Mapping[str, Summary]) -> Iterator[Text]:
    for world, summary in summaries.items():
        for name, wrong in summary.wrong.items():
            yield from (Text(f"{world}, {name}: {sentence}") for sentence in wrong[:SHOWN])
