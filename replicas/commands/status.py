"""`replicas status`: is everything where it should be? What needs attention comes first."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any

from replicas.aws.accounts import ACCOUNT, Answers, ask_each
from replicas.aws.dead_letters import DeadLetter
from replicas.aws.deployment import Deployment, deployments
from replicas.aws.errors import as_operator_errors
from replicas.commands.failover.verify import Verified, compare
from replicas.errors import OperatorError
from replicas.exit_codes import CHANGES, OK, WAITING
from replicas.inventory.inventory import Reading, format_unread, read, require_all_read, require_some
from replicas.inventory.secret_status import (
    Counts,
    DeadLetters,
    Row,
    SecretStatus,
    alike,
    dead_letters_of,
    regions_of,
    row,
    wanted_regions_of,
)
from replicas.inventory.unselected import unselected
from replicas.options import EVERYTHING, Choice, ReportOptions, Scope, StatusOptions
from replicas.terminal import UTC_TITLE, Cell, Column, Moment, Screen, count

SHOWN_IN_SYNC = 20
"""Rows of secrets that are as they must be, on a terminal: more would push what matters off it."""

AS_IT_MUST_BE = (SecretStatus.IN_SYNC, SecretStatus.WANTS_NONE)


@dataclass
class Status:
    """What was found, over all Regions that were asked for."""

    rows: list[Row] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    other_dead_letters: list[DeadLetter] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    deployments: list[Deployment] = field(default_factory=list)
    verified: Verified = field(default_factory=Verified)
    """What the replica Regions really hold, if that was asked for."""

    def __str__(self) -> str:
        """Say the totals."""
        return str(self.counts)

    def add(self, other: "Status") -> None:
        """Take in what another account answered."""
        self.rows += other.rows
        self.counts.add(other.counts)
        self.other_dead_letters += other.other_dead_letters
        self.readings += other.readings
        self.deployments += other.deployments
        self.verified.add(other.verified)

    @property
    def exit_code(self) -> int:
        """0 all is as it must be, 2 it needs attention, 3 it only waits."""
        if self.counts.dead_letters or self.counts.by_status[SecretStatus.NEEDS_ATTENTION]:
            return CHANGES
        return WAITING if self.counts.by_status[SecretStatus.WAITING] else OK


def run(
    options: StatusOptions, scope: Scope, screen: Screen, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Show the status, once or again and again; return the exit code."""
    answers = _check_and_show(options, scope, screen)
    while options.watch:
        if unread := format_unread(answers.total.readings):
            screen.say(unread)
        screen.say(f"Again every {options.interval:g} s, until Ctrl-C.")
        sleep(options.interval)
        try:
            with as_operator_errors():
                answers = _check_and_show(options, scope, screen)
        except OperatorError as error:
            # What was seen once can be seen again, when the network is back.
            screen.say(str(error))
    require_all_read(answers.total.readings)
    answers.require_all()
    return answers.total.exit_code


def check(options: StatusOptions | ReportOptions, scope: Scope, screen: Screen) -> Answers[Status]:
    """Return the status of every selected secret of every account, verified for a report.

    Raise OperatorError.
    """
    answers = ask_each(scope, partial(_check, options), Status(), screen)
    if answers.are_complete:
        require_some(options.choice)
    answers.total.rows.sort(key=lambda row: row.place)
    return answers


def _check(options: StatusOptions | ReportOptions, scope: Scope, screen: Screen) -> Status:
    by = options.by if isinstance(options, ReportOptions) else ()
    status = Status(verified=Verified(scope.account))
    for deployment in deployments(scope):
        screen.say(str(deployment))
        reading = Reading()
        status.deployments.append(deployment)
        status.readings.append(reading)
        dead_letters = [] if options.no_dead_letters else dead_letters_of(deployment, reading, screen)
        by_secret = DeadLetters(dead_letters)
        reading_of = f"Reading the secrets of {deployment.region}"
        with screen.progress(reading_of, note=deployment.connection.throttling.__str__) as report:
            seen = read(deployment, options.choice, reading, report)
            others = unselected(deployment, options.choice, reading, screen)
            rows = (row(secret, by_secret.about(secret.secret.arn), by) for secret in chain(seen, others))
            _count(status, rows, dead_letters, by_secret, options.choice)
    again = replace(options.choice, taken=set())  # what is not selected is no success of the choice
    for deployment in status.deployments if isinstance(options, ReportOptions) else ():
        compare(deployment, again, status.verified, screen, time.time)
    return status


