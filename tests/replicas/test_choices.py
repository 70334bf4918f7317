"""What a person chooses and there is not: an error that names it, never a success of nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from replicas.cli import app
from tests.support.desk import Desk, at_desk
from tests.support.world import HOME, make_world

WEST = "us-west-2"
TYPO = {
    "plan": "No selected secret matches",
    "plan --against {policy}": "No selected secret matches",
    "apply --yes": "No selected secret matches",
    "status": "No selected secret matches",
    "status --failed --json": "No selected secret matches",
    "report --html {page}": "No selected secret matches",
    "verify": "No secret matches",
    "verify --from us-west-2": "No secret in us-west-2 matches",
    "promote --replica-region us-west-2 --dry-run": "No replica in us-west-2 matches",
    "promote --replica-region us-west-2 --yes --json": "No replica in us-west-2 matches",
    "rejoin --replica-region us-west-2 --yes": "No secret that was promoted in us-west-2 matches",
}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with at_desk(make_world(tmp_path)) as desk:
        for name in ("a", "b"):
            desk.world.add(name, WEST, team="shop")
            desk.world.send(name)
        desk.world.deliver_until_empty()
        yield desk


def run(desk: Desk, line: str, *arguments: str) -> Result:
    folder = desk.world.app.settings.policy_file.parent
    command, *given = line.format(policy=folder / "policy.toml", page=folder / "page.html").split()
    if command not in ("promote", "rejoin"):
        return desk.run(command, *given, *arguments)
    there = ["--endpoint-url", desk.account.url, "--journal", str(folder / "journal.jsonl")]
    return CliRunner().invoke(app, [command, *given, *there, *arguments])


@pytest.mark.parametrize("line", TYPO)
@pytest.mark.parametrize("arguments", [["--secret", "typo"], ["--tag", "team=typo"]])
def test_a_choice_of_nothing_is_no_success(
    desk: Desk, tmp_path: Path, line: str, arguments: list[str]
) -> None:
    before = len(desk.world.calls("ReplicateSecretToRegions"))
    result = run(desk, line, *arguments)
    assert (result.exit_code, result.stdout) == (1, ""), result.stderr
    assert f"{TYPO[line]} {' '.join(arguments)}: " in result.stderr
    assert not (tmp_path / "page.html").exists()
    assert (len(desk.world.calls("ReplicateSecretToRegions")), desk.world.queues.messages) == (before, [])
    assert desk.world.secrets.secret(WEST, "a").primary_region == HOME


@pytest.mark.parametrize("line", [line for line in TYPO if "rejoin" not in line])
def test_of_several_names_the_one_that_is_a_typo_is_named(desk: Desk, line: str) -> None:
    result = run(desk, line, "--secret", "a", "--secret", "tpyo", "--secret", "b*")
    assert (result.exit_code, result.stdout) == (1, ""), result.stderr
    assert f"{TYPO[line]} --secret tpyo: " in result.stderr
    assert desk.world.secrets.secret(WEST, "a").primary_region == HOME


def test_a_secret_that_was_never_promoted_is_no_success_of_rejoin(desk: Desk) -> None:
    result = run(desk, "rejoin --replica-region us-west-2 --yes", "--secret", "a")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No secret that was promoted in us-west-2 matches --secret a: " in result.stderr


@pytest.mark.parametrize(
    "command", ["promote --replica-region us-west-2", "rejoin --replica-region us-west-2"]
)
def test_a_journal_that_cannot_be_used_is_named_before_anything_is_done(desk: Desk, command: str) -> None:
    folder = desk.world.app.settings.policy_file.parent
    (folder / "binary").write_bytes(b"\xff\xfe")
    for file, why in ((folder, "it is no file"), (folder / "binary", "it is not UTF-8")):
        result = run(desk, command, "--yes", "--journal", str(file))
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"The journal {file} cannot be used ({why})" in result.stderr
    assert desk.world.secrets.secret(WEST, "a").primary_region == HOME


def test_a_journal_that_cannot_be_written_ends_a_promotion_before_it_begins(desk: Desk) -> None:
    nowhere = desk.world.app.settings.policy_file.parent / "no" / "folder"
    result = run(desk, "promote --replica-region us-west-2 --yes", "--journal", str(nowhere))
    assert result.exit_code == 1
    assert f"The journal {nowhere} cannot be used (No such file or directory)" in result.stderr
    assert desk.world.secrets.secret(WEST, "a").primary_region == HOME
