"""A hundred secrets in ten Regions of which AWS refuses some, on virtual time: so every run says the same."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from local.secrets_manager.model import Call
from tests.support.model.timed_account import SECONDS_IN_PROGRESS, TimedAccount
from tests.support.world import HOME, make_world
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


@dataclass(frozen=True)
class Run:
    """How long it took until all Regions that can be had were InSync, and the writes until then."""

    seconds: float
    writes: int
    dead_letters: int


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
        world = make_world(Path(folder)).having(
            allowed_regions=REGIONS, writes_per_second=writes_per_second, maximum_concurrency=instances
        )
        account = TimedAccount(world, call_seconds)
        began = account.time()
        account.secrets.regions -= set(REGIONS[:refused])
        for number in range(secrets):
            account.secrets.add_secret(HOME, f"secret/{number:04}", tags={"replicate-to": "all"})
            account.queues.send(f'{{"secret_id": "secret/{number:04}"}}')
        account.time.run(*[account.instance] * instances)
    calls = account.secrets.calls_of("ReplicateSecretToRegions")
    last = _last_needed(calls, secrets * (len(REGIONS) - refused))
    return Run(
        round(last.time - began + SECONDS_IN_PROGRESS, 3),
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
