"""What becomes of a sweep, read from the function's log, until every selected secret is accounted for.

Every line about a page or a secret of a sweep has its sweep_id. Messages that are sent by hand can have one,
too: `{"secret_id": …, "sweep_id": …}`.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from replicas.aws.connection import Connection
from replicas.aws.dead_letters import Queues, count_messages
from replicas.errors import OperatorError
from replicas.terminal import Screen, count

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import FilteredLogEventTypeDef

POLL_SECONDS = 2.0
QUIET_SECONDS = 60.0
"""So long without a new line, the queue is asked whether anything is left to wait for."""

LATE_MILLISECONDS = 30_000
"""A line may be shown after younger ones, or come from an instance whose clock is behind."""

EARLIER_MILLISECONDS = 300_000
"""The function's clock may be behind this one. The sweep's id stands in no older line anyway."""

_PAGE_FACTS = {"page", "listed", "selected", "last", "restarted"}
_SECRET_FACTS = {"secret", "outcome", "verdict"}
_ENDS = ("done", "delete")
"""How the log says that a message is done; older versions said that they delete it."""


@dataclass(frozen=True)
class State:
    """What the latest line said of a secret. `settled` is how it ended, empty while it waits."""

    at: int
    settled: str
    reason: str = ""


@dataclass
class SweepProgress:
    """What is known of a sweep: its pages by number, its secrets by ARN. Chosen secrets have no pages."""

    chosen: frozenset[str] = frozenset()
    listed: dict[int, int] = field(default_factory=dict)
    selected_on: dict[int, int] = field(default_factory=dict)
    last_page: int = 0
    restarted: bool = False
    lost_page: str = ""
    secrets: dict[str, State] = field(default_factory=dict)
    messages: set[tuple[str, str]] = field(default_factory=set)
    drift: set[tuple[str, str, str]] = field(default_factory=set)

    def note(self, line: Mapping[str, Any], at: int) -> None:
        """Take in a line of the log, written at this time in milliseconds."""
        match line.get("message"):
            case "page_swept" | "sweep_restarted" if line.keys() >= _PAGE_FACTS:
                self._note_page(line)
            case "page_not_swept" if line.get("verdict") == "dead_letter":
                self.lost_page = f"page {line.get('page', '?')}: {line.get('reason', '')}"
            case "secret_reconciled" if line.keys() >= _SECRET_FACTS:
                self._note_secret(line, at)
            case "drift_found":
                secret, region, kind = (str(line.get(key, "")) for key in ("secret", "region", "kind"))
                self.drift.add((secret, region, kind))

    def _note_page(self, line: Mapping[str, Any]) -> None:
        if line["restarted"] and not self.restarted:
            self.restarted, self.last_page = True, 0
            self.listed.clear()
            self.selected_on.clear()
        if line["message"] == "sweep_restarted" or line["restarted"] != self.restarted:
            return
        self.listed[line["page"]] = line["listed"]
        self.selected_on[line["page"]] = line["selected"]
        if line["last"]:
            self.last_page = line["page"]

    def _note_secret(self, line: Mapping[str, Any], at: int) -> None:
        before = self.secrets.get(line["secret"])
        if not before or before.settled != "dead_letter":
            # A redriven message has another id.
            self.messages.add((line["secret"], line.get("message_id", "")))
        if before and before.at > at:
            return
        reason = str(line.get("reason", ""))
        ends = dict.fromkeys(_ENDS, str(line["outcome"])) | {"dead_letter": "dead_letter"}
        settled = ends.get(line["verdict"], "")
        self.secrets[line["secret"]] = State(at, settled, reason)

    @property
    def selected(self) -> int:
        """How many secrets the pages have enqueued so far. One that was on two pages has two messages.

        After a restart it may have two as well, of which the pages that count have enqueued one.
        """
        twice = 0 if self.restarted else len(self.messages) - len(self.secrets)
        return len(self.chosen) or sum(self.selected_on.values()) - twice

    @property
    def settled(self) -> int:
        """How many secrets nothing more will happen to."""
        return sum(bool(state.settled) for state in self.secrets.values())

    @property
    def complete(self) -> bool:
        """Whether every page was read, and every selected secret has come to an end."""
        read_all = bool(self.chosen) or (bool(self.last_page) and len(self.listed) >= self.last_page)
        return read_all and len(self.secrets) >= self.selected and self.settled == len(self.secrets)

    @property
    def unaccounted(self) -> int:
        """How many secrets of the pages that were read are not known to have come to an end."""
        return max(len(self.secrets), self.selected) - self.settled

    def of(self, kind: str) -> dict[str, str]:
        """Return the secrets that ended so, with their reasons."""
        return {arn: state.reason for arn, state in self.secrets.items() if state.settled == kind}

    def open(self) -> list[str]:
        """Return the secrets that are known, and not known to have come to an end."""
        settled = {arn for arn, state in self.secrets.items() if state.settled}
        return sorted((self.chosen | self.secrets.keys()) - settled)

    @property
    def skipped(self) -> Counter[str]:
        """How many secrets were left alone, by the reason."""
        return Counter(reason.partition(";")[0] for reason in self.of("skipped").values())

    @property
    def drifted(self) -> Counter[str]:
        """How many differences were only reported, by their kind."""
        return Counter(kind for *_, kind in self.drift)

    def counts(self) -> dict[str, int]:
        """Return the account in numbers."""
        return {
            "pages": len(self.listed),
            "seen": sum(self.listed.values()),
            "selected": self.selected,
            "converged": len(self.of("converged")),
            "skipped": self.skipped.total(),
            "dead_letters": len(self.of("dead_letter")),
            "drift": len(self.drift),
            "not_accounted_for": self.unaccounted,
        }

    def progress(self) -> str:
        """Say what stands beside the bar."""
        pages = f"{len(self.listed):,} of {self.last_page:,}" if self.last_page else f"{len(self.listed):,}"
        seen = f"page {pages}, {sum(self.listed.values()):,} seen, {self.selected:,} selected, "
        return (
            f": {'' if self.chosen else seen}{len(self.of('converged')):,} converged, "
            f"{self.unaccounted:,} waiting, {count(len(self.of('dead_letter')), 'dead letter')}"
        )

    def __str__(self) -> str:
        """Say it in a sentence or two."""
        ends = [
            f"{len(self.of('converged')):,} converged",
            f"{self.skipped.total():,} skipped{_by_kind(self.skipped)}",
            count(len(self.of("dead_letter")), "dead letter"),
            f"{self.unaccounted:,} not accounted for",
        ]
        seen = (
            f"{count(len(self.chosen), 'secret')} sent"
            if self.chosen
            else f"{count(len(self.listed), 'page')}, {sum(self.listed.values()):,} secrets seen, "
            f"{self.selected:,} selected"
        )
        drift = f" Drift{_by_kind(self.drifted)}." if self.drift else ""
        anew = " It began anew once: AWS no longer took the token of a page." if self.restarted else ""
        return f"{seen}: {', '.join(ends)}.{drift}{anew}"


@dataclass
class LogReader:
    """Reads the lines of the function's log that have this text, each once."""

    client: "CloudWatchLogsClient"
    log_group: str
    text: str
    since: int
    _young_since: int = 0
    _known: dict[tuple[str, int, str], int] = field(default_factory=dict)

    def read(self) -> "Iterator[FilteredLogEventTypeDef]":
        """Yield what is new. Next time what is young only is asked for, and no more than that remembered."""
        pages = self.client.get_paginator("filter_log_events").paginate(
            logGroupName=self.log_group,
            startTime=max(self.since, self._young_since),
            filterPattern=self.text and f'"{self.text}"',
        )
        for event in (event for page in pages for event in page["events"]):
            # Not every CloudWatch gives an eventId.
            identity = (event["logStreamName"], event["timestamp"], event["message"])
            if identity not in self._known:
                self._known[identity] = event["timestamp"]
                yield event
        self._young_since = max(self._known.values(), default=0) - LATE_MILLISECONDS
        self._known = {key: at for key, at in self._known.items() if at >= self._young_since}

    def rewind(self) -> None:
        """Read everything since the beginning once more: CloudWatch shows some lines late."""
        self._young_since = 0


