"""What a person sees: results on standard output; questions, progress and errors on standard error."""

import json
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

T = TypeVar("T")

Report = Callable[[int], None]
"""Takes how many are done, from time to time."""

Total = Callable[[], int | None]
"""Says how many there are, as far as that is known by now."""

READABLE = 40
"""How wide a column of sentences is at least: slivers of sentences cannot be read."""

WIDE = 120
"""How wide a terminal is at least where rows that end in sentences stand beside each other in columns."""

UTC_TITLE = " (UTC)"
"""How a title ends whose cells are moments, where they are not shown by their age."""

_GAP = "  "
_BETWEEN, _EDGES = 3, 2
"""The room that a table needs between two columns, and at its edges."""

_AGES = ((86_400, "day"), (3_600, "h"), (60, "min"))

_STYLES = {"Failed": "bold red", "missing": "yellow", "InProgress": "yellow", "InSync": "green"}


@dataclass(frozen=True)
class Column:
    """A column of a table. A short one is never broken over lines, a narrow one is as wide as its title.

    Where the table does not fit, a labelled cell stands in the row's line as `title cell`, and one that is
    `below` under it; an empty one, or `-`, is left out there. What is `shared` by all rows, and an `unwanted`
    column, are for programs: a terminal has no such column. An `optional` one with nothing in it is left out.
    """

    title: str
    short: bool = True
    right: bool = False
    narrow: bool = False
    labelled: bool = False
    below: bool = False
    shared: bool = False
    unwanted: bool = False
    optional: bool = False


Filled = tuple[Column, Sequence[str]]
"""A column with its cells."""


@dataclass(frozen=True)
class Moment:
    """A cell that is a time, shown by its age on a terminal; `event` is what happened then."""

    at: datetime | None
    event: str = ""

    def __str__(self) -> str:
        """Say when it was, in UTC."""
        return self._said(f"{self.at.astimezone(UTC):%Y-%m-%d %H:%M}") if self.at else "-"

    def ago(self, now: datetime) -> str:
        """Return `12 min ago`, `3 h ago`, `1 day ago`, `just now`."""
        if not self.at:
            return "-"
        seconds = (now - self.at).total_seconds()
        for size, name in _AGES:
            if seconds >= size:
                number = int(seconds // size)
                return self._said(f"{number:,} {name}{'s' if name == 'day' and number > 1 else ''} ago")
        return self._said("just now")

    def _said(self, when: str) -> str:
        return f"{when} ({self.event})" if self.event else when


Cell = str | Moment


@dataclass
class Screen:
    """Where a command writes to."""

    out: Console = field(default_factory=lambda: Console(highlight=False, emoji=False))
    err: Console = field(
        default_factory=lambda: Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
    )
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    stopped: str = "Stopped."
    """What is said after Ctrl-C."""

    def say(self, text: str) -> None:
        """Print what is no result."""
        for line in text.splitlines() or [""]:
            self.err.print(Text("\n".join(_on(self.err, printable(line)))))

    def show(self, text: str, style: str = "", *, hanging: int = 0) -> None:
        """Print a line of the result. What does not fit beside it hangs so far to the right."""
        self.out.print(Text("\n".join(_on(self.out, printable(text), hanging)), style), soft_wrap=True)

    def when(self, moment: Moment) -> str:
        """Return the moment as its reader wants it: a person its age, a program its time."""
        return moment.ago(self.now()) if self.out.is_terminal else str(moment)

    def write_json(self, document: Mapping[str, object]) -> None:
        """Write what a program reads. What is not ASCII is escaped: nothing can steer a terminal."""
        self.out.file.write(json.dumps(document, indent=2) + "\n")
        self.out.file.flush()

    def ask(self, question: str) -> bool:
        """Return whether the person says yes. Nothing more to read is a no."""
        try:
            return Confirm.ask(Text(question), console=self.err, default=False)
        except EOFError:
            return False

    @contextmanager
    def progress(
        self, title: str, total: int | Total | None = None, note: Callable[[], str] = lambda: ""
    ) -> Iterator[Report]:
        """Show how far it is: a bar on a terminal, else a line after 1, 2, 4, 8 … seconds.

        `total` may be asked each time, as `note` is for what else there is to say.
        """
        now: Total = total if callable(total) else lambda: total
        if not self.err.is_terminal:
            yield self._lines(title, now, note)
            return
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=self.err, transient=True) as bar:
            task = bar.add_task(title, total=now())
            yield lambda done: bar.update(task, completed=done, total=now(), description=title + note())

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
        """Print a table on a terminal, else a line per row with tabs between the columns."""
        console = self.out
        texts = [
            [printable(cell if isinstance(cell, str) else self.when(cell)) for cell in row] for row in rows
        ]
        table: list[Filled] = [(column, cells) for column, *cells in zip(columns, *texts, strict=True)]
        table = [(column, cells) for column, cells in table if not column.optional or any(cells)]
        if not console.is_terminal:
            # The console itself would turn tabs into spaces.
            lines = zip(*([column.title, *cells] for column, cells in table), strict=True)
            console.file.writelines("\t".join(line) + "\n" for line in lines)
            return
        table = [
            (replace(column, title=column.title.removesuffix(UTC_TITLE)), cells)
            for column, cells in table
            if not column.unwanted and not (column.shared and len({*cells}) == 1)
        ]
        wide = console.width >= WIDE or not any(column.below for column, _ in table)
        if wide and _fits(table, console.width):
            console.print(_grid(table))
            return
        for line in zip(*(cells for _, cells in table), strict=True):
            for text in _stacked([column for column, _ in table], line, console.width):
                console.print(text, soft_wrap=True)
        console.print()

    def _lines(self, title: str, total: Total, note: Callable[[], str]) -> Report:
        began, pause_seconds = time.monotonic(), 1

        def report(done: int) -> None:
            nonlocal pause_seconds
            if time.monotonic() - began > pause_seconds:
                pause_seconds *= 2
                self.say(f"{title}: {done}" + (f" of {total()}" if total() else "") + note())

        return report


