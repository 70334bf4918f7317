"""Warm functions: one event, batches, a backfill, a sweep."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from local.function.emulator import Emulator
from local.secrets_manager.model import Fault
from tools.bench.measure import Samples, by_turns
from tools.bench.stage import HOME, Stage, batch, processor_seconds, runtime

CALL_SECONDS = 0.05
WRITES_PER_SECOND = 50
INSTANCES = 2
WRITE = "ReplicateSecretToRegions"


@dataclass(frozen=True)
class Backfill:
    """How missing secrets were brought into two Regions."""

    writes: int
    throttles: int
    seconds: float

    @property
    def budget_share(self) -> float:
        """Writes that AWS took, of those that the budget has in this time and the first second."""
        return self.writes / (self.seconds * WRITES_PER_SECOND + WRITES_PER_SECOND)


@dataclass(frozen=True)
class Sweep:
    """What one size of account took: `calls` by operation, memory in megabytes, time in seconds."""

    secrets: int
    checked: int
    calls: dict[str, int]
    list_seconds: float
    check_seconds: float
    resident_megabytes: float


def processor_per_event(stage: Stage, events: int, rounds: int) -> dict[str, Samples]:
    """Return the milliseconds of processor that one missing secret takes, and that its two calls take."""
    numbers = iter(range(events * 2 * (rounds + 1)))
    with ExitStack() as running:
        emulators = {name: running.enter_context(stage.running(name)) for name in ("ours", "calls")}

        def measure(contestant: str) -> float:
            names = [f"warm/{next(numbers)}" for _ in range(events)]
            for name in names:
                stage.missing(name)
            emulator = emulators[contestant]
            before = processor_seconds(emulator) if emulator.process.pid in started else 0.0
            for name in names:
                assert emulator.invoke({"secret_id": name}).payload["outcome"] == "waiting"
            started.add(emulator.process.pid)
            return 1000 * (processor_seconds(emulator) - before) / events

        started: set[int] = set()
        by_turns(emulators, measure, 1)
        return {name: Samples(taken) for name, taken in by_turns(emulators, measure, rounds).items()}


def batch_milliseconds(stage: Stage, rounds: int) -> dict[str, Samples]:
    """Return how long converged secrets take with 50 ms per call."""
    names = [f"batch/{number}" for number in range(10)]
    for name in names:
        stage.converged(name)
    contestants = {"ours, 1": ("ours", 1), "ours, 10": ("ours", 10), "obvious, 10": ("obvious", 10)}
    with ExitStack() as running:
        emulators = {name: running.enter_context(stage.running(name)) for name in ("ours", "obvious")}

        def measure(contestant: str) -> float:
            name, size = contestants[contestant]
            began = time.perf_counter()
            answer = emulators[name].invoke(batch(*names[:size]))
            assert answer.payload == {"batchItemFailures": []}, answer
            return 1000 * (time.perf_counter() - began)

        stage.secrets.faults = lambda *_: Fault(delay_seconds=CALL_SECONDS)
        by_turns(contestants, measure, 1)
        taken = by_turns(contestants, measure, rounds)
        stage.secrets.faults = None
    return {name: Samples(values) for name, values in taken.items()}


def backfill(stage: Stage, contestant: str, secrets: int) -> Backfill:
    """Bring missing secrets into two Regions: two functions, 20 ms per call, AWS's bucket of writes."""
    for number in range(secrets):
        stage.missing(f"{contestant}/{number}")
        stage.queues.send(f'{{"secret_id": "{contestant}/{number}"}}')
    stage.secrets.calls.clear()
    with ExitStack() as running:
        parameters = {"WritesPerSecond": str(WRITES_PER_SECOND), "MaximumConcurrency": str(INSTANCES)}
        emulators = [running.enter_context(stage.running(contestant, **parameters)) for _ in range(INSTANCES)]
        stage.converged("warm-up")
        for emulator in emulators:
            emulator.invoke(batch("warm-up"))
        stage.secrets.calls.clear()
        stage.secrets.writes_per_second = WRITES_PER_SECOND
        stage.secrets.faults = lambda *_: Fault(delay_seconds=0.02)
        stage.drain(emulators, until_seconds=60)
        stage.secrets.faults = None
        stage.secrets.writes_per_second = None
    stage.queues.messages.clear()
    taken = [call.time for call in stage.secrets.calls_of(WRITE) if not call.error]
    throttled = [call for call in stage.secrets.calls if call.error == "ThrottlingException"]
    return Backfill(len(taken), len(throttled), max(taken) - min(taken))


def calls_per_secret(stage: Stage) -> dict[str, dict[str, int]]:
    """Count what AWS is asked for a secret that is created, and for one that is converged."""
    stage.missing("calls/created")
    stage.converged("calls/converged")
    counted = {}
    stage.queues.patient = False
    with stage.running("ours") as emulator:
        for name in ("created", "converged"):
            stage.secrets.calls.clear()
            stage.queues.send(f'{{"secret_id": "calls/{name}"}}')
            stage.drain([emulator], until_seconds=60)
            counted[name] = dict(Counter(call.operation for call in stage.secrets.calls))
    stage.queues.patient = True
    return counted


def sweep(stage: Stage, secrets: int, checks: int) -> Sweep:
    """Sweep an account of this size, page by page; then check `checks` of the secrets it found."""
    for number in range(secrets):
        add = stage.converged if number < checks else stage.missing
        add(f"sweep/{number}")
    stage.secrets.calls.clear()
    stage.list_quickly()
    with stage.running("ours") as emulator:
        emulator.invoke({"secret_id": "nobody"})
        stage.secrets.calls.clear()
        stage.queues.send('{"sweep": {}}')
        list_seconds = _timed(lambda: _sweep_pages(stage, emulator))
        found = [*stage.queues.messages]
        assert len(found) == secrets, f"{len(found)} of {secrets} secrets were found"
        for message_id in found:
            if _number(stage.queues.messages[message_id].body) >= checks:
                del stage.queues.messages[message_id]
        check_seconds = _timed(lambda: stage.drain([emulator], until_seconds=60))
        memory = runtime(emulator).memory_info().rss / 1_000_000
    calls = Counter(call.operation for call in stage.secrets.calls)
    stage.secrets._store[HOME].clear()
    return Sweep(secrets, min(checks, secrets), dict(calls), list_seconds, check_seconds, memory)


def _sweep_pages(stage: Stage, emulator: Emulator) -> None:
    """Hand on the sweep's own message until there is none, and leave the secrets' messages in the queue."""
    while stage.queues.sweeps:
        (message_id,) = stage.queues.sweeps
        stage.queues.messages[message_id].receives = 1
        record = stage.queues.messages[message_id].record()
        stage.queues.settle([record], emulator.invoke({"Records": [record]}).payload)


def _number(body: str) -> int:
    return int(body.partition(":secret:sweep/")[2].partition("-")[0])


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
