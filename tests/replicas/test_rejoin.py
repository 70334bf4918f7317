"""`replicas rejoin`: each state in each world, nothing lost by accident, whatever is killed when."""

import json
import os
import random
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from rich.console import Console

from local.secrets_manager.model import (
    ACCESS_DENIED,
    THROTTLED,
    AwsError,
    Call,
    Fault,
    ManualClock,
    Outcome,
    Params,
)
from local.secrets_manager.service import StrictSecretsManager
from local.secrets_manager.worlds import Worlds
from replicas import interrupts
from replicas.aws.region_secrets import RegionSecrets
from replicas.commands.failover import promote, rejoin
from replicas.commands.failover.session import Surroundings, each
from replicas.errors import OperatorError
from replicas.exit_codes import exit_code
from replicas.failover.hold import HOLD_TAG
from replicas.options import Access, Choice, PromoteOptions, RejoinOptions
from replicas.terminal import Screen
from secret_replicator.budget import Budget
from tests.support.clients import client_of

HOME, WEST, EU, ASIA = "us-east-1", "us-west-2", "eu-west-1", "ap-southeast-1"
PAGE = Path(__file__).parents[2] / "docs/how-to/fail-over.md"
READS = {"ListSecrets", "DescribeSecret"}
WORLDS = [*product(["accepted", "refused"], ["nothing", "failed", "stale"], [False, True])]
PAIRS = {("accepted", "nothing", False), ("accepted", "failed", True), ("accepted", "stale", False),
         ("refused", "nothing", True), ("refused", "failed", False), ("refused", "stale", True)}  # fmt: skip
"""Half of the worlds, with every two of what may be in them."""


class KilledError(BaseException):
    """The process is gone: nothing after this call happens."""


@dataclass
class Stage:
    """Two Regions and an operator in process; `kill_at` counts calls until the process is gone."""

    folder: Path
    fake: StrictSecretsManager
    clock: ManualClock
    written: dict[str, list[str]] = field(default_factory=dict)
    discarded: set[str] = field(default_factory=set)
    kill_at: int = -1
    budget_of: Callable[[], Budget] | None = None
    _clients: dict[str, Any] = field(default_factory=dict)

    def region(self, access: Access, _writes: float = 1) -> RegionSecrets:
        region = str(access.region)
        if region not in self._clients:
            self._clients[region] = client_of(self.handle, region)
        client: Any = self._clients[region]
        budget = self.budget_of() if self.budget_of else Budget(50, self.clock, self.clock.advance)
        return RegionSecrets(region, client, client, budget)

    @property
    def around(self) -> Surroundings:
        return Surroundings(self.region, self.clock, self.sleep, workers=1)

    def handle(self, operation: str, region: str, params: Params) -> Params:
        if self.kill_at == 0:
            raise KilledError
        self.kill_at -= 1
        return self.fake.handle(operation, region, params)

    def sleep(self, seconds: float) -> None:
        if self.kill_at == 0:
            raise KilledError
        self.clock.advance(seconds)

    def add(self, name: str, *regions: str) -> None:
        self.fake.add_secret(HOME, name, value=f"{name} 0", tags={"replicate-to": " ".join(regions)})
        self.written[name] = [f"{name} 0"]
        entries = [{"Region": region} for region in regions]
        self.fake.handle("ReplicateSecretToRegions", HOME, {"SecretId": name, "AddReplicaRegions": entries})
        self.clock.advance(100)

    def put(self, region: str, name: str) -> str:
        value = f"{name} {uuid4()}"
        self.clock.advance(10)
        self.fake.handle("PutSecretValue", region, {"SecretId": name, "SecretString": value})
        return value

    def value(self, region: str, name: str) -> str | None:
        return self.fake.secret(region, name).value

    def is_replica(self, region: str, name: str) -> bool:
        return self.fake.secret(region, name).is_replica

    def promote(self) -> int:
        asked = PromoteOptions(replica_region=WEST, journal=self.folder / "j.jsonl", yes=True)
        screen = quiet()
        return exit_code(lambda: promote.run(asked, Access(WEST), screen, self.around), screen)

    def rejoin(self, *names: str, turn: bool = False, accept: bool = False, discard: str = "") -> int:
        asked = RejoinOptions(
            replica_region=WEST,
            choice=Choice(names),
            primary=WEST if turn else None,
            accept_home=accept,
            discard=discard.split(),
            journal=self.folder / "j.jsonl",
            yes=True,
        )
        self.screen = quiet()
        return exit_code(lambda: rejoin.run(asked, Access(WEST), self.screen, self.around), self.screen)

    def said(self) -> str:
        text: str = self.screen.out.file.getvalue()  # type: ignore[attr-defined]
        return text