def _grid(table: Sequence[Filled]) -> Table:
    grid = Table(box=SIMPLE, pad_edge=False)
    for column, cells in table:
        grid.add_column(
            column.title,
            justify="right" if column.right else "left",
            overflow="fold",
            no_wrap=column.short and not column.narrow,
            max_width=_least(column, cells) if column.narrow else None,
        )
    for line in zip(*(cells for _, cells in table), strict=True):
        grid.add_row(*(Text(cell, _STYLES.get(cell.partition(" ")[0], "")) for cell in line))
    return grid


def _fits(table: Sequence[Filled], width: int) -> bool:
    """Tell whether a table needs to break no word."""
    least = sum(_least(column, cells) for column, cells in table)
    return least + _BETWEEN * (len(table) - 1) + _EDGES <= width


def _least(column: Column, cells: Sequence[str]) -> int:
    """Return how wide a column must be, so that only between words a line is broken."""
    if column.short and not column.narrow:
        return max(map(cell_len, (column.title, *cells)))
    words = max((cell_len(word) for text in (column.title, *cells) for word in text.split()), default=0)
    if column.narrow:
        return max(words, cell_len(column.title))
    longest = max(map(cell_len, cells), default=0)
    return max(words, min(longest, READABLE))


def _stacked(columns: Sequence[Column], line: Sequence[str], width: int) -> Iterator[Text]:
    """Yield the lines of a row that has not enough room beside its columns."""
    said = [(column, cell) for column, cell in zip(columns, line, strict=True) if cell not in ("", "-")]
    head = [cell for column, cell in said if not (column.labelled or column.below)]
    labelled = [f"{column.title} {cell}" for column, cell in said if column.labelled]
    below = [(column.title, cell) for column, cell in said if column.below]
    several = sum(column.below for column in columns) > 1
    yield from map(_coloured, _first_lines(head, labelled, width))
    for title, cell in below:
        text = f"{title}: {cell}" if several else cell
        yield from (Text(f"    {part}") for part in wrapped(text, width - 4))


def _first_lines(head: Sequence[str], labelled: Sequence[str], width: int) -> list[str]:
    whole = _GAP.join([*head, *([" · ".join(labelled)] if labelled else [])])
    if cell_len(whole) <= width:
        return [whole]
    first, *more = _packed(head, _GAP, width, width - 4)
    return [first, *(f"    {text}" for text in (*more, *_packed(labelled, " · ", width - 4, width - 4)))]


def _packed(items: Sequence[str], between: str, width: int, later_width: int) -> list[str]:
    """Return the items on as few lines as there must be, none of them broken."""
    lines: list[str] = []
    for item in items:
        room = width if len(lines) == 1 else later_width
        if lines and cell_len(lines[-1] + between + item) <= room:
            lines[-1] += between + item
        else:
            lines.append(item)
    return lines


def _coloured(line: str) -> Text:
    text = Text(line)
    for word, style in _STYLES.items():
        text.highlight_words([word], style)
    return text


def wrapped(text: str, width: int, hanging: int = 0) -> list[str]:
    """Return the lines of a text, the first one's indent before all, and more of it from the second on.

    A word that is longer than a line, as an ARN may be, is left whole.
    """
    indent = text[: len(text) - len(text.lstrip())]
    wrapper = textwrap.TextWrapper(max(width, 20), break_long_words=False, break_on_hyphens=False)
    wrapper.initial_indent, wrapper.subsequent_indent = indent, f"{indent}  " if indent else " " * hanging
    return wrapper.wrap(text.lstrip()) or [""]


def _on(console: Console, text: str, hanging: int = 0) -> list[str]:
    """Return the text as this console has it: a terminal would break its lines in the middle of words."""
    return wrapped(text, console.width, hanging) if console.is_terminal else [text]


def printable(text: str) -> str:
    """Return the text on one line, without what could steer a terminal or turn the reading direction."""
    return "".join(character if character.isprintable() else " " for character in text)


def counted(items: Iterable[T], report: Report) -> Iterator[T]:
    """Yield the items, each once it is reported."""
    for number, item in enumerate(items, start=1):
        report(number)
        yield item


def count(number: int, noun: str, many: str = "") -> str:
    """Return `1 secret`, `2 secrets`, `2,952 secrets`."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"
