"""`replicas promote`: with one Region alone, resumable, held, and in the journal before it is done."""

import json
import resource
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from local.secrets_manager.model import (
    ACCESS_DENIED,
    CUT_AFTER_EFFECT,
    SERVER_ERROR_AFTER_EFFECT,
    Fault,
    ManualClock,
)
from replicas.aws.connection import connect
from replicas.aws.held import Held
from replicas.aws.region_secrets import RegionSecrets, region_secrets
from replicas.cli import app
from replicas.commands.failover.promote import Surroundings, run
from replicas.errors import OperatorError
from replicas.failover.hold import HOLD_TAG
from replicas.failover.journal import BEGUN, DONE, PROMOTE, Entry, Journal, read_journal
from replicas.options import Access, Choice, PromoteOptions
from replicas.terminal import Screen
from secret_replicator.budget import Budget
from tests.replicas.test_commands import permissions
from tests.support.desk import Desk, at_desk
from tests.support.world import HOME, make_world

WEST = "us-west-2"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Three replicas, and a primary Region that does not answer: what it would show is never seen."""
    world = make_world(tmp_path)
    for name in ("a", "b", "c"):
        world.add(name, WEST)
        replicate = {"SecretId": name, "AddReplicaRegions": [{"Region": WEST}]}
        world.secrets.handle("ReplicateSecretToRegions", HOME, replicate)
    assert world.secrets.names(WEST) == ["a", "b", "c"]
    world.secrets.calls.clear()
    world.secrets.switch_off(HOME)
    with at_desk(world) as desk:
        yield desk


def promote(desk: Desk, folder: Path, *arguments: str) -> Result:
    options = ["--replica-region", WEST, "--endpoint-url", desk.account.url]
    options += ["--journal", str(folder / "journal.jsonl")]
    return CliRunner().invoke(app, ["promote", *options, *arguments], env={"COLUMNS": "400"})


def unpaced(access: Access, writes_per_second: float) -> RegionSecrets:
    """Return the Region's secrets, without the second that is left to others before the first write."""
    clock = ManualClock()
    budget = Budget(writes_per_second, clock, clock.advance)
    return replace(region_secrets(connect(access), writes_per_second), budget=budget)


def promote_at_once(desk: Desk, folder: Path, *names: str) -> tuple[int, str]:
    """Return the exit code, and what is printed."""
    screen = Screen(Console(file=(out := StringIO()), width=400), Console(file=StringIO()))
    file = folder / "journal.jsonl"
    asked = PromoteOptions(replica_region=WEST, choice=Choice(names), journal=file, yes=True)
    access = Access(WEST, endpoint_url=desk.account.url)
    return run(asked, access, screen, Surroundings(unpaced)), out.getvalue()


def journal(folder: Path) -> list[Entry]:
    """Return all steps: no secret of these tests is given back."""
    return [*chain(*read_journal(folder / "journal.jsonl").steps.values())]


def standalone(desk: Desk) -> list[str]:
    secrets = (desk.world.secrets.secret(WEST, name) for name in desk.world.secrets.names(WEST))
    return [secret.name for secret in secrets if not secret.is_replica]


def test_with_one_region_alone_every_replica_is_promoted_and_held(desk: Desk, tmp_path: Path) -> None:
    result = promote(desk, tmp_path, "--yes", "--reason", "outage; ticket #7")
    assert result.exit_code == 0, result.output
    assert standalone(desk) == ["a", "b", "c"]
    for name in ("a", "b", "c"):
        value = desk.world.secrets.secret(WEST, name).tags[HOLD_TAG]
        assert value.startswith("failover 20")
        assert value.endswith("from us-east-1: outage  ticket  7")
    assert {call.region for call in desk.world.secrets.calls} == {WEST}
    assert result.stdout.splitlines()[-1].startswith("Promoted: 3, 0 before, 0 with a problem; journal ")
    assert desk.account.calls.keys() <= permissions()["promote"]


def test_a_dry_run_shows_all_and_writes_nothing(desk: Desk, tmp_path: Path) -> None:
    result = promote(desk, tmp_path, "--dry-run")
    assert result.exit_code == 0
    assert "3 replicas to promote in us-west-2, about 1 s at 20 writes a second" in result.stdout
    assert result.stdout.splitlines()[-1] == "Dry run: 3 replicas would be promoted, nothing was written"
    assert "What it means" in result.stderr
    assert {call.operation for call in desk.world.secrets.calls} == {"ListSecrets"}
    assert not (tmp_path / "journal.jsonl").exists()


