"""What holds for every command: what it may do, what it shows, and how it begins and ends."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from local.secrets_manager.model import AwsError
from local.secrets_manager.service import VALUE_READS, StrictSecretsManager
from replicas.cli import app
from tests.support.desk import Desk
from tests.support.fakes.account import OUTPUTS, STACK

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/permissions.md").read_text("utf-8")
READING = ("plan", "status", "explain", "report")
COMMANDS = (*READING, "apply", "sweep", "verify", "promote", "rejoin")
ALL = sorted(get_command(app).commands)  # type: ignore[attr-defined]
_PERMISSION_ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| ((?:`[a-z]+:\w+`(?:, )?)+) \|$", re.MULTILINE)


def permissions() -> dict[str, set[str]]:
    """Return the permissions of each command, as the README lists them."""
    return {
        command: set(re.findall(r"`([a-z]+:\w+)`", actions))
        for commands, actions in _PERMISSION_ROW.findall(PAGE)
        for command in re.findall(r"`(\w+)`", commands)
    }


def arguments(command: str, folder: Path) -> list[str]:
    return {"explain": ["broken"], "report": ["--html", str(folder / "r.html")]}.get(command, [])


@pytest.mark.parametrize("command", READING)
def test_a_command_needs_exactly_the_permissions_that_the_readme_lists(
    desk: Desk, tmp_path: Path, command: str
) -> None:
    desk.world.add("fine", "us-west-2")
    desk.world.add("broken", "eu-wst-1")
    for name in ("fine", "broken"):
        desk.world.send(name)
    desk.world.deliver_until_empty()
    desk.world.secrets.secret("us-west-2", "fine").kms_key_id = "alias/own"
    assert desk.run(command, *arguments(command, tmp_path)).exit_code in (0, 2, 3)
    needed = {
        call for call in desk.account.calls if call != "secretsmanager:ListSecrets" or command != "explain"
    }
    assert needed == permissions()[command] - (
        {"secretsmanager:ListSecrets"} if command == "explain" else set()
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_names_the_permissions_and_the_exit_codes(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    said = re.sub(r"[\s│]+", " ", result.stdout)
    for action in permissions()[command]:
        assert action.partition(":")[2] in said
    assert "Exit codes: 0 " in said
    assert "130 stopped by Ctrl-C" in said


@pytest.mark.parametrize("command", ALL)
def test_wrong_usage_is_2_everywhere_and_the_help_says_so(command: str) -> None:
    assert CliRunner().invoke(app, [command, "--nonsense"]).exit_code == 2
    said = re.sub(r"[\s│]+", " ", CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout)
    assert re.search(r"2 (there is, or )?wrong usage", said)


@pytest.mark.parametrize("command", ALL)
def test_the_help_names_what_an_option_takes_and_no_type_of_python(command: str) -> None:
    said = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout
    assert not re.search(r"--\S+ +(-\w +)?<(?!bool)", said), said


def test_a_refusal_names_the_service_that_refused(desk: Desk) -> None:
    """Nothing around a call says so: the answer itself does."""
    desk.account.denied.add("sqs:ReceiveMessage")
    result = desk.run("status")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Permission sqs:ReceiveMessage is missing" in result.stderr


def test_no_command_has_a_way_to_ask_for_a_value() -> None:
    """Neither the function, nor the commands, nor the local stack: what names the actions denies them."""
    names = re.compile("(batch_?)?get_?secret_?value", re.IGNORECASE)
    files = [path for folder in ("functions", "replicas", "local") for path in (ROOT / folder).rglob("*.py")]
    found = {path.name for path in files if names.search(path.read_text("utf-8"))}
    assert found == {"operations.py", "service.py", "two_stacks.py"}, (
        "the strict model, and the application of the drill"
    )
    for action in VALUE_READS:
        with pytest.raises(AwsError, match="never read"):
            StrictSecretsManager().handle(action, "us-west-2", {"SecretId": "a"})
    template = (ROOT / "template.yaml").read_text("utf-8")
    lines = template.splitlines()
    (place,) = (number for number, line in enumerate(lines) if names.search(line))
    assert lines[place - 2].strip() == "- Sid: NeverReadValues"
    assert lines[place - 1].strip() == "Effect: Deny"


def test_help_does_not_wait_for_boto3() -> None:
    code = """
