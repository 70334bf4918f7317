"""What is shown while it works: a spinner on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from local.errors import LocalError
from replicas import interrupts

WIDTH = 130
"""Columns where there is no terminal that has its own."""


def make_console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr, highlight=False, soft_wrap=stderr, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH
    return console


@contextmanager
def step(console: Console, text: str) -> Iterator[None]:
    """Show what is being done, and in the end how long it took."""
    began, ending = time.monotonic(), "not finished"
    try:
        with _being_done(console, text):
            yield
        ending = f"{time.monotonic() - began:.1f} s"
    finally:
        console.print(f"{text} ... {ending}" if console.is_terminal else ending)


def _being_done(console: Console, text: str) -> AbstractContextManager[object]:
    if console.is_terminal:
        return console.status(f"{text} ...")
    console.print(f"{text} ... ", end="")
    return nullcontext()


def ended(console: Console, work: Callable[[], int]) -> int:
    """Do the work; return its exit code, or say in a sentence what stopped it."""
    with interrupts.installed():
        try:
            return work()
        except LocalError as error:
            said = str(error)
        except (BotoCoreError, ClientError) as error:
            said = f"The local AWS does not answer as it should: {error}"
        except interrupts.Interrupted as interrupted:
            console.print("Stopped. Nothing is left running.")
            return interrupted.exit_code
    make_console(stderr=True).print(said, markup=False)
    return 1
