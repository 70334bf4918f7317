"""What is right for a secret, said a second time, without the product's code.

It knows policy.toml beside it as a reader of that text would explain it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.secrets_manager.model import Secret
from local.secrets_manager.service import StrictSecretsManager

POLICY_FILE = Path(__file__).parent / "policy.toml"
HOME = "us-east-1"
ALLOWED = ("ap-southeast-2", "eu-west-1", "us-west-2")
TAG = "replicate-to"
EUROPE = frozenset({"eu-west-1", "eu-central-1"})
MEANINGS = {
    "ap-southeast-2": {"ap-southeast-2"},
    "dr": {"us-west-2"},
    "eu-west-1": {"eu-west-1"},
    "eu-wst-1": {"eu-wst-1"},  # has the form of a Region code
    "europe": EUROPE,
    "us-east-1": {HOME},
    "us-west-2": {"us-west-2"},
}
PAYMENTS_KEY = "alias/payments"
KEPT_SECONDS = (7 + 1) * 24 * 60 * 60
"""A replica that was read is kept for seven days after that day, of which AWS shows the first second."""


@dataclass(frozen=True)
class Wish:
    """What the policy wants for a set of tags. `wrong` are Regions, or words, that cannot be had."""

    selected: bool
    asked_by_tag: bool
    regions: frozenset[str]
    by_rules_alone: frozenset[str]
    wrong: frozenset[str]
    overwrite: frozenset[str]
    keys: Mapping[str, str]


def wish(tags: Mapping[str, str]) -> Wish:
    words = set(tags.get(TAG, "none").lower().replace(",", " ").split())
    mistaken = not words or words > {"none"}
    named = {region for word in words for region in MEANINGS.get(word, ())} if not mistaken else set()
    unknown = (words - MEANINGS.keys() - {"all", "none"}) if not mistaken else {""}
    critical = tags.get("environment") == "prod" and tags.get("criticality") in ("high", "critical")
    unnamed = set(ALLOWED) if "all" in words and not mistaken else set()
    payments = tags.get("team") == "payments"
    ruled = {"us-west-2"} if critical or payments else set()
    by_rules_alone = ruled - named - unnamed
    named |= ruled
    reachable = set(ALLOWED) & EUROPE if tags.get("residency") == "eu" else set(ALLOWED)
    return Wish(
        selected=TAG in tags or critical or payments,
        asked_by_tag=words != {"none"},
        regions=frozenset((named | unnamed) & reachable - {HOME}),
        by_rules_alone=frozenset(by_rules_alone),
        wrong=frozenset(unknown | (named - reachable - {HOME})),
        overwrite=frozenset({"us-west-2"} if payments else ()),
        keys={"us-west-2": PAYMENTS_KEY} if payments else {},
    )


@dataclass(frozen=True)
class Snapshot:
    """A secret of the home Region at one moment, as it truly is."""

    name: str
    arn: str
    visible: bool
    primary_elsewhere: bool
    deleted: bool
    owned: bool
    wish: Wish
    statuses: Mapping[str, str]
    read_lately: frozenset[str] = frozenset()
    name_taken: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    """Where a rule may overwrite, and what stands there must not be: a promoted copy, another's primary."""

    @property
    def ours(self) -> bool:
        """Whether the function may write to it at all."""
        closed = self.primary_elsewhere or self.deleted or (self.owned and not self.wish.asked_by_tag)
        return self.wish.selected and not closed

    @property
    def open_regions(self) -> frozenset[str]:
        return frozenset(region for region in self.wish.regions if self.statuses.get(region) != "InSync")

    @property
    def drifted(self) -> frozenset[str]:
        """Regions that only rules ask for, and where the name is taken, or what is there must be kept."""
        return self.open_regions & (self.wish.by_rules_alone & self.name_taken | self.kept)

    def converged(self, *, prune: bool) -> bool:
        """Whether all that is wanted is InSync, nothing is wrong, and with prune on nothing else is there."""
        return not self.open_regions and self.done_but_for_drift(prune=prune)

    def done_but_for_drift(self, *, prune: bool) -> bool:
        """Whether it is converged, but for what can only be reported."""
        if not self.ours or self.open_regions - self.drifted or self.wish.wrong:
            return False
        return not prune or self.statuses.keys() - self.read_lately <= self.wish.regions

    @property
    def rightly_skipped(self) -> bool:
        return self.visible and not self.ours


def snapshot(secrets: StrictSecretsManager, now: float, *, may_overwrite: bool) -> dict[str, Snapshot]:
    """Return what is true of every secret of the home Region, by ARN."""
    found = [secrets.secret(HOME, name) for name in secrets.names(HOME)]
    return {secret.arn: snapshot_of(secrets, secret, now, may_overwrite=may_overwrite) for secret in found}


def snapshot_of(
    secrets: StrictSecretsManager, secret: Secret, now: float, *, may_overwrite: bool = False
) -> Snapshot:
    replicas = secret.replicas.items()
    wanted = wish(secret.tags)
    kept = [region for region in wanted.overwrite if _must_be_kept(secrets, secret, region)]
    taken = [region for region in ALLOWED if _is_taken(secrets, secret, region)]
    said = [region for region, replica in replicas if "already exists" in (replica.message or "")]
    read = [region for region, replica in replicas if now - (replica.last_accessed or 0) <= KEPT_SECONDS]
    return Snapshot(
        name=secret.name,
        arn=secret.arn,
        visible=secret.visible_at <= now,
        primary_elsewhere=secret.primary_region not in (None, HOME),
        deleted=secret.delete_at is not None,
        owned=secret.owning_service is not None,
        wish=wanted,
        statuses={region: replica.status for region, replica in replicas},
        read_lately=frozenset(read),
        name_taken=frozenset(taken + said),
        kept=frozenset(kept if may_overwrite else ()),
    )


def _must_be_kept(secrets: StrictSecretsManager, secret: Secret, region: str) -> bool:
    """Tell whether a promoted copy stands there, or a secret that is held, or a primary of its own."""
    if secret.name not in secrets.names(region):
        return False
    there = secrets.secret(region, secret.name)
    same = there.arn.rpartition("-")[2] == secret.arn.rpartition("-")[2]
    own = there.primary_region == region or TAG in there.tags or "secret-replicator:hold" in there.tags
    return there.primary_region != HOME and (same or own)


def _is_taken(secrets: StrictSecretsManager, secret: Secret, region: str) -> bool:
    """Tell whether a secret of the same name that is no replica of ours stands there, and in the way."""
    if region in secret.replicas and secret.replicas[region].overwrite:
        return False
    return secret.name in secrets.names(region) and secrets.secret(region, secret.name).primary_region != HOME
