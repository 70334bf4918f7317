"""What only the operator may allow: removing, overwriting, and writing at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.secrets_manager.model import ACCESS_DENIED, THROTTLED, Fault
from local.secrets_manager.service import METERED
from local.secrets_manager.worlds import Repeat
from tests.support.world import HOME, Lines, World, make_world


def test_an_unwanted_replica_stays_while_prune_is_off(world: World) -> None:
    world.converge("orders/db", "eu-west-1 us-west-2")
    world.secrets.secret(HOME, "orders/db").tags["replicate-to"] = "eu-west-1"
    world.send("orders/db")
    world.deliver_until_empty()
    assert set(world.status("orders/db")) == {"eu-west-1", "us-west-2"}


def test_an_unwanted_replica_is_removed_with_prune_on(world: World) -> None:
    world.converge("orders/db", "eu-west-1 us-west-2")
    world.secrets.secret(HOME, "orders/db").tags["replicate-to"] = "eu-west-1"
    pruning = world.having(prune_replicas=True)
    pruning.send("orders/db")
    pruning.deliver_until_empty()
    assert set(world.status("orders/db")) == {"eu-west-1"}


def test_a_replica_that_another_call_has_just_removed_makes_no_dead_letter(world: World) -> None:
    world.converge("orders/db", "eu-west-1 us-west-2")
    world.secrets.secret(HOME, "orders/db").tags["replicate-to"] = "eu-west-1"
    world.secrets.fail_next("DescribeSecret", THROTTLED)
    pruning = world.having(prune_replicas=True)
    pruning.send("orders/db")
    pruning.deliver()
    crossed = Fault("InvalidParameterException", "no replica there", after_effect=True)
    world.secrets.fail_next("RemoveRegionsFromReplication", crossed)
    pruning.deliver_until_empty()
    assert set(world.status("orders/db")) == {"eu-west-1"}
    assert not world.queues.dead_letters


def test_a_removal_that_aws_keeps_refusing_is_dead_lettered_with_its_region(world: World) -> None:
    world.converge("orders/db", "eu-west-1 us-west-2")
    world.secrets.secret(HOME, "orders/db").tags["replicate-to"] = "eu-west-1"
    refusal = Fault("InvalidRequestException", "not now")
    world.secrets.fail_next("RemoveRegionsFromReplication", refusal, refusal)
    pruning = world.having(prune_replicas=True)
    pruning.send("orders/db")
    pruning.deliver()
    assert not world.queues.dead_letters
    pruning.deliver_until_empty()
    dead_letter = pruning.only_dead_letter()
    assert (dead_letter["ErrorType"], dead_letter["FailedRegions"]) == ("Refused", "us-west-2")


def test_a_wrong_tag_never_removes_a_replica(world: World) -> None:
    world.converge("orders/db", "eu-west-1")
    world.secrets.secret(HOME, "orders/db").tags["replicate-to"] = "eu-wst-1"
    pruning = world.having(prune_replicas=True)
    pruning.send("orders/db")
    pruning.deliver_until_empty()
    assert set(world.status("orders/db")) == {"eu-west-1"}
    assert pruning.only_dead_letter()["FailedRegions"] == "eu-wst-1"


def test_untagging_is_never_a_request_to_remove(world: World) -> None:
    world.converge("orders/db", "eu-west-1")
    world.secrets.secret(HOME, "orders/db").tags.clear()
    pruning = world.having(prune_replicas=True)
    pruning.send("orders/db")
    pruning.deliver_until_empty()
    assert set(world.status("orders/db")) == {"eu-west-1"}


@pytest.mark.parametrize("allowed", [False, True])
def test_a_same_named_secret_is_overwritten_only_if_rule_and_operator_say_so(
    world: World, *, allowed: bool
) -> None:
    world.secrets.set_key("us-west-2", "alias/payments")
    world.secrets.add_secret("us-west-2", "orders/db", value="theirs")
    world.add("orders/db", to="dr", team="payments")
    switched = world.having(allow_overwrite=allowed)
    switched.send("orders/db")
    switched.deliver_until_empty()
    forced = {
        call.parameters["ForceOverwriteReplicaSecret"] for call in world.calls("ReplicateSecretToRegions")
    }
    assert forced == {allowed}
    assert (world.secrets.secret("us-west-2", "orders/db").value == "theirs") is not allowed


def test_a_rule_overwrites_in_no_region_that_it_does_not_name(world: World) -> None:
    """Its call would replace another team's secret in the Region that only the tag asks for."""
    world.secrets.set_key("us-west-2", "alias/payments")
    for region in ("eu-west-1", "us-west-2"):
        world.secrets.add_secret(region, "orders/db", value="theirs")
    world.add("orders/db", to="eu-west-1", team="payments")
    switched = world.having(allow_overwrite=True)
    switched.send("orders/db")
    switched.deliver_until_empty()
    assert world.secrets.secret("eu-west-1", "orders/db").value == "theirs"
    assert world.status("orders/db")["us-west-2"] == "InSync"
    assert switched.only_dead_letter()["FailedRegions"] == "eu-west-1"


