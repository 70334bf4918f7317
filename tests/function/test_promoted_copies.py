"""A copy that was promoted, perhaps the live one of a failover, is never overwritten."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from local.secrets_manager.model import ACCESS_DENIED, SERVER_ERROR, Call, Fault, FaultHook, Outcome
from secret_replicator.clients import Clients
from secret_replicator.models import DesiredReplica, Drift, Plan, Secret
from secret_replicator.overwrites import Overwrites
from secret_replicator.planner import HOLD_TAG
from secret_replicator.reconciler import MOMENT_SECONDS
from tests.support.model.events import SHAPES
from tests.support.world import HOME, POLICY, Lines, World

if TYPE_CHECKING:
    from secret_replicator.gateway import Gateway

PAYMENTS = {"team": "payments"}
"""Tags by which a rule asks for us-west-2, and may overwrite there."""
THERE = "us-west-2"
ORDERS = """[[rules]]
match = { app = "orders" }
regions = ["eu-west-1"]
overwrite = true
"""


@pytest.fixture(autouse=True)
def _key(world: World) -> None:
    world.secrets.set_key(THERE, "alias/payments")


@pytest.fixture
def overwriting(world: World) -> World:
    return world.having(allow_overwrite=True)


def promoted(world: World, **tags: str) -> None:
    """Let the replica in us-west-2 become a secret of its own, with a value of its own."""
    world.add("db", **PAYMENTS, **tags)
    world.send("db")
    world.deliver_until_empty()
    world.secrets.handle("StopReplicationToReplica", THERE, {"SecretId": "db"})
    world.secrets.handle(
        "PutSecretValue", THERE, {"SecretId": "db", "SecretString": "written in the worst hour"}
    )


def reconciled(world: World) -> World:
    world.send("db")
    world.deliver_until_empty()
    return world


def value_there(world: World) -> str | None:
    return world.secrets.secret(THERE, "db").value


@pytest.mark.parametrize("shows", ["nothing", "failed"])
def test_it_keeps_its_value_and_is_reported_as_drift(
    overwriting: World, log_lines: Lines, shows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    overwriting.secrets.worlds.old_primary_shows = shows  # type: ignore[assignment]
    promoted(overwriting)
    reconciled(overwriting)
    assert value_there(overwriting) == "written in the worst hour"
    assert not overwriting.queues.dead_letters
    (drift,) = [line for line in log_lines() if line["message"] == "drift_found"]
    assert (drift["region"], drift["kind"]) == (THERE, "promoted")
    assert "replicas rejoin" in drift["what_to_do"]
    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"Drift"' in line]
    assert [record["kind"] for record in counted] == ["promoted"]


def test_the_other_regions_of_its_primary_are_served(overwriting: World) -> None:
    promoted(overwriting, **{"replicate-to": "eu-west-1"})
    reconciled(overwriting)
    assert overwriting.status("db") == {"eu-west-1": "InSync"}
    assert not overwriting.queues.dead_letters


def test_it_ends_at_the_first_attempt(overwriting: World, log_lines: Lines) -> None:
    promoted(overwriting)
    overwriting.send("db")
    overwriting.deliver()
    assert not overwriting.queues.messages
    assert log_lines()[-2]["outcome"] == "converged"


def test_an_event_of_the_functions_own_call_ends_there_too(overwriting: World) -> None:
    promoted(overwriting)
    arn = overwriting.secrets.secret(HOME, "db").arn
    overwriting.queues.send(SHAPES["replication failed, from the replica's Region"](1, "db", arn))
    overwriting.deliver_until_empty()
    assert not overwriting.queues.dead_letters


def test_another_secret_of_the_name_is_overwritten_as_the_rule_says(overwriting: World) -> None:
    overwriting.secrets.add_secret(THERE, "db", value="in the way")
    overwriting.add("db", **PAYMENTS)
    reconciled(overwriting)
    assert overwriting.status("db") == {THERE: "InSync"}
    assert value_there(overwriting) == "a value"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"tags": {"replicate-to": "none"}}, id="its own tag says so"),
        pytest.param({"primary_region": THERE, "tags": PAYMENTS}, id="it has replicas, as a rule asks"),
        pytest.param({"tags": {HOLD_TAG: ""}}, id="it is held"),
    ],
)
def test_a_primary_of_its_own_is_kept(overwriting: World, log_lines: Lines, fields: dict[str, Any]) -> None:
    overwriting.secrets.add_secret(THERE, "db", value="another stack's", **fields)
    overwriting.add("db", **PAYMENTS)
    reconciled(overwriting)
    assert value_there(overwriting) == "another stack's"
    assert [line["kind"] for line in log_lines() if line["message"] == "drift_found"] == ["promoted"]


def test_a_replica_of_another_regions_primary_is_kept(overwriting: World) -> None:
    overwriting.secrets.add_secret(THERE, "db", value="another's", primary_region="eu-central-1")
    overwriting.add("db", **PAYMENTS)
    reconciled(overwriting)
    assert value_there(overwriting) == "another's"
    assert not overwriting.queues.dead_letters


def test_a_replica_of_another_accounts_primary_is_kept() -> None:
    replica = Secret("db-another", "db", {}, primary_region=HOME, cross_account_replica=True)
    gateway = cast("Gateway", SimpleNamespace(describe=lambda *_: replica))
    todo = Plan(add=(DesiredReplica(THERE, overwrite=True),))
    found = Overwrites(lambda _: gateway, HOME, "replicate-to").found(Secret("db-own", "db", {}), todo, 0)
    assert found == {THERE: Drift(THERE, "promoted")}


def test_a_replica_that_has_failed_is_asked_for_again(overwriting: World) -> None:
    overwriting.add("db", **PAYMENTS, **{"replicate-to": "eu-west-1"})
    reconciled(overwriting)
    overwriting.secrets.set_outcome("db", THERE, Outcome("Failed", "no luck", attempts=1))
    overwriting.secrets.handle("PutSecretValue", HOME, {"SecretId": "db", "SecretString": "rotated"})
    reconciled(overwriting)
    in_the_end = {"accepted": "InSync", "refused": "Failed"}[overwriting.secrets.worlds.repeat]
    assert overwriting.status("db") == {THERE: in_the_end, "eu-west-1": "InSync"}


def test_where_nobody_may_overwrite_nothing_is_checked(world: World) -> None:
    world.add("db", **PAYMENTS)
    reconciled(world)
    assert {call.region for call in world.calls("DescribeSecret")} == {HOME}


def refused_there(fault: Fault) -> FaultHook:
    return lambda call, _: fault if (call.operation, call.region) == ("DescribeSecret", THERE) else None


def test_what_may_not_be_described_is_not_overwritten_and_dead_lettered(overwriting: World) -> None:
    overwriting.secrets.add_secret(THERE, "db", value="in the way")
    overwriting.add("db", **PAYMENTS, **{"replicate-to": "eu-west-1"})
    overwriting.secrets.faults = refused_there(ACCESS_DENIED)
    reconciled(overwriting)
    assert value_there(overwriting) == "in the way"
    assert overwriting.status("db") == {"eu-west-1": "InSync"}
    dead_letter = overwriting.only_dead_letter()
    assert (dead_letter["ErrorType"], dead_letter["FailedRegions"]) == ("AccessDenied", THERE)
    assert "secretsmanager:DescribeSecret" in dead_letter["ErrorMessage"]


def test_what_gives_no_answer_is_asked_again(overwriting: World) -> None:
    overwriting.secrets.add_secret(THERE, "db", value="in the way")
    overwriting.add("db", **PAYMENTS)
    overwriting.secrets.faults = refused_there(SERVER_ERROR)
    overwriting.send("db")
    overwriting.deliver()
    assert value_there(overwriting) == "in the way"
    overwriting.secrets.faults = None
    overwriting.deliver_until_empty()
    assert overwriting.status("db") == {THERE: "InSync"}
    assert not overwriting.queues.dead_letters


def test_a_region_that_is_silent_is_waited_for_once_a_minute(overwriting: World) -> None:
    """Or each read before each write would wait for it, and the good Regions' time would be up."""
    for name in ("db", "other"):
        overwriting.add(name, **PAYMENTS, **{"replicate-to": "eu-west-1"})
    overwriting.secrets.faults = refused_there(SERVER_ERROR)
    overwriting.send("db")
    overwriting.deliver()
    overwriting.send("other")
    overwriting.deliver()
    silent = [call for call in overwriting.calls("DescribeSecret") if call.region == THERE]
    assert len(silent) == 1
    assert overwriting.status("other") == {"eu-west-1": "InSync"}
    overwriting.secrets.faults = None
    overwriting.deliver_until_empty()
    assert overwriting.status("other") == {THERE: "InSync", "eu-west-1": "InSync"}


