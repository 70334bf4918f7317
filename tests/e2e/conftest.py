"""One deployed stack on a local AWS, for all e2e tests that need no stack of their own.

The group "e2e, few secrets" has another: it sweeps without the hundreds of secrets of the group "e2e". So has
"strict e2e", whose function may remove replicas.
"""

import json
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from local.aws.ministack import WORLDS
from local.aws.observe import FunctionLog
from local.cloudtrail.relay import Relay
from local.stack import Stack, Variant, local_stack
from tests.e2e.world import World

EVENTS = Path(__file__).parents[2] / "events"


@pytest.fixture(scope="session")
def deployed() -> Iterator[Stack]:
    variant = Variant(worlds=os.environ.get(WORLDS, ""))
    with local_stack(lambda _text: nullcontext(), variant=variant) as stack:
        yield stack


@pytest.fixture(scope="session")
def function_log(deployed: Stack) -> FunctionLog:
    return FunctionLog(deployed.clients.logs, deployed.log_group)


@pytest.fixture(scope="session")
def pruning() -> Iterator[World]:
    """The world of the group "strict e2e": PruneReplicas is on, and there is no relay."""
    variant = Variant({"PruneReplicas": "true"})
    with local_stack(lambda _text: nullcontext(), variant=variant) as stack:
        yield World(stack, FunctionLog(stack.clients.logs, stack.log_group))


@pytest.fixture
def world(deployed: Stack, function_log: FunctionLog) -> World:
    """The world without the relay: CloudTrail's events do not arrive."""
    return World(deployed, function_log)


@pytest.fixture
def relayed(world: World) -> Iterator[World]:
    """The world with the relay."""
    world.relay = Relay(world.stack.clients, world.deliveries.append)
    with world.relay.running():
        yield world


@pytest.fixture
def event_files() -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text("utf-8")) for path in EVENTS.glob("*.json")}
