"""Both sides after an outage, compared by version ids and the journal, and what may be done about each."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from replicas.aws.held import Held
from replicas.failover.journal import DONE, HOLD, PROMOTE, Entry
from replicas.options import RejoinOptions
from secret_replicator.gateway import name_in


class Change(StrEnum):
    """What became of a promoted secret on both sides."""

    UNCHANGED = "unchanged"
    THERE = "changed there"
    AT_HOME = "changed at home"
    BOTH = "changed on both sides"
    GONE = "gone at home"
    OTHER = "another secret at home"
    GONE_THERE = "gone there"
    OTHER_THERE = "another secret there"
    FOLLOWS = "follows home again"
    TURNED = "home follows it"
    DENIED = "not readable"


class Action(StrEnum):
    """What is done about it."""

    REJOIN = "rejoin from home"
    TURN = "turn round"
    FINISH = "finish"
    LEAVE = "leave"


@dataclass(frozen=True)
class Sides:
    """Both sides as DescribeSecret shows them now, and what the journal says."""

    home_region: str
    region: str
    identity: str
    """The ARN without its Region."""
    home: Held | None
    there: Held | None
    steps: tuple[Entry, ...] = ()
    """Since its promotion."""
    promoted: Entry | None = None

    @property
    def name(self) -> str:
        """The secret's name."""
        return name_in(self.identity)

    def same_as(self, other: "Sides") -> bool:
        """Tell whether both sides have the versions and the primary that they had."""
        return _state(self.home) == _state(other.home) and _state(self.there) == _state(other.there)


def change(sides: Sides) -> Change:
    """Return what became of it. Where it cannot be known, it counts as changed."""
    home, there = sides.home, sides.there
    if there and (there.identity != sides.identity or there.is_replica):
        follows = there.identity == sides.identity and there.primary_region == sides.home_region
        return Change.FOLLOWS if follows else Change.OTHER_THERE
    if home is None:
        return Change.GONE if there else Change.GONE_THERE
    is_same = home.identity == sides.identity and not home.deleted
    if not is_same or home.is_replica:
        return Change.TURNED if is_same and there and home.primary_region == there.region else Change.OTHER
    if there is None:
        return Change.GONE_THERE
    changed = _changed_there(sides, home, there), _changed_at_home(sides, home, there)
    return {
        (False, False): Change.UNCHANGED,
        (True, False): Change.THERE,
        (False, True): Change.AT_HOME,
        (True, True): Change.BOTH,
    }[changed]


def action(found: Change, name: str, options: RejoinOptions) -> Action:
    """Return what may be done: nothing is overwritten that changed, unless it was named."""
    if found in (Change.FOLLOWS, Change.TURNED):
        return Action.FINISH
    named = name in options.discard
    if options.primary:
        turns = found in (Change.THERE, Change.GONE) or (named and found in (Change.BOTH, Change.AT_HOME))
        return Action.TURN if turns else Action.LEAVE
    rejoins = (
        found in (Change.UNCHANGED, Change.GONE_THERE)
        or (found is Change.AT_HOME and options.accept_home)
        or (named and found in (Change.THERE, Change.BOTH, Change.AT_HOME))
    )
    return Action.REJOIN if rejoins else Action.LEAVE


def remedy(found: Change, region: str) -> str:
    """Return what a person can decide about a secret that is left."""
    turn = f"--primary {region}"
    return {
        Change.UNCHANGED: f"rejoin it without {turn}",
        Change.THERE: f"{turn} keeps what {region} has; --discard NAME keeps what home has",
        Change.AT_HOME: f"--accept-home keeps what home has; {turn} --discard NAME what {region} has",
        Change.BOTH: f"--discard NAME keeps what home has; {turn} --discard NAME what {region} has",
        Change.GONE: f"{turn} replicates it back",
        Change.OTHER: "see whose secret that is, and rename or delete it, or restore the primary",
        Change.OTHER_THERE: "see whose it is: the promoted one is gone, or follows another Region",
        Change.GONE_THERE: f"rejoin it without {turn}",
        Change.DENIED: "allow DescribeSecret on both sides",
    }.get(found, "")


def comparable(home: Held, known: AbstractSet[str]) -> bool:
    """Tell whether both sides name versions alike: home has an id that is known from the other."""
    return not home.versions.keys().isdisjoint(known) or not home.versions.keys() | known


def _changed_there(sides: Sides, home: Held, there: Held) -> bool:
    """Whether the copy has a version that neither the journal nor home has, or another one is current."""
    known = sides.promoted.versions.keys() if sides.promoted else set()
    if there.versions.keys() - known - home.versions.keys():
        return True
    if there.current == home.current:
        return False
    if sides.promoted:
        return there.current != sides.promoted.current
    return there.current not in home.versions


def _changed_at_home(sides: Sides, home: Held, there: Held) -> bool:
    promoted = sides.promoted
    if home.current == there.current and home.versions.keys() <= there.versions.keys():
        return False
    known = there.versions.keys() | (promoted.versions.keys() if promoted else set())
    if comparable(home, known):
        before = promoted.current if promoted else ""
        return bool(home.versions.keys() - known) or before not in ("", home.current)
    if promoted is None or home.last_changed is None:
        return True
    # A tag that an earlier run set changed the date, and so may have the promotion.
    held = (step for step in sides.steps if step.action == HOLD and step.region == sides.home_region)
    if seen := next(held, None):
        return home.current != seen.current
    done = (step.time for step in sides.steps if step.action == PROMOTE and step.result == DONE)
    return home.last_changed > datetime.fromisoformat(next(done, promoted.time))


def _state(held: Held | None) -> tuple[object, ...] | None:
    if held is None:
        return None
    return held.identity, held.is_replica, held.deleted, held.current, frozenset(held.versions)
