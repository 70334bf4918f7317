"""What others are told through EventBridge, by a rule as the README shows one."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from local.process.environment import ROOT
from tests.e2e.world import VALUE, World
from tests.support.clients import queue_for_rules

pytestmark = pytest.mark.xdist_group("e2e")


@pytest.fixture
def heard(world: World) -> Iterator[str]:
    """The URL of a queue that a rule of somebody else sends our events to."""
    queues, events = world.stack.clients.sqs, world.stack.clients.events
    url, arn = queue_for_rules(queues, "others")
    section = (
        (ROOT / "docs/how-to/get-notified.md").read_text("utf-8").partition("\n## An EventBridge rule\n")[2]
    )
    (shown,) = re.findall(r"```json\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    pattern = json.loads(shown)
    assert pattern["source"] == ["secret-replicator"]
    # The README's rule is for some secrets' failures; here for the test's, whatever becomes of them.
    pattern["detail-type"].append("Secret Replication Converged")
    pattern["detail"]["secret"] = [{"wildcard": "arn:*:secret:e2e/*"}]
    events.put_rule(Name="others", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="others", Targets=[{"Id": "others", "Arn": arn}])
    yield url
    events.remove_targets(Rule="others", Ids=["others"])
    events.delete_rule(Name="others")
    queues.delete_queue(QueueUrl=url)


def told(world: World, url: str, name: str) -> list[dict[str, Any]]:
    found = world.stack.clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    events = [json.loads(message["Body"]) for message in found.get("Messages", [])]
    return [event for event in events if f":secret:{name}-" in event["detail"]["secret"]]


def test_others_are_notified_of_a_secret_that_converged_and_of_one_that_failed(
    world: World, heard: str
) -> None:
    good = world.create({"replicate-to": "eu-west-1"})
    bad = world.create({"replicate-to": "eu-wst-1"})
    for name in (good, bad):
        world.ask_for(name)
    world.wait(lambda: told(world, heard, good) and told(world, heard, bad))
    (converged,), (failed,) = told(world, heard, good), told(world, heard, bad)
    assert converged["detail-type"] == "Secret Replication Converged"
    assert converged["detail"]["regions"] == ["eu-west-1"]
    assert failed["detail-type"] == "Secret Replication Failed"
    assert "eu-wst-1" in failed["detail"]["reason"]
    assert VALUE not in json.dumps([converged, failed])
    world.delete_dead_letter(world.dead_letter(bad))
