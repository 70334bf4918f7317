"""What each operation of Secrets Manager does to the secrets, and what it refuses."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from string import ascii_letters, digits
from threading import RLock
from uuid import uuid4

from local.secrets_manager.listing import Listing
from local.secrets_manager.model import (
    DAY,
    MANAGED_KEY,
    AwsError,
    Params,
    Replica,
    Secret,
    Store,
    invalid_parameter,
    invalid_request,
    without_none,
)
from local.secrets_manager.replication import Replication
from local.secrets_manager.worlds import Worlds

# Those that every account has without opting in.
REGIONS = frozenset(
    "us-east-1 us-east-2 us-west-1 us-west-2 ca-central-1 sa-east-1 eu-west-1 eu-west-2 eu-west-3 eu-north-1"  # noqa: SIM905
    " eu-central-1 ap-south-1 ap-southeast-1 ap-southeast-2 ap-northeast-1 ap-northeast-2".split()
)
NAME = re.compile(r"[A-Za-z0-9/_+=.@!-]{1,512}")
ARN_TAIL = re.compile(r"-[A-Za-z0-9]{6}$")
PROMOTED = "The replica has been promoted to a standalone secret"
NO_REPLICA_WRITES = (
    "Operation not permitted on a replica secret. Call must be made in primary secret's region."
)


class Operations:
    """The secrets of one account in all its Regions."""

    def __init__(self, account: str, clock: Callable[[], float], worlds: Worlds) -> None:
        self.account = account
        self.worlds = worlds
        self.regions = set(REGIONS)
        self.seconds_until_visible = 0.0
        self.suffixes: dict[str, str] = {}
        self.random = Random(0)  # noqa: S311 - repeatable on purpose
        self.listing = Listing(clock, self.worlds)
        self._clock = clock
        self._lock = RLock()
        self._store: Store = defaultdict(dict)
        self.replication = Replication(self._store, clock, self.listing, self.worlds)
        self._operations: dict[str, Callable[[str, Params], Params]] = {
            "CreateSecret": self._create_secret,
            "DescribeSecret": lambda region, params: self._find(region, params).described(),
            "ListSecrets": self._list_secrets,
            "GetSecretValue": self._get_secret_value,
            "TagResource": self._tag_resource,
            "UntagResource": self._untag_resource,
            "PutResourcePolicy": self._put_resource_policy,
            "DeleteResourcePolicy": self._put_resource_policy,
            "GetResourcePolicy": self._get_resource_policy,
            "PutSecretValue": self._put_secret_value,
            "UpdateSecret": self._update_secret,
            "UpdateSecretVersionStage": self._update_secret_version_stage,
            "DeleteSecret": self._delete_secret,
            "RestoreSecret": self._restore_secret,
            "ReplicateSecretToRegions": self._replicate_secret_to_regions,
            "RemoveRegionsFromReplication": self._remove_regions_from_replication,
            "StopReplicationToReplica": self._stop_replication_to_replica,
        }

    def add_secret(
        self, region: str, name: str, *, value: str | None = "a value", **fields: object
    ) -> Secret:
        """Put a secret there without a call; `fields` are those of Secret, as `tags` and `owning_service`.

        Its ARN ends as `suffixes` says for its name, or as it happens.
        """
        with self._lock:
            drawn = "".join(self.random.choices(ascii_letters + digits, k=6))
            suffix = self.suffixes.get(name, drawn)
            arn = f"arn:aws:secretsmanager:{region}:{self.account}:secret:{name}-{suffix}"
            secret = replace(Secret(region, name, arn, self._clock()), **fields)  # type: ignore[arg-type]
            if value is not None:
                secret.set_value(str(uuid4()), value, ["AWSCURRENT"])
            self._store[region][name] = secret
            self._changed(secret)
            return secret

    def secret(self, region: str, name: str) -> Secret:
        """Give the secret as it is now; raises KeyError when there is none."""
        with self._lock:
            self.replication.settle()
            return self._store[region][name]

    def names(self, region: str) -> list[str]:
        with self._lock:
            self.replication.settle()
            return sorted(self._store[region])

    def find(self, region: str, secret_id: str) -> Secret | None:
        """Return the secret of this name or ARN, as a call would find it; None if there is none."""
        with self._lock:
            self.replication.settle()
            return self._lookup(region, secret_id)

    # Finding a secret

    def _lookup(self, region: str, secret_id: str) -> Secret | None:
        """A secret is found by name, ARN or ARN without suffix, unless the name itself ends like a suffix.

        Documented: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html
        Here: full ARNs are passed on as they are.
        Held by: test_a_partial_arn_that_looks_complete_is_not_found, its_names.
        """
        name = secret_id.partition(":secret:")[2] or secret_id
        if secret_id.startswith("arn:") and ARN_TAIL.search(name):
            name = name[:-7]
        secret = self._store[region].get(name)
        if secret and secret_id in (secret.name, secret.arn, secret.arn[:-7]):
            return secret if self._clock() < (secret.delete_at or float("inf")) else None
        return None

    def _find(self, region: str, params: Params) -> Secret:
        """Everything is eventually consistent: a new secret may not be found at first.

        Documented: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
        Here: not found is taken for deleted after three attempts and twenty seconds.
        Held by: test_a_new_secret_is_not_found_for_a_while, function/test_life_of_a_message.py.
        """
        secret = self._lookup(region, params["SecretId"])
        if not secret or self._clock() < secret.visible_at:
            raise _not_found("secret")
        return secret

    def _find_primary(self, region: str, params: Params, *, deleted: bool = False) -> Secret:
        """A replica refuses every write but that of its key.

        Seen: https://github.com/lgallard/terraform-aws-secrets-manager/issues/188
        Here: a secret whose `PrimaryRegion` is another Region is skipped.
        Held by: writes_on_a_replica, test_only_the_key_of_a_replica_can_be_changed_in_its_region,
          e2e/test_two_regions.py.
        """
        secret = self._find(region, params)
        if secret.is_replica:
            raise invalid_parameter(NO_REPLICA_WRITES)
        self._refuse_closed(secret, deleted=deleted)
        return secret

    def _refuse_closed(self, secret: Secret, *, deleted: bool = False) -> None:
        """A secret that waits for its deletion, or belongs to another service, refuses changes and replicas.

        Documented:
          https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ReplicateSecretToRegions.html
        Here: the first is skipped; the second is drift `managed_by_service` for a rule, and for the tag
          AWS's answer is the reason.
        Held by: test_a_secret_that_is_deleted_or_managed_is_not_replicated,
          a_replication_of_what_is_deleted, function/test_drift.py.
        """
        if not deleted:
            self._refuse_deleted(secret)
        if secret.owning_service:
            raise invalid_request(
                "The secret is managed by another service, and you must use that service to update it."
            )

    def _refuse_deleted(self, secret: Secret) -> None:
        if secret.delete_at:
            raise invalid_request(
                "You can't perform this operation on the secret because it was marked for deletion."
            )

    def _changed(self, secret: Secret) -> None:
        """Carry what needs no encryption to the replicas, and tell the list."""
        secret.last_changed = self._clock()
        self.listing.note(secret)
        self.replication.follow(secret)

    def _remove(self, secret: Secret) -> None:
        del self._store[secret.region][secret.name]
        self.listing.note(secret, gone=True)

    # Operations

    def _create_secret(self, region: str, params: Params) -> Params:
        name, value = params["Name"], _value(params)
        if not NAME.fullmatch(name):
            raise AwsError("ValidationException", "Invalid name.")
        old = self._lookup(region, name)
        if old:
            return self._create_again(old, params)
        self._require_key(region, params.get("KmsKeyId"), value)
        self._check_replicas(region, {}, params.get("AddReplicaRegions", []))
        secret = self.add_secret(
            region,
            name,
            value=None,
            tags=_with_tags({}, params.get("Tags", [])),
            description=params.get("Description"),
            kms_key_id=_own_key(params.get("KmsKeyId")),
            visible_at=self._clock() + self.seconds_until_visible,
        )
        answer = _answer(secret, *self._add_version(secret, params))
        self._start_replicas(secret, params)
        return answer | (_replication_answer(secret) if "AddReplicaRegions" in params else {})

    def _create_again(self, old: Secret, params: Params) -> Params:
        """The same token and value create a secret once; a name that is taken is refused.

        Documented: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
        Held by: test_the_same_token_creates_and_puts_once, a_taken_name.
        """
        version = old.versions.get(params.get("ClientRequestToken", ""))
        if old.delete_at:
            scheduled = "a secret with this name is already scheduled for deletion"
            raise invalid_request(f"You can't create this secret because {scheduled}.")
        if not version or version.value != _value(params):
            text = f"The operation failed because the secret {old.name} already exists."
            raise AwsError("ResourceExistsException", text)
        return _answer(old, params["ClientRequestToken"])

    def _list_secrets(self, region: str, params: Params) -> Params:
        return self.listing.page(region, self._store[region].values(), params)

    def _get_secret_value(self, region: str, params: Params) -> Params:
        """A primary's list says when a replica was last read in its own Region.

        Documented: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ReplicationStatusType.html
        Here: what was read within `PruneIdleDays` is never removed.
        Held by: test_a_value_is_read_only_where_a_person_may_and_the_primary_tells_when,
          test_a_replica_tells_when_it_was_last_read, function/test_drift.py.
        """
        secret = self._find(region, params)
        self._refuse_deleted(secret)
        label = params.get("VersionStage", "AWSCURRENT")
        key = params.get("VersionId", secret.holder(label))
        if key not in secret.versions:
            raise _not_found("secret value")
        secret.last_accessed = self._clock()
        if secret.is_replica:
            self._replica_of(secret).last_accessed = secret.last_accessed
        version = secret.versions[key]
        return _answer(secret, key) | {version.field_name: version.value, "VersionStages": [*version.stages]}

    def _tag_resource(self, region: str, params: Params) -> Params:
        secret = self._find_primary(region, params)
        secret.tags = _with_tags(secret.tags, params["Tags"])
        self._changed(secret)
        return {}

    def _untag_resource(self, region: str, params: Params) -> Params:
        secret = self._find_primary(region, params)
        secret.tags = {key: value for key, value in secret.tags.items() if key not in params["TagKeys"]}
        self._changed(secret)
        return {}

    def _put_resource_policy(self, region: str, params: Params) -> Params:
        secret = self._find_primary(region, params)
        secret.policy = params.get("ResourcePolicy")
        self._changed(secret)
        return _answer(secret)

    def _get_resource_policy(self, region: str, params: Params) -> Params:
        secret = self._find(region, params)
        return _answer(secret) | without_none(ResourcePolicy=secret.policy)

    def _put_secret_value(self, region: str, params: Params) -> Params:
        secret = self._find_primary(region, params)
        if _value(params) is None:
            raise invalid_parameter("You must provide either SecretString or SecretBinary.")
        self._require_key(region, secret.kms_key_id, _value(params))
        version = self._add_version(secret, params, params.get("VersionStages", ["AWSCURRENT"]))
        return _answer(secret, *version) | {"VersionStages": list(secret.versions[version[0]].stages)}

    def _update_secret(self, region: str, params: Params) -> Params:
        only_key = "Description" not in params and _value(params) is None
        secret = self._find(region, params) if only_key else self._find_primary(region, params)
        self._refuse_closed(secret)
        key = params.get("KmsKeyId", secret.kms_key_id)
        self._require_key(region, key, _value(params))
        secret.kms_key_id = _own_key(key)
        secret.description = params.get("Description", secret.description)
        if secret.is_replica:  # its key is all that can be changed there
            self._replica_of(secret).kms_key_id = secret.kms_key_id
        self._changed(secret)
        return _answer(secret, *self._add_version(secret, params))

    def _update_secret_version_stage(self, region: str, params: Params) -> Params:
        secret = self._find_primary(region, params)
        to, holder = params.get("MoveToVersionId"), params.get("RemoveFromVersionId")
        if (to and to not in secret.versions) or (holder and holder not in secret.versions):
            raise _not_found("version")
        stage = params["VersionStage"]
        if secret.holder(stage) not in (None, to, holder):
            raise invalid_parameter(f"{stage} must be removed from {secret.holder(stage)}.")
        secret.move_stage(stage, to)
        self._value_changed(secret)
        return _answer(secret)

    def _delete_secret(self, region: str, params: Params) -> Params:
        """A primary with replicas cannot be deleted.

        Seen: https://github.com/rebuy-de/aws-nuke/issues/1127
        Here: documented for users; `none` with `PruneReplicas` is the way out.
        Held by: a_deletion_with_replicas.
        """
        force, days = params.get("ForceDeleteWithoutRecovery"), params.get("RecoveryWindowInDays", 30)
        if (force and "RecoveryWindowInDays" in params) or not 7 <= days <= 30:
            text = "RecoveryWindowInDays is 7 to 30, and not with ForceDeleteWithoutRecovery."
            raise invalid_parameter(text)
        secret = self._find_primary(region, params, deleted=bool(force))
        if secret.replicas:
            has = f"has replica regions [{', '.join(secret.replicas)}]"
            raise invalid_parameter(f"You can't delete secret {secret.arn} that still {has}.")
        secret.delete_at = self._clock() + (0 if force else days * DAY)
        self._changed(secret)
        if force:
            self._remove(secret)
        return _answer(secret) | {"DeletionDate": secret.delete_at}

    def _restore_secret(self, region: str, params: Params) -> Params:
        secret = self._find_primary(region, params, deleted=True)
        secret.delete_at = None
        self._changed(secret)
        return _answer(secret)

    def _replicate_secret_to_regions(self, region: str, params: Params) -> Params:
        """The call is answered with `InProgress`, which is not a replica yet.

        Documented:
          https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ReplicateSecretToRegions.html
        Here: a message stays until `DescribeSecret` says `InSync`.
        Held by: the_answer_to_replicate,
          test_the_answer_to_replicate_is_in_progress_even_when_it_takes_no_time,
          function/test_life_of_a_message.py.
        """
        secret = self._find_primary(region, params)
        self._check_replicas(region, secret.replicas, params["AddReplicaRegions"])
        self._start_replicas(secret, params)
        return _replication_answer(secret)

    def _remove_regions_from_replication(self, region: str, params: Params) -> Params:
        """A removed replica is deleted at once, without a recovery window; another secret of that name stays.

        Documented:
          https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RemoveRegionsFromReplication.html
        Here: off by default; never what was read within `PruneIdleDays`.
        Held by: a_removed_region, test_removing_a_region_in_conflict_leaves_the_other_secret_alone,
          function/test_drift.py.
        """
        secret = self._find_primary(region, params)
        unknown = set(params["RemoveReplicaRegions"]) - set(secret.replicas)
        if unknown:
            raise invalid_parameter(f"The secret has no replica in {', '.join(sorted(unknown))}.")
        for replica_region in params["RemoveReplicaRegions"]:
            copy = self.replication.own_replica(secret, replica_region)
            if copy:
                self._remove(copy)
            self._drop_replica(secret, replica_region)
        return _replication_answer(secret)

    def _stop_replication_to_replica(self, region: str, params: Params) -> Params:
        """A replica becomes a secret of its own when its own Region is asked for it; no call turns it back.

        Documented:
          https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_StopReplicationToReplica.html
        Here: a promoted copy is never overwritten; `replicas rejoin` leads back.
        Held by: a_promoted_replica, a_promotion_at_home, test_a_promoted_replica_stands_alone,
          function/test_promoted_copies.py.
        """
        secret = self._find(region, params)
        if not secret.is_replica:
            raise invalid_request("The secret is not a replica.")
        self._forget_promoted(self._store[str(secret.primary_region)][secret.name], region)
        secret.primary_region = None
        self._changed(secret)
        return {"ARN": secret.arn}

    # Parts of operations

    def _require_key(self, region: str, key: str | None, value: str | None) -> None:
        """A value is encrypted with a key of its own Region, which must be there and enabled.

        Documented: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
        Held by: test_the_primarys_own_key_is_needed_too.
        """
        problem = self.replication.key_problem(region, key)
        if problem and value is not None:
            raise AwsError("EncryptionFailure", problem)

    def _add_version(
        self, secret: Secret, params: Params, stages: Iterable[str] = ("AWSCURRENT",)
    ) -> list[str]:
        value, version = _value(params), params.get("ClientRequestToken") or str(uuid4())
        if value is None:
            return []
        if secret.set_value(version, value, list(stages)):
            field_name = "SecretString" if "SecretString" in params else "SecretBinary"
            secret.versions[version].field_name = field_name
            self._value_changed(secret)
        return [version]

    def _value_changed(self, secret: Secret) -> None:
        """A new value is replicated anew, with the rights of its writer: a replica may fail months later.

        Documented:
          https://docs.aws.amazon.com/secretsmanager/latest/userguide/create-manage-multi-region-secrets.html
        Here: `ReplicationFailed` and the daily sweep lead to another check.
        Held by: test_a_replica_fails_long_after_it_was_in_sync_and_heals_with_the_next_value, a_new_value.
        """
        self._changed(secret)
        for replica in secret.replicas.values():
            self.replication.start(secret, replica)

    def _check_replicas(self, home: str, replicas: dict[str, Replica], wanted: list[Params]) -> None:
        """One wrong Region refuses the whole call: the own, one twice, one that is unknown or not enabled.

        Seen: https://github.com/aws-samples/aws-health-aware/issues/52
        Here: the home Region is left out of what is requested; after a refusal each Region is tried alone.
        Held by: the_own_region, test_one_wrong_region_refuses_the_whole_call, unit/test_policy.py.
        """
        names = [entry["Region"] for entry in wanted]
        if home in names or len(set(names)) < len(names) or not self.regions.issuperset(names):
            raise invalid_parameter("Invalid replica region.")
        if self.worlds.repeat == "refused" and not replicas.keys().isdisjoint(names):
            raise invalid_parameter("The secret is already replicated to one of the regions.")

    def _start_replicas(self, secret: Secret, params: Params) -> None:
        for entry in params.get("AddReplicaRegions", []):
            replica = secret.replicas.setdefault(entry["Region"], Replica(entry["Region"], status="Failed"))
            if replica.status == "Failed":
                replica.kms_key_id = _own_key(entry.get("KmsKeyId"))
                replica.overwrite = params.get("ForceOverwriteReplicaSecret", False)
                self.replication.start(secret, replica)
            secret.primary_region = secret.region
        self._changed(secret)

    def _replica_of(self, secret: Secret) -> Replica:
        return self._store[str(secret.primary_region)][secret.name].replicas[secret.region]

    def _forget_promoted(self, primary: Secret, region: str) -> None:
        if self.worlds.old_primary_shows == "nothing":
            self._drop_replica(primary, region)
            return
        listed = primary.replicas[region]
        listed.overwrite = False
        if self.worlds.old_primary_shows == "failed":
            listed.status, listed.message = "Failed", PROMOTED

    def _drop_replica(self, primary: Secret, region: str) -> None:
        del primary.replicas[region]
        if not primary.replicas and not self.worlds.primary_region_stays:
            primary.primary_region = None
        self._changed(primary)


def _not_found(part: str) -> AwsError:
    return AwsError("ResourceNotFoundException", f"Secrets Manager can't find the specified {part}.")


def _value(params: Params) -> str | None:
    return params.get("SecretString", params.get("SecretBinary"))


def _own_key(key: str | None) -> str | None:
    return None if key == MANAGED_KEY else key


def _with_tags(tags: dict[str, str], added: list[Params]) -> dict[str, str]:
    """A secret has at most fifty tags, and none of them begins with `aws:`.

    Documented: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_TagResource.html
    Held by: test_a_secret_may_have_fifty_tags, fifty_one_tags.
    """
    new = {tag["Key"]: tag.get("Value", "") for tag in added}
    merged = tags | new
    if len(new) < len(added) or len(merged) > 50 or any(key.startswith("aws:") for key in new):
        raise invalid_parameter("At most 50 tags, each key once, and none that begins with aws:.")
    return merged


def _answer(secret: Secret, version: str | None = None) -> Params:
    return {"ARN": secret.arn, "Name": secret.name} | without_none(VersionId=version)


def _replication_answer(secret: Secret) -> Params:
    return {
        "ARN": secret.arn,
        "ReplicationStatus": [replica.described() for replica in secret.replicas.values()],
    }
