"""What AWS said of each replica, one status after the other, as somebody sees it who looks often."""

import time
from collections import defaultdict
from dataclasses import dataclass
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
    """What was said from `since` on, in seconds of the monotonic clock."""

    status: str
    since: float
    message: str


class Lives:
    """The statuses of each replica so far, by secret and Region."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], list[Status]] = defaultdict(list)

    def note(self, name: str, described: "DescribeSecretResponseTypeDef | None") -> None:
        """Take in what DescribeSecret says of a primary now."""
        for entry in described.get("ReplicationStatus", []) if described else []:
            life = self._seen[name, entry["Region"]]
            if not life or life[-1].status != entry["Status"]:
                life.append(Status(entry["Status"], time.monotonic(), entry.get("StatusMessage", "")))

    def first(self, name: str, region: str) -> str:
        life = self._seen[name, region]
        return life[0].status if life else NO_REPLICA

    def now(self, name: str, region: str) -> str:
        life = self._seen[name, region]
        return life[-1].status if life else NO_REPLICA

    def failure(self, name: str, region: str) -> str:
        """Return why a replica has failed, empty if it has not."""
        return next((each.message for each in self._seen[name, region] if each.status == FAILED), "")

    def text(self, name: str, region: str) -> str:
        """Return the life as `InProgress 3.1 s, InSync`, after a failure on another line."""
        spans = [
            f"{each.status} {after.since - each.since:.1f} s,{BREAK if each.status == FAILED else ' '}"
            for each, after in pairwise(self._seen[name, region])
        ]
        return "".join([*spans, self.now(name, region)])

    def in_sync_since(self, name: str, *regions: str) -> float | None:
        """Return when the last of these replicas became InSync, None if not all of them are."""
        if not regions or any(self.now(name, region) != IN_SYNC for region in regions):
            return None
        return max(self._seen[name, region][-1].since for region in regions)
