"""`replicas redrive`: dead letters are shown as they are, and moved without loss, wherever it is stopped."""

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from itertools import count
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest
from botocore import xform_name
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.sqs.models import sqs_backends
from rich.console import Console
from typer.testing import CliRunner, Result

from replicas.aws.dead_letters import (
    NO_REASON,
    NO_REASON_TEXT,
    DeadLetter,
    Queues,
    choose,
    read_dead_letters,
    redrive,
    secret_name,
)
from replicas.cli import app
from replicas.commands.redrive import redrive_as_asked, run, show_dead_letters
from replicas.errors import OperatorError
from replicas.exit_codes import OK, STOPPED, exit_code
from replicas.options import RedriveOptions, StackOptions
from replicas.terminal import Screen
from secret_replicator.models import Kind, Outcome, Problem
from secret_replicator.work_queue import REDRIVEN, Message, WorkQueue
from tests.support.fakes.stacks import describe_stacks

HOME = "us-east-1"
ARN = f"arn:aws:secretsmanager:{HOME}:123456789012:secret:"

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


@dataclass(frozen=True)
class Both:
    """Both queues, and what the tests do with them."""

    queues: Queues

    def dead_letter(self, name: str, error_type: str = "Policy", why: str = "not allowed") -> str:
        """Write a dead letter with the function's own code; return its body."""
        arn = f"{ARN}{name}-AbCdEf"
        body = json.dumps({"secret_id": arn})
        message = Message("id", "handle", body, 3, 0.0, 1_700_000_000.0)
        outcome = Outcome(Kind.FAILED, arn, problems=(Problem("eu-west-1", why, "mend it", error_type),))
        queue = WorkQueue(self.queues.client, self.queues.queue_url, self.queues.dead_letter_queue_url)
        queue.dead_letter(message, outcome)
        return body

    def send_dead_letter(self, body: str, **attributes: str) -> None:
        self.queues.client.send_message(
            QueueUrl=self.queues.dead_letter_queue_url,
            MessageBody=body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )

    def dead_letters(self) -> list[DeadLetter]:
        return read_dead_letters(self.queues, ignore)

    def names(self) -> list[str]:
        return sorted(dead_letter.name for dead_letter in self.dead_letters())

    def waiting(self) -> Counter[str]:
        """Return the bodies in the ReplicationQueue, visible or not."""
        return Counter(message.body for message in backend(self.queues.queue_url)._messages)

    def dead(self) -> Counter[str]:
        return Counter(message.body for message in backend(self.queues.dead_letter_queue_url)._messages)

    def hidden(self) -> int:
        return sum(not message.visible for message in backend(self.queues.dead_letter_queue_url)._messages)


def backend(queue_url: str) -> Any:
    return sqs_backends["123456789012"][HOME].queues[queue_url.rpartition("/")[2]]


def ignore(_done: int) -> None:
    """Nobody watches."""


def make_both(client: Any, suffix: str = "") -> Both:
    dead_letters = client.create_queue(QueueName=f"dead-letters{suffix}")["QueueUrl"]
    policy = {"deadLetterTargetArn": f"arn:aws:sqs:{HOME}:123456789012:dead-letters{suffix}"}
    waiting = client.create_queue(
        QueueName=f"replication{suffix}",
        Attributes={"RedrivePolicy": json.dumps(policy | {"maxReceiveCount": 1}), "VisibilityTimeout": "0"},
    )["QueueUrl"]
    return Both(Queues(client, waiting, dead_letters, wait_seconds=0))


@pytest.fixture
def both() -> Iterator[Both]:
    with mock_aws():
        yield make_both(boto3.client("sqs", region_name=HOME))


def some_only(both: Both, dead_letters: Sequence[DeadLetter]) -> int:
    return redrive(both.queues, dead_letters, ignore, everything=False)


# What a dead letter says.


def test_a_dead_letter_of_the_function_says_secret_reason_attempts_and_since_when(both: Both) -> None:
    both.dead_letter("orders/db")
    (dead_letter,) = both.dead_letters()
    assert (dead_letter.name, dead_letter.secret) == ("orders/db", f"{ARN}orders/db-AbCdEf")
    assert (dead_letter.error_type, dead_letter.reason, dead_letter.attempts) == (
        "Policy",
        "not allowed - mend it",
        3,
    )
    assert dead_letter.since.isoformat() == "2023-11-14T22:13:20+00:00"


