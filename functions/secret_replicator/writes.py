"""Which Regions a write asks for: all together until AWS refuses, then so that good Regions come first."""

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from secret_replicator.models import Attempt, DesiredReplica, Plan, Problem

REMEMBERED_SECONDS = 300


@dataclass(frozen=True)
class Write:
    """One call: the Regions to replicate to, or those to remove replicas from."""

    replicate: tuple[DesiredReplica, ...] = ()
    remove: tuple[str, ...] = ()

    @property
    def regions(self) -> frozenset[str]:
        """The Regions that it asks for."""
        return frozenset(want.region for want in self.replicate).union(self.remove)


@dataclass
class Answers:
    """What AWS last answered to this instance about each Region, for whatever secret.

    It only says in which order Regions are asked for, and with which others: never that one need not be.
    """

    clock: Callable[[], float]
    _taken: dict[str, tuple[bool, float]] = field(default_factory=dict)
    _asked: dict[str, int] = field(default_factory=dict)
    _number: int = 0

    def ask(self, regions: Iterable[str]) -> None:
        """Note that a call for these Regions begins."""
        self._number += 1
        self._asked.update(dict.fromkeys(regions, self._number))

    def asked(self, region: str) -> int:
        """Return what is the higher, the later the Region was last asked for."""
        return self._asked.get(region, 0)

    def note(self, regions: Iterable[str], *, taken: bool) -> None:
        """Note that AWS took a request for these Regions, or refused each."""
        self._taken.update(dict.fromkeys(regions, (taken, self.clock() + REMEMBERED_SECONDS)))

    def took(self, region: str) -> bool | None:
        """Tell whether AWS took the last request for the Region; None if that is not known."""
        taken, until = self._taken.get(region, (None, 0))
        return taken if self.clock() < until else None


@dataclass
class Requests:
    """What one attempt at a secret has asked for so far, by what AWS answered."""

    arn: str
    attempt: Attempt
    answers: Answers
    taken: set[str] = field(default_factory=set)
    refused: dict[str, Problem] = field(default_factory=dict)
    refused_together: list[frozenset[str]] = field(default_factory=list)
    removed: tuple[str, ...] = ()

    @property
    def asked(self) -> set[str]:
        """The Regions of which AWS has taken or refused a request."""
        return self.taken | self.refused.keys()

    @property
    def has_written(self) -> bool:
        """Whether a call was made, whatever came of it."""
        return bool(self.taken or self.refused or self.refused_together or self.removed)

    def next_write(self, todo: Plan) -> Write | None:
        """Return the call to make next; None if all that is to be asked for in this attempt was."""
        left = [want for want in todo.add + todo.retry if want.region not in self.asked]
        if left and not self._may_wait(left):
            # One call overwrites in all of its Regions, or in none.
            overwrite = min(want.overwrite for want in left)
            return Write(self._next_regions([want for want in left if want.overwrite is overwrite]))
        remove = tuple(region for region in todo.remove if region not in self.asked and not self.removed)
        return Write(remove=remove) if remove else None

    def _may_wait(self, left: list[DesiredReplica]) -> bool:
        """Tell whether all that is left was lately refused: first others get their good Regions."""
        refused = all(self.answers.took(want.region) is False for want in left)
        return refused and self.attempt.together and not self.attempt.last and bool(self.taken)

    def _next_regions(self, left: list[DesiredReplica]) -> tuple[DesiredReplica, ...]:
        good = [want for want in left if self.answers.took(want.region)]
        hopeful = [want for want in left if self.answers.took(want.region) is not False]
        group = hopeful if self.attempt.together and not self.refused_together else good
        regions = frozenset(want.region for want in group)
        if len(group) > 1 and not any(refused <= regions for refused in self.refused_together):
            return tuple(sorted(group))
        return (min(self._rotated(left), key=self._doubt),)

    def _doubt(self, want: DesiredReplica) -> tuple[int, int]:
        """Return what is the lower, the sooner a Region is to be asked for alone."""
        took = self.answers.took(want.region)
        return {True: 0, None: 1, False: 2}[took], self.answers.asked(want.region)

    def _rotated(self, left: list[DesiredReplica]) -> list[DesiredReplica]:
        """Begin elsewhere in each attempt, and with each secret: another instance may know nothing."""
        start = (zlib.crc32(self.arn.encode()) + self.attempt.number) % len(left)
        ordered = sorted(left)
        return ordered[start:] + ordered[:start]
