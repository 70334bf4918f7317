"""The values that pass between reading, deciding and doing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

IN_SYNC = "InSync"
FAILED = "Failed"
SIMILAR_TAG = "similar_tag"

DRIFT_REMEDIES: Mapping[str, str] = {
    "unwanted": "remove it (remove-regions-from-replication), or set PruneReplicas",
    "recently_read": "find out who still reads it there; it is removed once nobody has for PruneIdleDays",
    "kms_key": "change its key in that Region (update-secret), or the key in policy.toml",
    "managed_by_service": "let no rule match it, replicate it with its own service, or ask for it with its "
    "tag: AWS then says whether others may",
    "held": "take the tag secret-replicator:hold off, once what it was set for is over",
    "name_taken": "see with replicas verify whether a promoted copy stands there; if not, delete the secret "
    "of the same name in that Region, or let no rule ask for the Region",
    SIMILAR_TAG: "take this tag off, and set the policy's own tag key in its place",
    "orphaned": "set the tag again, or remove the replica (remove-regions-from-replication)",
    "promoted": "bring a promoted copy back with replicas rejoin; another team's secret needs its own name",
}
"""What a person can do about each kind of drift."""


@dataclass(frozen=True, order=True)
class Replica:
    """One entry of ReplicationStatus: what AWS reports about a Region.

    `last_accessed` is the day, in seconds since the epoch, on which it was last read there; 0 is never.
    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ReplicationStatusType.html
    """

    region: str
    status: str
    message: str = ""
    kms_key_id: str = ""
    last_accessed: float = 0


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
    cross_account_replica: bool = False
    last_changed: datetime | None = None


@dataclass(frozen=True)
class Page:
    """One page of ListSecrets. An empty token says that it is the last."""

    secrets: tuple[Secret, ...]
    next_token: str = ""


@dataclass(frozen=True, order=True)
class DesiredReplica:
    """A Region a secret must be in. An empty key means aws/secretsmanager.

    With `overwrite` a secret of the same name may be replaced there; in a plan, only if the operator lets it.
    """

    region: str
    kms_key_id: str = ""
    overwrite: bool = False


@dataclass(frozen=True, order=True)
class Problem:
    """What keeps a secret from a Region: what is wrong, and what a person can do. No Region means all.

    With a kind of `drift` it is reported as that in the end, not dead-lettered.
    """

    region: str
    text: str
    remedy: str
    error_type: str = "RegionProblem"
    drift: str = ""


@dataclass(frozen=True)
class Asker:
    """What asks for a Region: the tag, by one of its words, or a rule, which has no word."""

    name: str
    word: str = ""


@dataclass(frozen=True)
class Cut:
    """What takes a Region away: a rule that allows `only` others, or AllowedRegions, which is no rule."""

    rule: str = ""
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A replica that is asked for, in the home Region too: by what, what cuts it, where its key is named."""

    replica: DesiredReplica
    asked_by: tuple[Asker, ...] = ()
    cut: Cut | None = None
    key_from: str = ""

    @property
    def region(self) -> str:
        """The Region."""
        return self.replica.region


@dataclass(frozen=True)
class Desired:
    """What the policy wants for one secret, and of which claims that is what is left."""

    selected: bool
    asked_by_tag: bool = False
    replicas: tuple[DesiredReplica, ...] = ()
    problems: tuple[Problem, ...] = ()
    claims: tuple[Claim, ...] = ()

    def is_asked_by_rules_alone(self, region: str) -> bool:
        """Tell whether the tag, by whatever word, does not ask for the Region."""
        askers = (asker for claim in self.claims if claim.region == region for asker in claim.asked_by)
        return not any(asker.word for asker in askers)


@dataclass(frozen=True, order=True)
class Drift:
    """A difference that is reported and left alone. No Region means all. `said` is what explains it."""

    region: str
    kind: str
    said: str = ""

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        return DRIFT_REMEDIES[self.kind]

    def __str__(self) -> str:
        """Say where and what it is."""
        said = f" ({self.said})" if self.said else ""
        return f"{self.region} {self.kind}{said}".strip()


@dataclass(frozen=True)
class Plan:
    """The difference between desired and actual, each part ordered by Region."""

    add: tuple[DesiredReplica, ...] = ()
    retry: tuple[DesiredReplica, ...] = ()
    wait: tuple[Replica, ...] = ()
    remove: tuple[str, ...] = ()
    drift: tuple[Drift, ...] = ()

    def __add__(self, other: "Plan") -> "Plan":
        """Return both as one: the other's Regions come after these."""
        return Plan(**{part: mine + vars(other)[part] for part, mine in vars(self).items()})

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
            "add": [replica.region for replica in self.add if not replica.overwrite],
            "add, may overwrite": [replica.region for replica in self.add if replica.overwrite],
            "retry": [replica.region for replica in self.retry if not replica.overwrite],
            "retry, may overwrite": [replica.region for replica in self.retry if replica.overwrite],
            "wait": [replica.region for replica in self.wait],
            "remove": [*self.remove],
            "drift": [str(drift) for drift in self.drift],
        }
        return {part: regions for part, regions in parts.items() if regions}


@dataclass(frozen=True)
class Decision:
    """What is to be done about a secret, before anything is done. A `skip` says why nothing is."""

    desired: Desired
    plan: Plan = Plan()
    problems: tuple[Problem, ...] = ()
    skip: str = ""
    unseen: Mapping[str, Problem] = field(default_factory=dict)
    """Why it is not known, of these Regions, what would be overwritten there: they are not asked for."""


class Kind(StrEnum):
    """How an attempt at a message ended."""

    CONVERGED = "converged"
    SKIPPED = "skipped"
    SWEPT = "swept"
    WAITING = "waiting"
    OUT_OF_TIME = "out_of_time"
    FAILED = "failed"


@dataclass(frozen=True)
class Attempt:
    """One attempt at a message: its receives so far, seconds since the first of them, and when to be done.

    Receives alone say little about time: what was given back unbegun was received, too. `now` is since the
    epoch, `deadline` of the gateway's clock.
    """

    number: int
    age_seconds: float
    deadline: float
    now: float
    read_only: bool = False
    """Whether nothing may be called that changes anything."""
    last: bool = False
    """Whether nobody will see what comes of asking again for a Failed Region."""
    together: bool = True
    """Whether all Regions may be asked for in one call: an earlier attempt may have been refused that."""


@dataclass(frozen=True)
class SweptPage:
    """One page of a sweep. Pages count from 1; `restarted` says that they do so for the second time."""

    sweep_id: str
    page: int
    listed: int = 0
    selected: int = 0
    last: bool = False
    restarted: bool = False


@dataclass(frozen=True)
class Outcome:
    """How an attempt at a message ended, and why."""

    kind: Kind
    secret: str = ""
    note: str = ""
    plan: Plan = Plan()
    problems: tuple[Problem, ...] = ()
    requested: bool = False
    """Whether AWS took a request for a new Region in this very attempt."""
    swept: SweptPage | None = None
    replicas: tuple[Replica, ...] = ()
    """What AWS reports of each Region, as of the end of this attempt."""

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
