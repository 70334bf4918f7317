"""Ctrl-C, `kill` and a closed terminal: stop once, and never while something is begun or cleaned up."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LEAVE_SECONDS = 3
"""How long what is being read has to clean up."""


class Interrupted(KeyboardInterrupt):
    """The person who started us wants us to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


@dataclass
class _State:
    shields: int = 0
    pending: int = 0
    ending: bool = False


_state = _State()


@contextmanager
def installed() -> Iterator[None]:
    """Turn the first signal that asks us to stop into Interrupted; those after it change nothing."""
    _state.pending, _state.ending = 0, False
    before = {number: signal.signal(number, _receive) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def shielded() -> Iterator[None]:
    """Put Interrupted off until the end of the block: what begins in it is also noted for stopping."""
    _state.shields += 1
    try:
        yield
    finally:
        _state.shields -= 1
    if _state.pending and not _state.shields:
        _interrupt(_state.pending)


def end() -> None:
    """From here on everything is being stopped anyway: no signal disturbs it."""
    _state.ending = True


@contextmanager
def reading_threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """Yield threads that write nothing. What ends the block waits for none: a call may hang for minutes."""
    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def leave(code: int) -> None:
    """End the process, where threads still hang in their calls after a while: Python would wait for them."""
    deadline = time.monotonic() + _LEAVE_SECONDS
    others = [each for each in threading.enumerate() if each is not threading.main_thread()]
    working = [thread for thread in others if not thread.daemon]
    with suppress(KeyboardInterrupt):
        for thread in working:
            thread.join(max(0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in working):
        with suppress(OSError, ValueError):
            if sys.stdout:
                sys.stdout.flush()
        os._exit(code)


def _receive(number: int, _frame: FrameType | None) -> None:
    if _state.shields:
        _state.pending = number
    else:
        _interrupt(number)


def _interrupt(number: int) -> None:
    if not _state.ending:
        end()
        raise Interrupted(number)
