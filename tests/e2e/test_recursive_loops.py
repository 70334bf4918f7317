"""A sweep of more pages than Lambda runs of one chain, deployed: with `RecursiveLoop`, and without."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from local.aws.lineage import MAX_INVOCATIONS
from local.aws.observe import FunctionLog
from local.stack import STACK, Stack, Variant, describe, local_stack
from tests.e2e.world import World, service

pytestmark = pytest.mark.xdist_group("strict e2e")

ON_A_PAGE = 2
PAGES = MAX_INVOCATIONS + 8


NAMES = [f"looped/{number}" for number in range(PAGES * ON_A_PAGE)]


@pytest.fixture(scope="module")
def small_pages() -> Iterator[World]:
    """A stack whose Secrets Manager lists two secrets at a time: pages need not be large to be many."""
    variant = Variant(worlds=f"secrets_on_a_page={ON_A_PAGE}")
    with local_stack(lambda _text: nullcontext(), variant=variant) as stack:
        world = World(stack, FunctionLog(stack.clients.logs, stack.log_group))
        for name in NAMES:
            world.create(name=name)
        yield world


def sweep(world: World, region: str) -> None:
    """Have all secrets selected for this Region, and begin a sweep."""
    for name in NAMES:
        world.tag(name, {"replicate-to": region})
    world.send('{"sweep": {}}')


def replicated(world: World, region: str) -> int:
    return sum(region in world.replicas(name) for name in NAMES)


def stopped(stack: Stack) -> float:
    """Return what RecursionStoppedAlarm watches."""
    (series,) = service(stack, "cloudwatch").get_metric_data(
        StartTime=0,
        EndTime=4_000_000_000,
        MetricDataQueries=[
            {
                "Id": "dropped",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/Lambda",
                        "MetricName": "RecursiveInvocationsDropped",
                        "Dimensions": [{"Name": "FunctionName", "Value": stack.function_name}],
                    },
                    "Period": 60,
                    "Stat": "Sum",
                },
            }
        ],
    )["MetricDataResults"]
    return float(sum(series["Values"]))


def take_the_property_away(stack: Stack) -> None:
    """Deploy the same template without `RecursiveLoop`."""
    home = stack.clients
    template: Any = home.cloudformation.get_template(StackName=STACK, TemplateStage="Processed")[
        "TemplateBody"
    ]
    del template["Resources"]["ReplicatorFunction"]["Properties"]["RecursiveLoop"]
    described = home.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    home.cloudformation.update_stack(
        StackName=STACK,
        TemplateBody=json.dumps(template, separators=(",", ":")),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[
            {"ParameterKey": given["ParameterKey"], "UsePreviousValue": True}
            for given in described["Parameters"]
        ],
    )
    home.cloudformation.get_waiter("stack_update_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})
    describe(stack.aws, home)


def visible(stack: Stack) -> int:
    attributes = stack.clients.queues.get_queue_attributes(
        QueueUrl=stack.queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(attributes["Attributes"]["ApproximateNumberOfMessages"])


def test_a_sweep_comes_to_its_end_because_the_template_lets_the_function_feed_its_queue(
    small_pages: World,
) -> None:
    sweep(small_pages, "eu-west-1")
    small_pages.wait(lambda: replicated(small_pages, "eu-west-1") == len(NAMES))
    assert stopped(small_pages.stack) == 0


def test_without_the_property_a_sweep_stops_after_sixteen_pages(small_pages: World) -> None:
    """The last here: the stack stays as it is then."""
    take_the_property_away(small_pages.stack)
    sweep(small_pages, "us-west-2")
    small_pages.wait(lambda: stopped(small_pages.stack) and not visible(small_pages.stack))
    assert 0 < replicated(small_pages, "us-west-2") <= MAX_INVOCATIONS * ON_A_PAGE < len(NAMES)