def test_a_silent_region_is_not_waited_for_long() -> None:
    clients = Clients(HOME)
    config = clients.secrets_in(THERE).meta.config
    assert (config.connect_timeout, config.read_timeout) == (1, 2)  # type: ignore[attr-defined]


def slowly_there(change: Callable[[], object]) -> FaultHook:
    """Let the check of us-west-2 take a while, in which something changes at home, the first time."""
    changes = iter([change])

    def faults(call: Call, _random: object) -> Fault | None:
        if (call.operation, call.region) != ("DescribeSecret", THERE):
            return None
        for each in changes:
            each()
        return Fault(delay_seconds=4)

    return faults


@pytest.mark.parametrize(
    ("tags", "replicas"),
    [
        pytest.param(PAYMENTS | {HOLD_TAG: "stop"}, {"eu-west-1"}, id="held"),
        pytest.param(PAYMENTS | {"replicate-to": "eu-west-1"}, {"eu-west-1", THERE}, id="wanted again"),
    ],
)
def test_what_changes_while_it_is_checked_is_seen(
    overwriting: World, tags: dict[str, str], replicas: set[str]
) -> None:
    """A check takes as long as the other Region does: what was read at home before is old by then."""
    secret = overwriting.add("db", "eu-west-1")
    reconciled(overwriting)
    secret.tags = dict(PAYMENTS)
    pruning = overwriting.having(prune_replicas=True)
    pruning.secrets.faults = slowly_there(lambda: setattr(secret, "tags", tags))
    reconciled(pruning)
    assert set(pruning.status("db")) == replicas
    assert not pruning.calls("RemoveRegionsFromReplication")