@pytest.mark.parametrize(
    ("body", "secret"),
    [
        pytest.param('{"secret_id": "orders/db"}', "orders/db", id="a secret named in the body"),
        pytest.param('{"sweep": {"next_token": "t"}}', "sweep", id="a page of a sweep"),
        pytest.param('{"password": "hunter2"}', "unknown", id="a body that is not ours"),
    ],
)
def test_a_dead_letter_without_reasons_is_named_from_its_body(both: Both, body: str, secret: str) -> None:
    both.send_dead_letter(body)
    (dead_letter,) = both.dead_letters()
    assert (dead_letter.secret, dead_letter.error_type, dead_letter.reason) == (
        secret,
        NO_REASON,
        NO_REASON_TEXT,
    )
    assert dead_letter.attempts is None
    assert dead_letter.since.year > 2023


def test_a_dead_letter_of_eventbridge_says_why_it_was_not_delivered(both: Both) -> None:
    both.send_dead_letter(
        "{}", ERROR_CODE="NO_PERMISSIONS", ERROR_MESSAGE="Lack of permissions", RETRY_ATTEMPTS="0"
    )
    (dead_letter,) = both.dead_letters()
    assert (dead_letter.error_type, dead_letter.attempts) == ("NO_PERMISSIONS", 0)
    assert dead_letter.reason == "EventBridge could not deliver it: Lack of permissions"


def test_what_was_done_to_a_body_that_sqs_would_not_take_is_said(both: Both) -> None:
    done = "replaced, as SQS does not take all of its 1048576 characters"
    both.send_dead_letter('{"secret_id": "db"}', ErrorType="Policy", ErrorMessage="no", OriginalBody=done)
    (dead_letter,) = both.dead_letters()
    assert dead_letter.reason == f"no - body {done}"


def test_reasons_from_before_a_redrive_by_sqs_are_not_shown_after_a_crash(both: Both) -> None:
    """SQS's own redrive leaves the attributes on the message; a crash then brings it back with them."""
    both.dead_letter("orders/db")

    def moved_here_by_sqs(parsed: dict[str, Any], **_: object) -> None:
        for message in parsed.get("Messages", []):
            message["Attributes"]["DeadLetterQueueSourceArn"] = (
                "arn:aws:sqs:us-east-1:123456789012:replication"
            )

    both.queues.client.meta.events.register("after-call.sqs.ReceiveMessage", moved_here_by_sqs)
    (dead_letter,) = both.dead_letters()
    assert (dead_letter.name, dead_letter.error_type, dead_letter.reason) == (
        "orders/db",
        NO_REASON,
        NO_REASON_TEXT,
    )


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param({"Attempts": "many"}, None, id="not a number"),
        pytest.param({"Attempts": "9" * 5000}, None, id="too large a number"),
        pytest.param({"FirstReceived": "yesterday"}, None, id="not a time"),
        pytest.param({"FirstReceived": "0001-01-01T00:00:00+23:00"}, None, id="a time before time"),
    ],
)
def test_attributes_that_nobody_would_write_do_not_stop_the_listing(
    both: Both, attributes: dict[str, str], expected: None
) -> None:
    both.send_dead_letter("{}", ErrorType="Policy", ErrorMessage="m", SecretArn="s", **attributes)
    (dead_letter,) = both.dead_letters()
    assert dead_letter.attempts is expected
    assert dead_letter.since.year > 2023


# Reading.


def test_all_dead_letters_are_read_and_all_are_left_visible(both: Both) -> None:
    for number in range(25):
        both.dead_letter(f"s/{number}")
    assert len(both.dead_letters()) == 25
    assert both.hidden() == 0
    assert len(both.dead_letters()) == 25


def test_a_dead_letter_that_comes_twice_is_listed_once(both: Both) -> None:
    """As when reading takes longer than the dead letters are hidden."""
    for number in range(5):
        both.dead_letter(f"s/{number}")
    answer_with_visible_dead_letters(both.queues.client)
    assert len(both.dead_letters()) == 5


def answer_with_visible_dead_letters(client: BaseClient) -> None:
    def never_hide(params: dict[str, Any], **_: object) -> None:
        params["VisibilityTimeout"] = 0

    client.meta.events.register("provide-client-params.sqs.ReceiveMessage", never_hide)


