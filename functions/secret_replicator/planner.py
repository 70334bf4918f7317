"""What is to be done about a secret: desired and actual replicas in, the plan out."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from secret_replicator.models import (
    FAILED,
    IN_SYNC,
    SIMILAR_TAG,
    Decision,
    Desired,
    DesiredReplica,
    Drift,
    Plan,
    Replica,
    Secret,
)
from secret_replicator.policy import Policy, desired_replicas, similar_tag_key
from secret_replicator.settings import Settings

HOLD_TAG = "secret-replicator:hold"
"""A secret with this tag is left alone, whatever asks for it. Its value is the reason."""

_DEFAULT_KEY = "alias/aws/secretsmanager"
_DAY_SECONDS = 24 * 60 * 60
_SHORT = 80
_ARN = re.compile("arn:(?P<partition>[^:]+):secretsmanager:[^:]*:(?P<account>[^:]+):secret:.+")


def decision(secret: Secret, policy: Policy, settings: Settings, now: float) -> Decision:
    """Return what is to be done about a secret as DescribeSecret shows it. `now` is of the epoch."""
    desired = desired_replicas(policy, secret.tags, settings.region, settings.allowed_regions)
    if reason := _reason_to_skip(secret, desired, settings):
        return Decision(desired, Plan(drift=_typos(secret, policy, reason)), skip=reason)
    if HOLD_TAG in secret.tags:
        held = Drift("", "held", _short_text(secret.tags[HOLD_TAG]))
        return Decision(desired, Plan(drift=(held,)), skip="held")
    if secret.owning_service and not desired.asked_by_tag:
        # What a service manages it may forbid to others: that is asked of AWS only where the tag asks.
        return Decision(desired, Plan(drift=(Drift("", "managed_by_service"),)), skip="managed_by_service")
    permitted = desired if settings.allow_overwrite else overwriting_nothing(desired)
    todo = plan(permitted, secret.replicas, prune_before=settings.prune_before(now))
    return Decision(desired, todo, desired.problems)


def is_selected(secret: Secret, policy: Policy, settings: Settings) -> bool:
    """Tell whether this is a primary here that a tag or a rule selects."""
    desired = desired_replicas(policy, secret.tags, settings.region, settings.allowed_regions)
    return not _reason_to_skip(secret, desired, settings)


def belongs_to_another_account(secret_id: str, settings: Settings) -> bool:
    """Tell whether this is the ARN of a secret that the stack's account or partition does not have.

    What is not known of the stack is not compared; a name is that of a secret of its own.
    """
    found = _ARN.fullmatch(secret_id)
    if not found:
        return False
    own = {"partition": settings.partition, "account": settings.account}
    return any(known and found[part] != known for part, known in own.items())


def plan(desired: Desired, actual: Iterable[Replica], *, prune_before: float | None) -> Plan:
    """Return what must change so that `actual` becomes `desired`.

    Removed is only what nobody has read since `prune_before` (seconds since the epoch; None: nothing is),
    and nothing while the secret has problems: what it really wants is then not known.
    """
    wanted = {want.region: want for want in desired.replicas}
    listed = best_by_region(actual)
    if not desired.selected or desired.problems:
        prune_before = None
    regions = sorted(wanted.keys() | listed.keys())
    plans = (_classify(wanted.get(region), listed.get(region), prune_before) for region in regions)
    return sum(plans, Plan())


def _classify(want: DesiredReplica | None, have: Replica | None, prune_before: float | None) -> Plan:
    """Return what must change in one Region, where something is wanted, or there, or both."""
    if have is None:
        return Plan(add=(want,) if want else ())
    if want is None:
        if prune_before is None:
            return Plan(drift=(Drift(have.region, "unwanted"),))
        if _read_until(have) >= prune_before:
            return Plan(drift=(Drift(have.region, "recently_read"),))
        return Plan(remove=(have.region,))
    drift = (Drift(have.region, "kms_key"),) if _key_differs(want, have) else ()
    if have.status == FAILED:
        return Plan(retry=(want,), drift=drift)
    return Plan(wait=() if have.status == IN_SYNC else (have,), drift=drift)


def best_by_region(replicas: Iterable[Replica]) -> Mapping[str, Replica]:
    """Return one replica per Region: of two the better status, and the later day of reading."""
    best: dict[str, Replica] = {}
    for replica in sorted(replicas, key=_goodness):
        before = best.get(replica.region, replica)
        last_accessed = max(before.last_accessed, replica.last_accessed)
        best[replica.region] = replace(replica, last_accessed=last_accessed)
    return best


def _typos(secret: Secret, policy: Policy, reason: str) -> tuple[Drift, ...]:
    """Return the tag that was probably meant to select the secret, as drift."""
    key = similar_tag_key(secret.tags, policy.tag_key) if reason == "not_selected" else ""
    return (Drift("", SIMILAR_TAG, _short_text(key)),) if key else ()


def _reason_to_skip(secret: Secret, desired: Desired, settings: Settings) -> str:
    if belongs_to_another_account(secret.arn, settings):
        return "another_account"
    if secret.primary_region not in ("", settings.region) or secret.cross_account_replica:
        return "replica"
    if secret.deleted:
        return "scheduled_for_deletion"
    return "" if desired.selected else "not_selected"


def overwriting_nothing(desired: Desired) -> Desired:
    """Return the same where the operator lets nothing be overwritten."""
    return replace(desired, replicas=tuple(replace(want, overwrite=False) for want in desired.replicas))


def _short_text(value: str) -> str:
    """Return a tag's value as it may stand in a log line and on a terminal."""
    text = "".join(character if character.isprintable() else " " for character in value)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def _goodness(replica: Replica) -> tuple[int, Replica]:
    return {FAILED: 0, IN_SYNC: 2}.get(replica.status, 1), replica


def _read_until(replica: Replica) -> float:
    """Return when it may last have been read: AWS tells only the day."""
    return replica.last_accessed + _DAY_SECONDS if replica.last_accessed else 0


def _key_differs(want: DesiredReplica, have: Replica) -> bool:
    """Tell whether the keys surely differ: an alias and a key id may be the same key."""
    wanted, actual = _short(want.kms_key_id), _short(have.kms_key_id)
    if _DEFAULT_KEY not in (wanted, actual) and wanted.startswith("alias/") != actual.startswith("alias/"):
        return False
    return wanted != actual


def _short(kms_key_id: str) -> str:
    """Return `alias/...` or the bare key id, whether it was given as such or as an ARN."""
    return kms_key_id.rpartition(":")[2].removeprefix("key/") or _DEFAULT_KEY
