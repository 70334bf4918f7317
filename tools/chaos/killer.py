"""Kills function instances as a crash would: SIGKILL, at calls of the function that are drawn from a seed."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Lock

import psutil

FIRST_CALL = (20, 60)
CALLS_BETWEEN = (60, 360)
"""How many calls of the function lie before the first death, and between two."""


@dataclass
class Killer:
    """Counts the function's calls; at some of them an instance ends."""

    seed: int
    folder: Path | None = None
    """Where the local AWS keeps its functions. Nobody dies before it is known."""
    killed: int = 0
    _calls: int = 0
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._random = Random(f"{self.seed} kills")  # noqa: S311  repeatable on purpose
        self._next = self._random.randint(*FIRST_CALL)

    def note_call(self) -> None:
        """Kill an instance if its time has come. It may be the one that calls."""
        if self.folder is None:
            return
        with self._lock:
            self._calls += 1
            if self._calls < self._next:
                return
            self._next += self._random.randint(*CALLS_BETWEEN)
            instances = sorted(_instances(self.folder), key=lambda process: process.pid)
            if instances:
                self._random.choice(instances).kill()
                self.killed += 1


def _instances(folder: Path) -> Iterator[psutil.Process]:
    """Yield the processes of the function that run in this folder."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            line = process.cmdline()
            if line and line[-1].startswith(str(folder)) and line[-1].endswith("_worker.py"):
                yield process
