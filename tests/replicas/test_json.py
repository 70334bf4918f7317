"""What `--json` writes: one set of keys for all commands, each documented, each with one meaning and type."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from typer.main import get_command
from typer.testing import CliRunner

from local.secrets_manager.model import Outcome
from replicas.aws.accounts import Answer, Answers
from replicas.aws.connection import Connection
from replicas.aws.function_log import SweepProgress
from replicas.cli import app
from replicas.commands import smoke, sweep
from replicas.commands.doctor.command import Examined
from replicas.commands.doctor.command import document as doctor_document
from replicas.commands.doctor.findings import bad
from tests.support.desk import Desk, at_desk
from tests.support.fakes.account import STACK
from tests.support.world import HOME, make_world

PAGE = Path(__file__).parents[2] / "docs/reference/json.md"
WEST = "us-west-2"
BEFORE = """
[tag]
key = "replicate-to"
[[rules]]
match = { team = "shop" }
regions = ["eu-west-1"]
"""
COMMANDS = {
    "plan": "plan --policy {policy}",
    "plan --against": "plan --policy {policy} --against {before}",
    "apply": "apply --yes --secret none",
    "status": "status --policy {policy}",
    "explain": "explain broken --policy {policy}",
    "explain --tags": "explain --tags replicate-to=us-west-2 --allowed-regions us-west-2 --policy {policy}",
    "validate": "validate {policy}",
    "redrive": "redrive --dry-run",
    "sweep --no-follow": "sweep --no-follow",
    "report": "report --policy {policy} --by team",
    "verify": "verify --policy {policy}",
    "verify --from": "verify --from us-west-2",
    "promote": "promote --replica-region us-west-2 --yes --secret ok --journal {journal}",
    "rejoin": "rejoin --replica-region us-west-2 --dry-run --journal {journal}",
}
DATA = {"regions", "tags", "skipped_by_reason", "drift_by_kind", "seconds_to_in_sync"}
"""Objects whose keys are Regions, tags, reasons."""

TYPES = {str: "text", bool: "yes or no", int: "number", float: "number", list: "list", dict: "object"}
_ROW = re.compile(r"^\| `([\w.]+)` \| ([^|]+) \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


@dataclass
class Key:
    """What the values of a key are, and which commands write it."""

    types: set[str] = field(default_factory=set)
    commands: set[str] = field(default_factory=set)

    @property
    def row(self) -> tuple[str, str]:
        return ", ".join(sorted(self.types)) or "text", ", ".join(sorted(self.commands))


def note(keys: dict[str, Key], command: str, value: Any, inside: str = "") -> None:
    """Note the keys of a document. Those of a summary are apart: each is a number there."""
    if isinstance(value, list):
        for item in value:
            note(keys, command, item, inside)
    if not isinstance(value, Mapping):
        return
    for name, item in value.items():
        key = keys.setdefault(f"{inside}{name}", Key())
        key.commands.add(command)
        key.types |= {TYPES[type(item)]} if item is not None else set()
        if name not in DATA:
            note(keys, command, item, "summary." if name == "summary" else inside)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each command writes of an account that has a secret of every kind."""
    folder = tmp_path_factory.mktemp("json")
    (folder / "before.toml").write_text(BEFORE)
    world = make_world(folder)
    world.secrets.set_outcome("broken", WEST, Outcome("Failed", "The KMS key is disabled"))
    for name, to in (("ok", WEST), ("broken", WEST), ("wrong", "eu-wst-1"), ("none", "none")):
        world.add(name, to, team="shop")
        world.send(name)
    world.deliver_until_empty()
    world.add("late", WEST)
    with at_desk(world) as desk:
        found = {name: written(desk, folder, line) for name, line in COMMANDS.items()}
        found["smoke"] = smoked(desk)
    found["sweep"] = sweep.document("id", [swept()])
    found["apply"] |= sweep.document("id", [swept(), swept()])
    found["doctor"] = doctor_document(examined())
    return {command: json.loads(json.dumps(document)) for command, document in found.items()}


