"""What a person sees: results on standard output; questions, progress and errors on standard error."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

Report = Callable[[int], None]
"""Takes how many are done, from time to time."""

Total = Callable[[], int | None]
"""Says how many there are, as far as that is known by now."""

_STYLES = {"Failed": "bold red", "missing": "yellow", "InProgress": "yellow", "InSync": "green"}


@dataclass(frozen=True)
class Column:
    """A column of a table. A short one is never broken over lines, a narrow one is as wide as its title."""

    title: str
    short: bool = True
    right: bool = False
    narrow: bool = False


@dataclass
class Screen:
    """Where a command writes to."""

    out: Console = field(default_factory=lambda: Console(highlight=False, emoji=False))
    err: Console = field(
        default_factory=lambda: Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
    )

    def say(self, text: str) -> None:
        """Tell the person something that is no result."""
        self.err.print(Text("\n".join(printable(line) for line in text.splitlines())))

    def show(self, text: str, style: str = "") -> None:
        """Print a line of the result."""
        self.out.print(Text(printable(text), style), soft_wrap=True)

    def write(self, text: str) -> None:
        """Write what a program reads, as it is."""
        self.out.file.write(text)

    def ask(self, question: str) -> bool:
        """Return whether the person says yes. Nothing more to read is a no."""
        try:
            return Confirm.ask(Text(question), console=self.err, default=False)
        except EOFError:
            return False

    @contextmanager
    def progress(
        self, what: str, total: int | Total | None = None, note: Callable[[], str] = lambda: ""
    ) -> Iterator[Report]:
        """Show how far it is: a bar on a terminal, else a line after 1, 2, 4, 8 … seconds.

        `total` may be asked each time, as `note` is for what else there is to say.
        """
        now: Total = total if callable(total) else lambda: total
        if not self.err.is_terminal:
            yield self._lines(what, now, note)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=self.err, transient=True) as bar:
            task = bar.add_task(what, total=now())
            yield lambda done: bar.update(task, completed=done, total=now(), description=what + note())

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Print a table on a terminal, else a line per row with tabs between the columns."""
        console = self.out
        lines = [[printable(cell) for cell in row] for row in rows]
        if not console.is_terminal:
            # The console itself would turn tabs into spaces.
            titles = [column.title for column in columns]
            console.file.writelines("\t".join(line) + "\n" for line in (titles, *lines))
            return
        table = Table(box=SIMPLE, pad_edge=False)
        for column in columns:
            table.add_column(
                column.title,
                justify="right" if column.right else "left",
                overflow="fold",
                no_wrap=column.short and not column.narrow,
                max_width=len(column.title) if column.narrow else None,
            )
        for line in lines:
            table.add_row(*(Text(cell, _STYLES.get(cell.partition(" ")[0], "")) for cell in line))
        console.print(table)

    def _lines(self, what: str, total: Total, note: Callable[[], str]) -> Report:
        began, pause_seconds = time.monotonic(), 1

        def report(done: int) -> None:
            nonlocal pause_seconds
            if time.monotonic() - began > pause_seconds:
                pause_seconds *= 2
                self.say(f"{what}: {done}" + (f" of {total()}" if total() else "") + note())

        return report


def printable(text: str) -> str:
    """Return the text on one line, without what could steer a terminal or turn the reading direction."""
    return "".join(character if character.isprintable() else " " for character in text)


def count(number: int, one: str, many: str = "") -> str:
    """Return `1 secret`, `2 secrets`, `2,952 secrets`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
