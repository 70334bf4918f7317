"""A hundred secrets in ten Regions of which AWS refuses some, on virtual time: so every run says the same."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from local.secrets_manager import transport
from local.secrets_manager.model import Call, Params
from secret_replicator.app import make_app
from secret_replicator.budget import Budget
from tests.support.fakes.queues import DEAD_LETTER_QUEUE_URL, QUEUE_URL
from tests.support.model.one_by_one import OneByOne
from tests.support.model.queues import ModelQueues
from tests.support.model.virtual_time import TimedApp, TimedQueue, VirtualTime
from tests.support.world import FUNCTION_SECONDS, HOME, World, make_world
from tools.bench.stage import our_function

REGIONS = (
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "sa-east-1",
    "us-west-2",
)
SECONDS_IN_PROGRESS = 3
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Run:
    """How long it took until all Regions that can be had were InSync, and the writes until then."""

    seconds: float
    writes: int
    dead_letters: int


class _Account:
    def __init__(self, world: World, call_seconds: float, writes_per_second: int, instances: int) -> None:
        self.time = VirtualTime()
        self.began = self.time()
        self.secrets, self.call_seconds, self.instances = world.secrets, call_seconds, instances
        self.secrets._clock = self.secrets.replication._clock = self.secrets.listing._clock = self.time
        self.secrets.worlds.seconds_in_progress = SECONDS_IN_PROGRESS
        self.queues = ModelQueues(self.time, self._call_takes_time, lambda _body: None, lambda _name: None)
        self.settings = replace(
            world.app.settings,
            allowed_regions=REGIONS,
            writes_per_second=writes_per_second,
            maximum_concurrency=instances,
        )

    def instance(self) -> None:
        budget = Budget(
            self.settings.writes_per_second / self.instances, self.time, self.time.sleep, self.time
        )
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


def runs() -> dict[str, dict[str, Any]]:
    """Return a run with none refused and one with three, by their number; each in a process of its own."""
    own = {"AWS_REGION": HOME, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    environment = {"PATH": os.environ["PATH"], **our_function().environment, **own}
    found = {}
    for number in ("0", "3"):
        command = [sys.executable, "-m", "tools.bench.refused", number]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        found[number] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(
    refused: int,
    *,
    secrets: int = 100,
    call_seconds: float = 0.05,
    writes_per_second: int = 20,
    instances: int = 2,
) -> Run:
    """Bring secrets into ten Regions of which AWS refuses the first so many."""
    logging.getLogger("secret-replicator").propagate = False
    with TemporaryDirectory(prefix="secret-replicator-") as folder:
        account = _Account(make_world(Path(folder)), call_seconds, writes_per_second, instances)
        account.secrets.regions -= set(REGIONS[:refused])
        for number in range(secrets):
            account.secrets.add_secret(HOME, f"secret/{number:04}", tags={"replicate-to": "all"})
            account.queues.send(f'{{"secret_id": "secret/{number:04}"}}')
        account.time.run(*[account.instance] * instances)
    calls = account.secrets.calls_of("ReplicateSecretToRegions")
    last = _last_needed(calls, secrets * (len(REGIONS) - refused))
    return Run(
        round(last.time - account.began + SECONDS_IN_PROGRESS, 3),
        sum(call.time <= last.time for call in calls),
        len(account.queues.dead_letters),
    )


def _last_needed(calls: list[Call], replicas: int) -> Call:
    """Return the call after which all replicas that can be had were requested."""
    requested: set[tuple[str | None, str]] = set()
    for call in calls:
        if not call.error:
            asked = {(call.secret, entry["Region"]) for entry in call.parameters["AddReplicaRegions"]}
            requested |= asked
            if len(requested) == replicas:
                return call
    raise AssertionError(f"{len(requested)} of {replicas} replicas were requested")


if __name__ == "__main__":
    print(json.dumps(asdict(run(int(sys.argv[1])))))  # noqa: T201  its answer
