"""A secret as one Region shows it, never with its value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secret_replicator.models import Replica, Secret

CURRENT = "AWSCURRENT"


@dataclass(frozen=True, kw_only=True)
class Held(Secret):
    """What ListSecrets or DescribeSecret shows of a secret in a Region; `replicas` only DescribeSecret.

    A key, its own or a replica's, is empty where it is aws/secretsmanager.
    """

    region: str
    versions: Mapping[str, Sequence[str]]
    kms_key_id: str = ""

    @property
    def current(self) -> str:
        """The id of the version that is read, empty if there is no value."""
        return next((version for version, stages in self.versions.items() if CURRENT in stages), "")

    @property
    def identity(self) -> str:
        """The ARN without its Region: the same for a primary and its replicas."""
        return self.arn.replace(f":{self.region}:", "::", 1)

    @property
    def is_replica(self) -> bool:
        """Whether it follows a primary in another Region."""
        return self.primary_region not in ("", self.region)

    def replica_in(self, region: str) -> Replica | None:
        """Return what its list of replicas says of a Region."""
        return next((replica for replica in self.replicas if replica.region == region), None)


def arn_in(region: str, identity: str) -> str:
    """Return the ARN in a Region."""
    return identity.replace("::", f":{region}:", 1)