def quiet() -> Screen:
    return Screen(Console(file=StringIO(), width=300), Console(file=StringIO()))


def stage_of(folder: Path, world: tuple[Any, Any, bool]) -> Stage:
    clock = ManualClock()
    fake = StrictSecretsManager(
        clock=clock,
        sleep=clock.advance,
        worlds=Worlds(world[0], old_primary_shows=world[1], own_version_ids=world[2], seconds_in_progress=3),
    )
    return Stage(folder, fake, clock)


@pytest.fixture(
    params=[
        pytest.param(world, marks=[] if world in PAIRS else pytest.mark.slow, id="-".join(map(str, world)))
        for world in WORLDS
    ]
)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    return stage_of(tmp_path, request.param)


def test_each_state_is_found_and_only_the_unchanged_are_rejoined_without_consent(stage: Stage) -> None:
    for name in ("same", "there", "home", "both", "gone"):
        stage.add(name, WEST)
    assert stage.promote() == 0
    new_there, both_there = stage.put(WEST, "there"), stage.put(WEST, "both")
    new_home, both_home = stage.put(HOME, "home"), stage.put(HOME, "both")
    del stage.fake._store[HOME]["gone"]
    assert stage.rejoin() == 2
    for line in ("same unchanged", "there changed there", "both changed on both sides", "gone gone at home",
                 "home changed at home"):  # fmt: skip
        name, _, state = line.partition(" ")
        assert any(name in said and state in said for said in stage.said().splitlines()), line
    assert stage.said().splitlines()[-1].startswith("Rejoined: 1 of 5 promoted secrets, 4 left")
    assert (stage.is_replica(WEST, "same"), HOLD_TAG in stage.fake.secret(WEST, "same").tags) == (True, False)
    assert stage.value(WEST, "there") == new_there
    assert (stage.value(HOME, "home"), stage.value(WEST, "home")) == (new_home, "home 0")
    assert (stage.value(HOME, "both"), stage.value(WEST, "both")) == (both_home, both_there)
    assert stage.value(WEST, "gone") == "gone 0"
    assert all(HOLD_TAG in stage.fake.secret(WEST, name).tags for name in ("there", "home", "both", "gone"))


def test_what_changed_at_home_is_rejoined_when_that_is_accepted(stage: Stage) -> None:
    stage.add("db", WEST)
    stage.promote()
    new = stage.put(HOME, "db")
    assert stage.rejoin(accept=True) == 0
    assert (stage.value(WEST, "db"), stage.is_replica(WEST, "db")) == (new, True)


def test_the_relation_is_turned_round_for_what_changed_there(stage: Stage) -> None:
    stage.add("db", WEST, EU)
    stage.promote()
    new = stage.put(WEST, "db")
    assert stage.rejoin(turn=True) == 0, stage.said()
    assert "1 of them turned round" in stage.said()
    for region in (HOME, EU):
        assert (stage.value(region, "db"), stage.is_replica(region, "db")) == (new, True)
        assert HOLD_TAG not in stage.fake.secret(region, "db").tags
    assert HOLD_TAG not in stage.fake.secret(WEST, "db").tags


def test_a_region_in_which_a_stack_there_has_failed_is_replicated_to_all_the_same(stage: Stage) -> None:
    stage.add("db", WEST, EU)
    stage.promote()
    params = {"SecretId": "db", "AddReplicaRegions": [{"Region": EU}]}
    stage.fake.handle("ReplicateSecretToRegions", WEST, params)
    stage.clock.advance(10)
    new = stage.put(WEST, "db")
    assert stage.rejoin(turn=True) == 0, stage.said()
    assert (stage.value(EU, "db"), stage.fake.secret(EU, "db").primary_region) == (new, WEST)


def test_what_is_gone_at_home_is_replicated_back(stage: Stage) -> None:
    stage.add("db", WEST)
    stage.promote()
    del stage.fake._store[HOME]["db"]
    assert stage.rejoin(turn=True) == 0
    assert (stage.value(HOME, "db"), stage.is_replica(HOME, "db")) == ("db 0", True)


def test_only_what_is_named_is_discarded(stage: Stage) -> None:
    for name in ("a", "b"):
        stage.add(name, WEST)
    stage.promote()
    kept = stage.put(WEST, "a")
    stage.put(WEST, "b")
    assert stage.rejoin(discard="b") == 2
    assert (stage.value(WEST, "a"), stage.value(WEST, "b")) == (kept, "b 0")


