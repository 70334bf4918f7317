"""What a Region really holds of a primary, by the versions that both show."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from replicas.aws.held import Held
from secret_replicator.models import IN_SYNC


class State(StrEnum):
    """What is there: the worst first."""

    MISSING = "missing"
    BEHIND = "behind"
    STANDALONE = "standalone"
    ANOTHER = "another secret"
    KEY_UNUSABLE = "key unusable"
    UNWANTED = "unwanted"
    PRESENT = "not comparable"
    CURRENT = "current"


SOUND = frozenset({State.CURRENT, State.PRESENT})
HARMLESS = SOUND | {State.UNWANTED}


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary, and what a Region that must hold it has under its name."""

    primary: Held
    region: str
    there: Held | None

    @property
    def shares_versions(self) -> bool:
        """Whether the replica has a version id of its primary."""
        return self.there is not None and not self.primary.versions.keys().isdisjoint(self.there.versions)


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of a secret in a Region. `aws_says` is the status in the primary's list, if asked."""

    home: str
    name: str
    arn: str
    region: str
    state: State
    since: datetime | None = None
    aws_says: str = ""
    why: str = ""
    account: str = ""

    @property
    def contradicts_aws(self) -> bool:
        """Whether AWS calls InSync what is not there, or not the current version."""
        return self.aws_says == IN_SYNC and self.state not in HARMLESS | {State.KEY_UNUSABLE}

    @property
    def waits(self) -> bool:
        """Whether replication is under way, so that nothing needs attention yet."""
        return self.aws_says == "InProgress" and self.state in (State.MISSING, State.BEHIND)

    @property
    def needs_attention(self) -> bool:
        """Whether it needs attention."""
        return self.state not in HARMLESS and not self.waits

    @property
    def place(self) -> tuple[object, ...]:
        """Its place in the list."""
        return not self.contradicts_aws, [*State].index(self.state), self.region, self.name


def state_of(pair: Pair) -> State:
    """Return what is there, taking version ids to be the same on both sides."""
    primary, there = pair.primary, pair.there
    if there is None:
        return State.MISSING
    if there.identity != primary.identity:
        return State.ANOTHER
    if not there.is_replica:
        return State.STANDALONE
    if there.primary_region != primary.region:
        return State.ANOTHER
    return State.CURRENT if there.current == primary.current else State.BEHIND


def finding(pair: Pair, state: State | None = None, why: str = "") -> Finding:
    """Return the finding, with the time since when a secret that is not as it must be may be so."""
    primary = pair.primary
    known = state or state_of(pair)
    changed = pair.there if pair.there and known in (State.STANDALONE, State.ANOTHER) else primary
    since = None if known in SOUND else changed.last_changed
    why = why or _why(pair, known)
    return Finding(primary.region, primary.name, primary.arn, pair.region, known, since, why=why)


def with_aws_status(found: Finding, primary: Held | None) -> Finding:
    """Return it with what the primary's own list says of the Region."""
    replica = primary.replica_in(found.region) if primary else None
    return replace(found, aws_says=replica.status if replica else "not listed")


def _why(pair: Pair, state: State) -> str:
    there = pair.there
    match state:
        case State.BEHIND if there:
            return f"it holds {short(there.current)}, the primary {short(pair.primary.current)}"
        case State.STANDALONE:
            return "it has no primary any more: promoted? Nothing follows it; see replicas rejoin"
        case State.ANOTHER if there and there.identity == pair.primary.identity:
            return f"its primary is in {there.primary_region}"
        case State.ANOTHER if there:
            return f"the name belongs to {there.arn}"
        case State.MISSING:
            return "no secret of this name is there"
        case _:
            return ""


def short(version: str) -> str:
    """Return as much of a version's id as tells it from others."""
    return version[:8] or "no version"
