"""What kinds of drift are, in words for a person."""

from secret_replicator.models import DRIFT_REMEDIES

DRIFT = {
    "unwanted": "nobody asks for this replica; it stays, unless PruneReplicas is on",
    "kms_key": "its key is not the wanted one; it can be changed only in its own Region",
}


def of_drift(kind: str) -> str:
    """Return what the kind of drift means and what can be done."""
    return DRIFT.get(kind) or DRIFT_REMEDIES[kind]


def of_key(kms_key_id: str) -> str:
    """Return the key's name."""
    return kms_key_id or "aws/secretsmanager"
