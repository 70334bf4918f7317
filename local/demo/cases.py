"""The secrets of the demo: how each begins, and what it must come to."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from local.stack import ALLOWED_REGIONS

MARK = "demo-value-"
"""Every secret's value begins like this. It must never be seen again."""


@dataclass(frozen=True, eq=False)
class Case:
    """One secret of the demo: how it begins, and what it must come to."""

    name: str
    story: str
    tags: Mapping[str, str]
    desired: tuple[str, ...] = ()
    refused: str = ""
    later: Mapping[str, str] = field(default_factory=dict)
    fails_in: str = ""
    reason: str = ""
    """What AWS says of the Region where it fails at first."""

    @property
    def outcomes(self) -> tuple[str, ...]:
        """What the function may say of it once AWS says InSync everywhere: it may not have checked again."""
        if self.refused:
            return ("failed",)
        if self.fails_in:
            return ("waiting", "converged")
        return ("converged" if self.desired else "skipped",)

    @property
    def shown(self) -> tuple[str, ...]:
        """The Regions that are shown: where it must have no replica, all."""
        return self.desired or ALLOWED_REGIONS

    @property
    def in_sync(self) -> tuple[str, ...]:
        """The Regions where it must have a replica in the end."""
        return tuple(region for region in self.desired if region != self.refused)


DELETED = Case(
    "shop/db",
    "tagged with two Regions",
    {"replicate-to": "eu-west-1 us-west-2"},
    ("eu-west-1", "us-west-2"),
)
ROTATED = Case("shop/api", "tagged with a group", {"replicate-to": "europe"}, ("eu-central-1", "eu-west-1"))
MISTAKEN = Case(
    "mail/smtp",
    "a Region is misspelt",
    {"replicate-to": "eu-west-1 eu-wst-1"},
    ("eu-west-1", "eu-wst-1"),
    refused="eu-wst-1",
)
LATE = Case("search/token", "tagged after creation", {}, ("us-west-2",), later={"replicate-to": "us-west-2"})
KEYED = Case(
    "payments/card",
    "a rule names a key, which is disabled",
    {"replicate-to": "us-west-2", "team": "payments"},
    ("us-west-2",),
    fails_in="us-west-2",
    reason="Disabled",
)
TAKEN = Case(
    "legal/archive",
    "its name is taken in us-west-2",
    {"replicate-to": "eu-central-1 us-west-2"},
    ("eu-central-1", "us-west-2"),
    fails_in="us-west-2",
    reason="Secret with this name already exists in this region",
)
CASES = (
    DELETED,
    ROTATED,
    Case("shop/session", "no tag", {}),
    Case(
        "billing/invoice",
        "only a rule selects it",
        {"environment": "prod", "criticality": "high"},
        ("us-west-2",),
    ),
    LATE,
    KEYED,
    TAKEN,
    MISTAKEN,
)
UNHEARD = Case("legacy/ftp", "without an event", {"replicate-to": "dr"}, ("us-west-2",))


def value() -> str:
    return MARK + secrets.token_hex(16)
