"""The Lambda handler itself: batches, single events, logs and metrics."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.secrets_manager.model import ACCESS_DENIED, THROTTLED
from local.secrets_manager.service import StrictSecretsManager
from secret_replicator import app as module
from secret_replicator.errors import (
    AccessDeniedError,
    MalformedMessageError,
    PermanentError,
    PolicyError,
    TransientError,
)
from secret_replicator.work_queue import Message
from tests.support.world import HOME, Lines, World

EVENTS = Path(__file__).parents[2] / "events"
DEADLINE = 1e12


@dataclass
class Context:
    """What Lambda passes beside the event."""

    function_name: str = "secret-replicator"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:secret-replicator"
    aws_request_id: str = "52fdfc07-2182-154f-163f-5f0f9a621d72"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def event(name: str) -> dict[str, Any]:
    return json.loads((EVENTS / name).read_text())


@pytest.fixture(scope="module")
def fake() -> StrictSecretsManager:
    """The fake behind the module's own client, made at import as in Lambda."""
    fake = StrictSecretsManager()
    fake.attach(module.app.reconciler.gateway.client)
    fake.add_secret(HOME, "orders/db", tags={"replicate-to": "eu-west-1"})
    return fake


def test_a_batch_from_sqs_returns_only_what_must_stay(fake: StrictSecretsManager) -> None:
    (record, *_) = event("sqs-batch.json")["Records"]
    fake.secret(HOME, "orders/db").tags["replicate-to"] = "none"
    skipped = {**record, "body": '{"secret_id": "orders/db"}'}
    assert module.handler({"Records": [skipped]}, Context()) == {"batchItemFailures": []}


def test_one_event_given_by_hand_answers_with_the_outcome(fake: StrictSecretsManager) -> None:
    fake.add_secret(HOME, "by/hand", tags={"replicate-to": "eu-west-1"})
    answer = module.handler({"secret_id": "by/hand"}, Context())
    assert answer["outcome"] == "waiting"
    assert answer["reason"] == "eu-west-1 is InProgress"
    assert answer["plan"] == {"add": ["eu-west-1"]}
    assert module.handler({"secret_id": "by/hand"}, Context())["outcome"] == "converged"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param([], "not an object", id="a list"),
        pytest.param(None, "not an object", id="null"),
        pytest.param("orders/db", "not an object", id="a text"),
        pytest.param({}, "source", id="nothing"),
        pytest.param({"Records": 5}, "Records", id="a number of records"),
        pytest.param({"Records": []}, "Records", id="no records"),
        pytest.param({"Records": [5]}, "Records", id="a record that is a number"),
        pytest.param({"Records": {"eventSource": "aws:sqs"}}, "Records", id="records that are no list"),
        pytest.param({"Records": [{"eventSource": "aws:s3"}]}, "Records", id="records of another source"),
    ],
)
def test_what_is_neither_a_batch_nor_an_event_is_one_clear_error(given: Any, found: str) -> None:
    with pytest.raises(MalformedMessageError, match=f"was expected to be an EventBridge event.*{found}"):
        module.handler(given, Context())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"attributes": None}, id="null in place of attributes"),
        pytest.param({"attributes": {}}, id="no attributes"),
        pytest.param({"attributes": {"ApproximateReceiveCount": "1"}}, id="one attribute"),
        pytest.param({"attributes": {"SentTimestamp": "now"}}, id="a time that is no number"),
        pytest.param({"body": {"secret_id": "orders/db"}}, id="a body that is an object"),
        pytest.param({"messageId": None}, id="no id"),
    ],
)
def test_a_record_that_sqs_would_not_send_is_one_clear_error(change: dict[str, Any]) -> None:
    (record, *_) = event("sqs-batch.json")["Records"]
    changed = record | change
    if "SentTimestamp" in (change.get("attributes") or ()):
        changed["attributes"] = record["attributes"] | change["attributes"]
    with pytest.raises(MalformedMessageError, match=r"a record of SQS.*events/sqs-batch\.json"):
        module.handler({"Records": [changed]}, Context())


