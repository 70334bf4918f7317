"""`replicas`: from the operator's command line to an exit code."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Annotated

import typer
from botocore.utils import is_valid_endpoint_url
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

from ops.redrive import HIDDEN_SECONDS, Letter, Queues, Report, choose, is_about, read_letters, redrive
from ops.stack import Access, OperatorError, connect, default_stack, errors_in_words, find_queues

OK, FAILED, STOPPED = 0, 1, 130

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True)
class Asked:
    """What the command line asks of a redrive."""

    secrets: Sequence[str] = ()
    error_types: Sequence[str] = ()
    yes: bool = False
    dry_run: bool = False
    as_json: bool = False


@dataclass
class Screen:
    """Results go to standard output; questions, progress and errors to standard error."""

    out: Console = field(default_factory=lambda: Console(highlight=False, emoji=False))
    err: Console = field(
        default_factory=lambda: Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
    )

    def say(self, text: str) -> None:
        """Tell the person something that is no result."""
        self.err.print(Text(_printable(text)))

    def ask(self, question: str) -> bool:
        """Return whether the person says yes. Nothing more to read is a no."""
        try:
            return Confirm.ask(Text(question), console=self.err, default=False)
        except EOFError:
            return False

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Report]:
        """Show how far it is: a bar on a terminal, else a line after 1, 2, 4, 8 … seconds."""
        if not self.err.is_terminal:
            yield self._lines(what, total)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=self.err, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.update(task, completed=done)

    def _lines(self, what: str, total: int | None) -> Report:
        began, pause_seconds = time.monotonic(), 1

        def report(done: int) -> None:
            nonlocal pause_seconds
            if time.monotonic() - began > pause_seconds:
                pause_seconds *= 2
                self.say(f"{what}: {done}" + (f" of {total}" if total else ""))

        return report


@app.callback()
def replicas() -> None:
    """See and steer a deployed Secret Replicator."""


@app.command(
    "redrive",
    epilog="**Exit codes:** 0 moved, or nothing to move; 1 something failed; 2 wrong usage; "
    "130 stopped by Ctrl-C. **Permissions:** cloudformation:DescribeStacks on the stack; "
    "sqs:GetQueueAttributes, ReceiveMessage, ChangeMessageVisibility, DeleteMessage, StartMessageMoveTask, "
    "ListMessageMoveTasks and CancelMessageMoveTask on the DeadLetterQueue; sqs:GetQueueAttributes and "
    "SendMessage on the ReplicationQueue.",
)
def redrive_command(  # noqa: PLR0913  an option each
    *,
    stack: Annotated[
        str | None,
        typer.Option(help="Name of the deployed stack.", show_default="stack_name in samconfig.toml"),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME_OR_ARN", help="Only the letters of this secret. Repeat it for several secrets."
        ),
    ] = None,
    error_type: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE",
            help="Only letters with this error type, as --dry-run shows it. Repeat it for several.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Show the letters, and leave all where they are.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", metavar="", help="Move without asking. For scripts.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", metavar="", help="Write letters and result as JSON. Needs --yes or --dry-run."
        ),
    ] = False,
    region: Annotated[
        str | None,
        typer.Option(help="Region of the stack.", show_default="that of the profile or environment"),
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Profile of your AWS configuration.")] = None,
    endpoint_url: Annotated[
        str | None,
        typer.Option(help="Where AWS is, if not at AWS: the local AWS of `make local`, for example."),
    ] = None,
) -> None:
    """Move dead letters back into the queue, once their cause is mended.

    A dead letter is a secret that could not be replicated, with the reason. This command shows them, asks,
    and moves them into the ReplicationQueue, where the function works on them again with a full set of
    attempts. A letter whose cause is not mended comes back with its reason: moving too many spoils nothing.

    It can be stopped at any time: a letter is deleted only after it was sent. At worst its secret is looked
    at twice. Message bodies are never shown.
    """
    if not (yes or dry_run) and (as_json or not sys.stdin.isatty()):
        raise typer.BadParameter(
            "nobody is asked with --json, or where standard input is not a terminal: "
            "add --yes to move the letters, or --dry-run to see them",
            param_hint="--yes",
        )
    if endpoint_url is not None and not is_valid_endpoint_url(endpoint_url):
        raise typer.BadParameter("it must look like https://127.0.0.1:4566", param_hint="--endpoint-url")
    asked = Asked(secret or (), error_type or (), yes, dry_run, as_json)
    raise typer.Exit(run(asked, stack, Access(region, profile, endpoint_url), Screen()))


def run(asked: Asked, stack: str | None, access: Access, screen: Screen) -> int:
    """Redrive what is asked for; return the exit code."""
    try:
        with errors_in_words("cloudformation"):
            clients = connect(access)
            found = find_queues(clients.cloudformation, stack or default_stack())
        with errors_in_words("sqs"):
            queues = Queues(clients.sqs, found.queue_url, found.dead_letter_queue_url)
            return redrive_as_asked(asked, queues, screen)
    except OperatorError as error:
        screen.say(str(error))
        return FAILED
    except KeyboardInterrupt:
        screen.say("Stopped. Nothing is lost: --dry-run shows the letters that are still there.")
        return STOPPED


def redrive_as_asked(asked: Asked, queues: Queues, screen: Screen) -> int:
    """Show the letters and move them if that is wished; return the exit code. Raise as `redrive` does."""
    with screen.progress("Reading the dead letters") as report:
        letters = read_letters(queues, report)
    chosen = choose(letters, asked.secrets, asked.error_types)
    _say_what_is_missing(asked, letters, chosen, screen)
    if chosen and not asked.as_json:
        show_letters(screen.out, chosen)
    moved = _move(asked, queues, chosen, screen) if _is_wished(asked, chosen, screen) else None
    if asked.as_json:
        _print_json(chosen, moved or 0, screen)
    return OK if moved is None else _report(moved, len(chosen), screen)


def _say_what_is_missing(
    asked: Asked, letters: Sequence[Letter], chosen: Sequence[Letter], screen: Screen
) -> None:
    if not letters:
        screen.say("There are no dead letters.")
        return
    for secret in asked.secrets:
        if not any(is_about(letter, secret) for letter in letters):
            screen.say(f"No dead letter is about {secret}.")
    if not chosen:
        screen.say(f"Nothing to move: of {_count(len(letters))}, none is of this kind.")


def _is_wished(asked: Asked, chosen: Sequence[Letter], screen: Screen) -> bool:
    if not chosen or asked.dry_run:
        return False
    if asked.yes or screen.ask(f"Move {_count(len(chosen))} into the ReplicationQueue?"):
        return True
    screen.say("Nothing was moved.")
    return False


def _move(asked: Asked, queues: Queues, chosen: Sequence[Letter], screen: Screen) -> int:
    everything = not (asked.secrets or asked.error_types)
    done, finished = 0, False
    try:
        with screen.progress("Moving", len(chosen)) as report:

            def count(moved: int) -> None:
                nonlocal done
                done = moved
                report(moved)

            done = redrive(queues, chosen, count, everything=everything)
            finished = True
    finally:
        if not finished:
            screen.say(f"Moved {done} of {_count(len(chosen))} until it was stopped.")
    return done


def _report(moved: int, chosen: int, screen: Screen) -> int:
    screen.say(f"Moved {moved} of {_count(chosen)}. What is not mended comes back with its reason.")
    if moved == chosen:
        return OK
    screen.say(
        f"{_count(chosen - moved)} could not be had: gone, or hidden because somebody else looks at them. "
        f"Run it again in {HIDDEN_SECONDS // 60} minutes."
    )
    return FAILED


def show_letters(console: Console, letters: Sequence[Letter]) -> None:
    """Print a table on a terminal, else a line per letter with tabs between the columns."""
    columns = ("Secret", "Error type", "Attempts", "Since (UTC)", "Reason")
    rows = [_row(letter) for letter in letters]
    if not console.is_terminal:
        # The console itself would turn tabs into spaces.
        console.file.writelines("\t".join(row) + "\n" for row in (columns, *rows))
        return
    table = Table(box=SIMPLE, pad_edge=False)
    for column in columns:
        # The reason is the longest: date and time above each other leave it more room.
        width = len(column) if column.startswith("Since") else None
        table.add_column(
            column,
            justify="right" if column == "Attempts" else "left",
            overflow="fold",
            max_width=width,
        )
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _row(letter: Letter) -> tuple[str, ...]:
    return (
        _printable(letter.name),
        _printable(letter.error_type),
        "-" if letter.attempts is None else str(letter.attempts),
        f"{letter.since:%Y-%m-%d %H:%M}",
        _printable(letter.reason),
    )


def _print_json(letters: Sequence[Letter], moved: int, screen: Screen) -> None:
    entries = [asdict(letter) | {"since": letter.since.isoformat()} for letter in letters]
    # All that is not ASCII is escaped: nothing in it can steer a terminal.
    screen.out.file.write(json.dumps({"letters": entries, "moved": moved}, indent=2) + "\n")


def _count(letters: int) -> str:
    return f"{letters} dead letter{'' if letters == 1 else 's'}"


def _printable(text: str) -> str:
    """Return the text on one line, without what could steer a terminal or turn the reading direction."""
    return "".join(character if character.isprintable() else " " for character in text)
