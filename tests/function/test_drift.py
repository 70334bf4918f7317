"""What cannot be mended from here is said and counted, once in a sweep; it never blocks a message."""

import json
from typing import Any

import pytest

from local.secrets_manager.model import DAY, Fault, Outcome
from secret_replicator.planner import HOLD_TAG
from tests.support.world import HOME, Lines, World

RULED = {"environment": "prod", "criticality": "high"}
"""Tags by which a rule asks for us-west-2."""
NAME_TAKEN = Fault("ResourceExistsException", "The operation failed because the secret already exists.")


def drift(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return Region and kind of each drift that was logged, and hold each line to saying what to do."""
    found = [line for line in lines if line["message"] == "drift_found"]
    assert all(line["level"] == "WARNING" and line["what_to_do"] for line in found)
    return [(line["region"], line["kind"]) for line in found]


def counted(printed: str) -> dict[str, float]:
    records = [json.loads(line) for line in printed.splitlines() if '"Drift"' in line]
    return {record["kind"]: sum(record["Drift"]) for record in records}


def swept(world: World) -> World:
    world.queues.send('{"sweep": {"id": "a sweep"}}')
    world.deliver_until_empty()
    return world


def test_an_unwanted_replica_is_said_once_in_a_sweep(
    world: World, log_lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    world.converge("orders/db", "eu-west-1 us-west-2")
    world.secrets.secret(HOME, "orders/db").tags["replicate-to"] = "eu-west-1"
    swept(world)
    assert drift(log_lines()) == [("us-west-2", "unwanted")]
    assert counted(capsys.readouterr().out) == {"unwanted": 1}
    assert not world.queues.dead_letters
    swept(world)
    assert len(drift(log_lines())) == 2


def test_a_replica_with_another_key_is_said_and_its_secret_converged(world: World, log_lines: Lines) -> None:
    world.secrets.set_key("us-west-2", "alias/payments")
    world.converge("orders/db", "us-west-2")
    world.secrets.secret(HOME, "orders/db").tags["team"] = "payments"
    swept(world)
    assert drift(log_lines()) == [("us-west-2", "kms_key")]
    assert log_lines()[-2]["outcome"] == "converged"


def test_drift_of_a_secret_that_waits_is_said_when_it_waits_no_more(world: World, log_lines: Lines) -> None:
    world.converge("orders/db", "us-west-2")
    world.secrets.worlds.seconds_in_progress = 100
    world.secrets.secret(HOME, "orders/db").tags["replicate-to"] = "eu-west-1"
    swept(world)
    assert drift(log_lines()) == [("us-west-2", "unwanted")]


def test_a_managed_secret_that_only_a_rule_asks_for_is_said_and_skipped(
    world: World, log_lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    world.secrets.add_secret(HOME, "orders", tags=RULED, owning_service="rds")
    swept(world)
    assert drift(log_lines()) == [("", "managed_by_service")]
    assert counted(capsys.readouterr().out) == {"managed_by_service": 1}
    assert not world.queues.dead_letters
    assert not world.calls("ReplicateSecretToRegions")


@pytest.mark.parametrize(
    "tags",
    [pytest.param({"replicate-to": "us-west-2"}, id="its tag asks"), pytest.param(RULED, id="a rule asks")],
)
def test_a_secret_that_is_held_is_left_alone_and_said(
    world: World, log_lines: Lines, capsys: pytest.CaptureFixture[str], tags: dict[str, str]
) -> None:
    world.secrets.add_secret(HOME, "db", tags=tags | {HOLD_TAG: f"a promoted\x1b[2J copy {'-' * 200}"})
    swept(world.having(prune_replicas=True))
    assert drift(log_lines()) == [("", "held")]
    assert counted(capsys.readouterr().out) == {"held": 1}
    (line,) = [line for line in log_lines() if line.get("reason") == "held"]
    said = f"a promoted [2J copy {'-' * 60}…"
    assert (line["outcome"], line["plan"]) == ("skipped", {"drift": [f"held ({said})"]})
    assert not world.calls("ReplicateSecretToRegions")
    assert not world.queues.dead_letters


def test_a_hold_tag_selects_nothing_and_a_replica_that_has_it_is_a_replica(
    world: World, log_lines: Lines
) -> None:
    world.add("untagged", **{HOLD_TAG: ""})
    world.secrets.add_secret(
        HOME, "replica", tags={"replicate-to": "all", HOLD_TAG: ""}, primary_region="eu-west-1"
    )
    world.send("untagged")
    world.send("replica")
    world.deliver()
    assert [line["reason"] for line in log_lines()] == ["not_selected", "replica"]


def test_a_tag_key_with_a_typo_is_skipped_and_said(
    world: World, log_lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add("orders/db", Replicate_To="dr")
    world.send("orders/db")
    world.deliver()
    line, _ = log_lines()
    assert (line["outcome"], line["reason"]) == ("skipped", "not_selected")
    assert line["similar_tag"] == "Replicate_To"
    assert drift(log_lines()) == [("", "similar_tag")]
    assert counted(capsys.readouterr().out) == {"similar_tag": 1}
    assert not world.calls("ReplicateSecretToRegions")


def promoted(world: World, **tags: str) -> None:
    """Let the replica in us-west-2 become a secret of its own, whose name then stands in the way."""
    world.secrets.worlds.old_primary_shows = "nothing"  # else nothing says so from here
    world.add("orders/db", **tags)
    world.send("orders/db")
    world.deliver_until_empty()
    world.secrets.handle("StopReplicationToReplica", "us-west-2", {"SecretId": "orders/db"})


def test_a_promoted_replica_that_only_a_rule_asks_for_is_said_and_not_dead_lettered(
    world: World, log_lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    promoted(world, **RULED)
    swept(world)
    assert drift(log_lines()) == [("us-west-2", "name_taken")]
    assert counted(capsys.readouterr().out) == {"name_taken": 1}
    assert not world.queues.dead_letters
    last = log_lines()[-2]
    assert (last["outcome"], last["reason"], last["attempt"]) == ("skipped", "name_taken", 10)
    assert len(world.calls("ReplicateSecretToRegions")) <= 11, "it is not tried for ever"


def test_a_promoted_replica_that_the_tag_asks_for_is_dead_lettered(world: World, log_lines: Lines) -> None:
    promoted(world, **RULED, **{"replicate-to": "dr"})
    swept(world)
    assert world.only_dead_letter()["FailedRegions"] == "us-west-2"
    assert not drift(log_lines())


def test_a_call_that_aws_refuses_for_the_name_is_said_and_not_dead_lettered(
    world: World, log_lines: Lines
) -> None:
    world.add("orders/db", **RULED)
    world.secrets.fail_next("ReplicateSecretToRegions", NAME_TAKEN, NAME_TAKEN)
    swept(world)
    assert drift(log_lines()) == [("us-west-2", "name_taken")]
    assert not world.queues.dead_letters


def test_a_name_that_is_taken_does_not_hide_what_the_tag_asks_for(world: World, log_lines: Lines) -> None:
    promoted(world, **RULED, **{"replicate-to": "eu-west-1 eu-wst-1"})
    world.queues.dead_letters.clear()
    swept(world)
    dead_letter = world.only_dead_letter()
    assert (dead_letter["FailedRegions"], dead_letter["ErrorType"]) == ("eu-wst-1", "RegionProblem")
    assert drift(log_lines()) == [("us-west-2", "name_taken")]
    assert world.status("orders/db")["eu-west-1"] == "InSync"


def test_a_failure_of_another_kind_is_dead_lettered_though_only_a_rule_asks(
    world: World, log_lines: Lines
) -> None:
    world.secrets.set_outcome("orders/db", "us-west-2", Outcome("Failed", "words that nobody knows"))
    world.add("orders/db", **RULED)
    swept(world)
    assert "words that nobody knows" in world.only_dead_letter()["ErrorMessage"]
    assert not drift(log_lines())


def test_a_name_that_is_taken_is_reported_to_whoever_asks_by_hand(world: World) -> None:
    world.add("orders/db", **RULED)
    world.secrets.fail_next("ReplicateSecretToRegions", NAME_TAKEN)
    answer = world.app.handle_one({"secret_id": "orders/db"}, 1e12, "request-1")
    assert (answer["outcome"], answer["reason"]) == ("skipped", "name_taken")


@pytest.mark.parametrize(
    ("last_read_days", "kept"), [(None, False), (0, True), (7, True), (8.5, False), (30, False)]
)
def test_a_replica_that_was_read_lately_is_not_removed_but_checked_again(
    world: World, log_lines: Lines, last_read_days: float | None, *, kept: bool
) -> None:
    world.converge("orders/db", "eu-west-1 us-west-2")
    secret = world.secrets.secret(HOME, "orders/db")
    secret.tags["replicate-to"] = "eu-west-1"
    if last_read_days is not None:
        day = (world.clock() - last_read_days * DAY) // DAY * DAY
        secret.replicas["us-west-2"].last_accessed = day
    pruning = swept(world.having(prune_replicas=True))
    assert ("us-west-2" in pruning.status("orders/db")) is kept
    assert drift(log_lines()) == ([("us-west-2", "recently_read")] if kept else [])
    pruning.clock.advance(9 * DAY)
    swept(pruning)
    assert set(pruning.status("orders/db")) == {"eu-west-1"}
    assert not pruning.queues.dead_letters


def test_the_tag_none_with_prune_removes_what_only_the_tag_asked_for(world: World) -> None:
    world.add("orders/db", to="eu-west-1 us-west-2", **RULED)
    world.send("orders/db")
    world.deliver_until_empty()
    world.secrets.secret(HOME, "orders/db").tags["replicate-to"] = "none"
    pruning = swept(world.having(prune_replicas=True))
    assert set(pruning.status("orders/db")) == {"us-west-2"}
    world.secrets.secret(HOME, "orders/db").tags["criticality"] = "low"
    swept(pruning)
    world.secrets.handle("DeleteSecret", HOME, {"SecretId": "orders/db"})


def test_plan_mode_says_drift_too(world: World, log_lines: Lines) -> None:
    world.converge("orders/db", "eu-west-1 us-west-2")
    world.secrets.secret(HOME, "orders/db").tags["replicate-to"] = "eu-west-1"
    swept(world.having(mode="plan"))
    assert drift(log_lines()) == [("us-west-2", "unwanted")]
