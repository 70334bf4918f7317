"""How drift, keys, and what asks for a Region or forbids it are worded."""

from secret_replicator.models import SIMILAR_TAG, Asker, Cut, Decision, Drift

ORPHANED = "orphaned"
"""A replica whose primary nothing selects any more. The function never sees it: it is not asked about it."""

_MEANING = {
    "unwanted": "no tag or rule requests this replica",
    "recently_read": "no tag or rule requests this replica, but somebody reads it",
    "kms_key": "its key is not the wanted one",
    "managed_by_service": "only a rule asks for it, and it belongs to an AWS service",
    "held": "it is held by its tag secret-replicator:hold",
    "name_taken": "another secret has its name there",
    SIMILAR_TAG: "nothing selects it, but one of its tag keys is nearly the policy's",
    ORPHANED: "the replica was left behind: nothing selects its primary any more",
    "promoted": "it was promoted there, or belongs to another primary: never overwritten",
}

NAME_TAKEN = "already exists"
"""What AWS says when another secret has the name. It decides only what a person reads."""


def of_drift(drift: Drift, decision: Decision) -> str:
    """Return what the drift is and what can be done. An unwanted replica may be wanted by a wrong tag."""
    meaning = _MEANING.get(drift.kind, drift.kind) + (f" ({drift.said})" if drift.said else "")
    said = f"{meaning} - {drift.remedy}"
    wrong = drift.kind == "unwanted" and decision.problems
    return f"{said}; while its tag is wrong, correct that first" if wrong else said


def of_asker(asker: Asker, region: str) -> str:
    """Return what asks for the Region, and by which word if this is not the Region itself."""
    return asker.name if asker.word in ("", region) else f"{asker.name} ({asker.word})"


def of_cut(cut: Cut) -> str:
    """Return why a Region is not to be had, as a sentence of its own."""
    return (
        f"{cut.rule} of the policy forbids it (only {' '.join(cut.only)})"
        if cut.rule
        else "it is not in AllowedRegions"
    )


def of_key(kms_key_id: str) -> str:
    """Return the key's name."""
    return kms_key_id or "aws/secretsmanager"
