"""`replicas report`: the status as one page for an auditor, and as a table for a spreadsheet."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from replicas.aws.accounts import Answer, Answers
from replicas.aws.deployment import shown
from replicas.commands.failover.verify import entries
from replicas.commands.report.proof import Proof
from replicas.commands.status import Status, check, document
from replicas.errors import OperatorError
from replicas.exit_codes import OK
from replicas.inventory import pricing
from replicas.inventory.explanation import MISSING
from replicas.inventory.inventory import require_all_read, sweep_calls
from replicas.inventory.secret_status import Row, SecretStatus, regions_of
from replicas.options import ReportOptions, Scope
from replicas.terminal import Screen, count
from secret_replicator.models import IN_SYNC

TEMPLATE = "report.html.j2"

SHOWN = 2000
"""Rows of a table of secrets, and of a table of coverage: with 100,000 the page takes minutes to open."""

NO_VALUE = "without it"
"""What stands for the secrets that do not have a tag."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class Coverage:
    """How many of the wanted are InSync, and of how many replicas `verify` found the current version."""

    name: str
    in_sync: int
    wanted: int
    current: int | None = None
    attention: int | None = None
    """Of an account: how many of its secrets need attention."""
    error: str = ""
    """Of an account: why it could not be read."""

    @property
    def percent(self) -> str:
        """As a person reads it: never 100 % while one is missing."""
        return percent(self.in_sync, self.wanted)

    @property
    def width(self) -> float:
        """How much of a bar is filled, in percent."""
        return round(100 * self.in_sync / self.wanted, 1) if self.wanted else 100


def run(options: ReportOptions, scope: Scope, screen: Screen) -> int:
    """Write the report; return the exit code."""
    screen.stopped = "Stopped. No file was changed."
    page_file = options.html or (None if options.as_json else Path("replicas-report.html"))
    _require_folders(page_file, options.csv)
    _require_two_files(page_file, options.csv)
    answers = check(options, scope, screen)
    status = answers.total
    show = screen.say if options.as_json else screen.show
    screen.stopped = "Stopped."
    if page_file:
        accounts = answers.of if len(answers.of) > 1 else ()
        write(page_file, page(status, options, screen.now(), accounts))
        show(f"Written: {shown(page_file)}")
    if options.csv:
        write(options.csv, as_csv(table(status, options.by)))
        show(f"Written: {shown(options.csv)}")
    if options.as_json:
        screen.write_json(_document(answers, options))
    else:
        if disagreement := Proof(status.rows, status.verified).disagreement:
            screen.show(disagreement, "bold red")
        for text in status.verified.remarks:
            screen.say(text)
        screen.show(f"Verified: {status.verified}")
        answers.show(screen)
        screen.show(str(status.counts), "bold")
    require_all_read(status.readings)
    answers.require_all()
    return OK


def percent(part: int, whole: int) -> str:
    """Return the part in percent, cut off after one digit: 2,999 of 3,000 are not 100 %."""
    if not whole:
        return "nothing"
    if part == whole:
        return "100 %"
    tenths = 1000 * part // whole
    return f"{tenths // 10}.{tenths % 10} %"


