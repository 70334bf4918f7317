"""The relay against the local AWS: the deployed rules decide, nothing is lost, nothing comes twice."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from local.cloudtrail.relay import Route, routes
from local.stack import Stack, logical_id
from tests.e2e.world import World
from tests.template.test_rules import TABLE

pytestmark = pytest.mark.xdist_group("e2e")

CHANGED, FAILED, UPDATED = "SecretChangedRule", "ReplicationFailedRule", "SecretLabelUpdatedRule"
WANTED = {(row.values[0], row.values[1]) for row in TABLE if row.values[1]}
"""What moto's engine says of the same patterns: (file of events/, rule)."""


@pytest.fixture(scope="session")
def deployed_routes(deployed: Stack) -> list[Route]:
    return list(routes(deployed.clients))


def test_the_deployed_rules_want_what_another_engine_says_and_nothing_else(
    deployed: Stack, deployed_routes: Sequence[Route], event_files: dict[str, Any]
) -> None:
    test = deployed.clients.events.test_event_pattern
    found = {
        (f"{name}.json", logical_id(route.rule))
        for name, event in event_files.items()
        if "detail-type" in event
        for route in deployed_routes
        if test(EventPattern=route.pattern, Event=json.dumps(event))["Result"]
    }
    assert found == WANTED


def test_every_rule_sends_to_the_replication_queue(deployed: Stack, deployed_routes: Sequence[Route]) -> None:
    queue = deployed.queue_url.rpartition("/")[2]
    sent = {
        (logical_id(route.rule), url.rpartition("/")[2])
        for route in deployed_routes
        for url in route.targets.values()
    }
    assert sent == {(rule, queue) for rule in (CHANGED, FAILED, UPDATED)}


def test_200_quick_creations_are_all_delivered_and_none_twice(relayed: World) -> None:
    names = [relayed.create() for _ in range(200)]
    relayed.wait(lambda: {delivery.secret_id for delivery in relayed.deliveries} == set(names))
    relayed.wait(lambda: all(relayed.said(name) for name in names))
    assert Counter(delivery.secret_id for delivery in relayed.deliveries) == dict.fromkeys(names, 1)
    assert {name: len(relayed.said(name)) for name in names} == dict.fromkeys(names, 1)


def test_a_call_that_no_rule_wants_is_seen_and_not_delivered(relayed: World) -> None:
    name = relayed.create({"replicate-to": "eu-west-1"})
    relayed.wait_for_replicas(name, "eu-west-1")
    relayed.wait(lambda: len(relayed.deliveries) > 3)
    delivered = {(delivery.call, bool(delivery.rules)) for delivery in relayed.deliveries}
    unwanted = ("ReplicateSecretToRegions", "ReplicationStarted", "ReplicationSucceeded")
    assert delivered == {("CreateSecret", True), *((call, False) for call in unwanted)}


def test_the_body_in_the_queue_is_cloudtrails_event_without_the_value(relayed: World) -> None:
    name = relayed.create({"replicate-to": "nowhere"})
    dead_letter = relayed.dead_letter(name)
    event = json.loads(dead_letter.body)
    asked = event["detail"]["requestParameters"]
    assert asked.keys() == {"name", "clientRequestToken", "tags"}
    assert asked["tags"] == [{"key": "replicate-to", "value": "nowhere"}]
    assert event["detail"]["responseElements"] == {"arn": relayed.arn(name)}
    relayed.delete_dead_letter(dead_letter)
