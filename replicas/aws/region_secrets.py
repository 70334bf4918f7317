"""Secrets Manager in one Region, by the operator's own rights. No value is ever asked for.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from replicas.aws.connection import Connection
from replicas.aws.errors import as_operator_errors
from replicas.aws.held import Held
from secret_replicator.budget import Budget
from secret_replicator.gateway import replicas_of, secret_of
from secret_replicator.models import Replica

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_kms.type_defs import KeyMetadataTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef, ListSecretsRequestTypeDef

USABLE, GONE = "Enabled", "not there"
MANAGED_KEY = "alias/aws/secretsmanager"
Check = Callable[[], None]
"""Raises OperatorError if a call must not be made any more."""

_OVERWRITES = ("ReplicateSecretToRegions", "RemoveRegionsFromReplication")
_of_thread = threading.local()


@dataclass(frozen=True)
class RegionSecrets:
    """One Region's secrets. Every call raises OperatorError for what AWS refuses."""

    region: str
    client: "SecretsManagerClient"
    keys: "KMSClient"
    budget: Budget

    def __post_init__(self) -> None:
        """Let what may overwrite be checked before each try of a call: botocore repeats one much later."""
        for operation in _OVERWRITES:
            event = f"request-created.secrets-manager.{operation}"
            self.client.meta.events.register(event, _check_try, unique_id=event)

    def listed(self, *, primary_region: str = "") -> Iterator[Held]:
        """Yield the secrets, 100 a call; with a primary's Region only the replicas from there."""
        request: ListSecretsRequestTypeDef = {"MaxResults": 100}
        if primary_region:
            request["Filters"] = [{"Key": "primary-region", "Values": [primary_region]}]
        while True:
            with as_operator_errors():
                answer = self.client.list_secrets(**request)
            for entry in answer["SecretList"]:
                yield _held(self.region, entry, "SecretVersionsToStages")
            if not answer.get("NextToken"):
                return
            request["NextToken"] = answer["NextToken"]

    def describe(self, secret_id: str) -> Held | None:
        """Return what is there now, None if nothing is."""
        with as_operator_errors():
            try:
                answer = self.client.describe_secret(SecretId=secret_id)
            except self.client.exceptions.ResourceNotFoundException:
                return None
        return _held(self.region, answer, "VersionIdsToStages")

    def promote(self, arn: str) -> None:
        """Let a replica stand alone. What stands alone already is done already."""
        known = self.client.exceptions
        with self.budget.slot(inf), as_operator_errors():
            try:
                self.client.stop_replication_to_replica(SecretId=arn)
            except (known.InvalidRequestException, known.InvalidParameterException):
                if (held := self.describe(arn)) is None or held.is_replica:
                    raise

    def replicate(
        self, arn: str, replicas: Iterable[Replica], *, overwrite: bool, check: Check | None = None
    ) -> None:
        """Ask for replicas in these Regions with these keys; what has the name there goes, if said so."""
        wanted: list[Any] = [
            {"Region": replica.region} | ({"KmsKeyId": replica.kms_key_id} if replica.kms_key_id else {})
            for replica in replicas
        ]
        with self.budget.slot(inf), as_operator_errors(), _checked(check):
            self.client.replicate_secret_to_regions(
                SecretId=arn, AddReplicaRegions=wanted, ForceOverwriteReplicaSecret=overwrite
            )

    def remove(self, arn: str, regions: Iterable[str], check: Check | None = None) -> None:
        """Delete the replicas in these Regions, at once."""
        with self.budget.slot(inf), as_operator_errors(), _checked(check):
            self.client.remove_regions_from_replication(SecretId=arn, RemoveReplicaRegions=[*regions])

    def tag(self, arn: str, key: str, value: str) -> None:
        """Set a tag."""
        with as_operator_errors():
            self.client.tag_resource(SecretId=arn, Tags=[{"Key": key, "Value": value}])

    def untag(self, arn: str, key: str) -> None:
        """Take a tag away."""
        with as_operator_errors():
            self.client.untag_resource(SecretId=arn, TagKeys=[key])

    def key_problem(self, key: str) -> str:
        """Return what is wrong with a key here, nothing if it can be used."""
        with as_operator_errors():
            state = described_key(self.keys, key).get("KeyState")
        return "" if state == USABLE else f"key {key} is {state}"


def described_key(keys: "KMSClient", key: str) -> "KeyMetadataTypeDef":
    """Return what KMS says of a key, whose state is GONE if there is none; raise ClientError."""
    try:
        return keys.describe_key(KeyId=key)["KeyMetadata"]
    except ClientError as error:
        if error.response["Error"].get("Code") != "NotFoundException":
            raise
        return {"KeyId": key, "KeyState": GONE}  # type: ignore[typeddict-item]


def region_secrets(connection: Connection, writes_per_second: float = 1) -> RegionSecrets:
    """Return the secrets of the connection's Region; raise OperatorError if it is none."""
    with as_operator_errors():
        secrets = connection.secrets
        budget = Budget(writes_per_second=writes_per_second)
        return RegionSecrets(secrets.meta.region_name, secrets, connection.keys, budget)


@contextmanager
def _checked(check: Check | None) -> Iterator[None]:
    """Let the check come right before each try of the call in the block."""
    _of_thread.check = check
    try:
        yield
    finally:
        _of_thread.check = None


def _check_try(**_: object) -> None:
    if check := getattr(_of_thread, "check", None):
        check()


def _held(region: str, answer: Mapping[str, Any], versions: str) -> Held:
    replicas = tuple(
        replace(replica, kms_key_id=_own_key(replica.kms_key_id))
        for replica in replicas_of(answer.get("ReplicationStatus", []))
    )
    return Held(
        **vars(secret_of(cast("DescribeSecretResponseTypeDef", answer), replicas)),
        region=region,
        versions=answer.get(versions, {}),
        kms_key_id=_own_key(answer.get("KmsKeyId", "")),
    )


def _own_key(key: str) -> str:
    return "" if key == MANAGED_KEY else key
