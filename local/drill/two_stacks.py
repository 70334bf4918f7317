"""The drill on the strict local AWS: a stack in each of two Regions, and people with rights of their own."""

import json
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from local.aws import observe
from local.aws.ministack import LocalAws, clients
from local.aws.observe import FunctionLog
from local.cloudtrail.relay import Delivery, Relay
from local.drill.scene import HOME, POLICY, THERE, THIRD, Scene
from local.errors import LocalError
from local.process.environment import ROOT
from local.secrets_manager.worlds import read_worlds
from local.stack import STACK, Stack, Step, Variant, deployed_also, local_stack
from replicas.aws.dead_letters import count_messages, secret_name
from replicas.options import Scope

if TYPE_CHECKING:
    from mypy_boto3_iam.type_defs import AccessKeyTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient

WORLDS = "seconds_in_progress=0.5"
"""Short, so that a rehearsal is; what a person asks for counts more."""

TIMEOUT_SECONDS = 180
SWEEP = '{"sweep": {}}'

_PAGE = ROOT / "docs" / "how-to" / "fail-over.md"
_RIGHTS = re.compile(r"^## The operator's rights$.*?^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
_OF_THE_STACK = ("cloudformation:DescribeStacks", "lambda:GetFunctionConfiguration")


@dataclass(kw_only=True)
class TwoStacks(Scene):
    """Two stacks; an application that may read values, and no more; an operator who may not read one."""

    stacks: Mapping[str, Stack]
    application: "AccessKeyTypeDef"
    heard: dict[str, list[Delivery]] = field(default_factory=lambda: defaultdict(list))
    """What CloudTrail told of each Region, and which rules took it."""
    _relays: dict[str, ExitStack] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._logs = {
            region: FunctionLog(stack.clients.logs, stack.log_group) for region, stack in self.stacks.items()
        }

    @property
    def aws(self) -> LocalAws:
        return self.stacks[HOME].aws

    def scope(self) -> Scope:
        return Scope(regions=[HOME], stack=STACK, endpoint_url=self.url, policy=self.policy)

    def owner(self, region: str) -> "SecretsManagerClient":
        return clients(self.aws, region).secrets

    def read(self, region: str) -> dict[str, str | None]:
        """Ask for each value by name, with a key that is for nothing else."""
        client = self.reader(region)
        found: dict[str, str | None] = {}
        for name in self.written:
            try:
                found[name] = client.get_secret_value(SecretId=name)["SecretString"]
            except client.exceptions.ResourceNotFoundException:
                continue
        return found

    def switch_off(self, region: str) -> None:
        """Let nothing in the Region answer, and nothing be heard of it."""
        self._relays.pop(region).close()
        self.aws.switch_off(region)

    def switch_on(self, region: str) -> None:
        """Let the Region answer again; what happens from now on is heard of."""
        self.aws.switch_on(region)
        self.relay(region)

    def relay(self, region: str) -> None:
        """Let EventBridge there hear of what happens from now on."""
        relay = Relay(self.stacks[region].clients, self.heard[region].append)
        self._relays[region] = ExitStack()
        self._relays[region].enter_context(relay.running())

    def functions_run(self, *regions: str) -> None:
        """Ask for a sweep in each Region, and wait until its queue is empty."""
        for region in regions:
            stack = self.stacks[region]
            stack.clients.sqs.send_message(QueueUrl=stack.queue_url, MessageBody=SWEEP)
        for region in regions:
            stack = self.stacks[region]
            if not observe.until(partial(_is_done, stack), TIMEOUT_SECONDS):
                raise LocalError(f"The stack of {region} is not done after {TIMEOUT_SECONDS} s")
            if dead_letters := observe.dead_letters(stack.clients.sqs, stack.dead_letter_queue_url):
                raise LocalError(f"The stack of {region} has dead letters: {dead_letters[0].reasons}")

    def reported(self, region: str, drift: str) -> list[str]:
        log = self._logs[region]
        log.read()
        found = [line for line in log.lines if (line.event, line.fact("kind")) == ("drift_found", drift)]
        return sorted(secret_name(line.fact("secret")) for line in found)

    def close(self) -> None:
        for relay in self._relays.values():
            relay.close()

    def reader(self, region: str) -> "SecretsManagerClient":
        key_id, key = self.application["AccessKeyId"], self.application["SecretAccessKey"]
        session = boto3.Session(key_id, key, region_name=region)
        return session.client("secretsmanager", endpoint_url=self.url, verify=str(self.aws.ca_bundle))


@contextmanager
def two_stacks(step: Step, worlds: str = "") -> Iterator[TwoStacks]:
    """Deploy both stacks, and give everybody the rights that they have; raise LocalError."""
    worlds = f"{WORLDS} {worlds}"
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        policy = folder / "policy.toml"
        policy.write_text(POLICY, "utf-8")
        given = {"AllowedRegions": f"{THERE},{THIRD}", "AllowOverwrite": "true"}
        variant = Variant(given, {"POLICY_FILE": str(policy)}, worlds)
        home = running.enter_context(local_stack(step, variant=variant))
        with step(f"Deploy it in {THERE}, too"):
            given = {"AllowedRegions": f"{HOME},{THIRD}", "AllowOverwrite": "true"}
            there = deployed_also(home, region=THERE, name=f"{STACK}-there", **given)
        application = _user(home, "application", [_allowed(["secretsmanager:GetSecretValue"])])
        operator = _user(home, "operator", [*_operators_rights(), _allowed(_OF_THE_STACK)])
        scene = TwoStacks(
            folder,
            home.aws.endpoint,
            read_worlds(worlds),
            stacks={HOME: home, THERE: there},
            application=application,
        )
        running.callback(scene.close)
        for region in scene.stacks:
            scene.relay(region)
        with _environment(home.aws, operator):
            yield scene


def _is_done(stack: Stack) -> bool:
    return count_messages(stack.clients.sqs, stack.queue_url) == 0


def _operators_rights() -> list[Any]:
    """Return the statements that the page lists, and no others."""
    found = _RIGHTS.search(_PAGE.read_text("utf-8"))
    if found is None:
        raise LocalError(f"{_PAGE} lists no rights of the operator")
    statements: list[Any] = json.loads(found[1])["Statement"]
    return statements


def _allowed(actions: Sequence[str]) -> Mapping[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": "*"}


def _user(stack: Stack, name: str, statements: Sequence[Any]) -> "AccessKeyTypeDef":
    """Make a user with these rights, and return the key."""
    iam, policy = stack.clients.iam, {"Version": "2012-10-17", "Statement": statements}
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=json.dumps(policy))
    return iam.create_access_key(UserName=name)["AccessKey"]


@contextmanager
def _environment(aws: LocalAws, key: "AccessKeyTypeDef") -> Iterator[None]:
    """Let the commands find the operator's key, and trust the local AWS, until the end of the block."""
    before = dict(os.environ)
    credentials = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    os.environ.update(aws.exports | credentials)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