def page(
    status: Status, options: ReportOptions, made: datetime, accounts: Sequence[Answer[Status]] = ()
) -> Iterator[str]:
    """Yield the page, piece by piece."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
    )
    yield from environment.get_template(TEMPLATE).generate(**_facts(status, options, made, accounts))


def table(status: Status, by: Sequence[str]) -> Iterator[list[str]]:
    """Yield the lines of the CSV, titles first."""
    regions, proof = regions_of(status.rows), Proof(status.rows, status.verified)
    tags = [f"tag {key}" for key in by]
    several = any(row.account for row in status.rows)
    yield [
        *(["account"] if several else []),
        *("primary_region", "name", "arn", "status", *regions),
        *(f"verified {region}" for region in proof.regions),
        *("since", "since_what", "dead_letters", "drift", "why", *tags),
    ]
    for row in status.rows:
        cells = dict(row.cells)
        yield [
            *([row.account] if several else []),
            *(row.home, row.name, row.arn, str(row.status), *(cells.get(region, "") for region in regions)),
            *(proof.state(row, region) for region in proof.regions),
            *(row.since.isoformat() if row.since else "", row.since_what, str(row.dead_letters)),
            *("; ".join(row.drift), proof.why(row), *row.groups),
        ]


def as_csv(lines: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines as CSV. No cell is a formula to a spreadsheet, whatever somebody wrote into a tag.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    for line in lines:
        text = io.StringIO()
        csv.writer(text).writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in line])
        yield text.getvalue()


def by_region(proof: Proof) -> list[Coverage]:
    """Return the coverage of each Region: how many of the replicas that must be there are InSync."""
    wanted, in_sync, current = Counter[str](), Counter[str](), Counter[str]()
    for row in proof.rows:
        for region, status in row.cells:
            if "unwanted" not in status:
                wanted[region] += 1
                in_sync[region] += status == IN_SYNC
                current[region] += proof.is_current(row, region)
    return [Coverage(region, in_sync[region], wanted[region], current[region]) for region in sorted(wanted)]


def by_tag(rows: Iterable[Row], number: int) -> list[Coverage]:
    """Return the coverage of each value of the `number`th tag: how many of its secrets are InSync."""
    wanted, in_sync = Counter[str](), Counter[str]()
    for row in rows:
        value = row.groups[number] or NO_VALUE
        wanted[value] += row.status < SecretStatus.WANTS_NONE
        in_sync[value] += row.status is SecretStatus.IN_SYNC
    found = [Coverage(value, in_sync[value], wanted[value]) for value in wanted if wanted[value]]
    return sorted(found, key=lambda coverage: (coverage.width, coverage.name))


def by_account(accounts: Iterable[Answer[Status]]) -> list[Coverage]:
    """Return the coverage of each account: what could not be read first, then what needs attention."""
    found = [_of_account(answer) for answer in accounts]
    return sorted(found, key=lambda line: (not line.error, -(line.attention or 0), line.width, line.name))


def _of_account(answer: Answer[Status]) -> Coverage:
    if answer.value is None:
        return Coverage(answer.account, 0, 0, error=answer.error)
    counts = answer.value.counts
    in_sync = counts.by_status[SecretStatus.IN_SYNC]
    attention = counts.by_status[SecretStatus.NEEDS_ATTENTION]
    return Coverage(answer.account, in_sync, counts.wanting, attention=attention)


def write(file: Path, pieces: Iterable[str]) -> None:
    """Write the file as a whole or not at all, a link's where it leads; raise OperatorError.

    What is there and no file, as /dev/null or a pipe, is written to as it is.
    """
    try:
        if _is_device(file):
            with file.open("w", encoding="utf-8", errors="replace", newline="") as text:
                text.writelines(pieces)
        else:
            _replace(file.resolve(), pieces)
    except (OSError, RuntimeError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise OperatorError(f"{file} cannot be written ({said}): name another file") from error


def _replace(file: Path, pieces: Iterable[str]) -> None:
    beside = file.with_name(f".{file.name[:40]}.{uuid4().hex}")
    try:
        with beside.open("x", encoding="utf-8", errors="replace", newline="") as text:
            text.writelines(pieces)
        if file.exists():
            beside.chmod(file.stat().st_mode & 0o777)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def _require_folders(*files: Path | None) -> None:
    """Raise OperatorError before all is read, which may take minutes."""
    for file in filter(None, files):
        if not file.parent.is_dir():
            raise OperatorError(f"{file} cannot be written (no such folder): name another file")


def _require_two_files(html: Path | None, csv_file: Path | None) -> None:
    if html and csv_file and not _is_device(html) and html.resolve() == csv_file.resolve():
        raise OperatorError(f"--html and --csv name the same file, {html}: name two")


def _is_device(file: Path) -> bool:
    return file.exists() and not file.is_file()


def _facts(
    status: Status, options: ReportOptions, made: datetime, accounts: Sequence[Answer[Status]]
) -> dict[str, Any]:
    rows, counts, proof = status.rows, status.counts, Proof(status.rows, status.verified)
    in_sync, unread = counts.by_status[SecretStatus.IN_SYNC], ("?", "dead letters: not read")
    totals = f"{count(len(accounts), 'account')}, {count(len(status.deployments), 'stack')}"
    return {
        "title": options.title,
        "covered": percent(in_sync, counts.wanting),
        "counts": str(counts),
        "made": made,
        "deployments": [totals] if accounts else [*map(str, status.deployments)],
        "shown": SHOWN,
        "tiles": [
            (f"{counts.selected:,}", "secrets are selected"),
            (f"{in_sync:,}", "InSync in every Region"),
            (f"{counts.by_status[SecretStatus.WAITING]:,}", "waiting"),
            (f"{counts.by_status[SecretStatus.NEEDS_ATTENTION]:,}", "need attention"),
            unread if options.no_dead_letters else (f"{counts.dead_letters:,}", "dead letters"),
            (f"{counts.drifted:,}", "drifted"),
        ],
        "proof": proof,
        "verified": f"Verified: {status.verified}",
        "remarks": [*status.verified.remarks],
        "attention": proof.attention(),
        "dead_letters": status.other_dead_letters,
        "by_account": by_account(accounts),
        "by_region": by_region(proof),
        "by_tag": [(key, by_tag(rows, number)) for number, key in enumerate(options.by)],
        "drift": [row for row in rows if row.drift],
        "costs": [(item, number, pricing.dollars(cost)) for _, item, number, cost in _costs(status)],
        "regions": sorted({*regions_of(rows), *proof.regions}),
        "tag_keys": options.by,
        "rows": rows,
    }


def _document(answers: Answers[Status], options: ReportOptions) -> dict[str, Any]:
    """Return what `status --json` says, the coverage and the cost."""
    rows = answers.total.rows
    coverage: list[tuple[dict[str, str | None], Coverage]]
    coverage = [({"region": found.name}, found) for found in by_region(Proof(rows, answers.total.verified))]
    for number, key in enumerate(options.by):
        coverage += [
            ({"tag": key, "value": None if found.name == NO_VALUE else found.name}, found)
            for found in by_tag(rows, number)
        ]
    return {
        **document(answers, rows, with_dead_letters=not options.no_dead_letters),
        **entries(answers.total.verified),
        "verified": str(answers.total.verified),
        "coverage": [
            {"region": None, "tag": None, "value": None}
            | group
            | {"in_sync": found.in_sync, "desired": found.wanted, "current": found.current}
            for group, found in coverage
        ],
        "cost_dollars_per_month": {key: float(dollars) for key, _, _, dollars in _costs(answers.total)},
    }


def _costs(status: Status) -> Iterator[tuple[str, str, int, Decimal]]:
    """Yield the lines of the bill: the key in JSON, the text, how many, dollars a month."""
    cells = [text for row in status.rows for _, text in row.cells]
    unwanted = sum("unwanted" in text for text in cells)
    missing = cells.count(MISSING)
    there = len(cells) - unwanted - missing
    calls = sweep_calls(status.readings)
    for key, item, replicas in (
        ("listed_replicas", "Wanted replicas that AWS lists", there),
        ("missing_replicas", "Wanted replicas that are missing", missing),
        ("unwanted_replicas", "Replicas that nobody wants", unwanted),
    ):
        yield key, item, replicas, pricing.of_replicas(replicas)
    yield "sweep_calls", "Calls of a daily sweep", calls, pricing.of_calls(calls)