@dataclass(frozen=True)
class Follower:
    """Follows one sweep in the function's log."""

    log: LogReader
    progress: SweepProgress

    def check(self) -> bool:
        """Take in what is new; return whether there was anything. Raise OperatorError."""
        news = False
        for event in self.log.read():
            if event["message"].startswith("{"):
                news = True
                self.progress.note(_parsed(event["message"]), event["timestamp"])
        return news


def follower_of(
    connection: Connection, function: str, sweep_id: str, chosen: frozenset[str] = frozenset()
) -> Follower:
    """Return what follows a sweep that starts now; raise OperatorError if the function's log says too little.

    https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html
    """
    found: Mapping[str, Any] = connection.functions.get_function_configuration(FunctionName=function)
    level = found.get("Environment", {}).get("Variables", {}).get("POWERTOOLS_LOG_LEVEL", "INFO")
    if level not in ("DEBUG", "INFO"):
        raise OperatorError(
            f"The function logs no more than LogLevel={level}, so that a sweep cannot be followed: start it "
            "with `replicas sweep --no-follow`, or deploy LogLevel=INFO"
        )
    log_group = found.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{function}"
    since = int(time.time() * 1000) - EARLIER_MILLISECONDS
    return Follower(LogReader(connection.logs, log_group, sweep_id, since), SweepProgress(chosen))


def follow(
    follower: Follower,
    queues: Queues,
    screen: Screen,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Check again and again until all is accounted for, or nothing is left to wait for. Raise OperatorError.

    A message that SQS itself has moved to the DeadLetterQueue, because the function crashed on it each time,
    has no line in the log. So an empty queue ends it as well.
    """
    progress, last_news, warned = follower.progress, clock(), False
    with screen.progress("Following", lambda: progress.selected or None, progress.progress) as report:
        while True:
            news = follower.check()
            report(progress.settled)
            if progress.complete:
                return
            last_news = clock() if news else last_news
            if clock() - last_news >= QUIET_SECONDS:
                if not count_messages(queues.client, queues.queue_url):
                    follower.log.rewind()
                    follower.check()
                    report(progress.settled)
                    return
                if not warned:
                    screen.say(
                        "Nothing new for a minute. What waits is checked again after 15 minutes at most"
                    )
                    warned = True
            sleep(POLL_SECONDS)


def _parsed(text: str) -> Mapping[str, Any]:
    """Return the facts of a line, none of one that is cut off or not ours."""
    try:
        facts: Mapping[str, Any] = json.loads(text)
    except ValueError:
        return {}
    return facts


def _by_kind(numbers: Counter[str]) -> str:
    said = ", ".join(f"{number:,} {kind}" for kind, number in sorted(numbers.items()))
    return f" ({said})" if said else ""
