"""Where the contestants run: Lambda's runtime emulator, between fakes of all that ours calls."""

import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from local.function.emulator import ARTIFACT, Emulator, emulated, installed
from local.function.template import Function, replicator_function
from local.secrets_manager import transport
from local.secrets_manager.service import StrictSecretsManager
from tests.support.fakes.queues import DEAD_LETTER_QUEUE_URL, QUEUE_URL, VISIBILITY_TIMEOUT, QueuedMessage

HOME = "us-east-1"
REGIONS = "eu-west-1 us-west-2"
HERE = Path(__file__).parent
IDLE_SECONDS = 0.01

_OF_THE_USUAL = ("aws_xray_sdk", "jmespath", "wrapt")
"""What the usual handler packs beside what ours does, as `pip install` does it."""


@dataclass
class HttpQueues:
    """The ReplicationQueue behind HTTP, and Lambda's poller beside it."""

    messages: dict[str, QueuedMessage] = field(default_factory=dict)
    patient: bool = True
    """Whether delays are kept; where only calls are counted, nobody needs to wait."""
    sweeps: set[str] = field(default_factory=set)
    """Which of the messages are a sweep's."""
    _numbers: Iterator[int] = field(default_factory=count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, body: str) -> None:
        now = time.time()
        message = QueuedMessage(f"message-{next(self._numbers)}", body, now, now)
        self.messages[message.message_id] = message
        if body.startswith('{"sweep"'):
            self.sweeps.add(message.message_id)

    def handle(self, operation: str, _region: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Do one call of the function."""
        with self._lock:
            for entry in params["Entries"]:
                if operation == "SendMessageBatch":
                    self.send(entry["MessageBody"])
                else:
                    assert operation == "ChangeMessageVisibilityBatch", operation
                    message = self.messages[entry["ReceiptHandle"].partition("#")[0]]
                    message.visible_at = time.time() + self.patient * entry["VisibilityTimeout"]
            return {"Successful": [{"Id": entry["Id"]} for entry in params["Entries"]], "Failed": []}

    def receive(self) -> list[dict[str, Any]]:
        """Return up to ten visible messages, as Lambda hands them to the function."""
        now = time.time()
        with self._lock:
            visible = (message for message in self.messages.values() if message.visible_at <= now)
            batch = [message for message, _ in zip(visible, range(10), strict=False)]
            for message in batch:
                message.receives += 1
                message.first_received_at = message.first_received_at or now
                message.visible_at = now + VISIBILITY_TIMEOUT
            return [message.record() for message in batch]

    def settle(self, batch: Sequence[Mapping[str, Any]], answer: Mapping[str, Any]) -> None:
        """Delete what the function does not return."""
        kept = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        with self._lock:
            for record in batch:
                if record["messageId"] not in kept:
                    del self.messages[record["messageId"]]
                    self.sweeps.discard(record["messageId"])

    def any_before(self, end: float) -> bool:
        """Tell whether a message will be visible before `end`."""
        with self._lock:
            return any(message.visible_at < end for message in self.messages.values())


@dataclass(frozen=True)
class Stage:
    """The fakes, what leads to them, and a folder for each contestant."""

    secrets: StrictSecretsManager
    queues: HttpQueues
    environment: Mapping[str, str]
    folder: Path
    outcome_events: list[Mapping[str, Any]] = field(default_factory=list)
    """What EventBridge was told."""

    def converged(self, name: str) -> None:
        """Add a secret that is where it must be."""
        self.missing(name)
        wanted = [{"Region": region} for region in REGIONS.split()]
        self.secrets.handle("ReplicateSecretToRegions", HOME, {"SecretId": name, "AddReplicaRegions": wanted})

    def missing(self, name: str) -> None:
        """Add a secret that has no replica yet."""
        self.secrets.add_secret(HOME, name, value=None, tags={"replicate-to": REGIONS})

    def list_quickly(self) -> None:
        """Let ListSecrets give pages of what is there now: the fake's own sorts all for each page."""
        listed = [self.secrets.secret(HOME, name).listed() for name in self.secrets.names(HOME)]

        def page(_region: str, params: Mapping[str, Any]) -> dict[str, Any]:
            start = int(params.get("NextToken", 0))
            end = start + params["MaxResults"]
            return {"SecretList": listed[start:end]} | ({"NextToken": str(end)} if end < len(listed) else {})

        self.secrets._operations["ListSecrets"] = page

    @contextmanager
    def running(self, contestant: str, **parameters: str) -> Iterator[Emulator]:
        """Run a contestant in the emulator until the end of the block."""
        code, handler = self.folder / contestant, f"{contestant}.handler"
        if not code.is_dir():
            _pack(contestant, code)
        function = our_function(**parameters)
        if contestant != "ours":
            function = replace(function, handler=handler)
        # Each in a folder of its own: several of one contestant may run.
        with ExitStack() as stack:
            own = Path(stack.enter_context(_temporary(self.folder)))
            yield stack.enter_context(emulated(function, code, self.environment, own))

    def drain(self, emulators: Sequence[Emulator], *, until_seconds: float) -> None:
        """Let the functions work until no message is visible before `until_seconds` from now."""
        end = time.time() + until_seconds
        with ThreadPoolExecutor(len(emulators)) as pollers:
            for work in [pollers.submit(self._poll, emulator, end) for emulator in emulators]:
                work.result()

    def _poll(self, emulator: Emulator, end: float) -> None:
        while self.queues.any_before(end):
            if batch := self.queues.receive():
                self.queues.settle(batch, emulator.invoke({"Records": batch}).payload)
            else:
                time.sleep(IDLE_SECONDS)


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Give a stage with empty fakes."""
    secrets, queues = StrictSecretsManager(), HttpQueues()
    outcome_events: list[Mapping[str, Any]] = []

    def take(_operation: str, _region: str, params: Mapping[str, Any]) -> dict[str, Any]:
        outcome_events.extend(params["Entries"])
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "taken"} for _ in params["Entries"]]}

    with (
        secrets.serve() as to_secrets,
        transport.serve(queues.handle) as to_queues,
        transport.serve(take) as to_events,
    ):
        environment = {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": to_secrets,
            "AWS_ENDPOINT_URL_SQS": to_queues,
            "AWS_ENDPOINT_URL_EVENTBRIDGE": to_events,
        }
        yield Stage(secrets, queues, environment, folder, outcome_events)


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    own = folder / f"run-{time.monotonic_ns()}"
    own.mkdir()
    try:
        yield own
    finally:
        shutil.rmtree(own)


def our_function(**parameters: str) -> Function:
    """Return our function as template.yaml has it."""
    queues = {"ReplicationQueue": QUEUE_URL, "DeadLetterQueue": DEAD_LETTER_QUEUE_URL}
    return replicator_function({"AllowedRegions": REGIONS.replace(" ", ",")} | parameters, queues)


def batch(*names: str) -> dict[str, object]:
    """Return the event of a batch, one message per secret."""
    return {
        "Records": [QueuedMessage(name, f'{{"secret_id": "{name}"}}', 0, 0, 1).record() for name in names]
    }


def runtime(emulator: Emulator) -> psutil.Process:
    """Return the process that the function runs in."""
    (process,) = psutil.Process(emulator.process.pid).children()
    return process


def processor_seconds(emulator: Emulator) -> float:
    """Return the processor time that the function has used."""
    spent = runtime(emulator).cpu_times()
    return spent.user + spent.system


def _pack(contestant: str, code: Path) -> None:
    """Fill a folder as it would be deployed. Nothing in it is compiled before, as in the artifact."""
    if contestant == "ours":
        _copy(ARTIFACT, code)
        return
    code.mkdir()
    for file in {contestant, "obvious"} if contestant.startswith("obvious") else {contestant}:
        shutil.copy(HERE / "contestants" / f"{file}.py", code)
    if contestant == "usual":
        for package in ARTIFACT.iterdir():
            if package.name not in ("secret_replicator", "policy.toml", "bin"):
                _copy(package, code / package.name)
        for name in _OF_THE_USUAL:
            _copy(installed(name), code / name)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