def _count(
    status: Status,
    rows: Iterable[Row],
    dead_letters: Sequence[DeadLetter],
    by_secret: DeadLetters,
    choice: Choice,
) -> None:
    """Note all rows and dead letters. One counts for itself unless its secret is not yet as it must be."""
    waiting_for: set[str] = set()
    arns: dict[str, str] = {}
    for found in rows:
        ids = [dead_letter.message_id for dead_letter in by_secret.about(found.arn)]
        arns |= dict.fromkeys(ids, found.arn)
        if found.status < SecretStatus.IN_SYNC:
            waiting_for.update(ids)
        status.rows.append(found)
        status.counts.count(found)
    if choice != EVERYTHING:
        dead_letters = [dead_letter for dead_letter in dead_letters if dead_letter.message_id in arns]
    others = [
        # Its own ARN may lack the last part, and nothing tells then where the name ends.
        replace(dead_letter, secret=arns.get(dead_letter.message_id, dead_letter.secret))
        for dead_letter in dead_letters
        if dead_letter.message_id not in waiting_for
    ]
    status.other_dead_letters += others
    status.counts.dead_letters += len(dead_letters)
    status.counts.other_dead_letters += len(others)


def _check_and_show(options: StatusOptions, scope: Scope, screen: Screen) -> Answers[Status]:
    answers = check(options, scope, screen)
    if options.watch and screen.out.is_terminal:
        screen.out.clear()
    _show(options, answers, screen)
    return answers


def _show(options: StatusOptions, answers: Answers[Status], screen: Screen) -> None:
    status = answers.total
    if options.as_json:
        bad = [row for row in status.rows if row.status is SecretStatus.NEEDS_ATTENTION]
        rows = bad if options.failed else status.rows
        screen.write_json(document(answers, rows, with_dead_letters=not options.no_dead_letters))
        return
    rows = _chosen(options, status, screen)
    if rows:
        _show_rows(rows, screen)
    for oldest, *more in alike(status.other_dead_letters):
        often = f" ({1 + len(more)} times)" if more else ""
        screen.show(f"Dead letter about {oldest.name}{often}: {oldest.error_type}: {oldest.reason}")
    answers.show(screen)
    screen.show(str(status), "bold")
    for deployment in status.deployments:
        if deployment.settings.mode == "plan":
            screen.say(f"{deployment.place} is deployed with Mode=plan: what waits there waits for ever.")
        if not deployment.stack:
            screen.say(f"{deployment.place}: nothing is deployed, so nobody works on what waits.")


def _chosen(options: StatusOptions, status: Status, screen: Screen) -> list[Row]:
    if options.failed:
        return [row for row in status.rows if row.status is SecretStatus.NEEDS_ATTENTION or row.dead_letters]
    if options.everything or not screen.out.is_terminal:
        return status.rows
    quiet = [row for row in status.rows if row.status in AS_IT_MUST_BE and not row.why]
    if not (hidden := quiet[SHOWN_IN_SYNC:]):
        return status.rows
    screen.say(f"Nothing is to be done about {count(len(hidden), 'more secret')}: --all shows them, too.")
    arns = {row.arn for row in hidden}
    return [row for row in status.rows if row.arn not in arns]


def _show_rows(rows: Sequence[Row], screen: Screen) -> None:
    regions, wanted = regions_of(rows), wanted_regions_of(rows)
    columns = [
        ACCOUNT,
        Column("Primary", shared=True),
        Column("Secret", short=False),
        Column("Status"),
        *(Column(region, narrow=True, labelled=True, unwanted=region not in wanted) for region in regions),
        # AWS keeps no time of a status: each says how it is known, see `Row`.
        Column(f"Known since{UTC_TITLE}", below=True),
        Column("Why", short=False, below=True),
    ]
    lines: list[tuple[Cell, ...]] = [
        (
            *(row.account, row.home, row.name, str(row.status)),
            *(dict(row.cells).get(region, "-") for region in regions),
            *(Moment(row.since, row.since_what), row.why or "-"),
        )
        for row in rows
    ]
    screen.table(columns, lines)


def document(answers: Answers[Status], rows: Iterable[Row], *, with_dead_letters: bool) -> dict[str, Any]:
    """Return the rows, and all that was counted, as JSON has them."""
    status, by_status = answers.total, answers.total.counts.by_status
    return {
        "secrets": [_entry(row) for row in rows],
        "other_dead_letters": [dead_letter.entry() for dead_letter in status.other_dead_letters],
        "unread": sorted(name for reading in status.readings for name in reading.unread),
        "summary": {
            "selected": status.counts.selected,
            "in_sync": by_status[SecretStatus.IN_SYNC],
            "want_none": by_status[SecretStatus.WANTS_NONE],
            "waiting": by_status[SecretStatus.WAITING],
            "need_attention": by_status[SecretStatus.NEEDS_ATTENTION],
            "not_selected": by_status[SecretStatus.NOT_SELECTED],
            "orphaned_replicas": status.counts.orphaned,
            "drifted": status.counts.drifted,
            "dead_letters": status.counts.dead_letters if with_dead_letters else None,
            "text": str(status.counts),
        },
        "accounts": answers.entries(),
    }


def _entry(row: Row) -> dict[str, Any]:
    return {
        "account": row.account or None,
        "primary_region": row.home,
        "name": row.name,
        "arn": row.arn,
        "status": str(row.status),
        "regions": dict(row.cells),
        "since": row.since.isoformat() if row.since else None,
        "since_what": row.since_what or None,
        "why": row.why or None,
        "dead_letter_count": row.dead_letters,
        "drift": [*row.drift],
    }