def written(desk: Desk, folder: Path, line: str) -> dict[str, Any]:
    files = {"policy": "policy.toml", "before": "before.toml", "journal": "failover.jsonl"}
    command, *arguments = line.format(**{name: folder / file for name, file in files.items()}).split()
    there = ["--endpoint-url", desk.account.url] if command != "validate" else []
    there += ["--stack", STACK, "--region", HOME] if command not in ("validate", "promote", "rejoin") else []
    result = CliRunner().invoke(app, [command, *there, *arguments, "--json"])
    assert result.exit_code in (0, 2, 3), result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def smoked(desk: Desk) -> dict[str, Any]:
    connection = Connection(boto3.Session(region_name=HOME), desk.account.url, None, Config())
    trial = smoke.Trial(connection, (WEST, "eu-west-1"), "replicate-to", WEST, lambda _: None)
    trial.first[WEST], trial.in_sync[WEST], trial.arn = (1.0, "InProgress"), 2.0, "arn:…"
    document = smoke.document(trial)
    assert document["regions"] == {WEST: "InSync", "eu-west-1": "missing"}
    assert smoke.document(replace(trial, regions=(WEST,)))["status"] == "InSync"
    return document


def swept() -> SweepProgress:
    """Return a sweep of which one secret ended as a dead letter, and one was skipped."""
    account = SweepProgress(frozenset({"a", "b"}))
    for arn, verdict, outcome in (("a", "dead_letter", "failed"), ("b", "done", "skipped")):
        line = {"message": "secret_reconciled", "secret": arn, "outcome": outcome, "verdict": verdict}
        account.note({**line, "reason": "why"}, 1)
    account.note({"message": "drift_found", "secret": "b", "region": WEST, "kind": "held"}, 1)
    return account


def examined() -> Answers[Examined]:
    found = Examined([replace(bad("wrong", "correct it"), region=HOME)])
    return Answers([Answer("", found), Answer("other", None, "no")], found)


@pytest.fixture(scope="module")
def keys(documents: dict[str, dict[str, Any]]) -> dict[str, Key]:
    found: dict[str, Key] = {}
    for command, document in documents.items():
        note(found, command.partition(" ")[0], document)
    return found


def test_every_command_writes_json(documents: dict[str, dict[str, Any]]) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert {name.partition(" ")[0] for name in documents} == set(commands)
    for name, command in commands.items():
        assert "--json" in {option for parameter in command.params for option in parameter.opts}, name


def test_a_key_is_of_one_type_in_every_command(keys: dict[str, Key]) -> None:
    assert {name: key.types for name, key in keys.items() if len(key.types) > 1} == {}


def test_every_key_is_on_the_page_with_its_type_and_its_commands(keys: dict[str, Key]) -> None:
    rows = _ROW.findall(PAGE.read_text("utf-8"))
    assert [(name, (kind, commands)) for name, kind, commands in rows] == [
        (name, keys[name].row) for name in sorted(keys, key=lambda name: ("." in name, name))
    ]


def test_no_key_has_its_old_name(keys: dict[str, Key]) -> None:
    """They are primary_region, status, name and arn, action, replicas."""
    assert not keys.keys() & {"home", "state", "verdict", "secret", "what", "to_promote", "standing"}


def test_a_secret_is_named_by_the_same_keys_everywhere(documents: dict[str, dict[str, Any]]) -> None:
    for command, document in documents.items():
        listed = document.get("secrets", []) + (document["replicas"] if command == "verify" else [])
        for secret in listed:
            assert {"primary_region", "name", "arn"} <= secret.keys(), command


def test_an_apply_of_several_regions_is_one_document_that_adds_them_up() -> None:
    document = sweep.document("id", [swept(), swept()])
    assert document["drift_by_kind"] == {"held": 2}
    assert (document["summary"]["dead_letters"], document["complete"]) == (2, True)  # type: ignore[index]
    assert sweep.document(None, [])["summary"]["selected"] == 0  # type: ignore[index]
