"""Plays one run: the deployed stack between the fast queue and the fake, until nothing is left to do."""

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from rich.console import Console

from local.aws.observe import FunctionLog, LogLine
from local.console import step
from local.secrets_manager import transport
from local.secrets_manager.worlds import Repeat
from local.stack import Stack, Variant, local_stack
from replicas.aws.dead_letters import count_messages
from tests.support.model.events import SHAPES
from tests.support.model.oracle import ALLOWED, POLICY_FILE
from tools.chaos.aws import Aws, World
from tools.chaos.cases import Message, draw_cases, draw_failure_messages, draw_messages
from tools.chaos.fast_queue import FastQueue
from tools.chaos.killer import Killer
from tools.chaos.summary import DeadLetter, Observed, Said

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

BATCH = 10
POLL_SECONDS = 2
FAILED_BATCH = re.compile(r"failed processing SQS batch from .* errorMessage=(.*)\)$", re.MULTILINE)
"""What MiniStack's log says of a batch that has no answer, and why."""


@dataclass(frozen=True)
class Chosen:
    """What the command line asks for. `secrets` are those of each world."""

    secrets: int
    seed: int
    worlds: Sequence[Repeat]
    factor: int
    max_attempts: int
    writes_per_second: int = 40
    instances: int = 4

    @property
    def timeout_seconds(self) -> float:
        """Return how long it may take: some time for each secret, and what the attempts take at least."""
        return 120 + 1.5 * self.secrets * len(self.worlds) + self.max_attempts * 900 / self.factor * 2

    def variant(self, secrets_manager: str, queues: str) -> Variant:
        """Return what is other than in a usual deployment."""
        return Variant(
            {
                "AllowedRegions": ",".join(ALLOWED),
                "WritesPerSecond": str(self.writes_per_second),
                "MaximumConcurrency": str(self.instances),
                "MaxAttempts": str(self.max_attempts),
            },
            {
                "POLICY_FILE": str(POLICY_FILE),
                "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets_manager,
                "AWS_ENDPOINT_URL_SQS": queues,
            },
        )


@dataclass(frozen=True)
class Finished:
    """What a run has shown."""

    observed: Observed
    killed: int
    failed_batches: Mapping[str, int]
    """How many had no answer, by the reason."""
    delays: int
    seconds: float


@dataclass
class Run:
    """A run under way."""

    chosen: Chosen
    stack: Stack
    aws: Aws
    queue: FastQueue
    killer: Killer
    sent: dict[str, Message] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = Random(f"{self.chosen.seed} failures")  # noqa: S311  repeatable on purpose
        self.log = FunctionLog(self.stack.clients.logs, self.stack.log_group)

    def play(self) -> Finished:
        """Send everything, wait until nothing is left or patience ends, and look at all of it."""
        began = time.monotonic()
        arns = {name: arn for world in self.aws.worlds.values() for name, arn in world.begin().items()}
        self.killer.folder = self.stack.aws.folder
        self._send(draw_messages(self.chosen.seed, [*self.aws.cases.values()], arns))
        deadline = began + self.chosen.timeout_seconds
        while not self._is_over() and time.monotonic() < deadline:
            self.log.read()
            time.sleep(POLL_SECONDS)
        self.killer.folder = None
        self.log.read()
        return Finished(
            self._observed(),
            self.killer.killed,
            Counter(FAILED_BATCH.findall((self.stack.aws.folder / "ministack.log").read_text("utf-8"))),
            self.queue.delays,
            time.monotonic() - began,
        )

    def _send(self, messages: Sequence[Message]) -> None:
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            answer = self.stack.clients.sqs.send_message_batch(
                QueueUrl=self.stack.queue_url,
                Entries=[{"Id": str(n), "MessageBody": message.body} for n, message in enumerate(batch)],
            )
            self.sent |= {entry["MessageId"]: batch[int(entry["Id"])] for entry in answer["Successful"]}

    def _is_over(self) -> bool:
        self._rotate()
        self._tell_of_failures()
        return count_messages(self.stack.clients.sqs, self.stack.queue_url) == 0

    def _rotate(self) -> None:
        """Where AWS does not replicate a Failed Region again, its users change the value."""
        refused = [world for repeat, world in self.aws.worlds.items() if repeat == "refused"]
        arns = {name: arn for world in refused for name, arn in world.rotate_what_failed_once().items()}
        tell = SHAPES["a label was updated"]
        first = len(self.sent)
        self._send([Message(tell(n, name, arn), name) for n, (name, arn) in enumerate(arns.items(), first)])

    def _tell_of_failures(self) -> None:
        failures = [failure for world in self.aws.worlds.values() for failure in world.take_failures()]
        messages = [*draw_failure_messages(self._random, failures, len(self.sent))]
        self._random.shuffle(messages)
        self._send(messages)

    def _observed(self) -> Observed:
        worlds = self.aws.worlds.values()
        return Observed(
            cases=self.aws.cases,
            messages=self.sent,
            dead_letters=[*self._dead_letters()],
            left=count_messages(self.stack.clients.sqs, self.stack.queue_url),
            said=_said(self.log.lines),
            moments={name: moments for world in worlds for name, moments in world.moments.items()},
            final={name: world.snapshot(name) for world in worlds for name in world.cases},
            calls=[call for world in worlds for call in world.secrets.calls],
        )

    def _dead_letters(self) -> Iterator[DeadLetter]:
        for _attempt in range(3):
            while messages := self._receive():
                yield from map(_dead_letter, messages)

    def _receive(self) -> "Sequence[MessageTypeDef]":
        return self.stack.clients.sqs.receive_message(
            QueueUrl=self.stack.dead_letter_queue_url,
            MaxNumberOfMessages=BATCH,
            VisibilityTimeout=3600,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        ).get("Messages", [])


def run(chosen: Chosen, console: Console) -> Finished:
    """Deploy, play, and return what was seen; raise LocalError."""
    with _deployed(chosen, console) as running, step(console, "Play"):
        return running.play()


@contextmanager
def _deployed(chosen: Chosen, console: Console) -> Iterator[Run]:
    killer = Killer(chosen.seed)
    queue = FastQueue(chosen.factor)
    worlds = {
        world: World(chosen.seed, world, draw_cases(chosen.seed, world, chosen.secrets))
        for world in chosen.worlds
    }
    aws = Aws(worlds, killer.note_call)
    with ExitStack() as running:
        secrets_manager = running.enter_context(transport.serve(aws.handle))
        queues = running.enter_context(queue.serving())
        variant = chosen.variant(secrets_manager, queues)
        stack = running.enter_context(local_stack(partial(step, console), variant=variant))
        queue.attach(stack)
        yield Run(chosen, stack, aws, queue, killer)


def _said(lines: Sequence[LogLine]) -> Mapping[str, Sequence[Said]]:
    said = defaultdict(list)
    for line in lines:
        if line.event == "secret_reconciled" and "message_id" in line.facts:
            at = datetime.strptime(line.fact("timestamp"), "%Y-%m-%d %H:%M:%S,%f%z").timestamp()
            facts = (line.fact(name) for name in ("outcome", "verdict", "reason"))
            said[line.fact("message_id")].append(Said(*facts, at=at))
    return said


def _dead_letter(message: "MessageTypeDef") -> DeadLetter:
    reasons = {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()}
    return DeadLetter(message["Body"], reasons, int(message["Attributes"]["SentTimestamp"]) / 1000)
