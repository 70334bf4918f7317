"""`replicas verify`: each state is found, in both worlds, and nothing is written."""

import json
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from local.secrets_manager.model import ACCESS_DENIED, Call, Fault, Outcome, Replica
from replicas.aws.held import Held
from replicas.commands.failover import verify
from replicas.failover.hold import HOLD_TAG
from replicas.failover.states import State
from replicas.options import EVERYTHING
from replicas.terminal import Screen
from secret_replicator.policy import parse_policy
from tests.replicas.test_commands import permissions
from tests.support.desk import Desk, at_desk
from tests.support.world import HOME, World, make_world

WEST, EU = "us-west-2", "eu-west-1"
READS = {"ListSecrets", "DescribeSecret"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    world = make_world(tmp_path)
    with at_desk(world) as desk:
        yield desk
        assert {call.operation for call in world.secrets.calls} <= WRITES_OF_THE_TESTS | READS


WRITES_OF_THE_TESTS = {"ReplicateSecretToRegions", "StopReplicationToReplica", "PutSecretValue"}


def replicate(desk: Desk, name: str, *regions: str, key: str = "") -> None:
    entries = [{"Region": region} | ({"KmsKeyId": key} if key else {}) for region in regions]
    desk.world.secrets.handle(
        "ReplicateSecretToRegions", HOME, {"SecretId": name, "AddReplicaRegions": entries}
    )
    desk.world.secrets.names(WEST)  # whatever takes no time has happened


def put(desk: Desk, name: str, value: str) -> None:
    desk.world.secrets.handle("PutSecretValue", HOME, {"SecretId": name, "SecretString": value})


def add(desk: Desk, name: str, *, key: str = "") -> None:
    desk.world.add(name, WEST)
    replicate(desk, name, WEST, key=key)


def let_it_be_old(desk: Desk) -> None:
    """Move all changes out of the time in which the lists are not believed."""
    for region in (HOME, WEST, EU):
        for name in desk.world.secrets.names(region):
            desk.world.secrets.secret(region, name).last_changed = time.time() - 3600


def found(desk: Desk, *arguments: str) -> dict[str, Any]:
    result = desk.run("verify", "--json", *arguments)
    assert result.exit_code in (0, 2, 3), result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document | {"exit_code": result.exit_code}


def only(document: dict[str, Any]) -> dict[str, Any]:
    (entry,) = document["replicas"]
    return dict(entry)


def test_what_is_there_and_current_is_only_counted(desk: Desk) -> None:
    for name in ("a", "b"):
        add(desk, name)
    result = desk.run("verify")
    assert (result.exit_code, result.stdout) == (0, "Verified: 2 of 2 replicas current in 2 Regions\n")


def test_a_replica_that_is_behind_though_aws_says_in_sync_is_the_first_line(desk: Desk) -> None:
    add(desk, "fine")
    desk.world.add("absent", WEST)
    add(desk, "old")
    versions = dict(desk.world.secrets.secret(WEST, "old").versions)
    put(desk, "old", "new")
    desk.world.secrets.secret(WEST, "old").versions = versions
    for version in versions.values():
        version.stages = ["AWSCURRENT"]
    let_it_be_old(desk)
    entry = found(desk)["replicas"][0]
    assert (entry["name"], entry["status"], entry["aws_says"]) == ("old", "behind", "InSync")
    assert entry["since"]
    result = desk.run("verify")
    assert result.exit_code == 2
    assert result.stdout.splitlines()[0] == ("AWS says InSync, and it is not so: 1 replica, the first below")


def test_a_missing_replica_is_found_also_where_aws_says_in_sync(desk: Desk) -> None:
    add(desk, "db")
    del desk.world.secrets._store[WEST]["db"]
    document = found(desk)
    assert document["exit_code"] == 2
    assert (only(document)["status"], only(document)["aws_says"]) == ("missing", "InSync")


@pytest.mark.parametrize("shows", ["nothing", "failed", "stale"])
def test_a_promoted_copy_stands_alone_whatever_the_old_primary_shows(desk: Desk, shows: Any) -> None:
    desk.world.secrets.worlds.old_primary_shows = shows
    add(desk, "db")
    desk.world.secrets.handle("StopReplicationToReplica", WEST, {"SecretId": "db"})
    document = found(desk)
    shown = {"nothing": "not listed", "failed": "Failed", "stale": "InSync"}
    assert only(document)["status"] == "standalone"
    assert only(document)["aws_says"] == shown[shows]
    assert document["exit_code"] == 2


def test_another_secret_of_the_same_name_is_not_the_replica(desk: Desk) -> None:
    desk.world.secrets.add_secret(WEST, "db")
    desk.world.add("db", WEST)
    assert only(found(desk))["status"] == "another secret"


@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion", None])
def test_a_key_that_cannot_be_used_is_asked_about_once(desk: Desk, state: str | None) -> None:
    desk.world.secrets.set_key(WEST, "alias/secrets")
    for name in ("a", "b"):
        add(desk, name, key="alias/secrets")
    keys = desk.world.secrets.replication.keys
    keys.clear()
    if state:
        desk.world.secrets.set_key(WEST, "alias/secrets", state)
    document = found(desk)
    assert [entry["status"] for entry in document["replicas"]] == ["key unusable"] * 2
    assert document["summary"]["current"] == 0
    assert desk.account.calls["kms:DescribeKey"] == 1
    assert document["exit_code"] == 2


def test_a_key_that_may_not_be_asked_about_is_said_and_no_finding(desk: Desk) -> None:
    desk.world.secrets.set_key(WEST, "alias/secrets")
    add(desk, "a", key="alias/secrets")
    desk.account.denied.add("kms:DescribeKey")
    document = found(desk)
    assert (document["replicas"], document["exit_code"]) == ([], 0)
    assert "Permission kms:DescribeKey is missing" in document["unchecked_keys"][0]


def test_a_replica_that_nobody_wants_needs_nobody(desk: Desk) -> None:
    add(desk, "db")
    replicate(desk, "db", EU)
    document = found(desk)
    assert (only(document)["status"], only(document)["region"], document["exit_code"]) == ("unwanted", EU, 0)


def test_a_region_that_cannot_be_read_is_named_and_the_others_are_compared(desk: Desk) -> None:
    add(desk, "db")
    replicate(desk, "db", EU)
    desk.world.secrets.secret(HOME, "db").tags["replicate-to"] = f"{EU} {WEST}"
    desk.world.secrets.switch_off(EU)
    result = desk.run("verify", AWS_MAX_ATTEMPTS="1")
    assert result.exit_code == 1
    assert f"{EU} could not be read: " in result.stdout
    last = "Verified: 1 of 1 replica current in 1 Region, 1 Region not read"
    assert result.stdout.splitlines()[-1] == last


@pytest.mark.parametrize("side", [HOME, WEST])
def test_a_secret_that_denies_to_be_seen_is_judged_by_the_lists(desk: Desk, side: str) -> None:
    add(desk, "denies")
    add(desk, "fine")
    del desk.world.secrets._store[WEST]["denies"]

    def deny(call: Call, _random: Random) -> Fault | None:
        denied = call.operation == "DescribeSecret" and (call.region, call.secret) == (side, "denies")
        return ACCESS_DENIED if denied else None

    desk.world.secrets.faults = deny
    document = found(desk)
    assert (document["exit_code"], document["unread_regions"]) == (2, [])
    entry = only(document)
    assert (entry["name"], entry["status"], entry["aws_says"]) == ("denies", "missing", None)
    assert "as listed: Permission secretsmanager:DescribeSecret is missing" in entry["why"]


def test_what_is_under_way_only_waits(desk: Desk) -> None:
    desk.world.secrets.set_outcome("db", WEST, Outcome(seconds=1000))
    add(desk, "db")
    document = found(desk)
    assert (only(document)["status"], document["exit_code"]) == ("missing", 3)


def test_what_changed_just_now_is_asked_again_before_it_is_called_behind(desk: Desk) -> None:
    """The home Region's list lags: it shows a version that the replica has left already."""
    for name in ("a", "b"):
        add(desk, name)
    desk.world.clock.advance(3600)
    put(desk, "a", "new")
    desk.world.secrets.listing.lag_seconds = 300
    stale = desk.world.secrets.listing._history[WEST]
    for history in stale.values():
        history.append((0, history[-1][1]))  # the other Region shows it at once
    document = found(desk)
    assert document["replicas"] == []
    assert document["summary"]["current"] == 2


def test_where_no_replica_shares_a_version_id_nothing_is_called_behind(desk: Desk) -> None:
    desk.world.secrets.worlds.own_version_ids = True
    for name in ("a", "b"):
        add(desk, name)
    desk.world.add("absent", WEST)
    let_it_be_old(desk)
    document = found(desk)
    assert [entry["status"] for entry in document["replicas"]] == ["missing"]
    assert (document["summary"]["behind"], document["summary"]["not_comparable"]) == (0, 2)
    assert document["not_comparable"] == [WEST]
    assert "us-west-2: versions cannot be compared here" in desk.run("verify").stdout


def test_a_secret_without_a_value_makes_no_versions_comparable(desk: Desk) -> None:
    desk.world.secrets.worlds.own_version_ids = True
    desk.world.secrets.add_secret(HOME, "empty", value=None, tags={"replicate-to": WEST})
    replicate(desk, "empty", WEST)
    add(desk, "db")
    let_it_be_old(desk)
    document = found(desk)
    assert (document["replicas"], document["not_comparable"]) == ([], [WEST])


@pytest.mark.parametrize(("own_version_ids", "status"), [(False, "current"), (True, "not_comparable")])
def test_what_the_lists_do_not_show_yet_is_asked_for_before_aws_is_contradicted(
    desk: Desk, own_version_ids: Any, status: str
) -> None:
    """A Region that an old secret got just now: both lists lag, and neither shows a recent change."""
    desk.world.secrets.worlds.own_version_ids = own_version_ids
    desk.world.add("db", EU)
    replicate(desk, "db", EU)
    listing = desk.world.secrets.listing
    listing.lag_seconds = 300
    ((*_, (_, now)),) = listing._history[HOME].values()
    assert now
    listing._history[HOME] = {now["ARN"]: [(0, now | {"LastChangedDate": now["LastChangedDate"] - 3600})]}
    document = found(desk)
    assert (document["replicas"], document["summary"][status]) == ([], 1)
    assert document["not_comparable"] == ([EU] if own_version_ids else [])


def test_a_secret_without_a_value_is_current_where_it_is(desk: Desk) -> None:
    desk.world.secrets.add_secret(HOME, "empty", value=None, tags={"replicate-to": WEST})
    replicate(desk, "empty", WEST)
    assert found(desk)["summary"]["current"] == 1


def test_only_the_chosen_are_compared(desk: Desk) -> None:
    for name in ("shop/a", "shop/b", "other"):
        desk.world.add(name, WEST)
    document = found(desk, "--secret", "shop/*")
    assert [entry["name"] for entry in document["replicas"]] == ["shop/a", "shop/b"]


def test_with_the_home_region_gone_a_region_says_alone_what_it_holds(desk: Desk) -> None:
    for name in ("a", "b"):
        add(desk, name)
    desk.world.secrets.handle("StopReplicationToReplica", WEST, {"SecretId": "b"})
    desk.world.secrets.switch_off(HOME)
    before = len(desk.world.secrets.calls)
    result = desk.run("verify", "--from", WEST)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "us-west-2 holds 1 replica of us-east-1, 1 that follow nobody"
    assert {call.region for call in desk.world.secrets.calls[before:]} == {WEST}
    assert set(desk.account.calls) == {"secretsmanager:ListSecrets"}


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(1_000, id="40 calls for 1,000 secrets"),
        pytest.param(10_000, id="400 calls for 10,000 secrets", marks=pytest.mark.slow),
    ],
)
def test_the_calls_are_one_for_a_hundred_secrets_in_each_region(tmp_path: Path, scale: int) -> None:
    world = make_world(tmp_path).having(allowed_regions=(WEST, EU, "eu-central-1"))
    regions = (WEST, EU, "eu-central-1")
    for number in range(scale):
        home = world.add(f"s{number}", " ".join(regions))
        home.primary_region = HOME
        for region in regions:
            place(world.secrets, home, region)
    with at_desk(world) as desk:
        del world.secrets._store[EU]["s77"]
        document = found(desk)
    assert [(entry["name"], entry["region"]) for entry in document["replicas"]] == [("s77", EU)]
    assert document["summary"]["current"] == 3 * scale - 1
    assert desk.account.calls["secretsmanager:ListSecrets"] == 4 * scale // 100
    assert desk.account.calls["secretsmanager:DescribeSecret"] <= 2


