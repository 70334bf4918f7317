"""What the deployed stack shows to anybody: replicas, dead letters, the function's log."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from replicas.aws.function_log import LogReader

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef
    from mypy_boto3_sqs import SQSClient

POLL_SECONDS = 0.3
IN_SYNC = "InSync"
REASONS = ("ErrorType", "ErrorMessage", "SecretArn", "FailedRegions", "Attempts", "FirstReceived")
"""The attributes that say why a message is in the DeadLetterQueue."""

_PLATFORM = ("START ", "END ", "REPORT ", "INIT_START ")


@dataclass(frozen=True)
class DeadLetter:
    """A message in the DeadLetterQueue, and why it is there."""

    receipt_handle: str
    body: str
    reasons: Mapping[str, str]

    @property
    def secret(self) -> str:
        """The ARN of the secret it is about, or what the function could make out of it."""
        return self.reasons.get("SecretArn", "")


@dataclass(frozen=True)
class LogLine:
    """A line of the function's log: what happened, and the facts."""

    event: str
    level: str
    facts: Mapping[str, object]

    def fact(self, name: str) -> str:
        """Return a fact as text, empty if it is not there."""
        return str(self.facts.get(name, ""))


class FunctionLog:
    """The function's log from now on."""

    def __init__(self, client: "CloudWatchLogsClient", log_group: str) -> None:
        self.lines: list[LogLine] = []
        self._reader = LogReader(client, log_group, "", int(time.time() * 1000))

    def read(self) -> list[LogLine]:
        """Return what is new, and keep it in `lines`."""
        new = [line for event in self._reader.read() if (line := _log_line(event["message"]))]
        self.lines += new
        return new


def until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Wait until it is so, or the time is up; return which."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def describe(client: "SecretsManagerClient", name: str) -> "DescribeSecretResponseTypeDef | None":
    """Return what DescribeSecret says of the secret, None if there is none."""
    try:
        return client.describe_secret(SecretId=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return None


def statuses(described: "DescribeSecretResponseTypeDef | None") -> dict[str, str]:
    entries = described.get("ReplicationStatus", []) if described else []
    return {entry["Region"]: entry.get("Status", "") for entry in entries}


def dead_letters(client: "SQSClient", queue_url: str) -> list[DeadLetter]:
    """Return up to ten dead letters, and leave them there."""
    answer = client.receive_message(
        QueueUrl=queue_url, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"]
    )
    return [
        DeadLetter(
            message["ReceiptHandle"],
            message["Body"],
            {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()},
        )
        for message in answer.get("Messages", [])
    ]


def _log_line(text: str) -> LogLine | None:
    if not text.strip() or text.startswith(_PLATFORM):
        return None
    try:
        facts = json.loads(text)
    except ValueError:
        return LogLine(text.rstrip(), "PRINT", {})
    if not isinstance(facts, dict) or "_aws" in facts:
        return None
    return LogLine(str(facts.get("message", "")), str(facts.get("level", "")), facts)