def test_another_secret_at_home_is_never_overwritten(stage: Stage) -> None:
    stage.add("db", WEST)
    stage.promote()
    del stage.fake._store[HOME]["db"]
    stage.fake.add_secret(HOME, "db", value="another")
    assert stage.rejoin(turn=True, discard="db") == 2
    assert stage.value(HOME, "db") == "another"
    assert "another secret at home" in stage.said()


def test_nor_is_it_replicated_where_the_promoted_copy_is_gone(stage: Stage) -> None:
    """Nobody may have selected it: it only has the name."""
    stage.add("db", WEST)
    stage.promote()
    del stage.fake._store[HOME]["db"], stage.fake._store[WEST]["db"]
    stage.fake.add_secret(HOME, "db", value="another")
    assert stage.rejoin(accept=True, discard="db") == 2
    assert "another secret at home" in stage.said()
    assert "db" not in stage.fake.names(WEST)
    assert HOLD_TAG not in stage.fake.secret(HOME, "db").tags


@pytest.mark.parametrize("primary_region", [None, "eu-central-1"], ids=["standalone", "a replica"])
@pytest.mark.parametrize("gone_at_home", [False, True])
def test_nor_is_anything_done_about_another_secret_there(
    stage: Stage, *, gone_at_home: bool, primary_region: str | None
) -> None:
    stage.add("db", WEST)
    stage.promote()
    if gone_at_home:
        del stage.fake._store[HOME]["db"]
    stage.fake.add_secret(WEST, "db", value="another", primary_region=primary_region)
    stage.fake.calls.clear()
    assert stage.rejoin(turn=True, discard="db") == 2
    assert stage.rejoin(discard="db") == 2
    assert stage.value(WEST, "db") == "another"
    assert "another secret there" in stage.said()
    assert not stage.fake.calls_of("ReplicateSecretToRegions")


def test_what_changes_between_the_check_and_the_overwrite_is_left_and_named(stage: Stage) -> None:
    stage.add("db", WEST)
    stage.promote()
    new: list[str] = []

    def change(call: Call, _random: random.Random) -> None:
        if call.operation == "TagResource" and call.region == HOME:
            stage.fake.faults = None
            new.append(stage.put(WEST, "db"))

    stage.fake.faults = change  # type: ignore[assignment]
    assert stage.rejoin() == 1
    assert "db: it changed in between" in stage.said()
    assert stage.value(WEST, "db") == new[0]


def test_what_changes_while_a_write_waits_for_its_turn_is_left(stage: Stage) -> None:
    stage.add("db", WEST)
    stage.promote()
    new: list[str] = []

    def wait(seconds: float) -> None:
        if seconds > 0.5 and not new:
            new.append(stage.put(WEST, "db"))
        stage.clock.advance(seconds)

    stage.budget_of = lambda: Budget(1, stage.clock, wait)
    assert stage.rejoin() == 1
    assert "db: it changed in between" in stage.said()
    assert stage.value(WEST, "db") == new[0]


@pytest.mark.slow
@pytest.mark.parametrize("turn", [False, True])
def test_what_changes_while_aws_throttles_the_overwrite_is_left(stage: Stage, *, turn: bool) -> None:
    """Throttled calls are tried again many times, and minutes later."""
    stage.add("db", WEST)
    stage.promote()
    if turn:
        stage.put(WEST, "db")
    overwritten = HOME if turn else WEST
    new: list[str] = []

    def throttle(call: Call, _random: random.Random) -> Fault | None:
        if call.operation != "ReplicateSecretToRegions":
            return None
        stage.fake.faults = None
        new.append(stage.put(overwritten, "db"))
        return THROTTLED

    stage.fake.faults = throttle
    assert stage.rejoin(turn=turn) == 1
    assert "db: it changed in between" in stage.said()
    assert stage.value(overwritten, "db") == new[0]


def test_a_region_that_fails_keeps_its_hold_and_is_named(stage: Stage) -> None:
    stage.add("db", WEST)
    stage.promote()
    stage.fake.set_outcome("db", WEST, Outcome("Failed", "The KMS key is disabled", attempts=1))
    assert stage.rejoin() == 1
    assert "us-west-2 is Failed: The KMS key is disabled" in stage.said()
    assert HOLD_TAG in stage.fake.secret(HOME, "db").tags
    assert stage.rejoin() == 0
    assert HOLD_TAG not in stage.fake.secret(WEST, "db").tags


def test_without_its_journal_nothing_that_changed_is_overwritten(stage: Stage) -> None:
    for name in ("same", "there"):
        stage.add(name, WEST)
    stage.promote()
    new = stage.put(WEST, "there")
    (stage.folder / "j.jsonl").unlink()
    assert stage.rejoin() == 2
    assert stage.value(WEST, "there") == new
    assert stage.is_replica(WEST, "same") is not stage.fake.worlds.own_version_ids


