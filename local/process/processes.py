"""Child processes that do not outlive us: each leads its own group, and the whole group is stopped."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from replicas import interrupts

STOP_SECONDS = 1
"""How long a process gets to end by itself. None of them has anything to save."""


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
            process = subprocess.Popen(  # noqa: S603  the commands are this package's own
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=inherited,
                start_new_session=True,
            )
            stack.callback(_stop, process)
        yield process


def last_lines(log: Path, count: int = 12) -> str:
    """Return the last lines that are not blank."""
    lines = log.read_text("utf-8", errors="replace").splitlines()
    return "\n".join([line.rstrip() for line in lines if line.strip()][-count:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    with interrupts.shielded():
        _signal_group(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    # macOS answers EPERM when nothing but a zombie is left of the group.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
