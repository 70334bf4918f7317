"""A secret as one Region shows it, never with its value."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from secret_replicator.models import Replica, Secret

CURRENT = "AWSCURRENT"


@dataclass(frozen=True, slots=True)
class Held:
    """What ListSecrets or DescribeSecret shows of a secret in a Region; `replicas` only DescribeSecret."""

    region: str
    arn: str
    name: str
    tags: Mapping[str, str]
    versions: Mapping[str, tuple[str, ...]]
    primary_region: str = ""
    kms_key_id: str = ""
    owning_service: str = ""
    deleted: bool = False
    changed: datetime | None = None
    replicas: tuple[Replica, ...] = ()

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

    def as_secret(self) -> Secret:
        """Return it as the policy is asked about it."""
        return Secret(
            arn=self.arn,
            name=self.name,
            tags=self.tags,
            replicas=self.replicas,
            primary_region=self.primary_region,
            owning_service=self.owning_service,
            deleted=self.deleted,
            last_changed=self.changed,
        )
