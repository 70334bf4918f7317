"""`python -m local` as a person runs it: it ends well, it says what is wrong, it leaves nothing behind."""

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from local import stack
from local.aws import observe
from local.demo.cases import CASES, MARK
from local.demo.examples import EXAMPLES
from local.errors import LocalError
from local.process.environment import HOME_REGION
from local.stack import Stack
from replicas.aws.dead_letters import secret_name
from secret_replicator.errors import MalformedMessageError
from secret_replicator.messages import parse
from tests.e2e.commands import ROOT, SECONDS, Run, processes_of, running


def local(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "local", *arguments]


def shell(stack: Run, command: str) -> str:
    """Do in another terminal what the stack shows."""
    exports = "\n".join(line for line in stack.out.splitlines() if line.startswith("export "))
    done = subprocess.run(["sh", "-c", f"{exports}\n{command}"], env={}, capture_output=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout.decode()


def test_a_closed_terminal_leaves_nothing_behind(tmp_path: Path) -> None:
    """As when tmux ends: the shell, make and we are told, and there is nothing left to write to."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    child, terminal = pty.fork()
    if not child:  # pragma: no cover  it becomes the shell
        os.chdir(ROOT)
        command = ["sh", "-c", "make local; true"]
        os.execvpe("sh", command, os.environ | {"TMPDIR": str(temporary)})  # noqa: S606
    seen = b""
    while b"Build the function" not in seen:
        seen += os.read(terminal, 1024)
    os.close(terminal)
    assert observe.until(lambda: not (processes_of(temporary) or list(temporary.iterdir())), SECONDS)
    os.waitpid(child, 0)


def test_killed_it_takes_every_process_with_it(tmp_path: Path) -> None:
    with running(local("invoke", "events/create-secret.json"), tmp_path) as invoked:
        assert observe.until(lambda: len(processes_of(invoked.temporary)) > 1, SECONDS), (
            "MiniStack and the emulator"
        )
        invoked.process.kill()
        assert observe.until(lambda: not processes_of(invoked.temporary), SECONDS)


GUIDED = """
[default.deploy.parameters]
stack_name = "theirs"
region = "eu-west-1"
profile = "nobody"
s3_bucket = "theirs"
parameter_overrides = "AllowedRegions=\\"sa-east-1\\""
"""
"""What `sam deploy --guided` saves beside our own settings."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository, to be broken."""
    root = tmp_path / "repository"
    root.mkdir()
    for name in ("local", "functions", "tools/sam"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.mark.slow
def test_the_demo_shows_each_secret_and_ends_well_whatever_the_environment(
    tmp_path: Path, copy: Path
) -> None:
    config = copy / "samconfig.toml"
    config.write_text(config.read_text().replace("[default.deploy.parameters]", GUIDED.strip()))
    with running(local("demo"), tmp_path, copy) as demo:
        assert demo.end() == 0, demo.out + demo.err
    assert not demo.err
    assert "all as promised" in demo.out
    assert all(case.name in demo.out for case in CASES)
    assert MARK not in demo.out


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("Build the function (sam build)", id="while it builds"),
        pytest.param("Deploy template.yaml (sam deploy)", id="while it deploys"),
        pytest.param("Create eight secrets", id="while it plays", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, moment: str) -> None:
    # The shell is what make is: a parent in the terminal's foreground group, which gets the signal as well.
    with running(["sh", "-c", f"{sys.executable} -m local demo; exit $?"], tmp_path) as demo:
        demo.wait_for(moment)
        for _impatient in range(3):
            os.killpg(demo.process.pid, signal.SIGINT)
            observe.until(lambda: "Stopped" in demo.out, 0.1)
        demo.end()
    assert not demo.err
    assert "Stopped. Nothing is left running." in demo.out


def test_the_stack_stays_up_for_the_commands_that_it_shows(tmp_path: Path) -> None:
    with running(local("up"), tmp_path) as stack:
        stack.wait_for("Ctrl-C here ends it")
        (sam,) = [line for line in stack.out.splitlines() if " local invoke ReplicatorFunction" in line]
        shell(stack, f"{sam.split()[0]} --version")
        create, describe, receive = [line for line in stack.out.splitlines() if "--endpoint-url" in line]
        assert '"Name": "shop/db"' in shell(stack, create)
        stack.wait_for("function shop/db: converged")
        assert '"PrimaryRegion": "us-east-1"' in shell(stack, describe)
        shell(stack, create.replace("shop/db", "shop/api").replace("eu-west-1", "eu-wst-1"))
        stack.wait_for("function shop/api: failed")
        assert '"StringValue": "eu-wst-1"' in shell(stack, receive)
        stack.process.terminate()
        assert stack.end() == 128 + signal.SIGTERM
    assert "relay    shop/db: CreateSecret, delivered by SecretChangedRule" in stack.out
    assert "hidden" not in stack.out.split("What happens from now on")[1]


def test_a_file_is_given_to_the_built_function_and_the_replica_is_there(tmp_path: Path) -> None:
    with running(local("invoke", "events/create-secret.json"), tmp_path) as invoked:
        assert invoked.end() == 0, invoked.err
    assert 'Answer: {"outcome": "waiting"' in invoked.out
    assert "orders/db: eu-west-1 InSync" in invoked.out
    assert "billing/api: no replica" in invoked.out


def test_a_file_that_the_function_refuses_is_said_so_without_a_traceback(tmp_path: Path) -> None:
    with running(local("invoke", "events/delete-secret.json"), tmp_path) as invoked:
        assert invoked.end() == 0
    assert "Refused, as it should be: the message was expected" in invoked.out
    assert "Traceback" not in invoked.out + invoked.err
    assert "[ERROR]" not in invoked.out


def test_every_file_names_a_secret_that_is_there(event_files: dict[str, Any]) -> None:
    bodies = {name: [json.dumps(event)] for name, event in event_files.items()}
    bodies["sqs-batch"] = [record["body"] for record in event_files["sqs-batch"]["Records"]]
    for name, found in bodies.items():
        for body in found:
            with suppress(MalformedMessageError):
                asked = parse(body, HOME_REGION).secret_id
                assert secret_name(asked) in {"sweep", *EXAMPLES}, name


def test_a_file_that_is_not_there_is_one_clear_sentence(tmp_path: Path) -> None:
    with running(local("invoke", "events/none.json"), tmp_path) as invoked:
        assert invoked.end() == 1
    assert invoked.err.startswith("events/none.json is not a JSON file that can be read")
    assert invoked.err.count("\n") == 1


def test_a_busy_port_is_one_clear_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(local("up", "--port", str(port)), tmp_path) as stack:
            assert stack.end() == 1
    assert stack.err.startswith(f"Port {port} of 127.0.0.1 cannot be used")
    example = int(re.search(r"make local PORT=(\d+)", stack.err.replace("\n", " "))[1])
    with socket.create_server(("127.0.0.1", example)):
        assert example != port
    assert stack.err.count("\n") == 1


def test_a_port_that_is_none_is_refused(tmp_path: Path) -> None:
    with running(local("up", "--port", "70000"), tmp_path) as stack:
        assert stack.end() == 2
    assert "a port is a number from 1 to 65535, not '70000'" in stack.err


def test_a_world_that_is_none_is_refused(tmp_path: Path) -> None:
    with running(local("up", "--worlds", "repeat=never"), tmp_path) as stack:
        assert stack.end() == 2
    assert "repeat=never: must be one of accepted, refused" in stack.err


def test_a_failed_build_is_shown_with_its_reason(tmp_path: Path, copy: Path) -> None:
    (copy / "functions" / "requirements.txt").write_text("not a requirement\n")
    with running(local("demo"), tmp_path, copy) as demo:
        assert demo.end() == 1
    assert demo.err.startswith("`sam build` failed. Its last lines:\n")
    assert "not a requirement" in demo.err


NO_TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Parameters: { AllowedRegions: { Type: CommaDelimitedList } }
Resources: { Topic: { Type: AWS::SNS::Nothing } }
"""


def test_a_failed_deployment_is_shown_with_its_reason(tmp_path: Path, copy: Path) -> None:
    (copy / "template.yaml").write_text(NO_TEMPLATE)
    with running(local("demo"), tmp_path, copy) as demo:
        assert demo.end() == 1
    assert demo.err.startswith("`sam deploy` failed. Its last lines:\n")
    assert "AWS::SNS::Nothing" in demo.err


@pytest.mark.xdist_group("e2e")
def test_a_function_that_does_not_work_is_shown_with_its_reason(deployed: Stack) -> None:
    with ZipFile(archive := BytesIO(), "w") as file:
        file.writestr("app.py", "import no_such_module\n")
    functions, name = deployed.clients.functions, "does-not-work"
    role = functions.get_function_configuration(FunctionName=deployed.function_name)["Role"]
    code: Any = {"ZipFile": archive.getvalue()}
    functions.create_function(
        FunctionName=name, Runtime="python3.13", Role=role, Handler="app.handler", Code=code
    )
    with pytest.raises(LocalError, match=r"The function does not work: .*no_such_module"):
        stack._call(replace(deployed, function_name=name))


def test_a_missing_tool_is_one_clear_sentence(tmp_path: Path, copy: Path) -> None:
    environment = copy / "local" / "process" / "environment.py"
    text = environment.read_text("utf-8")
    environment.write_text(text.replace('Path(sys.prefix) / "bin"', 'Path(sys.prefix) / "no-bin"'))
    with running(local("demo"), tmp_path, copy) as demo:
        assert demo.end() == 1
    assert "sam is missing in" in demo.err
    assert demo.err.count("\n") == 1
