"""Lambda counts how often one chain of requests invokes a function, and stops it after about sixteen times.

A page of a sweep sends the next page, so a sweep is one chain (see local/aws/lineage.py). Here it has 180
secrets; tests/e2e/test_recursive_loops.py has one of 3,000 on the deployed stack.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from local.aws.lineage import MAX_INVOCATIONS, invocations, next_header
from local.secrets_manager.worlds import Worlds
from secret_replicator.app import App
from secret_replicator.work_queue import WorkQueue
from tests.support.fakes.queues import DEAD_LETTER_QUEUE_URL, QUEUE_URL, Record
from tests.support.world import FUNCTION_SECONDS, HOME, World, make_world
from tests.template.stack import deployed

RECEIVES = deployed().properties("ReplicationQueue")["RedrivePolicy"]["maxReceiveCount"]
ARN = "arn:aws:lambda:us-east-1:123456789012:function:secret-replicator"


@dataclass
class Chains:
    """SQS, which keeps the trace header with a message, and Lambda, which counts by it."""

    world: World
    environment: pytest.MonkeyPatch
    recursive_loop: str
    headers: dict[str, str] = field(default_factory=dict)
    dropped: int = 0
    lock: Lock = field(default_factory=Lock)
    function: App = field(init=False)

    def _app(self) -> App:
        """Return the function with botocore's own client of SQS: that is what hands the header on."""
        client = boto3.client("sqs", region_name=HOME)
        client.meta.events.register("before-send.sqs", self._answer)
        queue = WorkQueue(client, QUEUE_URL, DEAD_LETTER_QUEUE_URL)
        app = self.world.app
        sweeper = replace(app.sweeper, queue=queue)
        return replace(app, settler=replace(app.settler, queue=queue), sweeper=sweeper)

    def _answer(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        headers = {name: _text(value) for name, value in request.headers.items()}
        with self.lock:  # the batches of a page are sent at the same time
            return self._sent(request, headers)

    def _sent(self, request: AWSPreparedRequest, headers: Mapping[str, str]) -> AWSResponse:
        operation = headers["X-Amz-Target"].partition(".")[2]
        before = {message.message_id for message in self.world.queues.messages}
        answer = self.world.queues.handle(operation, HOME, json.loads(request.body))
        sent = {message.message_id for message in self.world.queues.messages} - before
        self.headers |= dict.fromkeys(sent, headers["X-Amzn-Trace-Id"])
        return AWSResponse(request.url, 200, {}, _body(answer))

    def invoke(self, records: list[Record]) -> Mapping[str, Any]:
        header = next_header(ARN, (self.headers.get(record["messageId"], "") for record in records))
        if invocations(ARN, header) > MAX_INVOCATIONS and self.recursive_loop != "Allow":
            self.dropped += 1
            return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in records]}
        self.environment.setenv("AWS_LAMBDA_FUNCTION_NAME", "secret-replicator")
        self.environment.setenv("_X_AMZN_TRACE_ID", header)
        return self.function.handle_batch(records, self.world.clock() + FUNCTION_SECONDS)

    def deliver_until_empty(self) -> None:
        """Let time pass; SQS gives up what was received too often."""
        self.function = self._app()
        queues, clock = self.world.queues, self.world.clock
        while queues.messages:
            clock.advance(max(0, min(message.visible_at for message in queues.messages) - clock()))
            queues.deliver(self.invoke)
            queues.messages = [message for message in queues.messages if message.receives < RECEIVES]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _body(answer: Mapping[str, Any]) -> Any:
    raw = BytesIO(json.dumps(answer).encode())
    raw.stream = lambda **_: iter(lambda: raw.read(1024), b"")  # type: ignore[attr-defined]
    return raw


SECRETS = 10 * (MAX_INVOCATIONS + 2)


def account(folder: Path) -> World:
    """Return an account with two pages of secrets too many, and a sweep that begins."""
    world = make_world(folder, worlds=Worlds(secrets_on_a_page=10))
    for number in range(SECRETS):
        world.add(f"{number:04}", to="eu-west-1")
    world.queues.send('{"sweep": {"id": "a sweep"}}')
    return world


def in_sync(world: World) -> int:
    return sum(world.status(name) == {"eu-west-1": "InSync"} for name in world.secrets.names(HOME))


def test_a_sweep_of_eighteen_pages_comes_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From page 17 on nothing would be checked, and no alarm of the function's own would say so."""
    function = deployed().properties("ReplicatorFunction")
    world = account(tmp_path)
    chains = Chains(world, monkeypatch, function.get("RecursiveLoop", "Terminate"))
    chains.deliver_until_empty()
    assert max(invocations(ARN, header) for header in chains.headers.values()) > MAX_INVOCATIONS, (
        "the header must reach the queue, or this tests nothing"
    )
    assert (in_sync(world), chains.dropped) == (SECRETS, 0)


def test_lambda_stops_a_sweep_where_the_loop_is_not_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the setting is for, and what a Region does that does not know it."""
    world = account(tmp_path)
    chains = Chains(world, monkeypatch, "Terminate")
    chains.deliver_until_empty()
    assert chains.dropped
    assert in_sync(world) <= MAX_INVOCATIONS * 10
