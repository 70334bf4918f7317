"""Several accounts in one answer: profiles that are repeated, and a file of roles."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from replicas.aws.accounts import accounts
from replicas.cli import app
from replicas.errors import OperatorError
from replicas.options import Role, Where
from tests.support.desk import Desk, at_desk
from tests.support.fakes.account import STACK
from tests.support.world import HOME, make_world

NAMES = ("blue", "green")
GONE = "http://127.0.0.1:9"


@pytest.fixture
def desks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Desk]]:
    """Two accounts with a profile each, and a profile whose AWS does not answer."""
    with ExitStack() as stack:
        desks = {}
        for name in NAMES:
            (tmp_path / name).mkdir()
            desks[name] = stack.enter_context(at_desk(make_world(tmp_path / name)))
            desks[name].world.add(f"{name}-secret", "us-west-2")
        urls = {name: desk.account.url for name, desk in desks.items()} | {"gone": GONE}
        config = tmp_path / "config"
        keys = "aws_access_key_id = a\naws_secret_access_key = b\nmax_attempts = 1\n"
        config.write_text(
            "".join(f"[profile {name}]\n{keys}endpoint_url = {url}\n" for name, url in urls.items()), "utf-8"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_PROFILE"):
            monkeypatch.delenv(variable, raising=False)
        yield desks


def run(desks: dict[str, Desk], command: str, *arguments: str) -> Result:
    policy = str(desks["blue"].world.app.settings.policy_file)
    common = ["--region", HOME, "--stack", STACK, "--policy", policy]
    return CliRunner().invoke(app, [command, *common, *arguments], env={"COLUMNS": "300"})


def profiles(*names: str) -> list[str]:
    return [f"--profile={name}" for name in names]


def test_status_answers_for_all_profiles(desks: dict[str, Desk]) -> None:
    result = run(desks, "status", *profiles(*NAMES))
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert lines[0][0] == "Account"
    assert [(line[0], line[2]) for line in lines[1:3]] == [("blue", "blue-secret"), ("green", "green-secret")]
    assert "blue: 0 of 1 selected secrets are InSync" in result.stdout
    assert "\n0 of 2 selected secrets are InSync" in result.stdout
    assert result.exit_code == 3


def test_an_account_that_cannot_be_reached_is_a_line_and_not_the_end(desks: dict[str, Desk]) -> None:
    desks["green"].account.denied.add("cloudformation:DescribeStacks")
    result = run(desks, "status", *profiles(*NAMES))
    assert "blue-secret" in result.stdout
    assert "green: could not be read" in result.stdout
    assert "green: Permission cloudformation:DescribeStacks is missing" in result.stderr
    assert "1 of 2 accounts could not be read: green" in result.stderr
    assert result.exit_code == 1


def test_a_report_without_an_account_is_written_and_is_an_error(
    desks: dict[str, Desk], tmp_path: Path
) -> None:
    desks["green"].account.denied.add("cloudformation:DescribeStacks")
    files = ["--html", str(tmp_path / "r.html"), "--csv", str(tmp_path / "r.csv")]
    result = run(desks, "report", *files, *profiles(*NAMES))
    assert "1 of 2 accounts could not be read: green" in result.stderr
    assert result.exit_code == 1
    titles, line = (tmp_path / "r.csv").read_text("utf-8").splitlines()
    assert (titles.split(",")[0], line.split(",")[0]) == ("account", "blue")


def test_json_names_the_account_of_each_secret(desks: dict[str, Desk]) -> None:
    found = json.loads(run(desks, "status", "--json", *profiles(*NAMES)).stdout)
    assert [secret["account"] for secret in found["secrets"]] == [*NAMES]
    assert [account["account"] for account in found["accounts"]] == [*NAMES]


def test_roles_are_assumed_with_the_external_id(desks: dict[str, Desk], tmp_path: Path) -> None:
    role = "arn:aws:iam::111122223333:role/auditor"
    file = tmp_path / "accounts.toml"
    file.write_text(
        f'[[accounts]]\nprofile = "blue"\nrole_arn = "{role}"\nexternal_id = "x-1"\n'
        '[[accounts]]\nname = "second"\nprofile = "green"\n',
        "utf-8",
    )
    result = run(desks, "status", "--accounts", str(file))
    accounts = [line.split("\t")[0] for line in result.stdout.splitlines()[1:3]]
    assert accounts == ["111122223333", "second"]
    assert {*desks["blue"].account.assumed} == {(role, "x-1")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no account"),
        ("[[accounts]]\nname = 'a'", "account 1: it has neither profile nor role_arn"),
        ("[[accounts]]\nprofile = 1", "account 1: profile cannot be so"),
        ("[[accounts]]\nprofile = 'a'\nregion = 'b'", "account 1: region cannot be so"),
        ("[[accounts]]\nprofile = 'a'\n[[accounts]]\nprofile = 'a'", "names a twice"),
        ("accounts = [1]", "account 1: it has neither"),
        ("[", "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_is_said_to_be(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(OperatorError, match=said):
        accounts(Where(accounts=file))


def test_an_entry_overrides_what_the_command_line_says(tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(
        '[[accounts]]\nrole_arn = "arn:aws:iam::1:role/a"\nregions = ["eu-west-1"]\nstack = "s"', "utf-8"
    )
    (found,) = accounts(Where(accounts=file, regions=["us-east-1"], stack="other"))
    assert (found.account, found.regions, found.stack) == ("1", ["eu-west-1"], "s")
    assert found.role == Role("arn:aws:iam::1:role/a")
