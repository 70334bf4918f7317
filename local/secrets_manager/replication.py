"""The life of a replica in the model: InProgress, then InSync or Failed."""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from uuid import NAMESPACE_URL, uuid5

from local.secrets_manager.events import StatusChange
from local.secrets_manager.listing import Listing
from local.secrets_manager.model import MANAGED_KEY, Outcome, Replica, Secret, Store, Version
from local.secrets_manager.worlds import Worlds

# A secret's name and a replica Region, either of them "*" for any.
Place = tuple[str, str]
SAME_NAME = "Secret with this name already exists in this region"


class Keys(dict[tuple[str, str], str]):
    """The state of each KMS key, KMS's own or AccessDenied, by Region and id, ARN or alias."""

    def __missing__(self, _place: tuple[str, str]) -> str:
        return "missing"


class Replication:
    """Starts attempts, and ends them when their time is over: nothing runs between two calls."""

    def __init__(self, store: Store, clock: Callable[[], float], listing: Listing, worlds: Worlds) -> None:
        self.keys = Keys()
        self.switched_off: set[str] = set()
        self.history: list[StatusChange] = []
        self._worlds = worlds
        self._store = store
        self._clock = clock
        self._listing = listing
        self._outcomes = {("*", "*"): Outcome()}
        self._attempts: Counter[tuple[Place, str, str]] = Counter()
        self._pending: list[tuple[Secret, Replica]] = []
        self._following: list[tuple[float, str, Secret]] = []

    def set_outcome(self, name: str, region: str, outcome: Outcome) -> None:
        """Decide how attempts end; `attempts` are counted from now, for each secret and Region."""
        self._outcomes[name, region] = outcome
        for key in [key for key in self._attempts if key[0] == (name, region)]:
            del self._attempts[key]

    def switch_on(self, region: str) -> None:
        """Let what waited for a Region pass from now on."""
        self.switched_off.discard(region)
        for primary, replica in self._pending:
            if region in (primary.region, replica.region):
                replica.settles_at = max(replica.settles_at, self._clock())

    def start(self, primary: Secret, replica: Replica) -> None:
        """Begin an attempt; the Region is InProgress, also when that takes no time."""
        seconds = self._outcomes[self._place(primary.name, replica.region)].seconds
        in_progress = self._worlds.seconds_in_progress if seconds is None else seconds
        replica.status, replica.message = "InProgress", None
        replica.settles_at = self._clock() + in_progress
        self._note(self._clock(), primary, replica)
        self._pending = [pending for pending in self._pending if pending[1] is not replica]
        self._pending.append((primary, replica))

    def settle(self) -> None:
        """End every attempt whose time is over."""
        waiting, self._pending = self._pending, []
        for primary, replica in waiting:
            if primary.replicas.get(replica.region) is not replica or replica.status != "InProgress":
                continue  # removed, or set to another status by a test
            if replica.settles_at > self._clock() or {primary.region, replica.region} & self.switched_off:
                self._pending.append((primary, replica))
            else:
                self._end_attempt(primary, replica)
        self._settle_following()

    def follow(self, primary: Secret) -> None:
        """Replicas carry tags and resource policy of their primary, so also the opt-in tag.

        Documented:
          https://docs.aws.amazon.com/secretsmanager/latest/userguide/create-manage-multi-region-secrets.html
        Here: act only where `PrimaryRegion` is absent or this Region.
        Held by: test_tags_and_policy_reach_the_replica_after_a_moment, a_replica.
        """
        after = self._clock() + self._worlds.seconds_to_follow
        self._following += [(after, region, primary) for region in primary.replicas]
        self._settle_following()

    def _settle_following(self) -> None:
        waiting, self._following = self._following, []
        for after, region, primary in waiting:
            if after > self._clock() or {primary.region, region} & self.switched_off:
                self._following.append((after, region, primary))
            elif copy := self.own_replica(primary, region):
                copy.tags, copy.policy = dict(primary.tags), primary.policy
                copy.description, copy.last_changed = primary.description, primary.last_changed
                self._listing.note(copy)

    def own_replica(self, primary: Secret, region: str) -> Secret | None:
        """Find the replica secret of this primary, not another secret of the same name."""
        found = self._store[region].get(primary.name)
        return found if found and found.primary_region == primary.region else None

    def key_problem(self, region: str, key: str | None) -> str | None:
        """Keys live in a Region; one that is disabled, not permitted or not there fails a replica.

        Documented:
          https://docs.aws.amazon.com/secretsmanager/latest/userguide/replicate-secrets_troubleshoot.html
        Here: it is requested again, with AWS's `StatusMessage` as the reason.
        Held by: test_a_key_that_cannot_be_used_fails_the_replica_until_it_can, function/test_keys.py.
        """
        state = self.keys[region, str(key)]
        if key in (None, MANAGED_KEY) or state == "Enabled":
            return None
        if state == "AccessDenied":
            return "Access to KMS is not allowed"
        return f"The KMS key {key} is {state} in {region}"

    def _place(self, name: str, region: str) -> Place:
        places = ((name, region), (name, "*"), ("*", region), ("*", "*"))
        return next(place for place in places if place in self._outcomes)

    def _next_outcome(self, primary: Secret, region: str) -> Outcome:
        place = self._place(primary.name, region)
        outcome, attempt = self._outcomes[place], (place, primary.arn, region)
        self._attempts[attempt] += 1
        used_up = outcome.attempts is not None and self._attempts[attempt] > outcome.attempts
        return Outcome() if used_up else outcome

    def _end_attempt(self, primary: Secret, replica: Replica) -> None:
        """When replication fails, versions that were replicated before stay there.

        Documented:
          https://docs.aws.amazon.com/secretsmanager/latest/userguide/replicate-secrets_troubleshoot.html
        Here: `Failed` is never an end while attempts are left.
        Held by: test_a_failed_attempt_leaves_no_replica_but_stays_listed,
          test_a_replica_fails_later_when_the_value_changes.
        """
        outcome = self._next_outcome(primary, replica.region)
        problem = self._problem(primary, replica) if outcome.status == "InSync" else None
        replica.status = "Failed" if problem else outcome.status
        replica.message = problem or outcome.message
        if replica.status == "InSync":
            replica.message = replica.message or "Replication succeeded"
            self._write(primary, replica)
        self._note(replica.settles_at, primary, replica)

    def _note(self, time: float, primary: Secret, replica: Replica) -> None:
        status, message = replica.status, replica.message
        self.history.append(StatusChange(time, primary.name, primary.arn, replica.region, status, message))

    def _problem(self, primary: Secret, replica: Replica) -> str | None:
        """A secret of the same name in the Region fails the replica, unless the call was to overwrite it.

        Documented:
          https://docs.aws.amazon.com/secretsmanager/latest/userguide/replicate-secrets_troubleshoot.html
        Here: `AllowOverwrite` and a rule with `overwrite` are both needed.
        Held by: a_same_named_secret, test_a_same_named_secret_is_overwritten_only_when_told.
        """
        taken = self._store[replica.region].get(primary.name)
        if (
            taken
            and not self.own_replica(primary, replica.region)
            and not self._may_overwrite(taken, replica)
        ):
            return SAME_NAME
        source = self.key_problem(primary.region, primary.kms_key_id)
        return source or self.key_problem(replica.region, replica.kms_key_id)

    def _may_overwrite(self, taken: Secret, replica: Replica) -> bool:
        return replica.overwrite and (self._worlds.primaries_overwritten or not taken.replicas)

    def _versions(self, primary: Secret, region: str) -> dict[str, Version]:
        """Return the versions as the replica has them: whether their ids are the same is not documented."""
        copied = deepcopy(primary.versions)
        if not self._worlds.own_version_ids:
            return copied
        return {str(uuid5(NAMESPACE_URL, region + key)): version for key, version in copied.items()}

    def _write(self, primary: Secret, replica: Replica) -> None:
        old = self.own_replica(primary, replica.region)
        secret = replace(
            deepcopy(primary),
            region=replica.region,
            versions=self._versions(primary, replica.region),
            arn=primary.arn_in(replica.region),
            kms_key_id=replica.kms_key_id,
            created=old.created if old else replica.settles_at,
            visible_at=0.0,
            last_accessed=replica.last_accessed,
            primary_region=primary.region,
            replicas={},
        )
        overwritten = self._store[replica.region].get(primary.name)
        if overwritten:
            self._listing.note(overwritten, gone=True)
        self._store[replica.region][primary.name] = secret
        self._listing.note(secret)
