"""What AWS said of each replica, one status after the other, as somebody sees it who looks often."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from local.aws.observe import IN_SYNC

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

FAILED = "Failed"
NO_REPLICA = "no replica"
BREAK = "\n  then "


@dataclass(frozen=True)
class Status:
    """What was said from `since` on, in seconds of the clock."""

    status: str
    since: float
    message: str = ""


@dataclass
class Lives:
    """The statuses of each replica so far, by secret and Region."""

    clock: Callable[[], float]
    seen: dict[tuple[str, str], list[Status]] = field(default_factory=dict)

    def note(self, name: str, described: "DescribeSecretResponseTypeDef | None") -> None:
        """Take in what DescribeSecret says of a primary now."""
        for entry in described.get("ReplicationStatus", []) if described else []:
            life = self.seen.setdefault((name, entry["Region"]), [])
            if not life or life[-1].status != entry["Status"]:
                life.append(Status(entry["Status"], self.clock(), entry.get("StatusMessage", "")))

    def of(self, name: str, region: str) -> list[Status]:
        """Return what was said of a replica, oldest first."""
        return self.seen.get((name, region), [])

    def now(self, name: str, region: str) -> str:
        """Return what was said of a replica last."""
        life = self.of(name, region)
        return life[-1].status if life else NO_REPLICA

    def failure(self, name: str, region: str) -> str:
        """Return why a replica has failed, empty if it has not."""
        return next((each.message for each in self.of(name, region) if each.status == FAILED), "")

    def text(self, name: str, region: str) -> str:
        """Return the life as `InProgress 3.1 s, InSync`, after a failure on another line."""
        spans = [
            f"{each.status} {after.since - each.since:.1f} s,{BREAK if each.status == FAILED else ' '}"
            for each, after in pairwise(self.of(name, region))
        ]
        return "".join([*spans, self.now(name, region)])

    def seconds(self, began: Mapping[str, float], name: str, *regions: str) -> float | None:
        """Return how long it took until the replicas were InSync, None if they are not."""
        lives = [self.of(name, region) for region in regions]
        if not all(life and life[-1].status == IN_SYNC for life in lives) or not lives:
            return None
        return max(life[-1].since for life in lives) - began[name]
