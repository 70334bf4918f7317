"""The only door to Secrets Manager: calls in our own types, errors by what to do next.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/
"""

import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from secret_replicator.errors import (
    AccessDeniedError,
    KeyRefusedError,
    OutOfTimeError,
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

CALL_SECONDS = 15
"""No call takes longer, to SQS with its retry: two tries of 2 s to connect, 5 s to read (see clients.py)."""

WINDOW_SECONDS = 1.001
"""A second, and a little more: no two clocks run alike."""

LEAD_SECONDS = 0.2
"""How long before its write a secret is described again: a call takes less, a reading is not old by then."""

POLL_SECONDS = 0.05
"""How often a write looks whether the one before it has got its answer."""

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


@dataclass
class Turn:
    """When a write may begin, and when it had its answer: somewhere in between it reaches AWS.

    Where it was given up, what counts is the turn that it waited for.
    """

    begins_at: float
    ended_at: float = math.inf
    given_up_for: "Turn | None" = None

    def over_at(self) -> float:
        """Return when the write that counts had its answer: inf if it has none yet."""
        return self.given_up_for.over_at() if self.given_up_for else self.ended_at


@dataclass
class Budget:
    """Holds the writes of this instance, over all its threads, to its share in whatever second of AWS's.

    A write begins a second after the one has ended that stands a share before it, however long either is on
    its way. Times are of `clock`, in seconds. A share that is not whole is rounded down: the instances know
    nothing of each other, so that all stay inside the budget only if each does.
    """

    writes_per_second: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turns: deque[Turn] = field(init=False)

    def __post_init__(self) -> None:
        # An instance that was killed, and that this one replaces, may just have used its share.
        share, now = int(self.writes_per_second), self.clock()
        self._turns = deque([Turn(now, now)] * share, maxlen=share)

    def require_time(self, start: float, deadline: float) -> None:
        """Raise OutOfTimeError if a call that begins at `start` may end after `deadline`."""
        if start + CALL_SECONDS > deadline:
            raise OutOfTimeError("the function's time is up", "redrive it")

    @contextmanager
    def turn(self, deadline: float, refresh: Callable[[], None] | None = None) -> Iterator[Turn]:
        """Enter the block when its write may begin; raise OutOfTimeError if that is too late.

        A wait longer than LEAD_SECONDS ends with `refresh`, so that it takes nothing of the window.
        """
        with self._lock:
            before = self._turns[0]
            begins_at = min(before.over_at(), max(before.begins_at, self.clock())) + WINDOW_SECONDS
            turn = Turn(max(self.clock(), begins_at))
            self.require_time(turn.begins_at, deadline)
            self._turns.append(turn)
        came = False
        try:
            self._refresh_before(turn, refresh)
            self._wait_for(turn, before, deadline)
            came = True
            yield turn
        finally:
            if came:
                turn.ended_at = self.clock()
            else:
                turn.given_up_for = before

    def _refresh_before(self, turn: Turn, refresh: Callable[[], None] | None) -> None:
        wait_seconds = turn.begins_at - LEAD_SECONDS - self.clock()
        if refresh and wait_seconds > 0:
            self.sleep(wait_seconds)
            refresh()

    def _wait_for(self, turn: Turn, before: Turn, deadline: float) -> None:
        self.sleep(max(0, turn.begins_at - self.clock()))
        while (wait_seconds := before.over_at() + WINDOW_SECONDS - self.clock()) > 0:
            self.require_time(self.clock(), deadline)
            self.sleep(min(wait_seconds, POLL_SECONDS))


@dataclass(frozen=True)
class Gateway:
    """Secrets Manager in one Region.

    Every method raises TransientError or one of its kinds. A write needs a turn of the budget.
    """

    client: "SecretsManagerClient"
    budget: Budget

    def describe(self, secret_id: str, deadline: float) -> Secret:
        """Return what AWS shows of the secret, given by name or ARN."""
        self.budget.require_time(self.budget.clock(), deadline)
        with _errors_translated("DescribeSecret", secret_id):
            answer = self.client.describe_secret(SecretId=secret_id)
        return _secret(answer, _replicas(answer.get("ReplicationStatus", [])))

    def list_secrets(self, tag_keys: Sequence[str], next_token: str, deadline: float) -> Page:
        """Return a page of secrets, at least of those that carry one of `tag_keys`. No key means all."""
        self.budget.require_time(self.budget.clock(), deadline)
        request: ListSecretsRequestTypeDef = {"MaxResults": 100}
        if 0 < len(tag_keys) <= MAX_FILTER_VALUES and all(_FILTER_VALUE.fullmatch(key) for key in tag_keys):
            request["Filters"] = [{"Key": "tag-key", "Values": tag_keys}]
        if next_token:
            request["NextToken"] = next_token
        with _errors_translated("ListSecrets", "all secrets"):
            answer = self.client.list_secrets(**request)
        return Page(tuple(_secret(entry) for entry in answer["SecretList"]), answer.get("NextToken", ""))

    def replicate(
        self, _turn: Turn, arn: str, replicas: Iterable[DesiredReplica], *, overwrite: bool
    ) -> tuple[Replica, ...]:
        """Request the replicas and return what AWS then reports: mostly InProgress."""
        wanted: list[ReplicaRegionTypeTypeDef] = [
            {"Region": replica.region, "KmsKeyId": replica.kms_key_id}
            if replica.kms_key_id
            else {"Region": replica.region}
            for replica in replicas
        ]
        with _errors_translated("ReplicateSecretToRegions", arn):
            answer = self.client.replicate_secret_to_regions(
                SecretId=arn, AddReplicaRegions=wanted, ForceOverwriteReplicaSecret=overwrite
            )
        return _replicas(answer.get("ReplicationStatus", []))

    def remove(self, _turn: Turn, arn: str, regions: Iterable[str]) -> None:
        """Delete the replicas in these Regions, at once and for good."""
        with _errors_translated("RemoveRegionsFromReplication", arn):
            self.client.remove_regions_from_replication(SecretId=arn, RemoveReplicaRegions=[*regions])


def _secret(
    answer: "DescribeSecretResponseTypeDef | SecretListEntryTypeDef", replicas: tuple[Replica, ...] = ()
) -> Secret:
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


def _replicas(entries: "Iterable[ReplicationStatusTypeTypeDef]") -> tuple[Replica, ...]:
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
        raise TransientError(
            f"{action} got no answer ({type(error).__name__})", "redrive it when AWS answers again"
        ) from error
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
    return TransientError(f"{action} failed ({said})", "redrive it when AWS answers again")
