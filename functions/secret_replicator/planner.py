"""Desired and actual replicas in, the plan out."""

from collections.abc import Iterable, Mapping

from secret_replicator.models import FAILED, IN_SYNC, Desired, DesiredReplica, Drift, Plan, Replica

_DEFAULT_KEY = "alias/aws/secretsmanager"
_DAY_SECONDS = 24 * 60 * 60


def plan(desired: Desired, actual: Iterable[Replica], *, prune_before: float | None) -> Plan:
    """Return what must change so that `actual` becomes `desired`.

    Removed is only what nobody has read since `prune_before` (seconds since the epoch; None: nothing is),
    and nothing while the secret has problems: what it really wants is then not known.
    """
    listed = tuple(actual)
    by_region = best_by_region(listed)
    found = [(wanted, by_region.get(wanted.region)) for wanted in sorted(desired.replicas)]
    unwanted = tuple(sorted(by_region.keys() - {wanted.region for wanted in desired.replicas}))
    prune = prune_before is not None and desired.selected and not desired.problems
    read = {replica.region for replica in listed if _read_until(replica) >= (prune_before or 0)}
    remove = tuple(region for region in unwanted if region not in read) if prune else ()
    kept = "recently_read" if prune else "unwanted"
    drift = [Drift(region, kept) for region in unwanted if region not in remove]
    drift += [Drift(have.region, "kms_key") for want, have in found if have and _key_differs(want, have)]
    return Plan(
        add=tuple(want for want, have in found if have is None),
        retry=tuple(want for want, have in found if have and have.status == FAILED),
        wait=tuple(have for _, have in found if have and have.status not in (FAILED, IN_SYNC)),
        remove=remove,
        drift=tuple(sorted(drift)),
    )


def best_by_region(replicas: Iterable[Replica]) -> Mapping[str, Replica]:
    """Return one replica per Region. Where a Region is listed twice, the better status counts."""
    return {replica.region: replica for replica in sorted(replicas, key=_goodness)}


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
