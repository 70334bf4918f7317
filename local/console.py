"""What is shown while it works: a spinner on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console

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
