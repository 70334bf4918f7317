"""Nothing that a person types, and nothing that AWS answers, is a traceback."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from local.secrets_manager.model import Fault
from tests.support.desk import Desk, at_desk
from tests.support.world import make_world

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
    with at_desk(make_world(tmp_path)) as desk:
        desk.world.add("a", "us-west-2")
        yield desk


def is_in_words(result: Result) -> bool:
    """Tell whether a command ended by itself, and said something."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.exit_code in range(4) and bool(result.output)


def more(command: str, folder: Path) -> list[str]:
    return {"explain": ["a"], "report": ["--html", str(folder / "r.html")]}.get(command, [])


@pytest.mark.parametrize("option", OPTIONS)
def test_whatever_an_option_is_given(desk: Desk, option: str) -> None:
    for nasty in NASTY:
        result = desk.run("plan", option, nasty, stack=option != "--stack")
        assert is_in_words(result), (option, nasty)


def test_whatever_secret_is_explained(desk: Desk) -> None:
    for nasty in NASTY:
        assert is_in_words(desk.run("explain", "--", nasty)), nasty


def test_whatever_tags_are_explained(desk: Desk) -> None:
    for nasty in NASTY:
        assert is_in_words(desk.run("explain", "--tags", nasty, "--allowed-regions", "us-west-2")), nasty


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("operation", ["ListSecrets", "DescribeSecret"])
@pytest.mark.parametrize("code", ["InternalServiceError", "InvalidRequestException", "Unheard0f", "", "[/]"])
def test_whatever_aws_refuses(desk: Desk, tmp_path: Path, command: str, operation: str, code: str) -> None:
    desk.world.secrets.faults = lambda call, _: Fault(code, "[/no]") if call.operation == operation else None
    assert is_in_words(desk.run(command, *more(command, tmp_path)))


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


def test_an_empty_region_is_said_to_be_empty(desk: Desk) -> None:
    assert "it is empty: a variable that is not set?" in desk.run("plan", "--region", "").stderr


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
