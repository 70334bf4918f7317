"""How a promotion and a rejoin go: what is asked for, one question, and then each secret for itself."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from replicas.aws.connection import connect
from replicas.aws.region_secrets import RegionSecrets, region_secrets
from replicas.errors import OperatorError
from replicas.exit_codes import FAILED, OK
from replicas.failover.journal import Journal, read_journal
from replicas.options import Access, PromoteOptions, RejoinOptions
from replicas.terminal import Report, Screen

WORKERS = 8

T = TypeVar("T")
R = TypeVar("R")


Options = PromoteOptions | RejoinOptions


def journal_file(options: Options) -> Path:
    """Return where the journal is: one for all runs about a Region, so that each goes on from the last."""
    return options.journal or Path(f"failover-{options.replica_region}.jsonl")


@dataclass(frozen=True)
class Result:
    """How it ended for one secret. `problem` is empty if all is done."""

    name: str
    problem: str = ""


@dataclass(frozen=True)
class Surroundings:
    """Where the Regions, the time and the hands come from."""

    regions: Callable[[Access, float], RegionSecrets] = lambda access, writes: region_secrets(
        connect(access), writes
    )
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    workers: int = WORKERS
    stopped: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> None:
        """Wait for AWS; raise OperatorError if the command was stopped, which may be minutes before."""
        if self.stopped.is_set():
            raise OperatorError("it was stopped while AWS was at work on it: run it again")
        self.sleep(seconds)

    def now(self) -> str:
        """Return the time as a tag has it."""
        return f"{datetime.fromtimestamp(self.clock(), UTC):%Y-%m-%dT%H:%MZ}"


REAL = Surroundings()


def journal_of(options: Options, around: Surroundings) -> Journal:
    """Return the journal; raise OperatorError if it cannot be used, or is about another Region."""
    file = journal_file(options)
    log = read_journal(file, around.clock)
    if elsewhere := {entry.region for entry in log.promoted().values()} - {options.replica_region}:
        raise OperatorError(
            f"The journal {file} is about replicas in {', '.join(sorted(elsewhere))}: "
            f"name that of {options.replica_region} with --journal"
        )
    return log


@dataclass(frozen=True)
class Wording:
    """What is said: the question, the answer to a no, and what is going on after a yes."""

    question: str
    declined: str
    progress: str


def carry_out(  # noqa: PLR0913, PLR0917  what is done, how it is said, and where
    options: Options,
    work: Sequence[T],
    do: Callable[[T], R],
    wording: Wording,
    screen: Screen,
    around: Surroundings,
) -> list[R] | None:
    """Return what came of each, nothing for a dry run or where nothing is to do, None after a no."""
    if options.dry_run or not work:
        return []
    if not (options.yes or screen.ask(wording.question)):
        screen.say(wording.declined)
        return None
    with screen.progress(wording.progress, len(work)) as report:
        return [*each(work, do, report, around)]


def end(  # noqa: PLR0913, PLR0917  what is said of it, for people and for programs
    options: Options,
    results: Sequence[Result],
    secrets: Sequence[Mapping[str, Any]],
    summary: Mapping[str, int],
    text: str,
    screen: Screen,
) -> int:
    """Show how it ended; return the exit code."""
    problems = [result for result in results if result.problem]
    journal = str(journal_file(options)) if results and not options.dry_run else None
    text += f"; journal {journal}" if journal else ""
    if options.as_json:
        counts = {**summary, "problems": len(problems), "text": text}
        screen.write_json(
            {"region": options.replica_region, "secrets": secrets, "journal": journal, "summary": counts}
        )
    else:
        for result in problems:
            screen.show(f"{result.name}: {result.problem}")
        screen.show(text, "bold")
    return FAILED if problems else OK


def each(work: Iterable[T], do: Callable[[T], R], report: Report, around: Surroundings) -> Iterator[R]:
    """Yield what comes of each, as it comes. When it is stopped, only calls under way are finished."""
    with ThreadPoolExecutor(around.workers) as pool:
        calls = [pool.submit(do, item) for item in work]
        try:
            for number, call in enumerate(as_completed(calls), start=1):
                yield call.result()
                report(number)
        finally:
            if not all(call.done() for call in calls):
                around.stopped.set()
            pool.shutdown(cancel_futures=True)
