"""A command as a person runs it, in an environment that may hold anything. It must leave nothing behind."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.aws import observe

ROOT = Path(__file__).parents[2]
SECONDS = 240
POISON = {
    "AWS_PROFILE": "a-real-account",
    "AWS_ACCESS_KEY_ID": "real",
    "AWS_SESSION_TOKEN": "real",
    "AWS_REGION": "eu-south-1",
    "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9",
    "SAM_CLI_TELEMETRY": "1",
    "POLICY_FILE": "no-such-file",
}
"""What a person's shell may hold. Nothing of it may matter."""


@dataclass(frozen=True)
class Run:
    """A command under way, its output in files, everything temporary in one folder."""

    process: subprocess.Popen[bytes]
    folder: Path
    temporary: Path

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text("utf-8")

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text("utf-8")

    def wait_for(self, text: str) -> None:
        observe.until(lambda: text in self.out or self.process.poll() is not None, SECONDS)
        assert text in self.out, self.err

    def end(self) -> int:
        """Wait for its end; return its exit code, and fail if it left anything behind."""
        code = self.process.wait(SECONDS)
        assert processes_of(self.temporary) == []
        assert list(self.temporary.iterdir()) == []
        return code


def processes_of(temporary: Path) -> list[str]:
    """Return the command lines that name this folder or have it in their environment."""
    return [line for process in psutil.process_iter() if (line := _line(process, str(temporary)))]


def _line(process: psutil.Process, folder: str) -> str:
    with suppress(psutil.Error):
        line = " ".join(process.cmdline())
        if folder in line or any(folder in value for value in process.environ().values()):
            return line
    return ""


@contextmanager
def running(command: Sequence[str], folder: Path, root: Path = ROOT) -> Iterator[Run]:
    """Run the command as a terminal does: in a process group of its own."""
    temporary = folder / "tmp"
    temporary.mkdir()
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            command,
            cwd=root,
            env={**os.environ, **POISON, "TMPDIR": str(temporary)},
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            yield Run(process, folder, temporary)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(SECONDS)