@pytest.mark.parametrize("colon", ["", ":"])
def test_a_copy_that_was_promoted_by_other_means_is_found_by_the_tag_that_the_page_names(
    stage: Stage, colon: str
) -> None:
    value = f"failover by hand from us-east-1{colon}"
    assert "`failover by hand from us-east-1`" in PAGE.read_text("utf-8")
    for name in ("same", "there"):
        stage.add(name, WEST)
        stage.fake.handle("StopReplicationToReplica", WEST, {"SecretId": name})
    new = stage.put(WEST, "there")
    assert (stage.rejoin(), "Rejoined: 0 of 0" in stage.said()) == (0, True)
    for name in ("same", "there"):
        hold = [{"Key": HOLD_TAG, "Value": value}]
        stage.fake.handle("TagResource", WEST, {"SecretId": name, "Tags": hold})
    assert stage.rejoin() == 2
    assert stage.value(WEST, "there") == new
    assert stage.is_replica(WEST, "same") is not stage.fake.worlds.own_version_ids


def test_a_journal_of_another_region_is_refused_and_stays_as_it_is(stage: Stage) -> None:
    """A rejoin that finds its replica following home would note the promotion elsewhere as given back."""
    stage.add("db", WEST, EU)
    stage.promote()
    journal = stage.folder / "j.jsonl"
    before = journal.read_text("utf-8")
    rejoined = RejoinOptions(replica_region=EU, journal=journal, yes=True)
    promoted = PromoteOptions(replica_region=EU, journal=journal, yes=True)
    for work in (
        lambda screen: rejoin.run(rejoined, Access(EU), screen, stage.around),
        lambda screen: promote.run(promoted, Access(EU), screen, stage.around),
    ):
        screen = quiet()
        assert exit_code(partial(work, screen), screen) == 1
        said = " ".join(screen.err.file.getvalue().split())  # type: ignore[attr-defined]
        assert "is about replicas in us-west-2: name that of eu-west-1 with --journal" in said
    assert journal.read_text("utf-8") == before
    assert stage.is_replica(EU, "db")


def test_what_the_journal_says_of_another_account_is_left_and_said(stage: Stage) -> None:
    """Both accounts have a secret of that name, and ours was never promoted."""
    stage.add("db", WEST)
    stage.promote()
    journal = stage.folder / "j.jsonl"
    journal.write_text(journal.read_text("utf-8").replace(stage.fake.account, "999999999999"), "utf-8")
    del stage.fake._store[WEST]["db"]
    stage.add("own", WEST)
    stage.promote()
    assert stage.rejoin() == 0
    assert stage.said().splitlines()[-1].startswith("Rejoined: 1 of 1 promoted secret")
    assert stage.fake.names(WEST) == ["own"]
    said = " ".join(stage.screen.err.file.getvalue().split())  # type: ignore[attr-defined]
    assert "The journal also tells of secrets in 999999999999, not in this account: they are left." in said


def test_a_second_failover_counts_from_its_own_promotion(stage: Stage) -> None:
    """The first was ended by hand, so that the journal does not know."""
    stage.add("db", WEST)
    stage.promote()
    entries = [{"Region": WEST}]
    with suppress(AwsError):  # where home does not list it
        removed = {"SecretId": "db", "RemoveReplicaRegions": [WEST]}
        stage.fake.handle("RemoveRegionsFromReplication", HOME, removed)
    params = {"SecretId": "db", "AddReplicaRegions": entries, "ForceOverwriteReplicaSecret": True}
    stage.fake.handle("ReplicateSecretToRegions", HOME, params)
    for _ in range(3):
        stage.clock.advance(100)
        stage.put(HOME, "db")
    stage.clock.advance(100)
    assert stage.is_replica(WEST, "db")
    assert stage.promote() == 0
    new = stage.put(HOME, "db")
    assert stage.rejoin(accept=True) == 0, stage.said()
    assert stage.value(WEST, "db") == new


def test_a_hold_at_home_that_a_person_has_set_stays(stage: Stage) -> None:
    stage.add("db", WEST)
    stage.fake.handle("TagResource", HOME, {"SecretId": "db", "Tags": [{"Key": HOLD_TAG, "Value": "mine"}]})
    stage.promote()
    assert stage.rejoin() == 0
    assert stage.fake.secret(HOME, "db").tags[HOLD_TAG] == "mine"


def versions(stage: Stage, name: str) -> set[str]:
    """Return every value that is still in some Region under a label."""
    return {
        version.value
        for region in (HOME, WEST, EU)
        if name in stage.fake.names(region)
        for version in stage.fake.secret(region, name).versions.values()
    }