# Choosing.


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        pytest.param("orders/db", True, id="its name"),
        pytest.param(f"{ARN}orders/db-AbCdEf", True, id="its ARN"),
        pytest.param(f"{ARN}orders/db", True, id="its ARN without the last part"),
        pytest.param(f"{ARN}orders/db-ZyXwVu", False, id="the ARN of another secret of this name"),
        pytest.param("orders", False, id="the beginning of its name"),
        pytest.param("ORDERS/DB", False, id="another case, which is another secret"),
    ],
)
def test_a_dead_letter_is_chosen_by_its_secret(both: Both, asked: str, chosen: bool) -> None:  # noqa: FBT001
    both.dead_letter("orders/db")
    assert bool(choose(both.dead_letters(), [asked], [])) is chosen


def test_a_dead_letter_that_knows_only_the_name_is_chosen_by_the_arn(both: Both) -> None:
    both.send_dead_letter('{"secret_id": "orders/db"}')
    assert choose(both.dead_letters(), [f"{ARN}orders/db-AbCdEf"], [])


def test_secrets_and_error_types_together_choose_what_is_both(both: Both) -> None:
    for name, error_type in (("a", "Policy"), ("a", "Refused"), ("b", "Policy"), ("c", "Policy")):
        both.dead_letter(name, error_type)
    chosen = choose(both.dead_letters(), ["a", "b"], ["policy"])
    assert [(dead_letter.name, dead_letter.error_type) for dead_letter in chosen] == [
        ("a", "Policy"),
        ("b", "Policy"),
    ]


# Moving.


def test_the_chosen_dead_letters_are_moved_as_new_messages_with_body_and_reason(both: Both) -> None:
    body = both.dead_letter("a")
    both.dead_letter("b")
    assert some_only(both, choose(both.dead_letters(), ["a"], [])) == 1
    (message,) = both.queues.client.receive_message(
        QueueUrl=both.queues.queue_url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
    )["Messages"]
    assert message["Body"] == body
    assert message["MessageAttributes"]["ErrorType"]["StringValue"], "the function takes it for no letter"
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert both.names() == ["b"]
    assert both.hidden() == 0


def test_a_dead_letter_without_a_reason_of_ours_says_that_it_was_redriven(both: Both) -> None:
    """The function acts on an event that only tells of a failure if it was a dead letter."""
    both.send_dead_letter('{"secret_id": "a"}')
    assert some_only(both, both.dead_letters()) == 1
    (message,) = both.queues.client.receive_message(
        QueueUrl=both.queues.queue_url, MessageAttributeNames=["All"]
    )["Messages"]
    assert set(message["MessageAttributes"]) == {REDRIVEN}


def test_dead_letters_that_are_gone_by_then_are_not_counted_as_moved(both: Both) -> None:
    both.dead_letter("a")
    dead_letters = both.dead_letters()
    both.queues.client.purge_queue(QueueUrl=both.queues.dead_letter_queue_url)
    assert some_only(both, dead_letters) == 0


def test_a_dead_letter_that_came_after_the_listing_is_left(both: Both) -> None:
    both.dead_letter("a")
    dead_letters = both.dead_letters()
    both.dead_letter("b")
    assert some_only(both, dead_letters) == 1
    assert both.names() == ["b"]


class Interruption:
    """Ctrl-C at the `number`th call, before or after its effect."""

    def __init__(self, client: BaseClient, when: str, number: int) -> None:
        self.at = ""
        self._calls, self._number = count(1), number
        client.meta.events.register(f"{when}-call.sqs", self._stop)

    def _stop(self, model: Any, **_: object) -> None:
        if next(self._calls) == self._number:
            self.at = model.name
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@mock_aws
def test_stopped_at_any_call_nothing_is_lost(when: str) -> None:
    stopped_at = set()
    for number in count(1):
        client = boto3.client("sqs", region_name=HOME)
        here = make_both(client, f"-{number}")
        bodies = Counter(here.dead_letter(name) for name in "abcdefghijkl")
        interruption = Interruption(client, when, number)
        with suppress(KeyboardInterrupt):
            some_only(here, choose(here.dead_letters(), list("afl"), []))
        stopped_at.add(interruption.at)
        there = here.dead() + here.waiting()
        assert not bodies - there, f"lost when stopped {when} call {number}, {interruption.at}"
        assert (there - bodies).total() <= 1
        if interruption.at in ("SendMessage", "DeleteMessage", ""):
            assert here.hidden() == 0
        if not interruption.at:
            break
    assert stopped_at == {
        "",
        "ReceiveMessage",
        "ChangeMessageVisibilityBatch",
        "SendMessage",
        "DeleteMessage",
    }


