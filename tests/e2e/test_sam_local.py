"""`sam local` as the README has it: samconfig.toml, the container, the local AWS, the replica."""

import json
import re
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.aws import plain_http
from local.aws.ministack import free_port
from local.demo import examples
from local.errors import LocalError
from local.function.template import replicator_function
from local.process.environment import ROOT, tool
from local.process.processes import last_lines, running
from local.stack import Stack
from tests.e2e import base_image
from tests.e2e.world import World

pytestmark = [pytest.mark.xdist_group("e2e, few secrets"), pytest.mark.slow]

ENVIRONMENT = ROOT / "local/env.json"
SECONDS = 120
ORDERS, BILLING = examples.EXAMPLES


@dataclass(frozen=True)
class SamLocal:
    """`sam local` beside the deployed stack. `options` are for where the checked-in settings do not fit."""

    stack: Stack
    options: Sequence[str]
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """A person's shell: without the function's own variables, which sam would pass on."""
        function = replicator_function(
            {"AllowedRegions": ""}, dict.fromkeys(("ReplicationQueue", "DeadLetterQueue"), "")
        )
        shell = self.stack.aws.environment
        return {name: value for name, value in shell.items() if name not in function.environment}

    def run(self, command: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def invoke(self, event: str, given: str = "") -> tuple[Any, str]:
        """Return the function's answer and its log."""
        command = [tool("sam"), "local", "invoke", "ReplicatorFunction", "--event", event, *self.options]
        done = self.run(command, given)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def beside_the_stack(deployed: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SamLocal]:
    if not base_image.engine_answers():
        pytest.skip("sam local is not tested: no Docker engine answers here")
    base_image.ensure()
    examples.create(deployed.clients.secrets)
    folder = tmp_path_factory.mktemp("sam-local")
    options = [] if base_image.ARCHITECTURE == "x86_64" else ["--config-env", "arm64"]
    with ExitStack() as opened:
        try:
            opened.enter_context(plain_http.opened(deployed.aws))
        except LocalError:  # somebody's `make local` has the port: all else is as it is checked in
            port = free_port()
            opened.enter_context(plain_http.opened(deployed.aws, port))
            moved = folder / "env.json"
            moved.write_text(ENVIRONMENT.read_text().replace(str(plain_http.PORT), str(port)))
            options += ["--env-vars", str(moved)]
        yield SamLocal(deployed, options, folder)


@pytest.fixture
def sam_local(beside_the_stack: SamLocal, record_property: Callable[[str, object], None]) -> SamLocal:
    if base_image.is_stand_in():
        line = f"sam local ran in a stand-in for {base_image.IMAGE}: it cannot be pulled here"
        record_property("said", line)
    return beside_the_stack


def reconciled(log: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith('{"level"')]
    return [line for line in lines if line["message"] == "secret_reconciled"]


def test_one_event_makes_the_replica(sam_local: SamLocal, world: World) -> None:
    arn = world.arn(ORDERS)
    assert not world.replicas(ORDERS)
    answer, log = sam_local.invoke("events/create-secret.json")
    assert (answer["outcome"], answer["secret"]) == ("waiting", arn)
    assert answer["plan"] == {"add": ["eu-west-1"]}
    assert [(line["outcome"], line["secret"]) for line in reconciled(log)] == [("waiting", arn)]
    assert world.replicas(ORDERS) == {"eu-west-1"}


def test_a_batch_makes_the_replicas_and_writes_the_dead_letter(sam_local: SamLocal, world: World) -> None:
    answer, log = sam_local.invoke("events/sqs-batch.json")
    assert len(answer["batchItemFailures"]) == 1, "what was requested just now comes back"
    assert [line["verdict"] for line in reconciled(log)] == ["done", "put_off", "dead_letter"]
    assert world.replicas(BILLING) == {"us-west-2"}
    (dead_letter,) = world.dead_letters("unknown")
    assert (dead_letter.body, dead_letter.reasons["ErrorType"]) == ("orders/db, please", "MalformedMessage")
    world.delete_dead_letter(dead_letter)


def test_an_event_made_by_sam_can_be_piped_into_it(sam_local: SamLocal, world: World) -> None:
    name = world.create({"replicate-to": "eu-central-1"})
    body = json.dumps(json.dumps({"secret_id": name}))[1:-1]  # sam puts it into JSON as it is
    made = sam_local.run([tool("sam"), "local", "generate-event", "sqs", "receive-message", "--body", body])
    answer, _log = sam_local.invoke("-", made.stdout)
    assert len(answer["batchItemFailures"]) == 1
    assert world.replicas(name) == {"eu-central-1"}


def test_a_failure_is_in_the_answer_and_not_in_the_exit_code(sam_local: SamLocal) -> None:
    answer, log = sam_local.invoke("events/delete-secret.json")
    assert answer["errorType"] == "MalformedMessageError"
    assert "[ERROR] MalformedMessageError" in log


def test_start_lambda_answers_the_aws_command(sam_local: SamLocal, world: World) -> None:
    log = sam_local.folder / "start-lambda.log"
    served = [tool("sam"), "local", "start-lambda", "--port", "0", *sam_local.options]
    with running(served, sam_local.environment, ROOT, log) as process:
        endpoint = endpoint_in(log, process)
        answer_file = sam_local.folder / "answer.json"
        called = sam_local.run(
            [
                *(tool("aws"), "lambda", "invoke", "--endpoint-url", endpoint),
                *("--function-name", "ReplicatorFunction", "--payload", "fileb://events/create-secret.json"),
                *("--cli-read-timeout", str(SECONDS), str(answer_file)),
            ]
        )
    assert called.returncode == 0, called.stderr + last_lines(log)
    assert json.loads(called.stdout) == {"StatusCode": 200}
    answer = json.loads(answer_file.read_text())
    assert (answer["outcome"], answer["secret"]) == ("converged", world.arn(ORDERS))


def endpoint_in(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Return where sam answers, on a port that was free when it began: its log says so."""
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)\s", log.read_text()):
            return found[1]
        time.sleep(0.2)
    pytest.fail(f"sam local start-lambda does not answer: {last_lines(log)}")


def test_the_environment_that_is_checked_in_leads_to_the_queues_of_make_local(deployed: Stack) -> None:
    (variables,) = json.loads(ENVIRONMENT.read_text()).values()
    queues = {name: variables[name].rpartition("/")[2] for name in ("QUEUE_URL", "DEAD_LETTER_QUEUE_URL")}
    assert queues == {
        "QUEUE_URL": deployed.queue_url.rpartition("/")[2],
        "DEAD_LETTER_QUEUE_URL": deployed.dead_letter_queue_url.rpartition("/")[2],
    }
    assert variables["AWS_ENDPOINT_URL"].endswith(f":{plain_http.PORT}")


def test_an_arm64_machine_has_the_same_settings_but_for_its_processor() -> None:
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert settings["arm64"].keys() == {"local_invoke", "local_start_lambda"}
    for command, section in settings["arm64"].items():
        text = json.dumps(settings["default"][command])
        assert json.loads(text.replace("Architecture=x86_64", "Architecture=arm64")) == section
