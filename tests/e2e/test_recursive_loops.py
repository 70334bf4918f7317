"""A sweep of more pages than Lambda runs of one chain, deployed: with `RecursiveLoop`, and without."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.aws.lineage import MAX_INVOCATIONS
from local.stack import STACK, Stack, describe
from tests.e2e.world import World, service

pytestmark = pytest.mark.xdist_group("strict e2e")

SECRETS, ON_A_PAGE = 3_000, 100
NAMES = [f"looped/{number:04}" for number in range(SECRETS)]
SELECTED = NAMES[::ON_A_PAGE]
"""One on each page. All others are listed, too, as their tag's key begins like the policy's."""


@pytest.fixture(scope="module")
def large(pruning: World) -> World:
    """A stack with so many secrets that a sweep has about twice the pages that Lambda runs of one chain."""
    with ThreadPoolExecutor(8) as pool:
        [*pool.map(lambda name: pruning.create({"replicate-to-before": "eu-west-1"}, name), NAMES)]
    return pruning


def sweep(world: World, region: str) -> None:
    """Have a secret of each page selected for this Region, and begin a sweep."""
    for name in SELECTED:
        world.tag(name, {"replicate-to": region})
    world.send('{"sweep": {}}')


def replicated(world: World, region: str) -> int:
    return sum(region in world.replicas(name) for name in SELECTED)


def listed(world: World) -> int:
    """Return how many secrets the pages so far had."""
    return sum(line.facts["listed"] for line in world.log.lines if line.event == "page_swept")


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
    attributes = stack.clients.sqs.get_queue_attributes(
        QueueUrl=stack.queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(attributes["Attributes"]["ApproximateNumberOfMessages"])


def test_a_sweep_comes_to_its_end_because_the_template_lets_the_function_feed_its_queue(
    large: World,
) -> None:
    sweep(large, "eu-west-1")
    large.wait(lambda: listed(large) >= SECRETS and not large.unfinished_sweeps())
    large.wait(lambda: replicated(large, "eu-west-1") == len(SELECTED))
    assert stopped(large.stack) == 0


def test_without_the_property_a_sweep_stops_after_sixteen_pages(large: World) -> None:
    """The last here: the stack stays as it is then."""
    take_the_property_away(large.stack)
    sweep(large, "us-west-2")
    large.wait(lambda: stopped(large.stack) and not visible(large.stack))
    assert 0 < replicated(large, "us-west-2") <= MAX_INVOCATIONS < len(SELECTED)
