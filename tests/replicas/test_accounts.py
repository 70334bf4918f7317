"""Several accounts in one answer: profiles that are repeated, and a file of roles."""

import csv
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from threading import Barrier, Thread, current_thread
from typing import Self

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from replicas.aws.accounts import AT_ONCE, accounts, ask_each
from replicas.cli import app
from replicas.errors import OperatorError
from replicas.options import Role, Scope
from replicas.terminal import Screen
from tests.support.desk import Desk, at_desk
from tests.support.fakes.account import STACK
from tests.support.world import HOME, make_world

NAMES = ("blue", "green")
SHUT = "grey"
"""An account where nothing may be asked."""
TWIN = "twin"
"""A second profile of the account that is blue."""
GONE = "gone"
"""A profile at whose address nobody answers."""


@pytest.fixture
def desks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Desk]]:
    """Two accounts with a profile each, and one whose AWS refuses all."""
    with ExitStack() as stack:
        desks = {}
        for name in (*NAMES, SHUT):
            (tmp_path / name).mkdir()
            desks[name] = stack.enter_context(at_desk(make_world(tmp_path / name)))
            desks[name].world.add(f"{name}-secret", "us-west-2")
            queue = f"https://sqs.us-east-1.amazonaws.com/{name}/ReplicationQueue"
            desks[name].account.environment = {**desks[name].account.environment, "QUEUE_URL": queue}
        desks[SHUT].account.denied |= {"cloudformation:DescribeStacks", "secretsmanager:ListSecrets"}
        urls = {name: desk.account.url for name, desk in desks.items()} | {GONE: "http://127.0.0.1:9"}
        urls[TWIN] = urls["blue"]
        config = tmp_path / "config"
        keys = "aws_access_key_id = a\naws_secret_access_key = b\nmax_attempts = 1\n"
        config.write_text(
            "".join(f"[profile {name}]\n{keys}endpoint_url = {url}\n" for name, url in urls.items()), "utf-8"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_PROFILE"):
            monkeypatch.delenv(variable, raising=False)
        yield desks


def run(
    desks: dict[str, Desk], command: str, *arguments: str, env: Mapping[str, str] | None = None
) -> Result:
    policy = str(desks["blue"].world.app.settings.policy_file)
    common = ["--region", HOME, "--stack", STACK, "--policy", policy]
    return CliRunner().invoke(app, [command, *common, *arguments], env={"COLUMNS": "300", **(env or {})})


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


def test_a_report_adds_up_what_verify_finds_in_each_account(desks: dict[str, Desk], tmp_path: Path) -> None:
    desks["blue"].world.send("blue-secret")
    desks["blue"].world.deliver_until_empty()
    files = ["--html", str(tmp_path / "r.html"), "--csv", str(tmp_path / "r.csv")]
    result = run(desks, "report", *files, *profiles(*NAMES))
    assert "Verified: 1 of 2 replicas current" in result.stdout
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as table:
        found = {line["account"]: line["verified us-west-2"] for line in csv.DictReader(table)}
    assert found == {"blue": "current", "green": "missing"}


ANSWERING = {
    "status": (["status"], "secrets", 3),
    "plan": (["plan", "--detailed-exitcode"], "secrets", 2),
    "plan against another policy": (["plan", "--detailed-exitcode", "--against", "{other}"], "secrets", 2),
    "verify": (["verify"], "replicas", 2),
    "verify from a Region": (["verify", "--from", HOME], "secrets", 0),
}
"""Commands that answer for several accounts, what lists the secrets in their JSON, and their exit code."""


@pytest.fixture(params=ANSWERING, ids=str)
def answering(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[list[str], str, int]:
    """Return a command that answers for several accounts."""
    other = tmp_path / "other.toml"
    other.write_text('[tag]\nkey = "another"\n', "utf-8")
    arguments, secrets, code = ANSWERING[request.param]
    return [argument.format(other=other) for argument in arguments], secrets, code


def test_each_row_names_its_account_and_each_account_has_its_totals(
    desks: dict[str, Desk], answering: tuple[list[str], str, int]
) -> None:
    command, _, code = answering
    result = run(desks, *command, *profiles(*NAMES))
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert lines[0][0] == "Account"
    assert {(line[0], line[2]) for line in lines[1:] if len(line) > 2} == {
        ("blue", "blue-secret"),
        ("green", "green-secret"),
    }
    said = [line[0].split(": ")[0] for line in lines if len(line) == 1]
    assert said[: len(NAMES)] == [*NAMES]
    assert result.exit_code == code


def test_one_account_alone_has_no_column(
    desks: dict[str, Desk], answering: tuple[list[str], str, int]
) -> None:
    command, _, code = answering
    result = run(desks, *command, *profiles("blue"))
    assert "Account" not in result.stdout
    assert "blue: " not in result.stdout
    assert result.exit_code == code


def test_an_account_that_cannot_be_reached_is_a_line_in_every_command(
    desks: dict[str, Desk], answering: tuple[list[str], str, int]
) -> None:
    command, _, _ = answering
    result = run(desks, *command, *profiles(SHUT, *NAMES))
    assert "blue-secret" in result.stdout
    assert "green-secret" in result.stdout
    assert "\ngrey: could not be read\n" in result.stdout
    assert "grey: Permission " in result.stderr
    assert "1 of 3 accounts could not be read: grey" in result.stderr
    assert result.exit_code == 1


def test_json_names_the_account_of_each_secret(
    desks: dict[str, Desk], answering: tuple[list[str], str, int]
) -> None:
    command, secrets, _ = answering
    result = run(desks, *command, "--json", *profiles(*NAMES, SHUT))
    found = json.loads(result.stdout)
    assert [secret["account"] for secret in found[secrets]] == [*NAMES]
    assert [account["account"] for account in found["accounts"]] == [*NAMES, SHUT]
    assert [bool(account["error"]) for account in found["accounts"]] == [False, False, True]
    assert [bool(account["text"]) for account in found["accounts"]] == [True, True, False]
    assert result.exit_code == 1


@pytest.mark.parametrize(
    "answering", ["status", "plan", "plan against another policy", "verify"], indirect=True
)
def test_an_account_under_two_profiles_counts_once_and_is_an_error(
    desks: dict[str, Desk], answering: tuple[list[str], str, int]
) -> None:
    command, secrets, _ = answering
    result = run(desks, *command, "--json", *profiles("blue", TWIN, "green"))
    found = json.loads(result.stdout)
    (refused,) = {"blue", TWIN} - {secret["account"] for secret in found[secrets]}
    (counted,) = {"blue", TWIN} - {refused}
    assert sorted(secret["name"] for secret in found[secrets]) == ["blue-secret", "green-secret"]
    assert f"{refused}: It reads the same secrets as {counted}, which would count twice" in result.stderr
    assert result.exit_code == 1


@pytest.mark.parametrize(
    "answering", ["status", "plan", "plan against another policy", "verify"], indirect=True
)
def test_before_anything_is_deployed_an_account_under_two_profiles_counts_once(
    desks: dict[str, Desk], answering: tuple[list[str], str, int]
) -> None:
    command, secrets, _ = answering
    allowed = ["--allowed-regions", "us-west-2"]
    result = run(desks, *command, "--json", *allowed, *profiles("blue", TWIN, "green"))
    found = json.loads(result.stdout)
    assert sorted(secret["name"] for secret in found[secrets]) == ["blue-secret", "green-secret"]
    assert ": It reads the same secrets as " in result.stderr
    assert result.exit_code == 1


def test_before_anything_is_deployed_one_account_is_not_asked_who_it_is(desks: dict[str, Desk]) -> None:
    run(desks, "plan", "--allowed-regions", "us-west-2", *profiles("blue"))
    assert "sts:GetCallerIdentity" not in desks["blue"].account.calls


def test_verify_from_a_region_lists_an_account_under_two_profiles_once(desks: dict[str, Desk]) -> None:
    result = run(desks, "verify", "--from", HOME, *profiles("blue", TWIN))
    assert result.stdout.count("blue-secret") == 1
    assert result.exit_code == 0


def test_the_accounts_are_asked_at_the_same_time(desks: dict[str, Desk]) -> None:
    """Each waits, with its first call, until the other has come as far: in a row they would wait for ever."""
    both = Barrier(len(NAMES), timeout=30)
    for desk in desks.values():
        desk.account.before["cloudformation:DescribeStacks"] = lambda: both.wait() and None
    assert run(desks, "plan", *profiles(*NAMES)).exit_code == 0


def test_an_address_where_nobody_answers_is_a_line(desks: dict[str, Desk]) -> None:
    """The profiles have `max_attempts = 1`: ten attempts take a minute."""
    result = run(desks, "status", *profiles("blue", GONE))
    assert "gone: Could not connect to the endpoint URL" in result.stderr
    assert "blue-secret" in result.stdout
    assert result.exit_code == 1


def test_what_an_account_says_meanwhile_is_lines_also_where_the_rest_is_coloured(
    desks: dict[str, Desk],
) -> None:
    """Where FORCE_COLOR is set, the bar of one account would mingle with the others'."""
    coloured = {"TTY_COMPATIBLE": "1", "FORCE_COLOR": "1"}
    result = run(desks, "status", *profiles(*NAMES), env=coloured)
    assert "blue: us-east-1: stack " in result.stderr
    assert "Asking the accounts" in result.stderr
    assert "Reading the secrets" not in result.stderr


@dataclass
class Nothing:
    """What an account answers that there is nothing to say of."""

    def add(self, other: Self) -> None:
        """Take in nothing."""


class Impatient(Screen):
    """A person who presses Ctrl-C when the first account has answered."""

    def say(self, text: str) -> None:
        """Stop the command."""
        raise KeyboardInterrupt(text)


def test_ctrl_c_ends_the_accounts_that_are_being_read_and_begins_no_other() -> None:
    begun, read_to_the_end, threads = [], [], set[Thread]()

    def work(place: Scope, own: Screen) -> Nothing:
        begun.append(place.account)
        threads.add(current_thread())
        if place.account == "0":
            own.say("It is read")
            return Nothing()
        start = time.monotonic()
        with own.progress("Reading") as report:
            while time.monotonic() < start + 20:
                report(1)
        read_to_the_end.append(place.account)
        return Nothing()

    quiet = Console(file=StringIO())
    scope = Scope(profiles=[str(number) for number in range(4 * AT_ONCE)])
    with pytest.raises(KeyboardInterrupt):
        ask_each(scope, work, Nothing(), Impatient(quiet, quiet))
    for thread in [*threads]:
        thread.join()
    assert not read_to_the_end
    assert len(begun) < 4 * AT_ONCE


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


def test_a_role_that_may_not_be_assumed_is_named_with_its_permission(
    desks: dict[str, Desk], tmp_path: Path
) -> None:
    desks["blue"].account.denied.add("sts:AssumeRole")
    file = tmp_path / "accounts.toml"
    file.write_text('[[accounts]]\nprofile = "blue"\nrole_arn = "arn:aws:iam::111122223333:role/auditor"\n')
    result = run(desks, "status", "--accounts", str(file))
    assert "Permission sts:AssumeRole is missing" in result.stderr
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no account"),
        ("[[accounts]]\nname = 'a'", "account 1: it has neither profile nor role_arn"),
        ("[[accounts]]\nprofile = 1", "account 1: profile cannot be so"),
        ("[[accounts]]\nprofile = ''", "account 1: profile cannot be so"),
        ("[[accounts]]\nprofile = 'a'\nregion = 'b'", "account 1: region cannot be so"),
        ("[[accounts]]\nprofile = 'a'\nregions = [1]", "account 1: regions cannot be so"),
        ("[[accounts]]\nprofile = 'a'\nregions = ['']", "account 1: regions cannot be so"),
        ("[[accounts]]\nprofile = 'a'\n[[accounts]]\nprofile = 'a'", "names a twice"),
        ("accounts = [1]", "account 1: it has neither"),
        ("[", "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_is_said_to_be(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(OperatorError, match=said):
        accounts(Scope(accounts=file))


ROLE = "role_arn = 'arn:aws:iam::111122223333:role/{}'"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("profile = 'a'", "profile = 'a'", id="one profile"),
        pytest.param(ROLE.format("x"), ROLE.format("y"), id="two roles of one account"),
        pytest.param(
            "profile = 'a'\nregions = ['eu-west-1', 'us-east-1']",
            "profile = 'a'\nregions = ['us-east-1']",
            id="a Region of two",
        ),
        pytest.param("profile = 'a'", "profile = 'a'\nstack = 'here'", id="the command's own stack"),
    ],
)
def test_a_stack_under_two_names_would_count_twice(tmp_path: Path, first: str, second: str) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(f"[[accounts]]\nname = 'old'\n{first}\n[[accounts]]\nname = 'new'\n{second}", "utf-8")
    with pytest.raises(OperatorError, match="the same stack as old and as new"):
        accounts(Scope(accounts=file, stack="here"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("regions = ['eu-west-1']", "regions = ['us-east-1']", id="two Regions"),
        pytest.param("stack = 'a'", "stack = 'b'", id="two stacks"),
    ],
)
def test_an_account_may_stand_there_twice_with_what_differs(tmp_path: Path, first: str, second: str) -> None:
    file = tmp_path / "accounts.toml"
    entry = f"[[accounts]]\n{ROLE.format('auditor')}\nname = "
    file.write_text(f"{entry}'old'\n{first}\n{entry}'new'\n{second}", "utf-8")
    assert [place.account for place in accounts(Scope(accounts=file))] == ["old", "new"]


def test_an_entry_overrides_what_the_command_line_says(tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(
        '[[accounts]]\nrole_arn = "arn:aws:iam::1:role/a"\nregions = ["eu-west-1"]\nstack = "s"', "utf-8"
    )
    (found,) = accounts(Scope(accounts=file, regions=["us-east-1"], stack="other"))
    assert (found.account, found.regions, found.stack) == ("1", ["eu-west-1"], "s")
    assert found.role == Role("arn:aws:iam::1:role/a")
