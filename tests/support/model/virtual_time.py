"""Time that passes only when every thread of the function waits: minutes of two busy instances in seconds."""

import heapq
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from secret_replicator.app import App
from secret_replicator.messages import Request
from secret_replicator.models import Attempt, Outcome
from secret_replicator.work_queue import WorkQueue

STUCK_SECONDS = 60


class VirtualTime:
    """A clock, and a sleep that lets the others go on. Only its own actors' threads may call them."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self._busy = 0
        self._lock = threading.Lock()
        self._sleepers: list[tuple[float, int, threading.Event]] = []
        self._numbers = count()
        self._errors: list[BaseException] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        woken = threading.Event()
        with self._lock:
            heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), woken))
            self._rest()
        assert woken.wait(STUCK_SECONDS), "nobody woke this thread"

    @contextmanager
    def worker(self, crew: list[int]) -> Iterator[None]:
        """Stand around what one thread of a crew does; the last one hands over to the thread that waits."""
        try:
            yield
        finally:
            with self._lock:
                crew[0] -= 1
                if crew[0]:
                    self._rest()

    def crew(self, size: int) -> int:
        """Say that this thread will wait, and that a crew of so many threads begins in its place."""
        with self._lock:
            self._busy += size - 1
        return size

    def run(self, *actors: Callable[[], None]) -> None:
        """Run the actors, each in a thread, to their ends; raise what one of them has raised."""
        self._busy = len(actors)
        threads = [threading.Thread(target=self._run, args=(actor,)) for actor in actors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in self._errors:
            raise error

    def _run(self, actor: Callable[[], None]) -> None:
        try:
            actor()
        except BaseException as error:  # noqa: BLE001 - the test's own thread raises it again
            self._errors.append(error)
        finally:
            with self._lock:
                self._rest()

    def _rest(self) -> None:
        """Count a thread out; if nobody is left, let time pass until the next one wakes."""
        self._busy -= 1
        if not self._busy and self._sleepers:
            until, _, woken = heapq.heappop(self._sleepers)
            self.now = max(self.now, until)
            self._busy = 1
            woken.set()


@dataclass(frozen=True)
class TimedQueue(WorkQueue):
    """The ReplicationQueue, with the threads counted that send at the same time."""

    time: VirtualTime
    crew: list[int] = field(default_factory=lambda: [0])

    def enqueue(self, bodies: Sequence[str], delay_seconds: int = 0) -> None:
        if bodies:
            self.crew[0] = self.time.crew(math.ceil(len(bodies) / 10))
        super().enqueue(bodies, delay_seconds)

    def _send(self, bodies: Sequence[str], delay_seconds: int) -> None:
        with self.time.worker(self.crew):
            super()._send(bodies, delay_seconds)


@dataclass(frozen=True, kw_only=True)
class TimedApp(App):
    """The function, with its threads counted."""

    time: VirtualTime
    crew: list[int] = field(default_factory=lambda: [0])

    def handle_batch(self, records: Sequence[Mapping[str, Any]], deadline: float) -> dict[str, Any]:
        self.crew[0] = self.time.crew(len(records))
        return super().handle_batch(records, deadline)

    def do(self, request: Request, attempt: Attempt) -> Outcome:
        with self.time.worker(self.crew):
            return super().do(request, attempt)