def killed_at_random(stage: Stage, chance: random.Random, work: Any) -> None:
    """Do the work, killed after some calls now and then, until it was not; nothing may ever be lost."""
    for _ in range(chance.randrange(4)):
        stage.kill_at = chance.randrange(30)
        try:
            work()
        except KilledError:
            stage.clock.advance(chance.choice([0, 1, 60]))
        stage.kill_at = -1
        check_nothing_lost(stage)
    work()
    stage.clock.advance(60)
    check_nothing_lost(stage)


def check_nothing_lost(stage: Stage) -> None:
    for name, values in stage.written.items():
        if name not in stage.discarded:
            assert set(values) <= versions(stage, name), f"{name} has lost a value"


SEEDS = [pytest.param(seed, marks=pytest.mark.slow if seed > 3 else []) for seed in range(20)]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_sequence_of_kills_loses_a_version(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  repeatable on purpose
    stage = stage_of(tmp_path, WORLDS[seed % len(WORLDS)])
    names = [f"s{number}" for number in range(6)]
    for name in names:
        stage.add(name, *chance.choice([(WEST,), (WEST, EU)]))
    killed_at_random(stage, chance, stage.promote)
    assert stage.promote() == 0
    for name in names:
        for region in chance.choice([(), (WEST,), (HOME,), (WEST, HOME)]):
            values = [] if stage.written[name] == [f"{name} 0"] else stage.written[name]
            stage.written[name] = [*values, stage.put(region, name)]
    check_nothing_lost(stage)
    for wishes in ({}, {"accept": True}, {"turn": True}):
        killed_at_random(stage, chance, lambda wishes=wishes: stage.rejoin(**wishes))
    stage.discarded = {name for name in names if len(stage.written[name]) > 1}
    stage.discarded |= {name for name in names if not settled(stage, name)}
    last: dict[str, Any] = {"discard": " ".join(stage.discarded), "turn": chance.random() < 0.5}
    killed_at_random(stage, chance, lambda: stage.rejoin(**last))
    stage.rejoin(accept=True)
    assert [name for name in names if not settled(stage, name)] == [], stage.said()
    for name in names:
        assert stage.value(HOME, name) == stage.value(WEST, name)
        assert stage.value(HOME, name) in stage.written[name]


def settled(stage: Stage, name: str) -> bool:
    """Whether one side follows the other, and nobody holds it."""
    sides = [stage.fake.secret(region, name) for region in (HOME, WEST)]
    return sum(side.is_replica for side in sides) == 1 and not any(HOLD_TAG in side.tags for side in sides)


def writes(stage: Stage) -> list[str]:
    return [call.operation for call in stage.fake.calls if call.operation not in READS]


@pytest.mark.parametrize("turn", [False, True])
def test_the_hold_tag_is_taken_away_last_and_only_when_all_regions_follow(
    stage: Stage, *, turn: bool
) -> None:
    stage.add("db", WEST, EU)
    stage.promote()
    if turn:
        stage.put(WEST, "db")
    followed: list[set[str]] = []

    def look(call: Call, _random: random.Random) -> None:
        if call.operation == "UntagResource":
            replicas = stage.fake.secret(call.region, "db").replicas.values()
            followed.append({f"{replica.region} {replica.status}" for replica in replicas})

    stage.fake.faults = look  # type: ignore[assignment]
    assert stage.rejoin(turn=turn) == 0, stage.said()
    assert writes(stage)[-1] == "UntagResource"
    assert followed == [{f"{region} InSync" for region in (HOME if turn else WEST, EU)}]


def test_a_dry_run_shows_all_and_writes_nothing(stage: Stage) -> None:
    stage.add("db", WEST)
    stage.promote()
    before, journal = writes(stage), (stage.folder / "j.jsonl").read_text("utf-8")
    screen = quiet()
    asked = RejoinOptions(replica_region=WEST, journal=stage.folder / "j.jsonl", dry_run=True)
    assert rejoin.run(asked, Access(WEST), screen, stage.around) == 0
    assert "rejoin from home" in screen.out.file.getvalue()  # type: ignore[attr-defined]
    assert writes(stage) == before
    assert (stage.folder / "j.jsonl").read_text("utf-8") == journal


def test_json_says_what_was_found_done_and_not_done(stage: Stage) -> None:
    for name in ("done", "fails", "left"):
        stage.add(name, WEST)
    stage.promote()
    stage.put(WEST, "left")
    stage.fake.set_outcome("fails", WEST, Outcome("Failed", "The KMS key is disabled", attempts=1))
    screen, journal = quiet(), stage.folder / "j.jsonl"
    asked = RejoinOptions(replica_region=WEST, journal=journal, yes=True, as_json=True)
    assert rejoin.run(asked, Access(WEST), screen, stage.around) == 1
    document = json.loads(screen.out.file.getvalue())  # type: ignore[attr-defined]
    known = ("name", "status", "action", "why")
    assert [tuple(secret[key] for key in known) for secret in document["secrets"]] == [
        ("done", "unchanged", "rejoin from home", None),
        ("fails", "unchanged", "rejoin from home", "us-west-2 is Failed: The KMS key is disabled"),
        ("left", "changed there", "leave", None),
    ]
    assert {secret["arn"] for secret in document["secrets"]} == {
        stage.fake.secret(HOME, name).arn for name in ("done", "fails", "left")
    }
    assert document["journal"] == str(journal)
    summary = document["summary"]
    assert (summary["promoted"], summary["rejoined"], summary["left"], summary["problems"]) == (3, 1, 1, 1)


@pytest.mark.parametrize("turn", [False, True])
def test_each_side_keeps_its_key(stage: Stage, *, turn: bool) -> None:
    keys = {region: f"alias/{region}" for region in (HOME, WEST, EU)}
    for region, key in keys.items():
        stage.fake.set_key(region, key)
    stage.fake.add_secret(HOME, "db", value="db 0", kms_key_id=keys[HOME])
    entries = [{"Region": region, "KmsKeyId": keys[region]} for region in (WEST, EU)]
    stage.fake.handle("ReplicateSecretToRegions", HOME, {"SecretId": "db", "AddReplicaRegions": entries})
    stage.clock.advance(100)
    stage.promote()
    if turn:
        stage.put(WEST, "db")
    assert stage.rejoin(turn=turn) == 0, stage.said()
    assert {region: stage.fake.secret(region, "db").kms_key_id for region in keys} == keys


@pytest.mark.parametrize("turn", [False, True])
def test_where_aws_refuses_the_last_step_no_value_is_lost_and_the_next_run_ends_it(
    stage: Stage, *, turn: bool
) -> None:
    """AWS does not say whether what was a primary, or had replicas, may be overwritten."""
    stage.add("db", WEST, EU)
    stage.promote()
    new = stage.put(WEST, "db") if turn else "db 0"
    refused = Fault("InvalidRequestException", "This secret cannot be overwritten")
    stage.fake.fail_next("ReplicateSecretToRegions", refused)
    assert stage.rejoin(turn=turn) == 1
    assert "This secret cannot be overwritten" in stage.said()
    assert new in versions(stage, "db")
    held = WEST if turn else HOME
    assert HOLD_TAG in stage.fake.secret(held, "db").tags, "no stack works on it meanwhile"
    assert stage.rejoin(turn=turn) == 0, stage.said()
    assert stage.value(HOME if turn else WEST, "db") == new


def test_a_home_that_fails_while_it_is_turned_round_is_asked_for_again(stage: Stage) -> None:
    stage.add("db", WEST, EU)
    stage.promote()
    new = stage.put(WEST, "db")
    stage.fake.set_outcome("db", HOME, Outcome("Failed", "The KMS key is disabled", attempts=1))
    assert stage.rejoin(turn=True) == 1
    assert "us-east-1 is Failed: The KMS key is disabled" in stage.said()
    assert stage.rejoin(turn=True) == 0, stage.said()
    assert [stage.value(region, "db") for region in (HOME, EU)] == [new, new]


def test_a_home_that_goes_when_it_fails_gets_its_key_again(stage: Stage) -> None:
    """AWS documents that a replica that fails without a usable version is removed."""
    keys = {region: f"alias/{region}" for region in (HOME, WEST)}
    for region, key in keys.items():
        stage.fake.set_key(region, key)
    stage.fake.add_secret(HOME, "db", value="db 0", kms_key_id=keys[HOME])
    entries = [{"Region": WEST, "KmsKeyId": keys[WEST]}]
    stage.fake.handle("ReplicateSecretToRegions", HOME, {"SecretId": "db", "AddReplicaRegions": entries})
    stage.clock.advance(100)
    stage.promote()
    stage.put(WEST, "db")
    stage.fake.set_outcome("db", HOME, Outcome("Failed", "The KMS key is disabled", attempts=1))
    assert stage.rejoin(turn=True) == 1
    del stage.fake._store[HOME]["db"]
    assert stage.rejoin(turn=True) == 0, stage.said()
    assert {region: stage.fake.secret(region, "db").kms_key_id for region in keys} == keys


def test_a_region_that_is_refused_keeps_no_other_from_its_replica(stage: Stage) -> None:
    """All of them are removed before: what is not made anew cannot be read there."""
    stage.add("db", WEST, EU, ASIA)
    stage.promote()
    new = stage.put(WEST, "db")
    refused = Fault("InvalidParameterException", "Invalid replica region.")

    def refuse(call: Call, _random: random.Random) -> Fault | None:
        regions = [entry["Region"] for entry in call.parameters.get("AddReplicaRegions", [])]
        return refused if EU in regions else None

    stage.fake.faults = refuse
    assert stage.rejoin(turn=True) == 1
    assert "db: eu-west-1: " in stage.said()
    assert "Invalid replica region" in stage.said()
    stage.clock.advance(10)
    assert [stage.value(region, "db") for region in (HOME, ASIA)] == [new, new]
    stage.fake.faults = None
    assert stage.rejoin(turn=True) == 0, stage.said()
    assert stage.value(EU, "db") == new


@pytest.mark.parametrize("killed", [False, True])
def test_who_turns_back_to_home_gets_the_other_regions_back(stage: Stage, *, killed: bool) -> None:
    for region in (WEST, EU):
        stage.fake.set_key(region, f"alias/{region}")
    stage.fake.add_secret(HOME, "db", value="db 0")
    entries = [{"Region": region, "KmsKeyId": f"alias/{region}"} for region in (WEST, EU)]
    stage.fake.handle("ReplicateSecretToRegions", HOME, {"SecretId": "db", "AddReplicaRegions": entries})
    stage.clock.advance(100)
    stage.promote()
    stage.put(WEST, "db")
    stage.fake.fail_next("ReplicateSecretToRegions", Fault("InvalidRequestException", "No"))
    assert stage.rejoin(turn=True) == 1
    assert "db" not in stage.fake.names(EU)
    if killed:
        stage.fake.faults = kill_after("ReplicateSecretToRegions")
        with pytest.raises(KilledError):
            stage.rejoin(discard="db")
        stage.fake.faults = None
        stage.clock.advance(100)
    assert stage.rejoin(discard="db") == 0, stage.said()
    for region in (WEST, EU):
        replica = stage.fake.secret(region, "db")
        assert (replica.value, replica.primary_region) == ("db 0", HOME)
        assert replica.kms_key_id == f"alias/{region}"


def kill_after(operation: str) -> Callable[[Call, random.Random], None]:
    """Let the process be gone with the first call after one of these."""
    seen: list[str] = []

    def kill(call: Call, _random: random.Random) -> None:
        if operation in seen:
            raise KilledError
        seen.append(call.operation)

    return kill


def test_a_copy_with_replicas_of_its_own_is_left_they_would_follow_nobody(stage: Stage) -> None:
    stage.add("db", WEST)
    stage.promote()
    params = {"SecretId": "db", "AddReplicaRegions": [{"Region": EU}]}
    stage.fake.handle("ReplicateSecretToRegions", WEST, params)
    stage.clock.advance(10)
    assert stage.rejoin() == 1
    assert "db: in us-west-2 it has replicas of its own, in eu-west-1" in stage.said()
    assert (stage.is_replica(WEST, "db"), stage.fake.secret(EU, "db").primary_region) == (False, WEST)
    removed = {"SecretId": "db", "RemoveReplicaRegions": [EU]}
    stage.fake.handle("RemoveRegionsFromReplication", WEST, removed)
    assert stage.rejoin() == 0, stage.said()


def test_a_copy_that_follows_another_region_by_now_is_not_waited_for(stage: Stage) -> None:
    stage.add("db", WEST)
    stage.promote()
    stage.fake.secret(WEST, "db").primary_region = EU
    before = stage.clock()
    assert stage.rejoin() == 2
    assert "another secret there" in stage.said()
    assert stage.clock() - before < 10


@pytest.mark.parametrize("side", [HOME, WEST])
def test_a_secret_that_denies_to_be_seen_keeps_no_other_from_its_rejoin(stage: Stage, side: str) -> None:
    for name in ("denies", "other"):
        stage.add(name, WEST)
    stage.promote()

    def deny(call: Call, _random: random.Random) -> Fault | None:
        denied = call.operation == "DescribeSecret" and (call.region, call.secret) == (side, "denies")
        return ACCESS_DENIED if denied else None

    stage.fake.faults = deny
    assert stage.rejoin() == 1
    assert stage.is_replica(WEST, "other")
    assert "DescribeSecret is missing" in next(
        line for line in stage.said().splitlines() if line.startswith("denies: ")
    )
    assert (
        stage.said()
        .splitlines()[-1]
        .startswith("Rejoined: 1 of 2 promoted secrets, 1 with a problem; journal ")
    )
    stage.fake.faults = None
    assert stage.rejoin() == 0, stage.said()


def test_what_was_promoted_elsewhere_too_is_not_taken_off_homes_list(stage: Stage) -> None:
    """AWS does not say whether that deletes the copy: its value may be nowhere else."""
    stage.add("db", WEST, EU)
    stage.promote()
    new = stage.put(WEST, "db")
    stage.fake.handle("StopReplicationToReplica", EU, {"SecretId": "db"})
    elsewhere = stage.put(EU, "db")
    stage.rejoin(turn=True, discard="db")
    if stage.fake.worlds.old_primary_shows != "nothing":
        assert "db: it was promoted in eu-west-1, too" in stage.said()
        assert not stage.fake.calls_of("RemoveRegionsFromReplication")
        assert stage.value(WEST, "db") == new
    assert stage.value(EU, "db") == elsewhere


def test_nothing_is_removed_for_a_copy_that_is_scheduled_for_deletion(stage: Stage) -> None:
    stage.add("db", WEST, EU)
    stage.promote()
    stage.put(WEST, "db")
    stage.fake.handle("DeleteSecret", WEST, {"SecretId": "db"})
    assert stage.rejoin(turn=True) == 1
    assert "db: it is scheduled for deletion in us-west-2: restore it there first" in stage.said()
    assert stage.is_replica(EU, "db")
    stage.fake.handle("RestoreSecret", WEST, {"SecretId": "db"})
    assert stage.rejoin(turn=True) == 0, stage.said()


def test_where_a_primary_with_replicas_is_never_overwritten_both_values_stay(stage: Stage) -> None:
    """It has none any more, unless AWS goes on to list the promoted copy."""
    stage.fake.worlds.primaries_overwritten = False
    stage.add("db", WEST, EU)
    stage.promote()
    new = stage.put(WEST, "db")
    if stage.fake.worlds.old_primary_shows == "nothing":
        assert stage.rejoin(turn=True) == 0, stage.said()
        assert stage.value(HOME, "db") == new
        return
    for _ in range(2):
        assert stage.rejoin(turn=True) == 1
        assert "us-east-1 is Failed: Secret with this name already exists" in stage.said()
        assert (stage.value(HOME, "db"), stage.value(WEST, "db")) == ("db 0", new)
        assert HOLD_TAG in stage.fake.secret(WEST, "db").tags, "no stack works on it meanwhile"


def test_a_full_disk_ends_a_rejoin_with_one_sentence_before_anything_is_done(stage: Stage) -> None:
    for name in ("a", "b", "c"):
        stage.add(name, WEST)
    stage.promote()
    before = writes(stage)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((stage.folder / "j.jsonl").stat().st_size, hard))
    try:
        assert stage.rejoin() == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = " ".join(stage.screen.err.file.getvalue().split())  # type: ignore[attr-defined]
    assert (stage.said() + said).count("cannot be used (File too large)") == 1
    assert writes(stage) == before
    assert stage.rejoin() == 0, stage.said()


