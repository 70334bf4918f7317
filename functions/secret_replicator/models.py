"""The values that pass between reading, deciding and doing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

IN_SYNC = "InSync"
FAILED = "Failed"


@dataclass(frozen=True, order=True)
class Replica:
    """One entry of ReplicationStatus: what AWS reports about a Region."""

    region: str
    status: str
    message: str = ""
    kms_key_id: str = ""


@dataclass(frozen=True)
class Secret:
    """What DescribeSecret or ListSecrets shows of a secret. Never its value."""

    arn: str
    name: str
    tags: Mapping[str, str]
    replicas: tuple[Replica, ...] = ()
    primary_region: str = ""
    owning_service: str = ""
    deleted: bool = False
    last_changed: datetime | None = None


@dataclass(frozen=True)
class Page:
    """One page of ListSecrets. An empty token says that it is the last."""

    secrets: tuple[Secret, ...]
    next_token: str = ""


@dataclass(frozen=True, order=True)
class DesiredReplica:
    """A Region a secret must be in. An empty key means aws/secretsmanager."""

    region: str
    kms_key_id: str = ""


@dataclass(frozen=True, order=True)
class Problem:
    """What keeps a secret from a Region: what is wrong, and what a person can do. No Region means all."""

    region: str
    text: str
    remedy: str
    error_type: str = "RegionProblem"


@dataclass(frozen=True)
class Desired:
    """What the policy wants for one secret."""

    selected: bool
    asked_by_tag: bool = False
    replicas: tuple[DesiredReplica, ...] = ()
    problems: tuple[Problem, ...] = ()
    overwrite: bool = False


@dataclass(frozen=True, order=True)
class Drift:
    """A difference that is reported and left alone: `unwanted` replica, or other `kms_key`."""

    region: str
    kind: str


@dataclass(frozen=True)
class Plan:
    """The difference between desired and actual, each part ordered by Region."""

    add: tuple[DesiredReplica, ...] = ()
    retry: tuple[DesiredReplica, ...] = ()
    wait: tuple[Replica, ...] = ()
    remove: tuple[str, ...] = ()
    drift: tuple[Drift, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether there is something to do, not only to wait for or to report."""
        return bool(self.add or self.retry or self.remove)

    @property
    def open_regions(self) -> tuple[str, ...]:
        """The Regions that are not yet as they must be."""
        return tuple(replica.region for replica in self.add + self.retry + self.wait) + self.remove

    def regions(self) -> dict[str, list[str]]:
        """Return the Regions of each part that is not empty."""
        parts = {
            "add": [replica.region for replica in self.add],
            "retry": [replica.region for replica in self.retry],
            "wait": [replica.region for replica in self.wait],
            "remove": [*self.remove],
            "drift": [f"{drift.region} {drift.kind}" for drift in self.drift],
        }
        return {part: regions for part, regions in parts.items() if regions}


@dataclass(frozen=True)
class Intent:
    """What is to be done about a secret, before anything is done. A `skip` says why nothing is."""

    desired: Desired
    plan: Plan = Plan()
    problems: tuple[Problem, ...] = ()
    skip: str = ""


class Kind(StrEnum):
    """How looking at a message ended."""

    CONVERGED = "converged"
    SKIPPED = "skipped"
    SWEPT = "swept"
    WAITING = "waiting"
    OUT_OF_TIME = "out_of_time"
    FAILED = "failed"


@dataclass(frozen=True)
class Look:
    """One look at a message: its receives so far, seconds since the first of them, and when to be done.

    Receives alone say little about time: what was given back unbegun was received, too.
    """

    attempt: int
    age_seconds: float
    deadline: float


@dataclass(frozen=True)
class Outcome:
    """How looking at a message ended, and why."""

    kind: Kind
    secret: str = ""
    note: str = ""
    plan: Plan = Plan()
    problems: tuple[Problem, ...] = ()
    requested: bool = False
    """Whether AWS took a request for a new Region in this very look."""

    @property
    def reason(self) -> str:
        """Why it ended so. Empty if there is nothing to say."""
        texts = (self.note, *(problem.text for problem in self.problems))
        return "; ".join(text for text in dict.fromkeys(texts) if text)

    @property
    def regions(self) -> tuple[str, ...]:
        """The Regions that are not as they must be."""
        return tuple(sorted({problem.region for problem in self.problems} - {""}))

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        return "; ".join(dict.fromkeys(problem.remedy for problem in self.problems))