def test_without_a_rule_nothing_is_overwritten_though_the_operator_would_allow_it(world: World) -> None:
    world.secrets.add_secret("us-west-2", "orders/db", value="theirs")
    world.add("orders/db", to="us-west-2")
    switched = world.having(allow_overwrite=True)
    switched.send("orders/db")
    switched.deliver_until_empty()
    assert world.secrets.secret("us-west-2", "orders/db").value == "theirs"


def test_plan_mode_writes_nothing_and_says_what_it_would_do(world: World, log_lines: Lines) -> None:
    world.add("orders/db", to="eu-west-1 eu-wst-1")
    planning = world.having(mode="plan")
    planning.send("orders/db")
    planning.deliver_until_empty()
    assert [call.operation for call in world.secrets.calls] == ["DescribeSecret"]
    (line,) = log_lines()
    assert line["plan"] == {"add": ["eu-west-1"]}
    assert line["reason"].startswith("plan_mode; tag replicate-to asks for eu-wst-1")


def test_a_removal_that_is_denied_is_dead_lettered_with_its_region(world: World) -> None:
    world.converge("orders/db", "eu-west-1 us-west-2")
    world.secrets.secret(HOME, "orders/db").tags["replicate-to"] = "eu-west-1"
    world.secrets.fail_next("RemoveRegionsFromReplication", ACCESS_DENIED, ACCESS_DENIED)
    pruning = world.having(prune_replicas=True)
    pruning.send("orders/db")
    pruning.deliver_until_empty()
    dead_letter = pruning.only_dead_letter()
    assert (dead_letter["ErrorType"], dead_letter["FailedRegions"]) == ("AccessDenied", "us-west-2")


KEYS = st.sampled_from(
    ["replicate-to", "environment", "criticality", "residency", "team", "overwrite", "prune", "aws:x"]
)
WORDS = st.sampled_from(
    [
        "eu-west-1",
        "us-west-2",
        "dr",
        "europe",
        "all",
        "none",
        "prod",
        "high",
        "eu",
        "payments",
        "true",
        "*",
        "-",
        "",
    ]
)
VALUES = st.one_of(st.lists(WORDS, max_size=3).map(" ".join), st.text(max_size=20))
TAGS = st.one_of(
    st.dictionaries(KEYS, VALUES),
    st.just({"team": "payments", "replicate-to": "dr"}),  # a rule would let these overwrite
)


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(lives=st.lists(TAGS, min_size=1, max_size=2))
@pytest.mark.parametrize("repeat", ["accepted", "refused"])
def test_no_tags_remove_or_overwrite_anything_while_the_switches_are_off(
    tmp_path: Path, repeat: Repeat, lives: Sequence[Mapping[str, str]]
) -> None:
    world = make_world(tmp_path, repeat)
    world.secrets.set_key("us-west-2", "alias/payments")
    world.secrets.add_secret("us-west-2", "orders/db", value="theirs")
    secret = world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    world.deliver_until_empty()
    for tags in lives:
        secret.tags = dict(tags)
        world.send("orders/db")
        world.queues.send('{"sweep": {}}')
        world.deliver_until_empty()
    calls = world.secrets.calls_of(*METERED)
    assert {call.operation for call in calls} == {"ReplicateSecretToRegions"}
    assert not any(call.parameters["ForceOverwriteReplicaSecret"] for call in calls)
    assert world.secrets.secret("us-west-2", "orders/db").value == "theirs"
    assert world.status("orders/db")["eu-west-1"] == "InSync"
