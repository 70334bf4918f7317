"""The only module that calls Secrets Manager: calls in our own types, errors by what to do next.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from secret_replicator.budget import require_time
from secret_replicator.errors import (
    AGAIN,
    AccessDeniedError,
    KeyRefusedError,
    RefusedError,
    SecretNotFoundError,
    TransientError,
)
from secret_replicator.models import DesiredReplica, Page, Replica, Secret

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import (
        DescribeSecretResponseTypeDef,
        ListSecretsRequestTypeDef,
        ReplicaRegionTypeTypeDef,
        ReplicationStatusTypeTypeDef,
        SecretListEntryTypeDef,
    )

MAX_FILTER_VALUES = 10
"""AWS takes no more in one filter; the caller looks at the tags again anyway."""

KEY_REMEDY = (
    "let the key's own policy allow the function's role to use it, name it in KmsKeyArns, and see that it is "
    "enabled in its Region; then redrive"
)

_FILTER_VALUE = re.compile(r"[A-Za-z0-9 :_@/+=.-]+")
_OF_A_KEY = re.compile(r"(?<![\w/:.@+=-])KMS(?![\w/@+=-])|kms:[A-Z]|:kms:")
"""AWS's own words. They decide only how long is waited, and which remedy is named."""
_KEY_CODES = {"DecryptionFailure", "EncryptionFailure"}
_DENIED = {"AccessDeniedException", "AccessDenied"}
_REFUSED = {
    "InvalidNextTokenException",
    "InvalidParameterException",
    "InvalidRequestException",
    "ResourceExistsException",
    "ValidationException",
}


@dataclass(frozen=True)
class Gateway:
    """Secrets Manager in one Region.

    Every method raises TransientError or one of its kinds. A write is made in a slot of the budget. Deadlines
    are times of `clock`, in seconds.
    """

    client: "SecretsManagerClient"
    clock: Callable[[], float] = time.monotonic

    def describe(self, secret_id: str, deadline: float) -> Secret:
        """Return what AWS shows of the secret, given by name or ARN."""
        require_time(self.clock(), deadline)
        with _errors_translated("DescribeSecret", secret_id):
            answer = self.client.describe_secret(SecretId=secret_id)
        return secret_of(answer, replicas_of(answer.get("ReplicationStatus", [])))

    def list_secrets(self, tag_keys: Sequence[str], next_token: str, deadline: float) -> Page:
        """Return a page of secrets, at least of those that carry one of `tag_keys`. No key means all."""
        request: ListSecretsRequestTypeDef = {}
        if 0 < len(tag_keys) <= MAX_FILTER_VALUES and all(_FILTER_VALUE.fullmatch(key) for key in tag_keys):
            request["Filters"] = [{"Key": "tag-key", "Values": tag_keys}]
        if next_token:
            request["NextToken"] = next_token
        return self._page(request, deadline)

    def listed(self, secret_id: str, deadline: float) -> Secret | None:
        """Return the secret as it is listed, also where DescribeSecret is denied for it alone.

        A list may be five minutes late, and None says nothing: more names than a page's may begin like its.
        """
        name = name_in(secret_id) or secret_id
        page = self._page({"Filters": [{"Key": "name", "Values": [name]}]}, deadline)
        return next((secret for secret in page.secrets if secret_id in (secret.arn, secret.name)), None)

    def _page(self, request: "ListSecretsRequestTypeDef", deadline: float) -> Page:
        require_time(self.clock(), deadline)
        request["MaxResults"] = 100
        with _errors_translated("ListSecrets", "all secrets"):
            answer = self.client.list_secrets(**request)
        return Page(tuple(secret_of(entry) for entry in answer["SecretList"]), answer.get("NextToken", ""))

    def replicate(self, arn: str, replicas: Sequence[DesiredReplica]) -> tuple[Replica, ...]:
        """Request the replicas and return what AWS then reports: mostly InProgress.

        One call overwrites in all of its Regions or in none: it does only if each of them may be.
        """
        wanted: list[ReplicaRegionTypeTypeDef] = [
            {"Region": replica.region, "KmsKeyId": replica.kms_key_id}
            if replica.kms_key_id
            else {"Region": replica.region}
            for replica in replicas
        ]
        overwrite = all(replica.overwrite for replica in replicas)
        with _errors_translated("ReplicateSecretToRegions", arn):
            answer = self.client.replicate_secret_to_regions(
                SecretId=arn, AddReplicaRegions=wanted, ForceOverwriteReplicaSecret=overwrite
            )
        return replicas_of(answer.get("ReplicationStatus", []))

    def remove(self, arn: str, regions: Iterable[str]) -> None:
        """Delete the replicas in these Regions, at once and for good."""
        with _errors_translated("RemoveRegionsFromReplication", arn):
            self.client.remove_regions_from_replication(SecretId=arn, RemoveReplicaRegions=[*regions])


