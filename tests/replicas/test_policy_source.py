"""By which policy a command decides, and whether the function decides by the same."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from replicas.aws.checkout import POLICY, in_checkout
from replicas.aws.connection import connect
from replicas.aws.deployment import policy_file, source_of
from replicas.aws.local_endpoint import Address, published
from replicas.cli import app
from replicas.commands.doctor.findings import Status
from replicas.commands.doctor.function import policy_is_the_deployed_one
from replicas.commands.doctor.stack import FUNCTION as FUNCTION_TYPE
from replicas.commands.doctor.stack import Stack
from replicas.errors import OperatorError
from replicas.options import Access
from tests.support.desk import Desk
from tests.support.fakes.account import FUNCTION, STACK
from tests.support.world import HOME

OTHER = b"""
[tag]
key = "replicate-to"
[groups]
dr = ["us-west-2"]
[[rules]]
match = { team = "payments" }
regions = ["dr"]
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkout is around, neither here nor where `replicas` is."""
    monkeypatch.setattr("replicas.aws.deployment.in_checkout", lambda path: tmp_path / path)


def run(desk: Desk, *arguments: str) -> Result:
    return CliRunner().invoke(
        app, [*arguments, "--endpoint-url", desk.account.url, "--region", HOME, "--stack", STACK]
    )


@pytest.mark.parametrize("command", ["plan", "status", "verify"])
def test_one_line_says_that_the_function_decides_by_another_policy(desk: Desk, command: str) -> None:
    desk.account.deployed_policy = OTHER
    result = desk.run(command)
    assert result.stderr.count("the function decides by another policy than ") == 1


def test_nothing_is_said_when_it_is_the_deployed_one(desk: Desk) -> None:
    desk.account.deployed_policy = desk.world.app.settings.policy_file.read_bytes()
    result = desk.run("status")
    assert result.exit_code == 0
    assert "another policy" not in result.stderr


@pytest.mark.usefixtures("outside")
def test_without_a_checkout_the_deployed_policy_decides(desk: Desk) -> None:
    desk.account.deployed_policy = OTHER
    desk.world.add("a", "none", team="payments")
    result = run(desk, "plan")
    assert "policy as deployed" in result.stderr
    assert "1 to add" in result.stdout


@pytest.mark.usefixtures("outside")
def test_without_any_policy_the_error_says_what_to_do(desk: Desk) -> None:
    desk.account.denied.add("lambda:GetFunction")
    result = run(desk, "plan")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--policy, or allow lambda:GetFunction" in " ".join(result.stderr.split())


def test_without_the_permission_the_file_decides(desk: Desk) -> None:
    desk.account.denied.add("lambda:GetFunction")
    assert desk.run("status").exit_code == 0


def test_the_local_stack_is_known_by_its_endpoint(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, file = tmp_path / "local-policy.toml", tmp_path / "local.json"
    policy.write_bytes(OTHER)
    monkeypatch.setattr("replicas.aws.local_endpoint.read_address.__defaults__", (file,))
    with published(Address(desk.account.url, str(policy), HOME, str(policy)), file):
        result = run(desk, "plan")
    assert "local-policy.toml" in result.stderr.replace("\n", "")


@pytest.mark.parametrize("local", [True, False])
def test_doctor_knows_by_what_the_local_stack_decides(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, local: bool
) -> None:
    """The functions of `make local` read another policy than that in their code."""
    policy, file = tmp_path / "local-policy.toml", tmp_path / "local.json"
    policy.write_bytes(OTHER)
    desk.account.deployed_policy = in_checkout(POLICY).read_bytes()
    monkeypatch.setattr("replicas.aws.local_endpoint.read_address.__defaults__", (file,))
    connection = connect(Access(HOME, endpoint_url=desk.account.url))
    with published(Address(desk.account.url, str(policy), HOME, str(policy)), file):
        source = source_of(policy_file(None, local=local), connection, FUNCTION)
    stack = Stack(
        connection, {FUNCTION_TYPE: {"ReplicatorFunction": FUNCTION}}, {}, source.parsed(), source, STACK
    )
    (finding,) = policy_is_the_deployed_one(stack)
    assert (finding.status, finding.text) == (Status.GOOD, f"The local stack decides by {policy}")


@pytest.mark.usefixtures("outside")
def test_doctor_decides_by_the_deployed_policy_without_a_checkout(desk: Desk) -> None:
    desk.account.deployed_policy = OTHER
    connection = connect(Access(HOME, endpoint_url=desk.account.url))
    source = source_of(policy_file(None, local=False), connection, FUNCTION)
    assert (source.content, source.name, source.is_deployed) == (OTHER, "as deployed", True)


@pytest.mark.usefixtures("outside")
def test_doctor_says_what_to_do_without_any_policy(desk: Desk) -> None:
    desk.account.denied.add("lambda:GetFunction")
    connection = connect(Access(HOME, endpoint_url=desk.account.url))
    with pytest.raises(OperatorError, match="name a policy with --policy, or allow lambda:GetFunction"):
        source_of(policy_file(None, local=False), connection, FUNCTION)


@pytest.mark.usefixtures("outside")
def test_a_policy_that_is_named_and_not_there_is_an_error(desk: Desk, tmp_path: Path) -> None:
    connection = connect(Access(HOME, endpoint_url=desk.account.url))
    with pytest.raises(OperatorError, match="cannot be read"):
        source_of(tmp_path / "mine.toml", connection, FUNCTION)
