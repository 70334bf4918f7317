"""Two stacks that are each other's targets, one deployed from what `make package` makes: they get quiet."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.aws.ministack import KEY, LocalAws, clients
from local.aws.observe import FunctionLog
from local.cloudtrail.relay import Delivery, Relay
from local.process.environment import HOME_REGION
from local.stack import Stack, describe
from tests.e2e.world import World, aws_tags
from tools.package import package

pytestmark = pytest.mark.xdist_group("e2e, few secrets")

OTHER_REGION = "eu-west-1"
OTHER_STACK = "other"
"""MiniStack makes the role's name from the stack's alone. On AWS it is unique, and both may have one name."""
BOTH = {"replicate-to": f"{HOME_REGION} {OTHER_REGION}"}


def deploy(aws: LocalAws, files: tuple[Path, Path], how: str, **parameters: str) -> Stack:
    """Deploy as a StackSet does in one Region: a plain template, the code in the Region's own bucket."""
    template, archive = files
    service = partial(
        boto3.Session(KEY, KEY, region_name=OTHER_REGION).client,
        endpoint_url=aws.endpoint,
        verify=str(aws.ca_bundle),
    )
    cloudformation: Any = service("cloudformation")
    if how == "create":
        bucket = f"code-{OTHER_REGION}"
        s3: Any = service("s3")
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": OTHER_REGION})
        s3.put_object(Bucket=bucket, Key=archive.name, Body=archive.read_bytes())
    given = {"CodeBucketPrefix": "code", "AllowedRegions": HOME_REGION, **parameters}
    getattr(cloudformation, f"{how}_stack")(
        StackName=OTHER_STACK,
        TemplateBody=template.read_text("utf-8"),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    )
    cloudformation.get_waiter(f"stack_{how}_complete").wait(StackName=OTHER_STACK, WaiterConfig={"Delay": 1})
    return describe(aws, clients(aws, OTHER_REGION), OTHER_STACK)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return package(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def other(deployed: Stack, files: tuple[Path, Path]) -> Stack:
    return deploy(deployed.aws, files, "create", PruneReplicas="true")


@pytest.fixture
def worlds(deployed: Stack, other: Stack) -> Iterator[tuple[World, World]]:
    """Both stacks, and what CloudTrail tells each of them of its own Region."""
    made = []
    with ExitStack() as running:
        for stack in (deployed, other):
            world = World(stack, FunctionLog(stack.clients.logs, stack.log_group))
            world.relay = Relay(stack.clients, world.deliveries.append)
            running.enter_context(world.relay.running())
            made.append(world)
        yield made[0], made[1]


def requests(deliveries: list[Delivery], secrets: set[str]) -> Counter[str]:
    """Return how often replicas of each of these secrets were requested."""
    return Counter(
        delivery.secret_id
        for delivery in deliveries
        if delivery.call == "ReplicateSecretToRegions" and delivery.secret_id in secrets
    )


def let_the_relay_catch_up(world: World) -> None:
    """Return when the relay has told of all earlier calls. It reads one kind after the other, so twice."""
    for _ in range(2):
        name = world.create()
        world.wait(lambda name=name: name in {delivery.secret_id for delivery in world.deliveries})


def test_two_stacks_that_name_each_other_are_quiet_after_convergence(worlds: tuple[World, World]) -> None:
    here, there = worlds
    arns = {}
    for region, name in ((HOME_REGION, "pair/here"), (OTHER_REGION, "pair/there")):
        arns[name] = clients(here.stack.aws, region).secrets.create_secret(
            Name=name, SecretString="hidden", Tags=aws_tags(BOTH)
        )["ARN"]
    for world, name in ((here, "pair/here"), (there, "pair/there")):
        world.wait(lambda world=world, name=name: "converged" in world.said(name))
    once = [{arns["pair/here"]: 1}, {arns["pair/there"]: 1}]
    here.wait(lambda: [requests(world.deliveries, {*arns.values()}) for world in worlds] == once)
    # Whatever wakes a stack about the other's replica finds nothing to do: an event, by name, and a sweep.
    for _ in range(2):
        for world, name in ((here, "pair/there"), (there, "pair/here")):
            world.ask_for(name)
            world.send(json.dumps({"secret_id": arns[name]}))
        for world in worlds:
            world.send('{"sweep": {}}')
    for world, name in ((here, "pair/there"), (there, "pair/here")):
        world.wait(lambda world=world, name=name: world.said(name).count("skipped replica") >= 4)
    for world, name in ((here, "pair/here"), (there, "pair/there")):
        world.wait(lambda world=world, name=name: world.said(name).count("converged") >= 3)
    for world in worlds:
        let_the_relay_catch_up(world)
    assert [requests(world.deliveries, {*arns.values()}) for world in worlds] == once
    assert not [dead_letter for world in worlds for name in arns for dead_letter in world.dead_letters(name)]


def test_an_upgrade_loses_no_message(other: Stack, files: tuple[Path, Path]) -> None:
    log = FunctionLog(other.clients.logs, other.log_group)
    world = World(other, log)
    names = [f"upgrade/{number}" for number in range(3)]
    for name in names:
        other.clients.secrets.create_secret(Name=name, SecretString="hidden")
        other.clients.sqs.send_message(
            QueueUrl=other.queue_url, MessageBody=json.dumps({"secret_id": name}), DelaySeconds=3
        )
    upgraded = deploy(other.aws, files, "update", PruneReplicas="true", MaxAttempts="12", LogLevel="DEBUG")
    assert (upgraded.queue_url, upgraded.dead_letter_queue_url) == (
        other.queue_url,
        other.dead_letter_queue_url,
    )
    world.wait(lambda: all(world.said(name) == ["skipped not_selected"] for name in names))