def test_a_refused_send_leaves_the_dead_letter_and_shows_it_again(both: Both) -> None:
    both.dead_letter("a")
    dead_letters = both.dead_letters()
    both.queues.client.delete_queue(QueueUrl=both.queues.queue_url)
    with pytest.raises(ClientError, match="NonExistentQueue"):
        some_only(both, dead_letters)
    assert (both.names(), both.hidden()) == (["a"], 0)


# SQS's own redrive, and the whole command, against a service on this machine.


@dataclass
class LocalSqs:
    """moto's queues over HTTP, a stack's outputs, and what moto lacks: the move task."""

    both: Both
    has_move_task: bool = True
    dead_letters_per_look: int = 100
    looks_until_shown: int = 0
    failure: str = ""
    denied: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    task: dict[str, Any] = field(default_factory=dict)
    url: str = ""

    @property
    def queues(self) -> Queues:
        return replace(self.both.queues, client=boto3.client("sqs", region_name=HOME, endpoint_url=self.url))

    def answer(self, operation: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self.calls.append(operation)
        if operation in self.denied:
            raise refusal("AccessDeniedException", f"User: x is not authorized to perform: sqs:{operation}")
        if operation.endswith(("MessageMoveTask", "MessageMoveTasks")):
            if not self.has_move_task:
                raise refusal("InvalidAction", f"The action {operation} is not valid for this endpoint.")
            return getattr(self, f"_{xform_name(operation)}")(**params)
        answer: dict[str, Any] = getattr(self.both.queues.client, xform_name(operation))(
            **{**params, **({"WaitTimeSeconds": 0} if operation == "ReceiveMessage" else {})}
        )
        return {key: value for key, value in answer.items() if key != "ResponseMetadata"}

    def _start_message_move_task(self, *, SourceArn: str, DestinationArn: str) -> Mapping[str, Any]:
        assert SourceArn.endswith("dead-letters")
        assert DestinationArn.endswith("replication")
        self.task = {"Status": "RUNNING", "TaskHandle": "handle", "StartedTimestamp": 2_000, "moved": 0}
        return {"TaskHandle": "handle"}

    def _list_message_move_tasks(self, *, SourceArn: str, MaxResults: int) -> Mapping[str, Any]:
        assert (SourceArn.rpartition(":")[2], MaxResults) == ("dead-letters", 1)
        earlier = {"Status": "COMPLETED", "StartedTimestamp": 1_000, "ApproximateNumberOfMessagesMoved": 99}
        if not self.task or self.looks_until_shown:
            self.looks_until_shown -= bool(self.task)
            return {"Results": [earlier]}
        self._move()
        shown = {key: value for key, value in self.task.items() if key != "moved"}
        return {"Results": [shown | {"ApproximateNumberOfMessagesMoved": self.task["moved"]}, earlier][:1]}

    def _cancel_message_move_task(self, *, TaskHandle: str) -> Mapping[str, Any]:
        assert TaskHandle == "handle"
        self.task["Status"] = "CANCELLED"
        return {"ApproximateNumberOfMessagesMoved": self.task["moved"]}

    def _move(self) -> None:
        client = self.both.queues.client
        for _ in range(self.dead_letters_per_look):
            messages = client.receive_message(QueueUrl=self.both.queues.dead_letter_queue_url).get("Messages")
            if self.failure or not messages:
                self.task["Status"] = "FAILED" if self.failure else "COMPLETED"
                self.task["FailureReason"] = self.failure
                return
            client.send_message(QueueUrl=self.both.queues.queue_url, MessageBody=messages[0]["Body"])
            client.delete_message(
                QueueUrl=self.both.queues.dead_letter_queue_url, ReceiptHandle=messages[0]["ReceiptHandle"]
            )
            self.task["moved"] += 1

    @property
    def stacks(self) -> Mapping[str, Mapping[str, str]]:
        """The outputs of each stack."""
        replicator = {
            "ReplicationQueueUrl": self.both.queues.queue_url,
            "DeadLetterQueueUrl": self.both.queues.dead_letter_queue_url,
            "ReplicatorFunctionName": "replicator-ReplicatorFunction",
        }
        return {"replicator": replicator, "other": {"BucketName": "b"}}


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "any")


