"""What `make build` made, in Lambda's own runtime: it answers, and no end of it loses a message."""

import os
import resource
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.errors import LocalError
from local.function.emulator import ARTIFACT, Emulator, emulated
from local.function.template import Function, replicator_function
from local.secrets_manager.service import StrictSecretsManager
from tests.support.fakes.queues import DEAD_LETTER_QUEUE_URL, QUEUE_URL, QueuedMessage

pytestmark = pytest.mark.slow

HOME = "us-east-1"
QUEUES = {"ReplicationQueue": QUEUE_URL, "DeadLetterQueue": DEAD_LETTER_QUEUE_URL}
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def secrets() -> StrictSecretsManager:
    return StrictSecretsManager()


@pytest.fixture
def function() -> Function:
    return replicator_function({"AllowedRegions": "eu-west-1,us-west-2"}, QUEUES)


@pytest.fixture
def environment(secrets: StrictSecretsManager) -> Iterator[dict[str, str]]:
    """What leads the function to the fake, and nowhere else."""
    with secrets.serve() as endpoint:
        yield {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL": NOBODY,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": endpoint,
        }


@pytest.fixture
def emulator(function: Function, environment: Mapping[str, str], tmp_path: Path) -> Iterator[Emulator]:
    with emulated(replace(function, timeout_seconds=60), ARTIFACT, environment, tmp_path) as running:
        yield running


def batch(*names: str) -> dict[str, Any]:
    return {
        "Records": [QueuedMessage(name, f'{{"secret_id": "{name}"}}', 0, 0, 1).record() for name in names]
    }


def kept(*names: str) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": name} for name in names]}


def runtime(emulator: Emulator) -> psutil.Process:
    (process,) = psutil.Process(emulator.process.pid).children()
    return process


def test_it_answers_with_what_it_did(emulator: Emulator, secrets: StrictSecretsManager) -> None:
    arn = secrets.add_secret(HOME, "orders/db", tags={"replicate-to": "eu-west-1"}).arn
    answer = emulator.invoke({"secret_id": "orders/db"})
    waiting = {"outcome": "waiting", "secret": arn, "plan": {"add": ["eu-west-1"]}}
    assert answer.payload | {"reason": ""} == waiting | {"reason": ""}
    assert secrets.names("eu-west-1") == ["orders/db"]
    assert emulator.invoke(batch("orders/db")).payload == kept()


def test_after_an_exception_it_answers_as_before(emulator: Emulator, secrets: StrictSecretsManager) -> None:
    secrets.add_secret(HOME, "untagged")
    assert emulator.invoke({"nothing": "known"}).error_type == "MalformedMessageError"
    process = runtime(emulator)
    assert emulator.invoke({"secret_id": "untagged"}).payload["reason"] == "not_selected"
    assert runtime(emulator) == process, "an exception costs no cold start"


def test_killed_in_the_middle_it_fails_as_a_whole_and_the_next_one_answers(
    emulator: Emulator, secrets: StrictSecretsManager
) -> None:
    secrets.add_secret(HOME, "untagged")
    emulator.invoke(batch("untagged"))

    def kill(*_: object) -> None:
        runtime(emulator).send_signal(signal.SIGKILL)

    secrets.faults = kill
    answer = emulator.invoke(batch("untagged"))
    assert answer.error_type == "Runtime.ExitError", "anything else could delete the message"
    secrets.faults = None
    assert emulator.invoke(batch("untagged")).payload == kept()


def test_out_of_memory_it_fails_and_with_memory_again_it_answers(
    emulator: Emulator, secrets: StrictSecretsManager
) -> None:
    """Where Linux itself ends the process, the test above applies: it is killed in the same way.

    There is room to read the large answer (twice its size), but not to parse it (three times): botocore
    takes a MemoryError while it reads for a broken connection.
    """
    size = 30_000_000
    secrets.add_secret(HOME, "small")
    secrets.add_secret(HOME, "large", tags={"large": "x" * size})
    emulator.invoke({"secret_id": "small"})
    process = runtime(emulator)
    limit = process.memory_info().vms + size * 5 // 2
    resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    assert emulator.invoke({"secret_id": "large"}).error_type == "MemoryError"
    assert emulator.invoke({"secret_id": "small"}).payload["reason"] == "not_selected"
    resource.prlimit(process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert emulator.invoke({"secret_id": "large"}).payload["reason"] == "not_selected"


def test_what_hangs_is_ended_at_its_timeout_and_the_next_one_answers(
    function: Function, environment: Mapping[str, str], secrets: StrictSecretsManager, tmp_path: Path
) -> None:
    secrets.add_secret(HOME, "untagged")
    with emulated(replace(function, timeout_seconds=6), ARTIFACT, environment, tmp_path) as emulator:
        emulator.invoke(batch("untagged"))
        process = runtime(emulator)
        os.kill(process.pid, signal.SIGSTOP)
        assert emulator.invoke(batch("untagged")).payload == "Task timed out after 6.00 seconds"
        assert not process.is_running()
        assert emulator.invoke(batch("untagged")).payload == kept("untagged"), "too little time to begin"


def test_with_too_little_time_left_nothing_is_begun_and_every_message_stays(
    function: Function, environment: Mapping[str, str], secrets: StrictSecretsManager, tmp_path: Path
) -> None:
    secrets.add_secret(HOME, "orders/db", tags={"replicate-to": "eu-west-1"})
    with emulated(replace(function, timeout_seconds=20), ARTIFACT, environment, tmp_path) as emulator:
        assert emulator.invoke(batch("orders/db", "orders/api")).payload == kept("orders/db", "orders/api")
    assert secrets.calls == []


def test_without_an_artifact_it_says_what_to_do(function: Function, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(LocalError, match="make build"), emulated(function, missing, {}, tmp_path):
        pass


def test_the_function_is_run_as_the_template_says(function: Function) -> None:
    assert (function.handler, function.timeout_seconds) == ("secret_replicator.app.handler", 60)