def test_nobody_is_asked_where_there_is_nobody(desk: Desk, tmp_path: Path) -> None:
    result = promote(desk, tmp_path)
    assert (result.exit_code, desk.world.secrets.calls) == (2, [])
    assert "add --yes" in result.stderr


def test_only_the_chosen_are_promoted(desk: Desk, tmp_path: Path) -> None:
    promote(desk, tmp_path, "--yes", "--secret", "a", "--primary-region", HOME)
    promote(desk, tmp_path, "--yes", "--secret", "b", "--primary-region", "eu-west-1")
    assert standalone(desk) == ["a"]


def test_the_journal_is_written_before_each_call(desk: Desk, tmp_path: Path) -> None:
    seen: list[tuple[str, str, str]] = []

    def look(call: object, _random: object) -> None:
        operation, name = call.operation, call.secret  # type: ignore[attr-defined]
        if operation != "ListSecrets":
            *_, last = [entry for entry in journal(tmp_path) if entry.name == name]
            seen.append((operation, last.action, last.result))

    desk.world.secrets.faults = look  # type: ignore[assignment]
    promote_at_once(desk, tmp_path, "a")
    assert seen == [("StopReplicationToReplica", "promote", BEGUN), ("TagResource", "hold", BEGUN)]
    entries = journal(tmp_path)
    assert [(entry.action, entry.result) for entry in entries] == [
        ("promote", BEGUN), ("promote", DONE), ("hold", BEGUN), ("hold", DONE)
    ]  # fmt: skip
    (version,) = desk.world.secrets.secret(WEST, "a").versions
    assert (entries[0].current, entries[0].primary_region) == (version, HOME)


@pytest.mark.parametrize("fault", [CUT_AFTER_EFFECT, SERVER_ERROR_AFTER_EFFECT])
def test_an_answer_that_got_lost_is_no_failure(desk: Desk, tmp_path: Path, fault: object) -> None:
    desk.world.secrets.fail_next("StopReplicationToReplica", fault)  # type: ignore[arg-type]
    assert promote_at_once(desk, tmp_path)[0] == 0
    assert standalone(desk) == ["a", "b", "c"]


@pytest.mark.parametrize("code", ["InvalidRequestException", "InvalidParameterException"])
def test_nor_is_it_whatever_aws_calls_the_second_try(desk: Desk, tmp_path: Path, code: str) -> None:
    """How it refuses to promote what stands alone is not documented."""
    refused = Fault(code, "The secret is not a replica.")
    desk.world.secrets.fail_next("StopReplicationToReplica", CUT_AFTER_EFFECT, refused)
    assert promote_at_once(desk, tmp_path, "a")[0] == 0
    assert standalone(desk) == ["a"]


def test_what_fails_is_named_the_rest_is_done_and_the_next_run_goes_on(desk: Desk, tmp_path: Path) -> None:
    desk.world.secrets.fail_next("StopReplicationToReplica", ACCESS_DENIED)
    code, said = promote_at_once(desk, tmp_path)
    assert code == 1
    assert len(standalone(desk)) == 2
    assert "Permission secretsmanager:StopReplicationToReplica is missing" in said
    _, again = promote_at_once(desk, tmp_path)
    assert again.splitlines()[-1].startswith("Promoted: 1, 2 before, 0 with a problem")
    assert standalone(desk) == ["a", "b", "c"]


def test_a_copy_that_could_not_be_held_is_said_and_held_by_the_next_run(desk: Desk, tmp_path: Path) -> None:
    desk.world.secrets.fail_next("TagResource", ACCESS_DENIED)
    code, said = promote_at_once(desk, tmp_path)
    assert (code, "promoted, but not held: Permission" in said) == (1, True)
    assert (
        "Promoted: 3, 0 before, 1 with a problem (1 promoted, but not held: run it again); journal " in said
    )
    assert any("TagResource" in entry.result for entry in journal(tmp_path))
    assert (
        "1 secret promoted before and not held: to get the tag" in promote(desk, tmp_path, "--dry-run").stdout
    )
    promote_at_once(desk, tmp_path)
    assert all(HOLD_TAG in desk.world.secrets.secret(WEST, name).tags for name in ("a", "b", "c"))