@contextmanager
def serving(service: LocalSqs) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            target = self.headers.get("X-Amz-Target")
            if not target:
                self._send(*describe_stacks(service.stacks, parse_qs(body)["StackName"][0]))
                return
            try:
                self._send(200, json.dumps(service.answer(target.rpartition(".")[2], json.loads(body))))
            except ClientError as error:
                said = error.response["Error"]
                self._send(400, json.dumps({"__type": said["Code"], "message": said["Message"]}))

        def _send(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing: `calls` is the log."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        service.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def service(both: Both) -> Iterator[LocalSqs]:
    local = LocalSqs(both)
    with serving(local):
        yield local


def move_all(service: LocalSqs, receives: list[float] | None = None) -> int:
    """Redrive everything; `looks` gets the pauses."""
    dead_letters = service.both.dead_letters()
    pauses = [] if receives is None else receives
    return redrive(service.queues, dead_letters, ignore, everything=True, sleep=pauses.append)


def test_all_dead_letters_are_moved_by_sqs_itself_where_it_can(service: LocalSqs) -> None:
    bodies = Counter(service.both.dead_letter(name) for name in "abc")
    service.dead_letters_per_look, service.looks_until_shown = 2, 2
    receives: list[float] = []
    assert move_all(service, receives) == 3
    assert (service.both.waiting(), service.both.dead()) == (bodies, Counter())
    assert "SendMessage" not in service.calls
    assert receives == [1, 1, 1]


def test_what_sqs_had_moved_here_is_moved_by_us_and_says_so(service: LocalSqs) -> None:
    """SQS's own redrive gives it nothing by which the function surely knows it for a dead letter."""
    bodies = Counter([service.both.dead_letter("a"), '{"secret_id": "b"}'])
    service.both.send_dead_letter('{"secret_id": "b"}')
    assert move_all(service) == 2
    assert (service.both.waiting(), service.both.dead()) == (bodies, Counter())
    sent = [
        json.loads(message.body)["secret_id"]
        for message in backend(service.both.queues.queue_url)._messages
        if REDRIVEN in message.message_attributes
    ]
    assert sent == ["b"]
    assert service.calls.count("SendMessage") == 1


def test_a_dead_letter_that_sqs_passed_over_is_moved_by_us(service: LocalSqs) -> None:
    bodies = Counter(service.both.dead_letter(name) for name in "abc")
    dead_letters = service.both.dead_letters()
    hidden = service.both.queues.client.receive_message(
        QueueUrl=service.both.queues.dead_letter_queue_url, VisibilityTimeout=100
    )["Messages"][0]

    def show_again(done: int) -> None:
        assert done in (2, 3)
        if done == 3:
            return
        service.both.queues.client.change_message_visibility(
            QueueUrl=service.both.queues.dead_letter_queue_url,
            ReceiptHandle=hidden["ReceiptHandle"],
            VisibilityTimeout=0,
        )

    assert redrive(service.queues, dead_letters, show_again, everything=True, sleep=ignore) == 3
    assert (service.both.waiting(), service.both.dead()) == (bodies, Counter())
    assert service.calls.count("SendMessage") == 1


def test_where_sqs_has_no_redrive_we_send_and_then_delete(service: LocalSqs) -> None:
    service.has_move_task = False
    bodies = Counter(service.both.dead_letter(name) for name in "abc")
    assert move_all(service) == 3
    assert (service.both.waiting(), service.both.dead()) == (bodies, Counter())
    moves = [call for call in service.calls if call in ("SendMessage", "DeleteMessage")]
    assert moves == ["SendMessage", "DeleteMessage"] * 3


def test_sqs_is_not_asked_to_move_all_when_only_some_are_wanted(service: LocalSqs) -> None:
    for name in "ab":
        service.both.dead_letter(name)
    dead_letters = choose(service.both.dead_letters(), ["a"], [])
    assert redrive(service.queues, dead_letters, ignore, everything=False) == 1
    assert "StartMessageMoveTask" not in service.calls
    assert service.both.names() == ["b"]


def test_a_redrive_that_sqs_gives_up_is_an_error_with_its_reason(service: LocalSqs) -> None:
    service.both.dead_letter("a")
    service.failure = "CouldNotDetermineMessageSource"
    with pytest.raises(
        OperatorError, match=r"after 0 dead letters.*CouldNotDetermineMessageSource.*run it again"
    ):
        move_all(service)
    assert service.both.dead().total() == 1


def test_a_redrive_that_sqs_never_shows_is_not_waited_for_for_ever(service: LocalSqs) -> None:
    service.both.dead_letter("a")
    service.looks_until_shown = 10_000
    with pytest.raises(OperatorError, match="does not show it"):
        move_all(service)


def test_ctrl_c_stops_the_redrive_of_sqs_too(service: LocalSqs) -> None:
    bodies = Counter(service.both.dead_letter(name) for name in "abc")
    dead_letters, service.dead_letters_per_look = service.both.dead_letters(), 1

    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        redrive(service.queues, dead_letters, ignore, everything=True, sleep=stop)
    assert service.task["Status"] == "CANCELLED"
    assert service.both.dead() + service.both.waiting() == bodies


def command(service: LocalSqs, *arguments: str, stack: str = "replicator") -> Result:
    options = ["--stack", stack, "--region", HOME, "--endpoint-url", service.url]
    return CliRunner().invoke(app, ["redrive", *options, *arguments])


def test_the_command_shows_dead_letters_and_moves_nothing_on_a_dry_run(service: LocalSqs) -> None:
    service.both.dead_letter("orders/db")
    result = command(service, "--dry-run")
    assert result.exit_code == OK
    assert result.stdout.splitlines() == [
        "Secret\tError type\tAttempts\tSince (UTC)\tReason",
        "orders/db\tPolicy\t3\t2023-11-14 22:13\tnot allowed - mend it",
    ]
    assert (service.both.names(), service.both.hidden()) == (["orders/db"], 0)


def test_the_command_moves_with_yes(service: LocalSqs) -> None:
    service.both.dead_letter("a")
    service.both.dead_letter("b", "Refused")
    result = command(service, "--yes", "--error-type", "Refused")
    assert (result.exit_code, service.both.names()) == (0, ["a"])
    assert "Moved 1 of 1 dead letter." in result.stderr


def test_the_commands_json_says_what_was_moved(service: LocalSqs) -> None:
    service.has_move_task = False
    service.both.dead_letter("a")
    answer = json.loads(command(service, "--yes", "--json").stdout)
    (dead_letter,) = answer["dead_letters"]
    assert answer["summary"] == {"dead_letters": 1, "moved": 1, "cleared": 0}
    assert dead_letter.pop("message_id")
    assert dead_letter == {
        "since": "2023-11-14T22:13:20+00:00",
        "name": "a",
        "arn": f"{ARN}a-AbCdEf",
        "error_type": "Policy",
        "reason": "not allowed - mend it",
        "attempts": 3,
    }


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        pytest.param(["--yes"], 0, "There are no dead letters.", id="an empty queue"),
        pytest.param(
            ["--yes", "--secret", "typo"],
            1,
            "No dead letter is about typo, and nothing was done: there is none at all",
            id="a secret that no dead letter is about, in an empty queue",
        ),
        pytest.param([], 2, "add --yes", id="nobody to ask"),
        pytest.param(["--json"], 2, "add --yes", id="JSON that would have to ask"),
        pytest.param(["--yes", "--endpoint-url", "nonsense"], 2, "--endpoint-url", id="not a URL"),
        pytest.param(
            ["--yes", "--stack", "nope"], 1, "There is no stack nope in us-east-1", id="no such stack"
        ),
        pytest.param(["--yes", "--stack", "other"], 1, "no output ReplicationQueueUrl", id="another stack"),
        pytest.param(["--yes", "--profile", "nope"], 1, "config profile (nope)", id="no such profile"),
    ],
)
def test_the_command_says_what_is_wrong_and_exits_with(
    service: LocalSqs, arguments: list[str], exit_code: int, says: str
) -> None:
    result = command(service, *arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert says in re.sub(r"\s+|[│]", " ", result.stderr)
    assert "Traceback" not in result.stderr


def test_a_secret_without_a_dead_letter_is_said_to_have_none(service: LocalSqs) -> None:
    service.both.dead_letter("a")
    result = command(service, "--yes", "--secret", "a", "--secret", "b")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No dead letter is about b, and nothing was done: `replicas redrive --dry-run` shows all 1" in (
        result.stderr
    )
    assert service.both.names() == ["a"]


