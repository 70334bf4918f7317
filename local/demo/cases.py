"""The secrets of the demo: how each begins, and what it must come to."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

MARK = "demo-value-"
"""Every secret's value begins like this. It must never be seen again."""


@dataclass(frozen=True)
class Case:
    """One secret of the demo: how it begins, and what it must come to."""

    name: str
    story: str
    tags: Mapping[str, str]
    desired: tuple[str, ...] = ()
    refused: str = ""
    later: Mapping[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """What the function must say of it in the end."""
        if self.refused:
            return "failed"
        return "converged" if self.desired else "skipped"

    @property
    def in_sync(self) -> tuple[str, ...]:
        """The Regions where it must have a replica in the end."""
        return tuple(region for region in self.desired if region != self.refused)


MISTAKEN = Case(
    "mail/smtp",
    "a Region is misspelt",
    {"replicate-to": "eu-west-1 eu-wst-1"},
    ("eu-west-1", "eu-wst-1"),
    "eu-wst-1",
)
TAKEN_IN = "us-west-2"
TAKEN = Case(
    "legal/archive",
    f"its name is taken in {TAKEN_IN}",
    {"replicate-to": f"eu-central-1 {TAKEN_IN}"},
    ("eu-central-1", TAKEN_IN),
    TAKEN_IN,
)
CASES = (
    Case(
        "shop/db",
        "tagged with two Regions",
        {"replicate-to": "eu-west-1 us-west-2"},
        ("eu-west-1", "us-west-2"),
    ),
    Case("shop/api", "tagged with a group", {"replicate-to": "europe"}, ("eu-central-1", "eu-west-1")),
    Case("shop/session", "no tag", {}),
    Case(
        "billing/card",
        "only a rule selects it",
        {"environment": "prod", "criticality": "high"},
        ("us-west-2",),
    ),
    Case("search/token", "tagged after creation", {}, ("us-west-2",), later={"replicate-to": "us-west-2"}),
    MISTAKEN,
    TAKEN,
)
OPTED_OUT = "shop/db"
"""Its team says none, later: what is there stays, because PruneReplicas is off."""
UNTOLD = Case("legacy/ftp", "without an event", {"replicate-to": "dr"}, ("us-west-2",))
MENDED = {"replicate-to": "eu-west-1 eu-central-1"}
MENDED_REGIONS = ("eu-central-1", "eu-west-1")


def value() -> str:
    """Return a new value for a secret."""
    return MARK + secrets.token_hex(16)
