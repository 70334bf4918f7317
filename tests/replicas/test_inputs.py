"""Nothing that a person types, and nothing that AWS answers, is a traceback."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from local.secrets_manager.model import Fault
from replicas.cli import app, main
from tests.support.desk import Desk, at_desk
from tests.support.fakes.account import STACK
from tests.support.world import HOME, make_world

READING = ("plan", "status", "explain", "report")
NASTY = (
    *(
        "",
        " ",
        "-",
        "--",
        "a b",
        "a,b",
        ",",
        "*",
        "[",
        "[/]",
        "foo[/bar]",
        "[bold]",
        "%s",
        "{}",
        "\\",
        "\n",
        "\t",
    ),
    *(
        "\x1b[2J",
        "\u202e",
        "é",
        "\U0001f511",
        "eu-wst-1",
        "eu-west-9",
        "EU-WEST-1",
        "us_east_1",
        "=",
        "=x",
        "x=",
    ),
    *("arn:", "arn:aws:secretsmanager", "arn:aws:secretsmanager::123456789012:secret:a-AbCdEf", "x" * 3000),
    *(
        "arn:aws:secretsmanager:us-east-1:1:secret:",
        "arn:aws:s3:::bucket",
        "arn:a:b:nowhere-1:c:d:e",
        "/",
        "../..",
    ),
)
OPTIONS = (
    "--region",
    "--secret",
    "--tag",
    "--policy",
    "--allowed-regions",
    "--stack",
    "--endpoint-url",
    "--profile",
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    # One Region to look for replicas in: hundreds of commands run here.
    with at_desk(make_world(tmp_path).having(allowed_regions=("us-west-2",))) as desk:
        desk.world.add("a", "us-west-2")
        yield desk


def is_worded(result: Result) -> bool:
    """Tell whether a command ended by itself, and said something."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.exit_code in range(4) and bool(result.output)


def more(command: str, folder: Path) -> list[str]:
    return {"explain": ["a"], "report": ["--html", str(folder / "r.html")]}.get(command, [])


@pytest.mark.slow
@pytest.mark.parametrize("option", OPTIONS)
def test_whatever_an_option_is_given(desk: Desk, option: str) -> None:
    for nasty in NASTY:
        result = desk.run("plan", option, nasty, stack=option != "--stack")
        assert is_worded(result), (option, nasty)


def test_whatever_secret_is_explained(desk: Desk) -> None:
    for nasty in NASTY:
        assert is_worded(desk.run("explain", "--", nasty)), nasty


def test_whatever_tags_are_explained(desk: Desk) -> None:
    for nasty in NASTY:
        assert is_worded(desk.run("explain", "--tags", nasty, "--allowed-regions", "us-west-2")), nasty


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("operation", ["ListSecrets", "DescribeSecret"])
@pytest.mark.parametrize("code", ["InternalServiceError", "InvalidRequestException", "Unheard0f", "", "[/]"])
def test_whatever_aws_refuses(desk: Desk, tmp_path: Path, command: str, operation: str, code: str) -> None:
    desk.world.secrets.faults = lambda call, _: Fault(code, "[/no]") if call.operation == operation else None
    assert is_worded(desk.run(command, *more(command, tmp_path)))


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        ("a b", "'a b' is not a Region"),
        ("eu-wst-1", "AWS has no Region 'eu-wst-1': did you mean eu-west-1?"),
        ("eu-west-1,eu-west-9", "AWS has no Region 'eu-west-9': did you mean eu-west-"),
    ],
)
def test_what_is_no_region_is_said_of_the_option(desk: Desk, allowed: str, said: str) -> None:
    result = desk.run("plan", "--allowed-regions", allowed)
    assert result.exit_code == 2
    words = re.sub(r"[\s│]+", " ", result.stderr)
    assert said in words
    assert "environment variable" not in words


def test_a_port_that_cannot_be_is_no_traceback() -> None:
    options = ["--region", HOME, "--endpoint-url", "http://127.0.0.1:99999"]
    result = CliRunner().invoke(app, ["status", *options])
    assert is_worded(result)
    assert "Port out of range 0-65535" in result.stderr


@pytest.mark.parametrize("command", ["plan", "status", "verify", "apply", "redrive"])
def test_an_empty_secret_is_said_to_be_empty_before_aws_is_asked(desk: Desk, command: str) -> None:
    result = CliRunner().invoke(app, [command, "--secret", "", "--endpoint-url", desk.account.url])
    assert result.exit_code == 2
    assert "it is empty: a variable that is not set?" in result.stderr
    assert not desk.account.calls


@pytest.mark.parametrize(
    "line",
    [
        "report --by",
        "redrive --error-type",
        "smoke --to",
        "plan --allowed-regions",
        "verify --from",
        "promote --replica-region us-west-2 --primary-region",
        "rejoin --replica-region us-west-2 --primary",
        "rejoin --replica-region us-west-2 --discard",
    ],
)
def test_whatever_is_empty_is_said_to_be_empty(desk: Desk, line: str) -> None:
    given = [*line.split(), "", "--endpoint-url", desk.account.url]
    result = CliRunner().invoke(app, given, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "it is empty: a variable that is not set?" in result.stderr
    assert not desk.account.calls


@pytest.mark.parametrize("seconds", ["0", "inf", "1e300", "nan"])
def test_status_does_not_wait_for_ever(desk: Desk, seconds: str) -> None:
    result = desk.run("status", "--watch", "--interval", seconds)
    assert result.exit_code == 2
    assert "Invalid value for '--interval'" in result.stderr


@pytest.mark.parametrize("command", ["apply", "redrive", "promote --replica-region us-west-2"])
def test_nobody_is_asked_where_standard_input_is_closed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["replicas", *command.split()])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "add --yes" in capfd.readouterr().err