def test_an_error_type_that_no_dead_letter_has_is_named_with_those_that_there_are(service: LocalSqs) -> None:
    service.both.dead_letter("a")
    result = command(service, "--yes", "--error-type", "Polic")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No dead letter has the error type Polic, and nothing was done: there are Policy" in result.stderr
    assert service.both.names() == ["a"]


def test_what_somebody_else_reads_may_be_the_secret_that_was_named(both: Both) -> None:
    both.dead_letter("a")
    both.queues.client.receive_message(QueueUrl=both.queues.dead_letter_queue_url, MaxNumberOfMessages=10)
    screen = Screen(Console(file=StringIO(), width=400), Console(file=StringIO(), soft_wrap=True))
    assert redrive_as_asked(RedriveOptions(secrets=["a"], yes=True), both.queues, screen) == 1
    said = screen.err.file.getvalue()  # type: ignore[attr-defined]
    assert "No dead letter is about" not in said


@pytest.mark.parametrize("action", ["StartMessageMoveTask", "GetQueueAttributes"])
def test_a_missing_permission_is_named(service: LocalSqs, action: str) -> None:
    service.both.dead_letter("a")
    service.denied = {action}
    result = command(service, "--yes")
    assert result.exit_code == 1
    assert f"Permission sqs:{action} is missing" in result.stderr
    assert action == "GetQueueAttributes" or "Moved 0 of 1 dead letter until it was stopped." in result.stderr
    assert service.both.dead().total() == 1