def name_in(arn: str) -> str:
    """Return the name in an ARN, which ends in a hyphen and six characters; empty if it is none."""
    return arn.partition(":secret:")[2][:-7]


def secret_of(
    answer: "DescribeSecretResponseTypeDef | SecretListEntryTypeDef", replicas: tuple[Replica, ...] = ()
) -> Secret:
    """Return the secret as an answer shows it."""
    return Secret(
        arn=answer["ARN"],
        name=answer["Name"],
        tags={tag["Key"]: tag.get("Value", "") for tag in answer.get("Tags", [])},
        replicas=replicas,
        primary_region=answer.get("PrimaryRegion", ""),
        owning_service=answer.get("OwningService", ""),
        deleted="DeletedDate" in answer,
        # Newer than some models of botocore, which leave out what they do not know.
        cross_account_replica=bool(answer.get("CrossAccountPrimary")),
        last_changed=answer.get("LastChangedDate"),
    )


def replicas_of(entries: "Iterable[ReplicationStatusTypeTypeDef]") -> tuple[Replica, ...]:
    """Return what an answer says of each Region."""
    return tuple(
        Replica(
            region=entry["Region"],
            status=entry.get("Status", ""),
            message=entry.get("StatusMessage", ""),
            kms_key_id=entry.get("KmsKeyId", ""),
            last_accessed=entry["LastAccessedDate"].timestamp() if "LastAccessedDate" in entry else 0,
        )
        for entry in entries
    )


@contextmanager
def _errors_translated(action: str, secret_id: str) -> Iterator[None]:
    try:
        yield
    except ParamValidationError as error:
        raise RefusedError(
            f"{action} cannot be called for it: {error}", "correct the secret's name"
        ) from error
    except BotoCoreError as error:
        raise TransientError(f"{action} got no answer ({type(error).__name__})", AGAIN) from error
    except ClientError as error:
        raise _client_error(action, secret_id, error) from error


def is_about_a_key(said: str) -> bool:
    """Tell whether AWS speaks of a KMS key."""
    return bool(_OF_A_KEY.search(said))


def _client_error(action: str, secret_id: str, error: ClientError) -> Exception:
    code = error.response["Error"].get("Code", "")
    said = f"{code}: {error.response['Error'].get('Message', '')}"
    if code == "ResourceNotFoundException":
        return SecretNotFoundError(
            f"AWS finds no such secret ({action})",
            "delete this dead letter if the secret was deleted, otherwise redrive it",
        )
    if code in _KEY_CODES or (code in _DENIED | _REFUSED and is_about_a_key(said)):
        return KeyRefusedError(f"AWS cannot use a KMS key for {action} on {secret_id} ({said})", KEY_REMEDY)
    if code in _DENIED:
        return AccessDeniedError(
            f"AWS denies secretsmanager:{action} on {secret_id} ({said})",
            "allow it in the function's role, the secret's resource policy, or the organisation's policies",
        )
    if code in _REFUSED:
        return RefusedError(f"AWS refuses {action} ({said})", "fix what AWS names, then redrive")
    return TransientError(f"{action} failed ({said})", AGAIN)
