"""The function between a strict model of Secrets Manager and fake queues, on a clock that the test moves."""

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from local.secrets_manager.model import Call, ManualClock, Secret
from local.secrets_manager.service import StrictSecretsManager
from local.secrets_manager.transport import client_maker
from local.secrets_manager.worlds import Repeat, Worlds, read_worlds
from secret_replicator.app import App, logger, make_app
from secret_replicator.budget import Budget
from secret_replicator.settings import Settings
from tests.support.fakes.queues import DEAD_LETTER_QUEUE_URL, QUEUE_URL, FakeQueues, QueuedMessage
from tests.support.model.oracle import POLICY_FILE

HOME = "us-east-1"
FUNCTION_SECONDS = 45
POLICY = POLICY_FILE.read_text("utf-8")


@dataclass
class World:
    """Everything around the function, and the function."""

    clock: ManualClock
    secrets: StrictSecretsManager
    queues: FakeQueues
    app: App

    def having(self, **changes: Any) -> "World":
        """Return this world with other settings of the function."""
        settings = replace(self.app.settings, **changes)
        return replace(self, app=_app(settings, self.secrets, self.queues, self.clock))

    def add(self, name: str, to: str | None = None, **tags: str) -> Secret:
        if to is not None:
            tags["replicate-to"] = to
        return self.secrets.add_secret(HOME, name, tags=tags)

    def converge(self, name: str, to: str) -> None:
        """Add a secret, and let the function bring it to where it must be."""
        self.add(name, to)
        self.send(name)
        self.deliver_until_empty()

    def send(self, name: str) -> None:
        self.queues.send(f'{{"secret_id": "{name}"}}')

    def deliver(self, seconds: float = FUNCTION_SECONDS) -> int:
        """Let the function handle one batch; say how large it was."""
        return self.queues.deliver(lambda records: self.app.handle_batch(records, self.clock() + seconds))

    def deliver_until_empty(self, batches: int = 200) -> None:
        """Let time pass and the function work until nothing is in the queue."""
        for _ in range(batches):
            if not self.queues.messages:
                return
            self.clock.advance(max(0, min(m.visible_at for m in self.queues.messages) - self.clock()))
            if not self.deliver():  # SQS gives no more while so many are in flight
                later = [m.visible_at for m in self.queues.messages if m.visible_at > self.clock()]
                self.clock.advance(min(later, default=self.clock()) - self.clock())
        raise AssertionError(f"still in the queue after {batches} batches: {self.queues.messages}")

    def status(self, name: str) -> Mapping[str, str]:
        replicas = self.secrets.secret(HOME, name).replicas
        return {region: replica.status for region, replica in replicas.items()}

    def calls(self, operation: str) -> list[Call]:
        return self.secrets.calls_of(operation)

    def only_message(self) -> QueuedMessage:
        (message,) = self.queues.messages
        return message

    def only_dead_letter(self) -> Mapping[str, str]:
        (dead_letter,) = self.queues.dead_letters
        return dead_letter.attributes


def _app(settings: Settings, secrets: StrictSecretsManager, queues: FakeQueues, clock: ManualClock) -> App:
    budget = Budget(settings.writes_per_second / settings.maximum_concurrency, clock, clock.advance, clock)
    return make_app(settings, client_maker(secrets.handle), queues, budget, clock)


def make_world(
    folder: Path,
    repeat: Repeat = "accepted",
    seconds_in_progress: float = 0,
    worlds: Worlds | None = None,
) -> World:
    clock = ManualClock(time.time())
    policy_file = folder / "policy.toml"
    policy_file.write_text(POLICY)
    settings = Settings(
        region=HOME,
        allowed_regions=("eu-west-1", "us-west-2"),
        mode="apply",
        allow_overwrite=False,
        prune_replicas=False,
        prune_idle_days=7,
        writes_per_second=20,
        maximum_concurrency=2,
        max_attempts=10,
        queue_url=QUEUE_URL,
        dead_letter_queue_url=DEAD_LETTER_QUEUE_URL,
        policy_file=policy_file,
    )
    secrets = StrictSecretsManager(
        clock=clock,
        sleep=clock.advance,
        worlds=worlds or Worlds(repeat, seconds_in_progress=seconds_in_progress),
    )
    queues = FakeQueues(clock)
    return World(clock, secrets, queues, _app(settings, secrets, queues, clock))


@pytest.fixture(params=["accepted", "refused"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Both worlds: replicating a Region that is listed already is accepted, or refused as invalid.

    `--worlds` turns the others: pytest tests/function --worlds "primary_region_stays=true".
    """
    given = read_worlds(request.config.getoption("worlds"))
    return make_world(tmp_path, worlds=replace(given, repeat=request.param))


Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log_lines() -> Iterator[Lines]:
    """Return what the function's logger has written, parsed."""
    written = io.StringIO()
    before = logger.registered_handler.setStream(written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    logger.registered_handler.setStream(before)
