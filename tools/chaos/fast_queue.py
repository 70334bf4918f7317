"""Lets the time of the queue run faster. Function and queue are as they are; only the waits are shorter.

The function's calls to SQS go through here, byte for byte: their signatures hold, and IAM judges them. When
the queue has taken a delay, it is asked once more, in the name of the account, for a fraction of it.
"""

import json
import math
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPResponse, HTTPSConnection
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

from local.aws.ministack import ADDRESS
from local.secrets_manager.transport import serving

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from local.stack import Stack

DELAYING = "AmazonSQS.ChangeMessageVisibilityBatch"
OWN_SECONDS, SHORTEST_OWN_SECONDS = 900, 5
"""The queue's own timeout, on its clock and on ours. In template.yaml it is 360 s; but a batch runs on our
clock, and if it takes longer, its messages come back while they are in work.
"""


@dataclass
class FastQueue:
    """Stands between the function and SQS."""

    factor: int
    delays: int = 0
    """How many delays were shortened."""
    stack: "Stack | None" = None

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on 127.0.0.1 while the context is open; gives the address. `attach` comes before any call."""
        queue = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                queue._pass_on(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with serving(Handler, patient=False) as url:
            yield url

    def attach(self, stack: "Stack") -> None:
        """Pass on to this stack's queue, and shorten the queue's own timeout."""
        self.stack = stack
        self._tls = ssl.create_default_context(cafile=str(stack.aws.ca_bundle))
        own = max(SHORTEST_OWN_SECONDS, self.shortened(OWN_SECONDS))
        stack.clients.sqs.set_queue_attributes(
            QueueUrl=stack.queue_url, Attributes={"VisibilityTimeout": str(own)}
        )

    def shortened(self, seconds: float) -> int:
        """Return the delay on the faster clock: whole seconds, rounded up, as SQS knows no others."""
        return math.ceil(seconds / self.factor)

    def _pass_on(self, request: BaseHTTPRequestHandler) -> None:
        assert self.stack
        length = int(request.headers["Content-Length"])
        body = request.rfile.read(length)
        if len(body) < length:
            return  # the function was killed in the middle of its request
        connection = HTTPSConnection(ADDRESS, self.stack.aws.port, context=self._tls)
        connection.putrequest("POST", request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        if request.headers["X-Amz-Target"] == DELAYING and answer.status == 200:
            self._shorten(self.stack.clients.sqs, json.loads(body), json.loads(content))
        with suppress(ConnectionError):  # the function may not live to see the answer
            _answer(request, answer, content)
        connection.close()

    def _shorten(self, client: "SQSClient", asked: dict, answer: dict) -> None:
        """Ask again for what was just granted, on the faster clock."""
        granted = {entry["Id"] for entry in answer.get("Successful", ())}
        entries = [
            entry | {"VisibilityTimeout": self.shortened(entry["VisibilityTimeout"])}
            for entry in asked["Entries"]
            if entry["Id"] in granted
        ]
        if entries:
            client.change_message_visibility_batch(QueueUrl=asked["QueueUrl"], Entries=entries)
            self.delays += len(entries)


def _answer(request: BaseHTTPRequestHandler, answer: HTTPResponse, content: bytes) -> None:
    request.send_response(answer.status)
    for name, value in answer.getheaders():
        if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
            request.send_header(name, value)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
