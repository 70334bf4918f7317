"""Instances of the function that poll and work at the same time, on virtual time; each call takes a while."""

from dataclasses import fields, replace
from typing import Any

from local.secrets_manager import transport
from local.secrets_manager.model import Params
from secret_replicator.app import make_app
from secret_replicator.budget import Budget
from tests.support.fakes.queues import DEAD_LETTER_QUEUE_URL, QUEUE_URL
from tests.support.model.one_by_one import OneByOne
from tests.support.model.queues import ModelQueues
from tests.support.model.virtual_time import TimedApp, TimedQueue, VirtualTime
from tests.support.world import FUNCTION_SECONDS, World

POLL_SECONDS = 0.02
SECONDS_IN_PROGRESS = 3


class TimedAccount:
    """A world in which time passes only while everybody waits. Its actors: `time.run(instance, …)`."""

    def __init__(self, world: World, call_seconds: float) -> None:
        self.time = VirtualTime()
        self.secrets, self.settings, self.call_seconds = world.secrets, world.app.settings, call_seconds
        self.secrets._clock = self.secrets.replication._clock = self.secrets.listing._clock = self.time
        self.secrets.worlds.seconds_in_progress = SECONDS_IN_PROGRESS
        self.queues = ModelQueues(self.time, self._call_takes_time, lambda _body: None, lambda _name: None)

    def instance(self) -> None:
        """Work until the queue is empty."""
        share = self.settings.writes_per_second / self.settings.maximum_concurrency
        budget = Budget(share, self.time, self.time.sleep, self.time)
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

    def _call_takes_time(self) -> None:
        self.time.sleep(self.call_seconds)

    def _answer(self, operation: str, region: str, params: Params) -> Params:
        self._call_takes_time()
        return self.secrets.handle(operation, region, params)
