"""Lets the function's threads run one at a time, from AWS call to AWS call, in an order that the test draws.

Two instances of the function can be played at once. Between two calls nothing runs: there the test looks at
the world, changes it, or ends an instance as SIGKILL would. So a race is an ordinary, repeatable test case.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local.secrets_manager.model import ManualClock
from secret_replicator.app import App
from secret_replicator.messages import Request
from secret_replicator.models import Outcome
from secret_replicator.reconciler import Attempt
from secret_replicator.work_queue import WorkQueue

STUCK_SECONDS = 60


class KilledError(BaseException):
    """The process of this instance is gone."""


@dataclass(eq=False)
class Instance:
    """One batch in one instance. `workers` is how many of its records are well-formed."""

    number: int
    handle: Callable[[], Mapping[str, Any]]
    workers: int
    killed: bool = False
    answer: Mapping[str, Any] | None = None
    error: Exception | None = None


@dataclass(eq=False, repr=False)
class _Pause:
    instance: Instance
    name: str
    until: float
    go: threading.Event = field(default_factory=threading.Event)


class Conductor:
    """Its `pause` stands before every AWS call and in place of every sleep."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._running = 0
        self._pauses: list[_Pause] = []
        self._playing: dict[int, Instance] = {}
        self._here = threading.local()

    def play(
        self, instances: Sequence[Instance], choices: Sequence[int], between: Callable[[int], None]
    ) -> None:
        """Run the instances to their ends. `between` is called before every step, and at the end."""
        self._running = sum(instance.workers or 1 for instance in instances)
        self._playing = {instance.number: instance for instance in instances}
        threads = [threading.Thread(target=self._run, args=(instance,)) for instance in instances]
        for thread in threads:
            thread.start()
        step = 0
        while self._everyone_waits():
            between(step)
            self._let_one_go(choices[step] if step < len(choices) else 0)
            step += 1
        for thread in threads:
            thread.join()
        between(step)

    def pause(self, seconds: float = 0) -> None:
        """Wait to be let go, not before this time has passed. Others than the function do not wait."""
        here: _Pause | None = getattr(self._here, "pause", None)
        if here is None:
            return
        pause = _Pause(here.instance, here.name, self._clock() + seconds)
        if not pause.instance.killed:
            with self._changed:
                self._pauses.append(pause)
                self._running -= 1
                self._changed.notify_all()
            assert pause.go.wait(STUCK_SECONDS), "the test never let this thread go on"
        if pause.instance.killed:
            raise KilledError

    def here(self) -> "_Pause":
        """Return what stands for the thread that is running."""
        return self._here.pause

    @contextmanager
    def worker(self, number: int, name: str) -> Iterator[None]:
        """Stand around what one thread of the pool does."""
        instance = self._playing[number]
        self._here.pause = _Pause(instance, name, 0)
        try:
            self.pause()
            yield
        finally:
            with self._changed:
                instance.workers -= 1
                if instance.workers:  # the last one makes room for the thread that waits for them all
                    self._running -= 1
                    self._changed.notify_all()

    def _run(self, instance: Instance) -> None:
        self._here.pause = _Pause(instance, "", 0)
        try:
            instance.answer = instance.handle()
        except KilledError:
            pass
        except Exception as error:  # noqa: BLE001 - the test's own thread raises it again
            instance.error = error
        finally:
            with self._changed:
                self._running -= instance.workers or 1
                self._changed.notify_all()

    def _everyone_waits(self) -> bool:
        with self._changed:
            still = self._changed.wait_for(lambda: self._running == 0, STUCK_SECONDS)
        assert still, "a thread of the function neither ended nor called AWS"
        return bool(self._pauses)

    def _let_one_go(self, choice: int) -> None:
        now = max(self._clock(), min(pause.until for pause in self._pauses))
        self._clock.now = now
        ready = [pause for pause in self._pauses if pause.until <= now or pause.instance.killed]
        ready.sort(key=lambda pause: (not pause.instance.killed, pause.instance.number, pause.name))
        pause = ready[choice % len(ready)]
        self._pauses.remove(pause)
        self._running += 1
        pause.go.set()


class ConductedQueue(WorkQueue):
    """The function's queues, with one sender only: the thread that is conducted."""

    def enqueue(self, bodies: Sequence[str], delay_seconds: int = 0) -> None:
        for start in range(0, len(bodies), 10):
            self._send(bodies[start : start + 10], delay_seconds)


@dataclass(frozen=True, kw_only=True)
class ConductedApp(App):
    """The function, with a conductor before its threads."""

    conductor: Conductor
    number: int

    def do(self, request: Request, attempt: Attempt) -> Outcome:
        with self.conductor.worker(self.number, f"{request.secret_id} {request.event_id} {attempt.number}"):
            return super().do(request, attempt)