KEPT_BYTES = 1_500
"""What may be held of a secret. What ListSecrets says of one here is thirty times as much."""


@dataclass(frozen=True)
class Endless:
    """Secrets of a Region that are made as they are listed, each with as many tags as AWS takes."""

    region: str
    number: int

    def listed(self) -> Iterator[Held]:
        for number in range(self.number):
            arn = f"arn:aws:secretsmanager:{self.region}:123456789012:secret:team/app/{number:05}-AbCdEf"
            tags = {f"tag-{tag}-{number}": f"{tag} {number} ".ljust(200, "x") for tag in range(49)}
            versions = {f"{number:08}-0000-0000-0000-{age:012}": (label,) for age, label in enumerate(LABELS)}
            yield Held(
                arn=arn,
                name=f"team/app/{number:05}",
                tags=tags | {"replicate-to": WEST},
                primary_region=HOME,
                region=self.region,
                versions=versions,
                kms_key_id="key",
            )

    def key_problem(self, _key: str) -> str:
        return ""


LABELS = ("AWSPREVIOUS", "AWSCURRENT")


def peak_bytes(world: World, number: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the most that a comparison of so many secrets holds at a time."""
    monkeypatch.setattr(verify, "region_secrets", lambda connection: Endless(connection.region, number))
    policy = parse_policy(world.app.settings.policy_file.read_bytes(), "policy.toml")
    connection = SimpleNamespace(region=HOME, in_region=lambda region: SimpleNamespace(region=region))
    deployment: Any = SimpleNamespace(
        region=HOME, settings=world.app.settings, policy=policy, connection=connection
    )
    verified, quiet = verify.Verified(), Console(file=StringIO())
    tracemalloc.start()
    verify.compare(deployment, EVERYTHING, verified, Screen(quiet, quiet), time.time)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert verified.counts[State.CURRENT] == number
    return peak


@pytest.mark.slow
def test_little_is_held_of_each_secret_however_many_tags_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path).having(allowed_regions=(WEST,))
    few, many = (peak_bytes(world, number, monkeypatch) for number in (500, 2_000))
    assert many - few < 1_500 * KEPT_BYTES


def place(secrets: Any, home: Any, region: str) -> None:
    """Put a replica there as replication would, only faster."""
    home.replicas[region] = Replica(region, status="InSync")
    secrets.replication._write(home, home.replicas[region])


def test_it_needs_what_the_page_lists(desk: Desk) -> None:
    desk.world.secrets.set_key(WEST, "alias/secrets")
    add(desk, "a", key="alias/secrets")
    desk.world.add("absent", WEST)
    found(desk)
    assert set(desk.account.calls) == permissions()["verify"]


def test_a_secret_that_is_held_is_compared_all_the_same(desk: Desk) -> None:
    desk.world.add("db", WEST, **{HOLD_TAG: "failover"})
    assert only(found(desk))["status"] == "missing"