def test_a_policy_file_that_is_not_utf_8_is_no_traceback_of_a_codec(world: World, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_bytes(b'[tag]\nkey = "r\xe9gions"\n')
    with pytest.raises(PolicyError, match=r"wrong\.toml is wrong:\n  not UTF-8"):
        world.having(policy_file=wrong)


def test_a_record_without_message_attributes_is_read() -> None:
    (record, *_) = event("sqs-batch.json")["Records"]
    del record["messageAttributes"]
    assert not Message.from_record(record).redriven
    assert not Message.from_record(record | {"messageAttributes": None}).redriven


def one(world: World, given: Mapping[str, Any]) -> Mapping[str, Any]:
    return world.app.handle_one(given, DEADLINE, "request-1")


def test_an_event_given_by_hand_is_read_as_from_the_queue(world: World) -> None:
    given = event("create-secret.json")
    arn = given["detail"]["responseElements"]["arn"]
    secret = world.add("orders/db", to="eu-west-1")
    given["detail"]["responseElements"]["arn"] = secret.arn
    assert secret.arn != arn
    assert one(world, given)["secret"] == secret.arn


@pytest.mark.parametrize(
    ("fault", "error"),
    [(THROTTLED, TransientError), (ACCESS_DENIED, AccessDeniedError)],
    ids=["throttled", "denied"],
)
def test_an_event_given_by_hand_raises_what_went_wrong(
    world: World, fault: Any, error: type[Exception]
) -> None:
    world.secrets.fail_next("DescribeSecret", fault)
    with pytest.raises(error):
        one(world, {"secret_id": "orders/db"})


def test_a_wrong_tag_given_by_hand_raises_with_secret_problem_and_remedy(world: World) -> None:
    secret = world.add("orders/db", to="eu-wst-1")
    with pytest.raises(
        PermanentError, match=f"{secret.arn} - tag replicate-to asks for eu-wst-1, .* - correct the"
    ):
        one(world, {"secret_id": "orders/db"})


def test_a_missing_secret_given_by_hand_is_skipped_at_once(world: World) -> None:
    assert one(world, {"secret_id": "never/was"}) == {
        "outcome": "skipped",
        "secret": "never/was",
        "reason": "deleted",
    }


def test_each_message_is_one_info_line_with_its_facts(world: World, log_lines: Lines) -> None:
    secret = world.add("orders/db", to="eu-west-1")
    given = event("create-secret.json")
    given["detail"]["responseElements"]["arn"] = secret.arn
    world.queues.send(json.dumps(given))
    world.deliver()
    (line,) = log_lines()
    assert line["level"] == "INFO"
    assert line["message"] == "secret_reconciled"
    assert line["correlation_id"] == given["id"]
    expected = {
        "outcome": "waiting",
        "secret": secret.arn,
        "reason": "eu-west-1 is InProgress",
        "plan": {"add": ["eu-west-1"]},
        "attempt": 1,
        "verdict": "put_off",
    }
    assert {key: line[key] for key in expected} == expected


def test_an_unexpected_error_is_logged_and_its_message_tried_again(world: World, log_lines: Lines) -> None:
    # A secret without a list of tags is nothing that we or AWS know of.
    world.add("orders/db", to="eu-west-1")
    world.secrets.secret(HOME, "orders/db").tags = None  # type: ignore[assignment]
    world.send("orders/db")
    world.deliver()
    assert world.queues.messages
    assert "unexpected_error" in [line["message"] for line in log_lines()]
    world.secrets.secret(HOME, "orders/db").tags = {"replicate-to": "eu-west-1"}
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}


def test_metrics_count_outcomes_and_measure_the_seconds_to_converge(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.secrets.worlds.seconds_in_progress = 5
    world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    world.queues.send("not JSON")
    world.deliver()
    first = emf(capsys)
    assert (first["Waiting"], first["DeadLettered"], first["service"]) == ([1.0], [1.0], "secret-replicator")
    assert first["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "SecretReplicator"
    assert "SecondsToConverge" not in first
    world.deliver_until_empty()
    second = emf(capsys)
    assert second["Converged"] == [1.0]
    assert len(second["SecondsToConverge"]) == 1


def test_drift_is_counted(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.converge("orders/db", "eu-west-1")
    world.secrets.secret(HOME, "orders/db").tags["replicate-to"] = "none"
    world.send("orders/db")
    capsys.readouterr()
    world.deliver_until_empty()
    (drift,) = [record for record in records(capsys) if "Drift" in record]
    assert (drift["Drift"], drift["kind"], drift["service"]) == ([1.0], "unwanted", "secret-replicator")
    assert drift["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service", "kind"]]
    assert drift["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "SecretReplicator"


def records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return every record of metrics that was printed."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]


def emf(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the metrics without further dimensions that one invocation has printed."""
    (record,) = [
        record
        for record in records(capsys)
        if record["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
    ]
    return record
