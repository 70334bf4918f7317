"""Holds the writes of this instance to its share, in whatever second of AWS's they arrive."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush

from secret_replicator.errors import DeadlineExceededError

CALL_SECONDS = 15
"""No call takes longer, to SQS with its retry: two tries of 2 s to connect, 5 s to read (see clients.py)."""

WINDOW_SECONDS = 1.001
"""A second, and a little more: no two clocks run alike."""

LEAD_SECONDS = 0.2
"""How long before its write a secret is described again: a call takes less, a reading is not old by then."""

POLL_SECONDS = 0.05
"""How often is looked for a free slot where all are taken: each is free a second before it may be used."""

PAUSE_SECONDS = 0.2
"""After a longer pause between two invocations another instance may have written, in place of this one.

One that begins in less has a second to wait itself. With a full queue the next batch comes sooner."""


def require_time(start: float, deadline: float) -> None:
    """Raise DeadlineExceededError if a call that begins at `start` may end after `deadline`."""
    if start + CALL_SECONDS > deadline:
        raise DeadlineExceededError("the function's time is up", "redrive it")


@dataclass
class Budget:
    """As many slots as writes in a second, over all threads. Times are of `clock`, in seconds.

    A slot is free again a second after its write has its answer: somewhere in between it reaches AWS. A
    share that is not whole is rounded down: the instances know nothing of each other, so that all stay inside
    the budget only if each does.
    """

    writes_per_second: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    """Goes on between two invocations, when Lambda freezes the instance and `clock` may stand still."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _free_at: list[float] = field(init=False)
    _idle_since: float = field(init=False)

    def __post_init__(self) -> None:
        self._leave_a_second_to_others()

    @contextmanager
    def invocation(self) -> Iterator[None]:
        """Enter the block for each invocation: one that comes after a pause begins like a new instance."""
        if self.now() - self._idle_since > PAUSE_SECONDS:
            self._leave_a_second_to_others()
        try:
            yield
        finally:
            self._idle_since = self.now()

    @contextmanager
    def slot(self, deadline: float, refresh: Callable[[], None] | None = None) -> Iterator[None]:
        """Enter the block when its write may begin; raise DeadlineExceededError if that is too late.

        A wait longer than LEAD_SECONDS ends with `refresh`, so that it takes nothing of the second.
        """
        free_at, begun = self._take(deadline), False
        try:
            if refresh and free_at - LEAD_SECONDS > self.clock():
                self.sleep(free_at - LEAD_SECONDS - self.clock())
                refresh()
            self.sleep(max(0, free_at - self.clock()))
            begun = True
            yield
        finally:
            with self._lock:
                heappush(self._free_at, self.clock() + WINDOW_SECONDS if begun else free_at)

    def _take(self, deadline: float) -> float:
        """Return when the slot may be used that is free first."""
        while True:
            require_time(self.clock(), deadline)
            with self._lock:
                if self._free_at:
                    require_time(self._free_at[0], deadline)
                    return heappop(self._free_at)
            self.sleep(POLL_SECONDS)

    def _leave_a_second_to_others(self) -> None:
        """Begin no write for a second: one that was killed, or that ran until now, may have used it."""
        self._idle_since = self.now()
        self._free_at = [self.clock() + WINDOW_SECONDS] * int(self.writes_per_second)
