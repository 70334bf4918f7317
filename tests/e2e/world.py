"""The deployed stack as the e2e tests use it: make secrets, wait, see what became of them."""

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from local.aws import observe
from local.aws.ministack import KEY, clients
from local.aws.observe import DeadLetter, FunctionLog, LogLine
from local.cloudtrail.relay import Delivery, Relay
from local.process.environment import HOME_REGION
from local.stack import Stack
from replicas.aws.dead_letters import secret_name

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import TagTypeDef

TIMEOUT_SECONDS = 180
"""Far more than anything takes on two busy cores: only what never comes is to fail."""
VALUE = "hidden-e2e-value"

_numbers = itertools.count(1)


@dataclass
class World:
    """The deployed stack, and a secret's life in it."""

    stack: Stack
    log: FunctionLog
    relay: Relay | None = None
    deliveries: list[Delivery] = field(default_factory=list)

    def create(
        self, tags: Mapping[str, str] | None = None, name: str = "", in_regions: Iterable[str] = ()
    ) -> str:
        """Make a secret with these tags, and with replicas that the function is not needed for."""
        name = name or f"e2e/{next(_numbers)}"
        replicas: Any = [{"Region": region} for region in in_regions]
        with_replicas: Any = {"AddReplicaRegions": replicas} if replicas else {}
        self.stack.clients.secrets.create_secret(
            Name=name, SecretString=VALUE, Tags=aws_tags(tags or {}), **with_replicas
        )
        return name

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        self.stack.clients.secrets.tag_resource(SecretId=name, Tags=aws_tags(tags))

    def arn(self, name: str) -> str:
        return self.stack.clients.secrets.describe_secret(SecretId=name)["ARN"]

    def send(self, body: str) -> None:
        self.stack.clients.sqs.send_message(QueueUrl=self.stack.queue_url, MessageBody=body)

    def ask_for(self, name: str) -> None:
        self.send(json.dumps({"secret_id": name}))

    def replicas(self, name: str) -> set[str]:
        """Return the Regions that the primary calls InSync and that themselves show the replica."""
        primary = observe.describe(self.stack.clients.secrets, name)
        return {
            region
            for region, status in observe.statuses(primary).items()
            if status == "InSync" and self.is_replica(name, region)
        }

    def is_replica(self, name: str, region: str) -> bool:
        found = observe.describe(clients(self.stack.aws, region).secrets, name)
        return bool(found and found.get("PrimaryRegion") == HOME_REGION)

    def lines(self, name: str) -> list[LogLine]:
        """Return what the function came to about the secret, as of the last look."""
        looks = [line for line in self.log.lines if line.event == "secret_reconciled"]
        return [line for line in looks if secret_name(line.fact("secret")) == name]

    def said(self, name: str) -> list[str]:
        """Return the outcomes the function came to, with their reasons."""
        return [f"{line.fact('outcome')} {line.fact('reason')}".strip() for line in self.lines(name)]

    def unfinished_sweeps(self) -> set[str]:
        """Return the ids of the sweeps that have begun and not yet come to their last page."""
        pages = [line for line in self.log.lines if line.event == "page_swept"]
        return {page.fact("sweep_id") for page in pages} - {
            page.fact("sweep_id") for page in pages if page.facts["last"]
        }

    def dead_letters(self, name: str) -> list[DeadLetter]:
        found = observe.dead_letters(self.stack.clients.sqs, self.stack.dead_letter_queue_url)
        return [dead_letter for dead_letter in found if secret_name(dead_letter.secret) == name]

    def dead_letter(self, name: str) -> DeadLetter:
        """Wait for the secret's dead letter, and return it."""
        self.wait(lambda: self.dead_letters(name))
        (dead_letter,) = self.dead_letters(name)
        return dead_letter

    def delete_dead_letter(self, dead_letter: DeadLetter) -> None:
        """Delete it, and have its secret want nothing more: a sweep would write another."""
        if dead_letter.secret.startswith("arn:"):
            self.tag(dead_letter.secret, {"replicate-to": "none"})
        self.stack.clients.sqs.delete_message(
            QueueUrl=self.stack.dead_letter_queue_url, ReceiptHandle=dead_letter.receipt_handle
        )

    def wait(self, is_so: Callable[[], object]) -> None:
        """Wait until it is so; fail with what the function said meanwhile."""
        if not observe.until(lambda: bool(self._look(is_so)), TIMEOUT_SECONDS):
            shown = ("message", "secret", "outcome", "reason", "attempt")
            last = [" ".join(filter(None, map(line.fact, shown))) for line in self.log.lines[-5:]]
            pytest.fail(f"not so after {TIMEOUT_SECONDS} s; the function said: {last}")

    def wait_for_replicas(self, name: str, *regions: str) -> None:
        self.wait(lambda: self.replicas(name) == set(regions))

    def _look(self, is_so: Callable[[], object]) -> object:
        if self.relay:
            self.relay.check()
        self.log.read()
        return is_so()


def service(stack: Stack, name: str) -> Any:
    """Return a client of any service where the stack is."""
    return boto3.Session(KEY, KEY, region_name=HOME_REGION).client(
        name, endpoint_url=stack.aws.endpoint, verify=str(stack.aws.ca_bundle)
    )


def aws_tags(tags: Mapping[str, str]) -> "list[TagTypeDef]":
    return [{"Key": key, "Value": value} for key, value in tags.items()]