def test_a_hold_that_a_person_has_set_is_left(desk: Desk, tmp_path: Path) -> None:
    desk.world.secrets.secret(WEST, "a").tags[HOLD_TAG] = "mine"
    promote_at_once(desk, tmp_path)
    assert desk.world.secrets.secret(WEST, "a").tags[HOLD_TAG] == "mine"


def test_json_is_the_account_alone(desk: Desk, tmp_path: Path) -> None:
    document = json.loads(promote(desk, tmp_path, "--yes", "--json").stdout)
    assert [(secret["status"], secret["why"]) for secret in document["secrets"]] == [("promoted", None)] * 3
    summary = document["summary"]
    assert (summary["promoted"], summary["to_promote"], summary["problems"]) == (3, 3, 0)


def test_a_line_that_a_kill_cut_short_spoils_no_journal(desk: Desk, tmp_path: Path) -> None:
    promote_at_once(desk, tmp_path, "a")
    file = tmp_path / "journal.jsonl"
    file.write_text(cut := file.read_text("utf-8") + '{"time": "20', "utf-8")
    promote(desk, tmp_path, "--dry-run")
    assert file.read_text("utf-8") == cut, "a rehearsal beside a run must not write into its line"
    promote_at_once(desk, tmp_path, "b")
    assert {entry.name for entry in journal(tmp_path)} == {"a", "b"}


def test_a_line_that_a_full_disk_cut_short_spoils_no_journal(tmp_path: Path) -> None:
    log, held = Journal(tmp_path / "journal.jsonl"), secret_named("app/1")
    log.note(PROMOTE, held, BEGUN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.file.stat().st_size + 20, hard))
    try:
        with pytest.raises(
            OperatorError, match="without it nothing is done: set that right, and run it again"
        ):
            log.note(PROMOTE, secret_named("app/2"), BEGUN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.note(PROMOTE, secret_named("app/3"), BEGUN)
    assert {entry.name for entry in journal(tmp_path)} == {"app/1", "app/3"}


def test_what_a_late_list_calls_a_replica_is_held_as_it_is(desk: Desk, tmp_path: Path) -> None:
    promote_at_once(desk, tmp_path)
    desk.world.secrets.secret(WEST, "a").tags.clear()
    before = desk.world.secrets.listing.page
    desk.world.secrets.listing.page = late(before)  # type: ignore[method-assign]
    desk.world.secrets.calls.clear()
    assert promote_at_once(desk, tmp_path, "a")[0] == 0
    assert HOLD_TAG in desk.world.secrets.secret(WEST, "a").tags
    assert not desk.world.calls("StopReplicationToReplica")


def test_what_may_not_be_described_is_promoted_by_the_second_run_too(desk: Desk, tmp_path: Path) -> None:
    desk.world.secrets.fail_next("StopReplicationToReplica", ACCESS_DENIED)
    assert promote_at_once(desk, tmp_path, "a")[0] == 1
    desk.world.secrets.fail_next("DescribeSecret", ACCESS_DENIED)
    assert promote_at_once(desk, tmp_path, "a")[0] == 0
    assert standalone(desk) == ["a"]


def late(page: Callable[..., Any]) -> Callable[..., Any]:
    """Return lists as they were before the promotion."""

    def listed(*arguments: Any) -> Any:
        answer = page(*arguments)
        for entry in answer["SecretList"]:
            entry["PrimaryRegion"] = HOME
        return answer

    return listed


def secret_named(name: str) -> Held:
    arn = f"arn:aws:secretsmanager:{WEST}:123456789012:secret:{name}-AbCdEf"
    return Held(arn=arn, name=name, tags={}, region=WEST, versions={})


def test_the_promoted_of_a_long_journal_are_found_in_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, secrets = Journal(tmp_path / "journal.jsonl"), 50
    for number in range(secrets):
        with log.step(PROMOTE, secret_named(f"app/{number:02}"), HOME):
            pass
    compared = []
    identity = Entry.identity.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(Entry, "identity", property(lambda step: compared.append(step) or identity(step)))
    promoted = read_journal(log.file).promoted()
    assert len(promoted) == secrets
    assert len(compared) <= 3 * 2 * secrets, "ten thousand secrets would take minutes, while a Region is down"