def test_a_dead_letter_that_cannot_be_had_is_reported_and_fails(both: Both) -> None:
    both.dead_letter("a")
    screen = Screen(Console(file=StringIO()), Console(file=StringIO(), soft_wrap=True))
    hide_at_the_second_reading(both)
    assert redrive_as_asked(RedriveOptions(error_types=["Policy"], yes=True), both.queues, screen) == 1
    assert "1 dead letter could not be moved" in screen.err.file.getvalue()  # type: ignore[attr-defined]


def hide_at_the_second_reading(both: Both) -> None:
    """Somebody else receives what is visible, as soon as our listing has shown it again."""

    def receive(**_: object) -> None:
        boto3.client("sqs", region_name=HOME).receive_message(QueueUrl=both.queues.dead_letter_queue_url)

    both.queues.client.meta.events.register("after-call.sqs.ChangeMessageVisibilityBatch", receive)


# Between a person and the command.


class Person(Screen):
    """Says one thing, or presses Ctrl-C."""

    answer: bool | None

    def ask(self, _question: str) -> bool:
        if self.answer is None:
            raise KeyboardInterrupt
        return self.answer


@pytest.mark.parametrize(
    ("answer", "code", "left"),
    [
        pytest.param(True, OK, [], id="yes"),
        pytest.param(False, OK, ["a"], id="no"),
        pytest.param(None, STOPPED, ["a"], id="Ctrl-C"),
    ],
)
def test_the_person_decides(
    service: LocalSqs,
    answer: bool | None,  # noqa: FBT001
    code: int,
    left: list[str],
) -> None:
    service.both.dead_letter("a")
    screen = Person(Console(file=StringIO()), Console(file=StringIO()))
    screen.answer = answer
    asked = RedriveOptions(secrets=["a"])
    at = StackOptions(stack="replicator", region=HOME, endpoint_url=service.url)
    assert exit_code(lambda: run(asked, at, screen), screen) == code
    assert (service.both.names(), service.both.hidden()) == (left, 0)


