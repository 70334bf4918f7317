"""One account over HTTP, as the operator's commands see it: the fakes, and a deployed stack."""

import hashlib
import io
import json
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

from local.secrets_manager import transport
from local.secrets_manager.service import StrictSecretsManager
from tests.support.fakes.queues import DEAD_LETTER_QUEUE_URL, QUEUE_URL, FakeQueues
from tests.support.fakes.stacks import describe_stacks

STACK = "replicator"
FUNCTION = "replicator-ReplicatorFunction-1"
LOG_GROUP = "replicator-ReplicatorFunctionLogGroup-1"
OUTPUTS = {
    "ReplicatorFunctionName": FUNCTION,
    "ReplicationQueueUrl": QUEUE_URL,
    "DeadLetterQueueUrl": DEAD_LETTER_QUEUE_URL,
}
_TYPES = {"{": "application/x-amz-json-1.1", "<": "text/xml"}

Answer = tuple[int, str]


@dataclass
class FakeLog:
    """A log group: FilterLogEvents gives few events at a time, and sometimes none though there are more.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
    """

    lines: Callable[[], list[str]] = list
    clock: Callable[[], float] = time.time
    late: int = 0
    """So many of the newest lines are not shown yet."""
    _times: list[int] = field(default_factory=list)

    def filtered(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Answer FilterLogEvents for one quoted term."""
        assert params["logGroupName"] == LOG_GROUP
        term = params["filterPattern"].strip('"')
        found = [event for event in self._events() if term in event["message"]]
        found = [event for event in found if event["timestamp"] >= params["startTime"]]
        start = int(params.get("nextToken", "0"))
        empty = start % 2  # every second page is empty
        page = [] if empty else found[start // 2 * 5 : start // 2 * 5 + 5]
        more = start // 2 * 5 + 5 < len(found) or (not empty and len(found) > start // 2 * 5 + 5)
        return {"events": page, **({"nextToken": str(start + 1)} if more else {})}

    def _events(self) -> list[dict[str, Any]]:
        lines = self.lines()
        now = round(self.clock() * 1000)
        self._times += [now] * (len(lines) - len(self._times))
        events = [
            {"logStreamName": f"stream-{number % 2}", "timestamp": at, "message": line}
            for number, (at, line) in enumerate(zip(self._times, lines, strict=True))
        ]
        return events[: len(events) - self.late]


CODE = "/code.zip"


@dataclass
class FakeAccount:
    """Answers every call of the operator's commands, and remembers their names in IAM."""

    secrets: StrictSecretsManager
    queues: FakeQueues
    environment: Mapping[str, str]
    log: FakeLog = field(default_factory=FakeLog)
    stacks: dict[str, Mapping[str, str]] = field(default_factory=lambda: {STACK: OUTPUTS})
    denied: set[str] = field(default_factory=set)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    """What happens before a call is answered, by the call's name in IAM."""
    deployed_policy: bytes | None = None
    """What is in the function's code; None where Lambda shows no code."""
    hidden: set[str] = field(default_factory=set)
    """The dead letters that somebody reads at the moment, by receipt handle."""
    assumed: list[tuple[str, ...]] = field(default_factory=list)
    """The roles that were assumed, each with its external id."""
    calls: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    url: str = ""
    _under_way: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Note how many calls are under way at the same time."""
        with self._lock:
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def answer(  # noqa: PLR0911  a service each
        self, method: str, path: str, headers: Mapping[str, str], body: str
    ) -> Answer:
        """Answer one request."""
        service, _, operation = headers.get("X-Amz-Target", "").rpartition(".")
        if method == "GET" and path.startswith(f"/2015-03-31/functions/{FUNCTION}"):
            whole = not path.endswith("/configuration")
            action = "lambda:GetFunction" if whole else "lambda:GetFunctionConfiguration"
            return self._do(action, self._code if whole else self._function)
        if service == "secretsmanager":
            return self._do(f"secretsmanager:{operation}", lambda: self._secrets(headers, body))
        if service == "TrentService":
            assert operation == "DescribeKey"
            return self._do("kms:DescribeKey", lambda: self._key(headers, json.loads(body)["KeyId"]))
        if service == "AmazonSQS":
            # IAM knows no batches.
            action = f"sqs:{operation.removesuffix('Batch')}"
            return self._do(action, lambda: self._sqs(operation, json.loads(body)))
        if service == "Logs_20140328":
            return self._do(
                f"logs:{operation}", lambda: (200, json.dumps(self.log.filtered(json.loads(body))))
            )
        asked = parse_qs(body)
        if asked["Action"] == ["AssumeRole"]:
            return self._do("sts:AssumeRole", lambda: self._assume(asked))
        if asked["Action"] == ["GetCallerIdentity"]:
            return self._do("sts:GetCallerIdentity", self._identity)
        action = f"cloudformation:{asked['Action'][0]}"
        assert action == "cloudformation:DescribeStacks", action
        return self._do(action, lambda: describe_stacks(self.stacks, asked["StackName"][0]))

    def _do(self, action: str, work: Any) -> Answer:
        with self._lock:
            self.calls[action] += 1
        self.before.get(action, lambda: None)()
        if action in self.denied:
            return 400, _denial(action)
        answer: Answer = work()
        return answer

    def _function(self) -> Answer:
        configuration = {
            "FunctionName": FUNCTION,
            "Environment": {"Variables": {**self.environment}},
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": LOG_GROUP},
        }
        return 200, json.dumps(configuration)

    def _code(self) -> Answer:
        location = f"{self.url}{CODE}" if self.deployed_policy is not None else ""
        sha = hashlib.sha256(self.deployed_policy or b"").hexdigest()
        answer = {
            "Configuration": {"FunctionArn": self.url, "CodeSha256": sha},
            "Code": {"Location": location},
        }
        return 200, json.dumps(answer)

    def _assume(self, asked: Mapping[str, list[str]]) -> Answer:
        self.assumed.append((asked["RoleArn"][0], *asked.get("ExternalId", [])))
        keys = (
            "<AccessKeyId>a</AccessKeyId><SecretAccessKey>b</SecretAccessKey><SessionToken>c</SessionToken>"
        )
        given = f"<Credentials>{keys}<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>"
        return 200, f"<AssumeRoleResponse><AssumeRoleResult>{given}</AssumeRoleResult></AssumeRoleResponse>"

    def _identity(self) -> Answer:
        account = f"<Account>{self.environment['QUEUE_URL'].split('/')[3]}</Account>"
        name = "GetCallerIdentity"
        return 200, f"<{name}Response><{name}Result>{account}</{name}Result></{name}Response>"

    def archive(self) -> bytes:
        """Return the function's code."""
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("policy.toml", self.deployed_policy or b"")
        return file.getvalue()

    def _secrets(self, headers: Mapping[str, str], body: str) -> Answer:
        status, _headers, answer = transport.reply(
            self.secrets.handle, headers["X-Amz-Target"], headers["Authorization"], body.encode()
        )
        return status, answer.decode()

    def _key(self, headers: Mapping[str, str], key: str) -> Answer:
        region = headers["Authorization"].partition("Credential=")[2].split("/")[2]
        state = self.secrets.replication.keys.get((region, key))
        if state is None:
            return 400, json.dumps({"__type": "NotFoundException", "message": f"no key {key}"})
        return 200, json.dumps({"KeyMetadata": {"KeyId": key, "KeyState": state}})

    def _sqs(self, operation: str, params: Mapping[str, Any]) -> Answer:
        if operation == "ReceiveMessage":
            assert params["QueueUrl"] == DEAD_LETTER_QUEUE_URL
            visible = [
                dead_letter
                for dead_letter in self._dead_letters()
                if dead_letter["ReceiptHandle"] not in self.hidden
            ]
            received = visible[: params["MaxNumberOfMessages"]]
            self.hidden |= {dead_letter["ReceiptHandle"] for dead_letter in received}
            return 200, json.dumps({"Messages": received})
        if operation == "SendMessage":
            assert params["QueueUrl"] == QUEUE_URL
            self.queues.send(params["MessageBody"])
            return 200, json.dumps({"MessageId": "1", "MD5OfMessageBody": md5(params["MessageBody"])})
        if operation == "SendMessageBatch":
            self.queues.send_message_batch(**params)
            return 200, json.dumps({"Successful": [], "Failed": []})
        if operation == "GetQueueAttributes":
            is_dead_letters = params["QueueUrl"] == DEAD_LETTER_QUEUE_URL
            messages = self.queues.dead_letters if is_dead_letters else self.queues.messages
            waiting = {"ApproximateNumberOfMessages": str(len(messages))}
            return 200, json.dumps({"Attributes": dict.fromkeys(params["AttributeNames"], "0") | waiting})
        if operation == "DeleteMessage":
            assert params["QueueUrl"] == DEAD_LETTER_QUEUE_URL
            self.queues.dead_letters = [
                dead_letter
                for dead_letter in self.queues.dead_letters
                if f"handle-{id(dead_letter)}" != params["ReceiptHandle"]
            ]
            return 200, "{}"
        assert (operation, params["QueueUrl"]) == ("ChangeMessageVisibilityBatch", DEAD_LETTER_QUEUE_URL)
        assert all(entry["VisibilityTimeout"] == 0 for entry in params["Entries"])
        self.hidden -= {entry["ReceiptHandle"] for entry in params["Entries"]}
        return 200, json.dumps({"Successful": [], "Failed": []})

    def _dead_letters(self) -> Iterator[Mapping[str, Any]]:
        for dead_letter in self.queues.dead_letters:
            number = id(dead_letter)
            yield {
                "MessageId": f"letter-{number}",
                "ReceiptHandle": f"handle-{number}",
                "Body": dead_letter.body,
                "Attributes": {"SentTimestamp": str(round(self.queues.clock() * 1000))},
                "MessageAttributes": {
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in dead_letter.attributes.items()
                },
            }


def md5(text: str) -> str:
    """Return what boto3 checks a sent message by."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _denial(action: str) -> str:
    said = f"User: x may not {action}"
    if action.startswith(("cloudformation:", "sts:")):
        error = f"<Error><Code>AccessDenied</Code><Message>{said}</Message></Error>"
        return f"<ErrorResponse>{error}</ErrorResponse>"
    return json.dumps({"__type": "AccessDeniedException", "message": said})


@contextmanager
def serving(account: FakeAccount) -> Iterator[FakeAccount]:
    """Serve the account on this machine until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        wbufsize = -1  # head and body leave in one packet
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            if self.path == CODE:
                status, text, content = 200, "", account.archive()
            else:
                with account.counted():
                    status, text = account.answer(self.command, self.path, self.headers, body)
                content = text.encode()
            # A client that was stopped does not wait for the answer.
            with suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Type", _TYPES.get(text[:1], "text/plain"))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                self.wfile.flush()

        do_GET = do_POST  # noqa: N815  the name that http.server looks for

        def log_message(self, *_: object) -> None:
            """Say nothing: `calls` is the log."""

    with transport.serving(Handler, patient=False) as account.url:
        yield account
