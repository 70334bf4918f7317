"""`replicas validate` and `replicas explain --tags`: for CI and for teams that only tag, without AWS."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from replicas.cli import app
from secret_replicator.errors import PolicyError
from secret_replicator.policy import parse_policy
from tests.support.desk import policy_file
from tests.support.world import POLICY


def run(*arguments: str) -> Result:
    """Run without a Region and without credentials."""
    nothing = {"AWS_CONFIG_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true", "COLUMNS": "400"}
    return CliRunner().invoke(app, arguments, env=nothing)


def predicted(tmp_path: Path, tags: str, *more: str) -> Result:
    allowed = ["--allowed-regions", "eu-west-1,us-west-2"]
    return run("explain", "--tags", tags, "--policy", policy_file(tmp_path, POLICY), *allowed, *more)


def test_a_valid_policy_is_0(tmp_path: Path) -> None:
    result = run("validate", policy_file(tmp_path, POLICY))
    assert (result.exit_code, result.stdout.splitlines()[0].endswith(" is valid")) == (0, True)


def test_all_errors_are_said_at_once(tmp_path: Path) -> None:
    file = policy_file(tmp_path, '[tag]\nkey = ""\n[groups]\ndr = ["nowhere"]\n[[rules]]\nregions = ["x"]\n')
    result = run("validate", file)
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 4
    document = json.loads(run("validate", file, "--json").stdout)
    assert (document["valid"], len(document["errors"])) == (False, 4)


def test_a_region_that_botocore_does_not_know_is_a_warning(tmp_path: Path) -> None:
    result = run("validate", policy_file(tmp_path, '[tag]\nkey = "r"\n[groups]\ndr = ["eu-west-9"]\n'))
    assert result.exit_code == 0
    assert "Warning: AWS has no Region 'eu-west-9': did you mean eu-west-" in result.stdout


def test_what_is_not_there_is_an_error_in_a_sentence(tmp_path: Path) -> None:
    result = run("validate", str(tmp_path / "policy.toml"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot be read" in result.stderr


@pytest.mark.parametrize(
    ("content", "is_valid"),
    [
        pytest.param(b"\xff\xfe", False, id="no text"),
        pytest.param(b'\xef\xbb\xbf[tag]\nkey = "r"\n', True, id="as Notepad saves it"),
        pytest.param(b'[tag]\r\nkey = "r"\r\n', True, id="lines of Windows"),
        pytest.param(b'[tag]\r\r\nkey = "r"\r\r\n', False, id="lines of Windows, converted twice"),
    ],
)
def test_a_file_is_valid_if_the_function_takes_it(tmp_path: Path, content: bytes, *, is_valid: bool) -> None:
    (tmp_path / "policy.toml").write_bytes(content)
    try:
        taken = bool(parse_policy(content))
    except PolicyError:
        taken = False
    result = run("validate", str(tmp_path / "policy.toml"), "--json")
    assert (json.loads(result.stdout)["valid"], taken) == (is_valid, is_valid)
    assert result.exit_code == (0 if is_valid else 1)


def test_tags_alone_are_explained(tmp_path: Path) -> None:
    result = predicted(tmp_path, "replicate-to=eu-west-1 us-west-2 team=payments")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("It would be replicated to eu-west-1, us-west-2.\n")
    assert "us-west-2\tyes\ttag replicate-to, rule 3\talias/payments" in result.stdout


def test_tags_that_ask_for_what_is_not_to_be_had_fail_a_build(tmp_path: Path) -> None:
    result = predicted(tmp_path, "replicate-to=us-west-2 residency=eu")
    assert result.exit_code == 1
    assert "rule 2 of the policy forbids" in result.stdout
    assert "no: rule 2 of the policy forbids it" in result.stdout


def test_a_misspelt_tag_key_fails_a_build(tmp_path: Path) -> None:
    result = predicted(tmp_path, "replicate_to=us-west-2", "--json")
    assert result.exit_code == 1
    assert "did you mean replicate-to?" in json.loads(result.stdout)["problems"][0]
    shown = predicted(tmp_path, "Replicate-To=eu-west-1").stdout
    assert "did you mean replicate-to?\n" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tags", "nonsense"], "--tags must be key=value"),
        (["a", "--tags", "a=b"], "either a secret or --tags"),
        ([], "either a secret or --tags"),
        (["--tags", "a=b"], "--allowed-regions"),
    ],
)
def test_what_cannot_be_explained_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    more = ["--allowed-regions", "eu-west-1"] if "nonsense" in arguments else []
    result = run("explain", *arguments, "--policy", policy_file(tmp_path, POLICY), *more)
    assert result.exit_code in (1, 2)
    assert said in result.stderr
