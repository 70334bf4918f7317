"""Desired and actual replicas in, the plan out."""

from collections.abc import Iterable, Mapping

from secret_replicator.models import FAILED, IN_SYNC, Desired, DesiredReplica, Drift, Plan, Replica

_DEFAULT_KEY = "alias/aws/secretsmanager"


def plan(desired: Desired, actual: Iterable[Replica], *, prune: bool) -> Plan:
    """Return what must change so that `actual` becomes `desired`.

    Nothing is removed while the secret has problems: what it really wants is then not known.
    """
    by_region = best_by_region(actual)
    found = [(wanted, by_region.get(wanted.region)) for wanted in sorted(desired.replicas)]
    unwanted = tuple(sorted(by_region.keys() - {wanted.region for wanted in desired.replicas}))
    remove = unwanted if prune and desired.selected and not desired.problems else ()
    drift = [Drift(region, "unwanted") for region in unwanted if region not in remove]
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


def _key_differs(want: DesiredReplica, have: Replica) -> bool:
    """Tell whether the keys surely differ: an alias and a key id may be the same key."""
    wanted, actual = _short(want.kms_key_id), _short(have.kms_key_id)
    if _DEFAULT_KEY not in (wanted, actual) and wanted.startswith("alias/") != actual.startswith("alias/"):
        return False
    return wanted != actual


def _short(kms_key_id: str) -> str:
    """Return `alias/...` or the bare key id, whether it was given as such or as an ARN."""
    return kms_key_id.rpartition(":")[2].removeprefix("key/") or _DEFAULT_KEY
