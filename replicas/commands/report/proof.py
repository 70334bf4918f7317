"""What `verify` found, beside the status of each secret: where both disagree comes first."""

from collections import defaultdict
from collections.abc import Sequence

from replicas.commands.failover.verify import Verified
from replicas.failover.states import Finding, State
from replicas.inventory.secret_status import Row, SecretStatus
from replicas.terminal import count
from secret_replicator.models import IN_SYNC


class Proof:
    """The secrets by status, and what each Region really holds of them."""

    def __init__(self, rows: Sequence[Row], verified: Verified) -> None:
        self.rows, self.verified = rows, verified
        self._findings: dict[str, list[Finding]] = defaultdict(list)
        for found in verified.findings:
            self._findings[found.arn].append(found)

    @property
    def regions(self) -> list[str]:
        """The Regions of which something was found."""
        return sorted(region for region, states in self.verified.states.items() if states)

    def state(self, row: Row, region: str) -> str:
        """Return what was found of the secret in a Region, nothing if it was not read."""
        return str(self.verified.states.get(region, {}).get(row.arn, ""))

    def is_current(self, row: Row, region: str) -> bool:
        """Tell whether the Region has the secret's current version."""
        return self.state(row, region) == State.CURRENT

    def needing_attention(self, row: Row) -> list[Finding]:
        """Return what needs attention of a secret in any Region."""
        return [found for found in self._findings.get(row.arn, ()) if found.needs_attention]

    def disagreeing(self, row: Row) -> list[str]:
        """Return the Regions that are InSync by status, and not as they must be by what is there."""
        cells = dict(row.cells)
        return [
            found.region
            for found in self.needing_attention(row)
            if IN_SYNC in (found.aws_says, cells.get(found.region))
        ]

    def beyond_status(self, row: Row) -> list[Finding]:
        """Return what needs attention and is not said by the status: what is missing by both is."""
        disagreeing = self.disagreeing(row)
        return [
            found
            for found in self.needing_attention(row)
            if found.state is not State.MISSING or found.region in disagreeing
        ]

    def is_bad(self, row: Row, region: str) -> bool:
        """Tell whether what was found in the Region is worse than its status."""
        return any(found.region == region for found in self.beyond_status(row))

    @property
    def disagreement(self) -> str:
        """How many replicas are InSync by status alone, nothing if none is."""
        number = sum(len(self.disagreeing(row)) for row in self.rows)
        return f"AWS says InSync, and it is not so: {count(number, 'replica')}" if number else ""

    def attention(self) -> list[Row]:
        """Return what waits or needs attention, where both disagree first."""
        rows = [row for row in self.rows if row.status < SecretStatus.IN_SYNC or self.needing_attention(row)]
        return sorted(rows, key=lambda row: not self.disagreeing(row))

    def why(self, row: Row) -> str:
        """Return the reasons of both."""
        return "; ".join(filter(None, [*map(_reason, self.beyond_status(row)), row.why]))


def _reason(found: Finding) -> str:
    text = f"{found.region}: verify found it {found.state}"
    text += f", AWS says {found.aws_says}" if found.aws_says else ""
    return f"{text} ({found.why})" if found.why else text