def test_an_empty_region_is_said_to_be_empty(desk: Desk) -> None:
    assert "it is empty: a variable that is not set?" in desk.run("plan", "--region", "").stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AWS_DEFAULT_REGION", "", "You must specify a region: name the stack's Region with --region"),
        ("AWS_DEFAULT_REGION", "a b", "'a b' doesn't match a supported format"),
        ("AWS_ENDPOINT_URL", "nonsense", "Invalid endpoint: nonsense: is AWS_ENDPOINT_URL"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:99999", "Port out of range 0-65535: is AWS_ENDPOINT_URL"),
        ("AWS_PROFILE", "nope", "`aws configure list-profiles` shows those that there are"),
        ("AWS_CONFIG_FILE", "/bin/sh", "Unable to parse config file: /bin/sh"),
    ],
)
@pytest.mark.parametrize(
    "command", ["plan", "doctor", "redrive --dry-run", "promote --replica-region {} --yes"]
)
def test_what_the_environment_says_of_aws_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, command: str, name: str, value: str, said: str
) -> None:
    if "{}" in command and name == "AWS_DEFAULT_REGION":
        return  # the Region is an option there
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, command.format(HOME).split())
    assert is_worded(result)
    assert said in result.stderr
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "credential_process = /nope/it",
            "There are no credentials ([Errno 2] No such file or directory: '/no",
        ),
        (
            "credential_process = echo what",
            "There are no credentials (Expecting value: line 1 column 1 (char 0))",
        ),
        (
            "credential_process = false",
            "retrieving credentials from custom-process: sign in with `aws sso login`",
        ),
        (
            "role_arn = arn:aws:iam::123456789012:role/r\nweb_identity_token_file = /nope/it",
            "There are no credentials ([Errno 2] No such file or directory: '/nope/it'): is",
        ),
    ],
)
@pytest.mark.parametrize("profiles", [["one"], ["one", "two"]], ids=["alone", "of two"])
def test_credentials_that_cannot_be_read_are_said_to_be(
    desk: Desk, tmp_path: Path, source: str, said: str, profiles: list[str]
) -> None:
    config = tmp_path / "config"
    keys = "aws_access_key_id = a\naws_secret_access_key = b"
    config.write_text(f"[profile one]\n{source}\n[profile two]\n{keys}\n", "utf-8")
    named = [f"--profile={profile}" for profile in profiles]
    result = desk.run("status", *named, AWS_CONFIG_FILE=str(config))
    assert said in result.stderr
    assert "written" not in result.stderr
    assert ("a\twaiting" in result.stdout) == (len(profiles) > 1)
    assert result.exit_code == 1


WRITING = {
    "help": "--help",
    "version": "--version",
    "help of a command": "smoke --help",
    "plan": "plan --stack {stack} --policy {policy}",
    "plan --against": "plan --stack {stack} --policy {policy} --against {policy}",
    "plan --json": "plan --json --stack {stack} --policy {policy}",
    "apply": "apply --yes --stack {stack}",
    "status": "status --stack {stack} --policy {policy}",
    "explain": "explain a --stack {stack} --policy {policy}",
    "explain --tags": "explain --tags replicate-to=us-west-2 --allowed-regions us-west-2",
    "validate": "validate {policy}",
    "redrive": "redrive --dry-run --json --stack {stack}",
    "redrive --fixed": "redrive --fixed --dry-run --json --stack {stack}",
    "sweep --no-follow": "sweep --no-follow --json --stack {stack}",
    "report": "report --html {page} --stack {stack} --policy {policy}",
    "verify": "verify --stack {stack} --policy {policy}",
    "verify --from": "verify --from us-west-2",
    "promote": "promote --replica-region us-west-2 --dry-run",
    "rejoin": "rejoin --replica-region us-west-2 --dry-run",
}


@pytest.mark.parametrize("line", WRITING.values(), ids=WRITING.keys())
def test_a_full_disk_is_said_by_every_command(
    desk: Desk, tmp_path: Path, line: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = line.format(policy=desk.world.app.settings.policy_file, page=tmp_path / "page", stack=STACK)
    monkeypatch.setenv("AWS_ENDPOINT_URL", desk.account.url)
    monkeypatch.setattr(sys, "argv", ["replicas", *words.split()])
    with Path("/dev/full").open("w") as full, redirect_stdout(full), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    *_, said = capfd.readouterr().err.splitlines()
    assert said == "The result cannot be written (No space left on device): make room, or write it elsewhere"


def test_what_a_terminal_cannot_show_is_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "\N{KEY}.toml"
    file.write_text('[tag]\nkey = "r"\n')
    code = "from replicas.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "validate", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONIOENCODING": "latin-1"},
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{tmp_path}/\\U0001f511.toml is valid\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_said(tmp_path: Path, unbuffered: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('[tag]\nkey = "r"\n')
    code = f"import sys; sys.argv[1:] = ['validate', {str(file)!r}]; from replicas.cli import app; app()"
    command = [sys.executable, "-c", code]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={"PYTHONUNBUFFERED": unbuffered},
        )
    assert ended.returncode == 1
    assert (
        ended.stderr
        == "The result cannot be written (No space left on device): make room, or write it elsewhere\n"
    )