import sys
from replicas.cli import app
for arguments in [[], *([command] for command in sys.argv[1:])]:
    try:
        app([*arguments, "--help"])
    except SystemExit:
        assert not {"boto3", "botocore", "jinja2"} & sys.modules.keys(), f"slow: {arguments}"
"""
    subprocess.run([sys.executable, "-c", code, *ALL], check=True, cwd=ROOT, capture_output=True)


@pytest.mark.parametrize("command", READING)
def test_what_is_no_terminal_gets_no_colour_and_no_box(desk: Desk, tmp_path: Path, command: str) -> None:
    desk.world.add("broken", "eu-wst-1")
    result = desk.run(command, *arguments(command, tmp_path))
    assert "\x1b" not in result.output
    assert not re.search("[─│╭]", result.output)


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        pytest.param({}, ["stack secret-replicator in us-east-1: of an older version"], id="an old stack"),
        pytest.param({"Version": "0.9.1"}, ["stack secret-replicator in us-east-1: 0.9.1"], id="a stack"),
        pytest.param(None, [], id="no stack"),
    ],
)
def test_the_version_is_ours_and_where_it_can_be_read_that_of_the_stack(
    desk: Desk, outputs: dict[str, str] | None, said: list[str]
) -> None:
    if outputs is not None:
        desk.account.stacks["secret-replicator"] = {**OUTPUTS, **outputs}
    result = CliRunner().invoke(app, ["--version"], env={"AWS_ENDPOINT_URL": desk.account.url})
    ours, *theirs = result.stdout.splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.fullmatch(r"replicas \d+\.\d+\.\d+", ours)
    assert theirs == said


@pytest.mark.parametrize(
    "env",
    [{"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, {"AWS_PROFILE": "nope"}, {"AWS_DEFAULT_REGION": ""}],
    ids=["nobody answers", "no such profile", "no Region"],
)
def test_the_version_needs_no_aws(env: dict[str, str]) -> None:
    result = CliRunner().invoke(app, ["--version"], env={"AWS_ENDPOINT_URL": "http://127.0.0.1:9", **env})
    assert (result.exit_code, result.stderr, len(result.stdout.splitlines())) == (0, "", 1)


def test_the_shell_completes_commands() -> None:
    asked = {"_REPLICAS_COMPLETE": "complete_bash", "COMP_WORDS": "replicas st", "COMP_CWORD": "1"}
    result = CliRunner().invoke(app, [], prog_name="replicas", env=asked)
    assert result.stdout.split() == ["status"]


def test_local_says_so_when_nothing_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replicas.aws.local_endpoint.read_address.__defaults__", (tmp_path,))
    result = CliRunner().invoke(app, ["status", "--local"], env={**os.environ})
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "No local stack is up: start it with `make local` in another terminal\n"


@pytest.mark.parametrize("command", [*READING, "apply --yes", "sweep", "redrive --dry-run"])
def test_a_stack_that_is_not_deployed_yet_is_named_with_its_status(desk: Desk, command: str) -> None:
    desk.account.stacks[STACK] = {}
    name, *options = command.split()
    given = [*options, "--stack", STACK, "--endpoint-url", desk.account.url]
    result = CliRunner().invoke(app, [name, *(["a"] if name == "explain" else []), *given])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "The stack replicator in us-east-1 is ROLLBACK_COMPLETE, without outputs: deploy" in result.stderr


@pytest.mark.parametrize(
    ("command", "begins", "said"),
    [
        ("sweep", "replicas.commands.sweep.find_parts", "Stopped. No sweep was started."),
        ("apply --yes", "replicas.commands.plan.make", "Stopped. Nothing was sent."),
        ("report --html {page}", "replicas.commands.report.page.check", "Stopped. No file was changed."),
        ("report --html {page} --csv {page}.csv", "replicas.commands.report.page.as_csv", "Stopped."),
    ],
)
def test_what_is_stopped_says_what_it_has_done_by_then(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, command: str, begins: str, said: str
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(begins, stop)
    folder = desk.world.app.settings.policy_file.parent
    name, *given = command.format(page=folder / "page").split()
    options = ["--stack", STACK, "--endpoint-url", desk.account.url]
    result = CliRunner().invoke(app, [name, *given, *options])
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (130, said)