@pytest.mark.parametrize("name", ["promote", "rejoin"])
def test_ctrl_c_is_one_sentence_and_the_next_run_goes_on(stage: Stage, name: str) -> None:
    for number in range(4):
        stage.add(f"db/{number}", WEST)
    if name == "rejoin":
        stage.promote()
    step = {"promote": "StopReplicationToReplica", "rejoin": "TagResource"}[name]

    def interrupt(call: Call, _random: random.Random) -> None:
        if call.operation == step:
            stage.fake.faults = None
            os.kill(os.getpid(), signal.SIGINT)

    stage.fake.faults = interrupt  # type: ignore[assignment]
    with interrupts.installed():
        assert getattr(stage, name)() == 130
    assert getattr(stage, name)() == 0
    assert {stage.is_replica(WEST, f"db/{number}") for number in range(4)} == {name == "rejoin"}


def test_what_is_stopped_does_not_wait_for_aws() -> None:
    """A Region that is down again leaves a replica InProgress: each would wait for five minutes."""
    around = Surroundings(workers=2)
    ended: list[str] = []

    def work(name: str) -> str:
        if name == "waits":
            assert around.stopped.wait(60)
            with pytest.raises(OperatorError, match="run it again"):
                around.wait(300)
        ended.append(name)
        return name

    def interrupt(_done: int) -> None:
        raise interrupts.Interrupted(signal.SIGINT)

    with pytest.raises(interrupts.Interrupted):
        [*each(["waits", "is done"], work, interrupt, around)]
    assert ended == ["is done", "waits"]