@pytest.mark.parametrize(("typed", "answer"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_a_question_is_answered_with_yes_only_by_a_yes(
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    answer: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(typed))
    assert Screen(err=Console(file=StringIO())).ask("Move it?") is answer


HOSTILE = "[red]x[/red] :skull: \x9b2J\u202ex\tx\nx " + "é" * 300


def shown(dead_letters: Sequence[DeadLetter], **options: Any) -> str:
    console = Console(file=StringIO(), highlight=False, emoji=False, **options)
    show_dead_letters(Screen(out=console), dead_letters)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.mark.parametrize("terminal", [True, False])
def test_hostile_text_is_shown_as_text(both: Both, terminal: bool) -> None:  # noqa: FBT001
    both.send_dead_letter("{}", ErrorType=HOSTILE, ErrorMessage=HOSTILE, SecretArn=HOSTILE, Attempts=HOSTILE)
    text = shown(both.dead_letters(), force_terminal=terminal, width=4000, color_system=None)
    assert text.count("[red]x[/red] :skull:  2J x x x éé") == 3
    assert all(character.isprintable() or character in "\n\t" for character in text)


def test_a_body_is_never_shown(service: LocalSqs) -> None:
    service.both.send_dead_letter('{"password": "hunter2"}')
    service.both.send_dead_letter("hunter2")
    for arguments in (["--dry-run"], ["--dry-run", "--json"], ["--yes", "--secret", "unknown"]):
        assert "hunter2" not in command(service, *arguments).output


@pytest.mark.parametrize("no_color", [True, False])
def test_no_color_is_respected(both: Both, monkeypatch: pytest.MonkeyPatch, no_color: bool) -> None:  # noqa: FBT001
    both.dead_letter("a")
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    text = shown(both.dead_letters(), force_terminal=True, color_system="standard", width=100)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", text)


# What others hold, and what takes long.


def test_dead_letters_that_somebody_else_reads_are_not_no_dead_letters(both: Both) -> None:
    both.dead_letter("a")
    both.dead_letter("b")
    both.queues.client.receive_message(QueueUrl=both.queues.dead_letter_queue_url, MaxNumberOfMessages=10)
    screen = Screen(Console(file=StringIO(), width=400), Console(file=StringIO(), soft_wrap=True))
    assert redrive_as_asked(RedriveOptions(yes=True), both.queues, screen) == 1
    said = screen.err.file.getvalue()  # type: ignore[attr-defined]
    assert "There are no dead letters" not in said
    assert "2 dead letters could not be read: somebody else reads them. Run it again in 2 minutes" in said


def test_reading_that_takes_long_hides_the_dead_letters_for_longer(both: Both) -> None:
    for number in range(30):
        both.dead_letter(f"s/{number}")
    times = count(0, 50)
    extended: list[int] = []
    both.queues.client.meta.events.register(
        "provide-client-params.sqs.ChangeMessageVisibilityBatch",
        lambda params, **_: extended.extend(entry["VisibilityTimeout"] for entry in params["Entries"]),
    )
    assert len(read_dead_letters(both.queues, ignore, clock=lambda: float(next(times)))) == 30
    assert extended.count(120) >= 10, "the first ten were not held on to while the rest was read"
    assert extended[-30:] == [0] * 30


@pytest.mark.parametrize(
    ("secret", "name"),
    [
        pytest.param(f"{ARN}app-AbCdEf", "app", id="a whole ARN"),
        pytest.param(f"{ARN}app-secret", "app-secret", id="an ARN without its last part"),
        pytest.param(f"{ARN}app", "app", id="a short one"),
    ],
)
def test_the_name_in_an_arn_is_not_cut(both: Both, secret: str, name: str) -> None:
    both.send_dead_letter("{}", ErrorType="Policy", ErrorMessage="m", SecretArn=secret)
    (dead_letter,) = both.dead_letters()
    assert dead_letter.name == name
    assert secret_name(secret) == name


def test_a_secret_whose_name_ends_in_six_letters_is_not_taken_for_another(both: Both) -> None:
    both.send_dead_letter("{}", ErrorType="Policy", ErrorMessage="m", SecretArn=f"{ARN}app-secret")
    assert choose(both.dead_letters(), ["app"], []) == []
    assert len(choose(both.dead_letters(), ["app-secret"], [])) == 1


def test_a_name_that_ends_as_an_arn_does_is_found_as_it_is_written(both: Both) -> None:
    """Without its last part, `app-prod01` looks like the secret `app` with one."""
    both.send_dead_letter("{}", ErrorType="Policy", ErrorMessage="m", SecretArn=f"{ARN}app-prod01")
    assert len(choose(both.dead_letters(), ["app-prod01"], [])) == 1
    assert len(choose(both.dead_letters(), [f"{ARN}app-prod01-AbCdEf"], [])) == 1


def test_a_name_that_ends_as_an_arn_does_is_also_found_by_what_is_before_it(both: Both) -> None:
    """Nothing tells it from the secret `app`, whose dead letter would be lost to `--secret app` else."""
    both.send_dead_letter("{}", ErrorType="Policy", ErrorMessage="m", SecretArn=f"{ARN}app-prod01")
    assert len(choose(both.dead_letters(), ["app"], [])) == 1
    assert choose(both.dead_letters(), [f"{ARN}app-AbCdEf"], []) == []
