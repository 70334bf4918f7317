"""What the model is made of: secrets, replicas, calls, and what a test may set."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

Params = dict[str, Any]
MANAGED_KEY = "alias/aws/secretsmanager"
DAY = 86_400.0


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class AwsError(Exception):
    """An error answer, as AWS sends it."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class ConnectionCutError(AwsError):
    """No answer at all: the connection ended."""

    def __init__(self) -> None:
        super().__init__("ConnectionCut", "The connection was closed.")


def invalid_parameter(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)


def invalid_request(message: str) -> AwsError:
    return AwsError("InvalidRequestException", message)


@dataclass(frozen=True)
class Outcome:
    """How replication to a Region ends.

    `seconds` InProgress (None: the model's default), then `status`, which may be any string. The name, the
    keys and the Region are checked only when it is InSync. With `attempts`, only that many attempts end so;
    later ones are InSync. A replication call, a retry and a value change are one attempt each.
    """

    status: str = "InSync"
    message: str | None = None
    seconds: float | None = None
    attempts: int | None = None


@dataclass(frozen=True)
class Call:
    """One request, without any secret value. `error` is the code that was answered, or "ConnectionCut"."""

    operation: str
    region: str
    secret: str | None
    parameters: Params
    time: float
    error: str | None = None


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one call: an error, a cut connection, or only a slow answer."""

    error: str | None = None
    message: str = "Injected by the test."
    status: int = 400
    cut: bool = False
    after_effect: bool = False
    delay_seconds: float = 0.0

    def strike(self) -> None:
        if self.cut:
            raise ConnectionCutError
        if self.error:
            raise AwsError(self.error, self.message, self.status)


THROTTLED = Fault("ThrottlingException", "Rate exceeded")
SERVER_ERROR = Fault("InternalServiceError", "An error occurred on the server side.", 500)
SERVER_ERROR_AFTER_EFFECT = replace(SERVER_ERROR, after_effect=True)
ACCESS_DENIED = Fault("AccessDeniedException", "User is not authorized to perform this operation.")
CUT_BEFORE_EFFECT = Fault(cut=True)
CUT_AFTER_EFFECT = Fault(cut=True, after_effect=True)

# Decides about one call. The Random is the model's own, so a run is repeatable.
FaultHook = Callable[[Call, Random], Fault | None]


@dataclass
class Version:
    value: str = field(repr=False)
    stages: list[str]
    field_name: str = "SecretString"


@dataclass
class Replica:
    """A Region in a primary's list; the replica secret itself is a Secret of that Region."""

    region: str
    kms_key_id: str | None = None
    status: str = "InProgress"
    message: str | None = None
    settles_at: float = 0.0
    overwrite: bool = False
    last_accessed: float | None = None

    def described(self) -> Params:
        return without_none(
            Region=self.region,
            KmsKeyId=self.kms_key_id or MANAGED_KEY,
            Status=self.status,
            StatusMessage=self.message,
            LastAccessedDate=self.last_accessed,
        )


@dataclass
class Secret:
    """A secret of one Region: standalone, primary or replica. A test may read and set every field."""

    region: str
    name: str
    arn: str
    created: float
    description: str | None = None
    kms_key_id: str | None = None
    owning_service: str | None = None
    policy: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    replicas: dict[str, Replica] = field(default_factory=dict)
    primary_region: str | None = None
    delete_at: float | None = None
    visible_at: float = 0.0
    last_changed: float | None = None
    last_accessed: float | None = None

    @property
    def is_replica(self) -> bool:
        return self.primary_region not in (None, self.region)

    @property
    def value(self) -> str | None:
        current = self.holder("AWSCURRENT")
        return self.versions[current].value if current else None

    def holder(self, stage: str) -> str | None:
        """Return the id of the version that has a staging label."""
        return next((key for key, version in self.versions.items() if stage in version.stages), None)

    def arn_in(self, region: str) -> str:
        return self.arn.replace(f":{self.region}:", f":{region}:", 1)

    def set_value(self, version_id: str, value: str, stages: list[str]) -> bool:
        """Add a version; False when the same version is already there (a repeated call)."""
        if version_id in self.versions:
            if self.versions[version_id].value == value:
                return False
            raise AwsError("ResourceExistsException", f"The version {version_id} has another value.")
        self.versions[version_id] = Version(value, [])
        for stage in stages:
            self.move_stage(stage, version_id)
        return True

    def move_stage(self, stage: str, to: str | None) -> None:
        """Move a staging label; AWSPREVIOUS follows AWSCURRENT, and a version without a label goes away."""
        holder = self.holder(stage)
        if holder:
            self.versions[holder].stages.remove(stage)
        if to:
            self.versions[to].stages.append(stage)
        if stage == "AWSCURRENT" and holder and holder != to:
            self.move_stage("AWSPREVIOUS", holder)
        self.versions = {key: version for key, version in self.versions.items() if version.stages}

    def listed(self) -> Params:
        """ListSecrets shows versions, changes, owner and primary of each secret, but no `ReplicationStatus`.

        Documented: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_SecretListEntry.html
        Here: versions of two Regions are compared without reading a value.
        Held by: what_two_lists_compare, test_a_list_shows_what_two_regions_are_compared_by.
        """
        return self._described("SecretVersionsToStages")

    def described(self) -> Params:
        replicas = [replica.described() for replica in self.replicas.values()]
        return self._described("VersionIdsToStages") | without_none(ReplicationStatus=replicas or None)

    def _described(self, versions_key: str) -> Params:
        versions = {key: list(version.stages) for key, version in self.versions.items()}
        return without_none(
            ARN=self.arn,
            Name=self.name,
            Description=self.description,
            KmsKeyId=self.kms_key_id,
            OwningService=self.owning_service,
            PrimaryRegion=self.primary_region,
            CreatedDate=self.created,
            LastChangedDate=self.last_changed,
            LastAccessedDate=self.last_accessed,
            DeletedDate=self.delete_at,
            Tags=[{"Key": key, "Value": value} for key, value in self.tags.items()],
            **{versions_key: versions or None},
        )


# The secrets of a Region by name, by Region.
Store = dict[str, dict[str, Secret]]


def without_none(**fields: object) -> Params:
    return {key: value for key, value in fields.items() if value is not None}
