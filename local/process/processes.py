"""Child processes that do not outlive us: each is in a group of its own, and the whole group is stopped.

A guard leads the group. It waits for the end of a pipe that nobody but us holds open: so the group ends with
us also where we can do nothing about it any more, after SIGKILL.
"""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from replicas import interrupts

STOP_SECONDS = 1
"""How long a process gets to end by itself. None of them has anything to save."""

_GUARD = ("sh", "-c", "trap '' HUP INT TERM; read -r _; kill -KILL 0")


@contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    inherited: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command in the folder, its output in `log`, until the end of the block.

    `inherited` are the open files it gets. Its own group keeps the terminal's Ctrl-C from it: we stop it.
    """
    with ExitStack() as stack:
        with interrupts.shielded():
            output = stack.enter_context(log.open("wb"))
            guard = subprocess.Popen(  # noqa: S603  its own text
                _GUARD, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
            )
            stack.callback(_reap, guard)
            process = subprocess.Popen(  # noqa: S603  the commands are this package's own
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=inherited,
                process_group=guard.pid,
            )
            stack.callback(_stop, process, guard.pid)
        yield process


def last_lines(log: Path, count: int = 12) -> str:
    """Return the last lines that are not blank."""
    lines = log.read_text("utf-8", errors="replace").splitlines()
    return "\n".join([line.rstrip() for line in lines if line.strip()][-count:])


def _stop(process: subprocess.Popen[bytes], group: int) -> None:
    with interrupts.shielded():
        _signal_group(group, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        _signal_group(group, signal.SIGKILL)
        process.wait()


def _reap(guard: subprocess.Popen[bytes]) -> None:
    with interrupts.shielded():
        _signal_group(guard.pid, signal.SIGKILL)
        guard.communicate()


def _signal_group(group: int, number: int) -> None:
    # macOS answers EPERM when nothing but a zombie is left of the group.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
