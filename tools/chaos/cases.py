"""Draws from a seed which secrets there are, what goes wrong with each, and which messages tell of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from random import Random
from typing import NamedTuple

from local.secrets_manager.worlds import Repeat
from tests.support.model.events import MALFORMED, SHAPES, replication_failed
from tests.support.model.oracle import ALLOWED, HOME, TAG

ODD_SHARE = 1 / 3
FAILED_ONCE, FAILED_FOR_GOOD, MALFORMED_SHARE = 0.10, 0.03, 0.02
IN_PROGRESS_SECONDS = 0.5
"""At most. The queue's time runs faster: it stands for a minute on AWS, and for less in most cases."""
LATE_SHARE, LATE_SECONDS = 0.10, 3.0
"""How many secrets AWS does not show at once, and how long at most."""
DELIVERIES = (1, 2, 3)
CHANGES = sorted(SHAPES.keys() - {"replication failed, from the replica's Region"})
"""What tells of a change that somebody has made."""


class Fate(StrEnum):
    """How a Region ends that a secret asks for."""

    FINE = "fine"
    FAILED_ONCE = "Failed once"
    FAILED_FOR_GOOD = "Failed for good"
    TAKEN = "name taken"
    REFUSED = "refused"
    DENIED = "denied"


@dataclass(frozen=True)
class Case:
    """A secret, or what events say of it: how it begins, and what AWS does to it."""

    story: str
    tags: Mapping[str, str]
    fates: Mapping[str, Fate] = field(default_factory=dict)
    owned: bool = False
    deleted: bool = False
    exists: bool = True
    replica: bool = False
    name: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """How long each Region is InProgress."""
    late_seconds: float = 0
    """How long AWS does not show the secret."""

    @property
    def made_up_arn(self) -> str:
        """Return what a message calls it if there is no such secret."""
        return f"arn:aws:secretsmanager:{HOME}:123456789012:secret:{self.name}-AbCdEf"


RULE = {"environment": "prod", "criticality": "high"}
ODD = (
    Case("a rule selects it", RULE),
    Case("nothing selects it", {"environment": "test"}),
    Case("its tag says none", {TAG: "none"}),
    Case("scheduled for deletion", {TAG: "all"}, deleted=True),
    Case("gone", {TAG: "all"}, exists=False),
    Case("a replica", {TAG: "all"}, replica=True),
    Case("a service's, and its tag asks", {TAG: "all"}, dict.fromkeys(ALLOWED, Fate.REFUSED), owned=True),
    Case("a service's, and a rule asks", RULE, owned=True),
    Case("a Region is misspelt", {TAG: "us-west-2 eu-wst-1"}),
    Case("its name is taken", {TAG: "us-west-2 eu-west-1"}, {"us-west-2": Fate.TAKEN}),
    Case("a Region is refused", {TAG: "eu-west-1 us-west-2"}, {"eu-west-1": Fate.REFUSED}),
    Case("a Region is denied", {TAG: "eu-west-1 us-west-2"}, {"eu-west-1": Fate.DENIED}),
)


def draw_cases(seed: int, world: Repeat, secrets: int) -> list[Case]:
    """Return the secrets of a world. The odd ones are dealt in turn, so that a few show every kind."""
    random = Random(f"{seed} {world} cases")  # noqa: S311  repeatable on purpose
    odd = random.sample(ODD, len(ODD))
    return [
        replace(
            odd[number % len(odd)] if number < secrets * ODD_SHARE else _tagged(random),
            name=f"{world}/{number:04}",
            seconds={region: max(0, random.uniform(-1, 1)) * IN_PROGRESS_SECONDS for region in ALLOWED},
        )
        for number in range(secrets)
    ]


def _tagged(random: Random) -> Case:
    regions = random.sample(ALLOWED, random.randint(1, len(ALLOWED)))
    return Case(
        "tagged",
        {TAG: " ".join(regions)},
        {region: _fate(random.random()) for region in regions},
        late_seconds=random.uniform(0, LATE_SECONDS) if random.random() < LATE_SHARE else 0,
    )


def _fate(drawn: float) -> Fate:
    if drawn < FAILED_ONCE:
        return Fate.FAILED_ONCE
    return Fate.FAILED_FOR_GOOD if drawn < FAILED_ONCE + FAILED_FOR_GOOD else Fate.FINE


@dataclass(frozen=True)
class Message:
    """What is sent to the queue. Without a name it is malformed."""

    body: str
    name: str = ""
    failed_at: float | None = None
    """When the Region failed, if that is what it tells of: then it may be left to another message."""

    @property
    def world(self) -> str:
        """Return the world of its secret, empty if it names none."""
        return self.name.partition("/")[0]


def draw_messages(seed: int, cases: Sequence[Case], arns: Mapping[str, str]) -> list[Message]:
    """Return the messages about the secrets: every event one to three times, in any order, and some nonsense.

    No body is there twice, so that each message can be accounted for.
    """
    random = Random(f"{seed} messages")  # noqa: S311  repeatable on purpose
    messages: list[Message] = []
    for case in cases:
        shape = SHAPES[random.choice(CHANGES)]
        for _ in range(random.choice(DELIVERIES)):
            body = shape(len(messages), case.name, arns.get(case.name, case.made_up_arn))
            messages.append(Message(body, case.name))
    nonsense = range(max(1, round(len(messages) * MALFORMED_SHARE)))
    messages += [Message(f"{random.choice(MALFORMED)}{' ' * number}") for number in nonsense]
    random.shuffle(messages)
    return messages


class Failure(NamedTuple):
    """A Region of a secret that has failed, in seconds since the epoch."""

    name: str
    arn: str
    region: str
    at: float


def draw_failure_messages(random: Random, failures: Iterable[Failure], number: int) -> Iterator[Message]:
    """Yield what AWS tells of failures: each one to three times, with the primary's ARN or the replica's.

    The bodies are numbered from `number` on.
    """
    for failure in failures:
        time = datetime.fromtimestamp(failure.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for _ in range(random.choice(DELIVERIES)):
            arn = failure.arn.replace(f":{HOME}:", f":{random.choice((HOME, failure.region))}:")
            yield Message(replication_failed(number, arn, time=time), failure.name, failure.at)
            number += 1