def test_nothing_is_written_by_what_was_read_before_the_check(overwriting: World) -> None:
    overwriting.add("db", **PAYMENTS)
    overwriting.secrets.faults = slowly_there(lambda: None)
    reconciled(overwriting)
    (write,) = overwriting.calls("ReplicateSecretToRegions")
    read = [call.time for call in overwriting.calls("DescribeSecret") if call.region == HOME]
    assert min(write.time - time for time in read if time <= write.time) <= MOMENT_SECONDS


def test_what_may_be_overwritten_only_now_is_checked_first(overwriting: World, tmp_path: Path) -> None:
    """A rule comes to match while another Region is checked."""
    policy_file = tmp_path / "more.toml"
    policy_file.write_text(f"{POLICY}\n{ORDERS}")
    overwriting = overwriting.having(policy_file=policy_file)
    overwriting.secrets.add_secret("eu-west-1", "db", value="held there", tags={HOLD_TAG: ""})
    secret = overwriting.add("db", **PAYMENTS)
    overwriting.secrets.faults = slowly_there(lambda: setattr(secret, "tags", PAYMENTS | {"app": "orders"}))
    reconciled(overwriting)
    assert overwriting.secrets.secret("eu-west-1", "db").value == "held there"
    assert overwriting.status("db") == {THERE: "InSync"}


def test_a_check_that_would_end_too_late_puts_the_message_off(overwriting: World) -> None:
    overwriting.secrets.add_secret(THERE, "db", value="in the way")
    overwriting.add("db", **PAYMENTS)
    overwriting.secrets.faults = lambda call, _: Fault(delay_seconds=40) if call.region == HOME else None
    overwriting.send("db")
    overwriting.deliver()
    assert overwriting.queues.messages
    assert value_there(overwriting) == "in the way"
