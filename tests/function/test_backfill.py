"""Two thousand missing secrets: nobody is throttled, neither we nor a rotation, and no time is lost."""

import logging
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from local.secrets_manager import transport
from local.secrets_manager.model import Params
from secret_replicator.app import make_app
from secret_replicator.budget import Budget
from tests.support.fakes.queues import DEAD_LETTER_QUEUE_URL, QUEUE_URL
from tests.support.model.one_by_one import OneByOne
from tests.support.model.queues import ModelQueues
from tests.support.model.virtual_time import TimedApp, TimedQueue, VirtualTime
from tests.support.world import FUNCTION_SECONDS, HOME, World, make_world

SECRETS = 2_000
INSTANCES = 2
POLL_SECONDS = 0.02
AWS_WRITES_PER_SECOND = 50
ROTATIONS_PER_SECOND = 10


class Backfill:
    """Two instances that poll and work at the same time, each call taking a while, and a rotation beside."""

    def __init__(self, world: World, call_seconds: float, writes_per_second: int) -> None:
        self.time = VirtualTime()
        self.secrets = world.secrets
        self.call_seconds = call_seconds
        self.secrets._clock = self.secrets.replication._clock = self.secrets.listing._clock = self.time
        self.secrets.worlds.seconds_in_progress = 3
        self.secrets.writes_per_second = AWS_WRITES_PER_SECOND
        self.queues = ModelQueues(self.time, self._call_takes_time, lambda _body: None, lambda _name: None)
        self.settings = replace(
            world.app.settings, writes_per_second=writes_per_second, maximum_concurrency=INSTANCES
        )
        self.rotated = 0

    def play(self) -> None:
        self.queues.send('{"sweep": {}}')
        self.time.run(*[self._instance] * INSTANCES, self._rotation)

    def writes(self) -> list[float]:
        return [call.time for call in self.secrets.calls_of("ReplicateSecretToRegions")]

    def _instance(self) -> None:
        budget = Budget(self.settings.writes_per_second / INSTANCES, self.time, self.time.sleep, self.time)
        app = make_app(self.settings, transport.client_maker(self._answer), self.queues, budget, self.time)
        queue = TimedQueue(self.queues, QUEUE_URL, DEAD_LETTER_QUEUE_URL, self.time)
        parts: dict[str, Any] = {part.name: getattr(app, part.name) for part in fields(app)}
        settler = OneByOne(queue, budget.clock)
        parts |= {"settler": settler, "sweeper": replace(app.sweeper, queue=queue)}
        timed = TimedApp(**parts, time=self.time)
        while self.queues.messages:
            self.time.sleep(POLL_SECONDS)
            if batch := self.queues.receive([]):
                records = [message.record() for message in batch]
                answer = timed.handle_batch(records, self.time() + FUNCTION_SECONDS)
                kept = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
                self.queues.delete([message for message in batch if message.message_id not in kept])

    def _rotation(self) -> None:
        while self.queues.messages:
            self.time.sleep(1 / ROTATIONS_PER_SECOND)
            self.secrets.handle("PutSecretValue", HOME, {"SecretId": "rotated", "SecretString": "new"})
            self.rotated += 1

    def _call_takes_time(self) -> None:
        self.time.sleep(self.call_seconds)

    def _answer(self, operation: str, region: str, params: Params) -> Params:
        self._call_takes_time()
        return self.secrets.handle(operation, region, params)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:No application metrics to publish")
@pytest.mark.parametrize(
    ("call_seconds", "writes_per_second"),
    [
        pytest.param(0.05, 20, id="as deployed"),
    ],
)
def test_a_backfill_uses_the_budget_and_throttles_nobody(
    tmp_path: Path, call_seconds: float, writes_per_second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("secret-replicator"), "propagate", False)
    backfill = Backfill(make_world(tmp_path), call_seconds, writes_per_second)
    for number in range(SECRETS):
        backfill.secrets.add_secret(HOME, f"secret/{number:04}", tags={"replicate-to": "eu-west-1"})
    backfill.secrets.add_secret(HOME, "rotated")
    backfill.play()
    writes = backfill.writes()
    assert len(writes) == SECRETS
    assert {call.error for call in backfill.secrets.calls} == {None}, "somebody was throttled"
    assert not backfill.queues.dead_letters
    in_a_second = zip(writes, writes[writes_per_second:], strict=False)
    assert all(after - before > 1 for before, after in in_a_second), "more writes in a second than the budget"
    used = SECRETS / (writes[-1] - writes[0]) / writes_per_second
    assert used >= 0.9, f"{used:.0%} of the budget used"
    assert backfill.rotated > 90 * ROTATIONS_PER_SECOND
