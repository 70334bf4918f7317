"""The numbers that alarms and dashboard read, as the function really prints them."""

import json
from typing import Any

import pytest

from local.secrets_manager.model import Fault
from tests.support.world import World

Numbers = dict[tuple[str, ...], float]


def numbers(capsys: pytest.CaptureFixture[str]) -> Numbers:
    """Return the sum of each metric that was printed, by its name and its further dimensions' values."""
    found: Numbers = {}
    for line in capsys.readouterr().out.splitlines():
        if "_aws" not in line:
            continue
        record: dict[str, Any] = json.loads(line)
        (directive,) = record["_aws"]["CloudWatchMetrics"]
        (names,) = directive["Dimensions"]
        assert record["service"] == "secret-replicator"
        for metric in directive["Metrics"]:
            key = (metric["Name"], *(record[name] for name in names if name != "service"))
            found[key] = found.get(key, 0) + sum(record[metric["Name"]])
    return found


def test_each_region_is_counted_with_its_status(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.add("orders/db", to="eu-west-1 us-west-2")
    world.secrets.add_secret("us-west-2", "orders/db")
    world.send("orders/db")
    world.deliver()
    world.clock.advance(60)
    world.deliver()
    found = numbers(capsys)
    assert found["Replicas", "eu-west-1", "InSync"] >= 1
    # In one world the retry is accepted, and the status InProgress again. It was found Failed all the same.
    assert found[
        "Replicas", "us-west-2", "Failed" if world.secrets.worlds.repeat == "refused" else "InProgress"
    ]
    assert found[("FailedReplicas",)] >= 1


def test_a_skipped_secret_is_counted_with_its_reason(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add("orders/db")
    world.send("orders/db")
    world.deliver()
    found = numbers(capsys)
    assert found["Skipped", "not_selected"] == 1
    assert found[("Skipped",)] == 1


def test_a_secret_that_waits_says_for_how_long_at_each_attempt(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """SQS's own metric leaves out what was received three times and more."""
    world.secrets.worlds.seconds_in_progress = 100_000
    world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    waited = []
    for _ in range(6):
        world.deliver()
        waited.append(numbers(capsys).get(("SecondsWaiting",)))
        world.clock.advance(1000)
    # A new instance leaves its first second to the one that it may replace.
    assert [seconds and round(seconds) for seconds in waited] == [1, 1001, 2001, 3001, 4001, 5001]


def test_calls_are_counted_and_those_that_aws_throttles(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add("orders/db", to="eu-west-1")
    world.secrets.fail_next("DescribeSecret", Fault("ThrottlingException"))
    world.send("orders/db")
    world.deliver_until_empty()
    found = numbers(capsys)
    assert found[("ThrottledCalls",)] == 1
    assert found[("ApiCalls",)] == len(world.secrets.calls_of("DescribeSecret", "ReplicateSecretToRegions"))


def test_a_replica_that_was_removed_is_no_longer_counted(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world = world.having(prune_replicas=True)
    secret = world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    world.deliver_until_empty()
    secret.tags["replicate-to"] = "none"
    capsys.readouterr()
    world.send("orders/db")
    world.clock.advance(60 * 24 * 60 * 60)
    world.deliver()
    assert not [name for name in numbers(capsys) if name[0] == "Replicas"]
    assert world.status("orders/db") == {}
