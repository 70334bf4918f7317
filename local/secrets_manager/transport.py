"""Carries JSON 1.1 requests to a model of an AWS service: over HTTP on this machine, or in process."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.client import BaseClient
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError

from local.secrets_manager.model import AwsError, ConnectionCutError, Params

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

# Does one operation: (operation, Region, parameters) → the answer.
Handle = Callable[[str, str, Params], Params]
CREDENTIAL_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/(?:events|secretsmanager|sqs)/aws4_request")


# Status, headers and body.
Reply = tuple[int, dict[str, str], bytes]


def reply(handle: Handle, target: str | bytes, authorization: str | bytes, body: bytes) -> Reply:
    """Answer one request; raises ConnectionCutError when there is to be no answer."""
    status = 200
    try:
        operation = _text(target).rpartition(".")[2]
        answer = handle(operation, _region(_text(authorization)), json.loads(body))
    except ConnectionCutError:
        raise
    except AwsError as error:
        status, answer = error.status, {"__type": error.code, "Message": str(error)}
    content = json.dumps(answer).encode()
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "Content-Length": str(len(content)),
        "x-amzn-RequestId": str(uuid4()),
    }
    return status, headers, content


def attach(handle: Handle, client: BaseClient) -> None:
    """Let a boto3 client of Secrets Manager be answered without any network."""

    def before_send(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        target, authorization = request.headers["X-Amz-Target"], request.headers["Authorization"]
        try:
            status, headers, body = reply(handle, target, authorization, cast("bytes", request.body))
        except ConnectionCutError as error:
            raise ConnectionClosedError(endpoint_url=request.url) from error
        return AWSResponse(request.url, status, HTTPHeaders.from_dict(headers), _Stream(body))

    # The stubs know only handlers that return nothing.
    client.meta.events.register_first("before-send.secrets-manager", before_send)  # type: ignore[arg-type]


def client_maker(handle: Handle) -> "Callable[[str], SecretsManagerClient]":
    """Return what makes a client of a Region that is answered in process, with one try for each call."""

    def client_of(region: str) -> "SecretsManagerClient":
        config = Config(retries={"total_max_attempts": 1})
        client = boto3.client("secretsmanager", region_name=region, config=config)
        attach(handle, client)
        return client

    return client_of


@contextmanager
def serve(handle: Handle, port: int = 0) -> Iterator[str]:
    """Serve on 127.0.0.1, and give the endpoint's URL; port 0 is any free one."""

    class Handler(BaseHTTPRequestHandler):
        wbufsize = -1  # head and body leave in one packet

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:
                return  # the client ended in the middle of its request
            target, authorization = (self.headers.get(name, "") for name in ("X-Amz-Target", "Authorization"))
            # After a cut nothing is written; a client may not have waited for a slow answer.
            with suppress(ConnectionCutError, ConnectionError):
                status, headers, content = reply(handle, target, authorization, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
                self.wfile.flush()

        def log_message(self, *_: object) -> None:
            """Say nothing: `calls` of the model is the log."""

    with serving(Handler, port) as url:
        yield url


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], port: int = 0, *, patient: bool = True) -> Iterator[str]:
    """Let a handler answer on 127.0.0.1, and give its URL; a patient end waits for what is under way."""
    with _Server(("127.0.0.1", port), handler) as server:
        server.daemon_threads, server.block_on_close = not patient, patient
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


class _Stream(BytesIO):
    """A body as botocore reads it."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


def _region(authorization: str) -> str:
    scope = CREDENTIAL_SCOPE.search(authorization)
    if not scope:
        raise AwsError("MissingAuthenticationTokenException", "Missing Authentication Token")
    return scope[1]


def _text(header: str | bytes) -> str:
    return header.decode() if isinstance(header, bytes) else header
