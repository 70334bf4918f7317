"""What was done while failing over, as JSON lines: written before each call, so that a kill hides nothing."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from replicas.aws.held import Held
from replicas.errors import OperatorError

PROMOTE, HOLD, REMOVE, REPLICATE, RELEASE = "promote", "hold", "remove", "replicate", "release"
BEGUN, DONE = "begun", "done"


class JournalError(OperatorError):
    """The journal cannot be used: that is so for every secret."""


@dataclass(frozen=True)
class Entry:
    """One step. `result` is begun, done, or why it failed; `regions` have their KMS key, empty for AWS's."""

    time: str
    action: str
    region: str
    arn: str
    name: str
    primary_region: str
    current: str
    versions: Mapping[str, Sequence[str]]
    result: str
    regions: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """The ARN without its Region."""
        return self.arn.replace(f":{self.region}:", "::", 1)


@dataclass
class Journal:
    """A file that is only ever appended to. Several threads may write."""

    file: Path
    clock: Callable[[], float] = time.time
    cut_short: bool = False
    """Whether a kill or a full disk may have left half a line at its end."""
    steps: dict[str, list[Entry]] = field(default_factory=dict)
    """About each secret since it was last given back, by its identity, the oldest first."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(
        self,
        action: str,
        held: Held,
        result: str,
        *,
        primary_region: str = "",
        regions: Mapping[str, str] | None = None,
    ) -> None:
        """Have a step on the disk when this returns, about a secret as it was last seen."""
        entry = Entry(
            time=datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="milliseconds"),
            action=action,
            region=held.region,
            arn=held.arn,
            name=held.name,
            primary_region=primary_region or held.primary_region,
            current=held.current,
            versions=held.versions,
            result=result,
            regions=regions or {},
        )
        line = json.dumps(asdict(entry)) + "\n"
        with self._lock, _said_of(self.file, "set that right, and run it again"):
            before, self.cut_short = "\n" if self.cut_short else "", True
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(before + line)
                stream.flush()
                os.fsync(stream.fileno())
            self.cut_short = False
            self.keep(entry)

    @contextmanager
    def step(
        self, action: str, held: Held, primary_region: str = "", regions: Mapping[str, str] | None = None
    ) -> Iterator[None]:
        """Write that a step begins, and after the block that it is done, if no error ends it."""
        self.note(action, held, BEGUN, primary_region=primary_region, regions=regions)
        yield
        self.note(action, held, DONE, primary_region=primary_region, regions=regions)

    def keep(self, entry: Entry) -> None:
        """Keep a step that is in the file, unless it ends all that was done about the secret."""
        if entry.action == RELEASE and entry.result == DONE:
            self.steps.pop(entry.identity, None)
        else:
            self.steps.setdefault(entry.identity, []).append(entry)

    def promotion(self, identity: str) -> Entry | None:
        """Return what the copy was when it was last asked to stand alone."""
        begun = (step for step in reversed(self.steps.get(identity, ())) if step.result == BEGUN)
        return next((step for step in begun if step.action == PROMOTE), None)

    def promoted(self) -> dict[str, Entry]:
        """Return the secrets that were promoted and not given back, by their identity."""
        return {identity: entry for identity in self.steps if (entry := self.promotion(identity))}


def read_journal(file: Path, clock: Callable[[], float] = time.time) -> Journal:
    """Return the journal, an empty one if there is none; raise JournalError if it cannot be used.

    A line that a kill cut short is passed over.
    """
    with _said_of(file, "name another file with --journal"):
        if file.exists() and not file.is_file():
            raise OSError(0, "it is no file")
        text = file.read_text("utf-8") if file.exists() else ""
    journal = Journal(file, clock, cut_short=bool(text) and not text.endswith("\n"))
    for line in text.splitlines():
        with suppress(TypeError, ValueError):
            journal.keep(Entry(**json.loads(line)))
    return journal


@contextmanager
def _said_of(file: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise JournalError(
            f"The journal {file} cannot be used ({said}), and without it nothing is done: {remedy}"
        ) from error
