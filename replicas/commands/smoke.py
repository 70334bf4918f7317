"""`replicas smoke`: one secret's way from its creation to InSync, on the deployed stack, and back again.

No value is read, and no secret is touched but the one that is made here.
"""

import secrets as random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from replicas import interrupts
from replicas.aws.connection import Connection
from replicas.aws.errors import AWS_ERRORS
from replicas.inventory.explanation import MISSING
from secret_replicator.models import FAILED, IN_SYNC

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

PREFIX = "secret-replicator-smoke/"
POLL_SECONDS = 1.0
TIMEOUT_SECONDS = 300.0
CLEANUP_SECONDS = 120.0
VISIBLE_SECONDS = 20.0
"""As in the function: what is not visible for so long after its creation is not there."""

_GONE = "ResourceNotFoundException"
_NOT_YET = ("InvalidParameterException", "InvalidRequestException")
"""What is refused may be so by an old reading: DescribeSecret is eventually consistent."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Clock:
    """Time, as it passes here."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Trial:
    """What is tried: a secret of this name, in these Regions."""

    connection: Connection
    regions: Sequence[str]
    tag_key: str
    tag_value: str
    say: Say
    timeout_seconds: float = TIMEOUT_SECONDS
    observe: bool = False
    clock: Clock = field(default_factory=Clock)
    name: str = field(default_factory=lambda: PREFIX + random.token_hex(6))
    seen: "Seen" = field(default_factory=lambda: Seen())  # noqa: PLW0108  it is below

    @property
    def home(self) -> "SecretsManagerClient":
        """Secrets Manager in the stack's Region."""
        return self.connection.secrets


@dataclass
class Seen:
    """What was seen of the secret: when, in seconds after its creation, and with what words of AWS."""

    arn: str = ""
    visible: bool = False
    untagged: bool = False
    first: dict[str, tuple[float, str]] = field(default_factory=dict)
    in_sync: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    primary_region: str = ""
    removed: bool = False


def run(trial: Trial) -> bool:
    """Try it, and remove everything again, however it ends.

    Return whether every Region was InSync, and nothing is left.
    Raise ClientError or BotoCoreError. What could not be removed is said.
    """
    seen, began = trial.seen, trial.clock.now()
    trial.say(f"Create {trial.name} with the tag {trial.tag_key}={trial.tag_value}")
    try:
        with interrupts.shielded():
            seen.arn = _create(trial)
        _follow(trial, seen, began)
    finally:
        interrupts.end()
        seen.removed = _remove(trial, seen, trial.clock.now() + CLEANUP_SECONDS)
    if trial.observe:
        _show_observations(trial, seen)
    return seen.removed and _all_in_sync(trial, seen)


def document(trial: Trial) -> dict[str, object]:
    """Return what was seen as JSON has it."""
    seen = trial.seen
    statuses = {region: status for region, (_, status) in seen.first.items()}
    statuses |= dict.fromkeys(seen.failed, FAILED) | dict.fromkeys(seen.in_sync, IN_SYNC)
    return {
        "primary_region": trial.connection.region,
        "name": trial.name,
        "arn": seen.arn or None,
        "status": IN_SYNC if _all_in_sync(trial, seen) else "not InSync",
        "regions": {region: statuses.get(region, MISSING) for region in trial.regions},
        "seconds_to_in_sync": {region: round(seconds, 1) for region, seconds in sorted(seen.in_sync.items())},
        "why": "; ".join(f"{region}: {reason}" for region, reason in sorted(seen.failed.items())) or None,
        "removed": seen.removed,
    }


def _create(trial: Trial) -> str:
    return trial.home.create_secret(
        Name=trial.name,
        Description="Made by `replicas smoke`, which removes it again",
        SecretString=random.token_hex(16),
        Tags=[{"Key": trial.tag_key, "Value": trial.tag_value}],
    )["ARN"]


# --- from the event to InSync


def _follow(trial: Trial, seen: Seen, began: float) -> None:
    """Check until each Region is InSync or Failed, or time is up; say each step when it is seen."""
    while True:
        seconds = trial.clock.now() - began
        described = _describe(trial)
        if described:
            seen.visible = True
            _note(trial, seen, described, seconds)
        if {*seen.in_sync, *seen.failed} == {*trial.regions}:
            return
        if seconds > trial.timeout_seconds:
            _give_up(trial, seen)
            return
        trial.clock.sleep(POLL_SECONDS)


def _note(trial: Trial, seen: Seen, described: "DescribeSecretResponseTypeDef", seconds: float) -> None:
    for entry in described.get("ReplicationStatus", []):
        region, status = entry.get("Region", ""), entry.get("Status", "")
        if region not in trial.regions:
            continue
        if region not in seen.first:
            seen.first[region] = (seconds, status)
            trial.say(f"{seconds:7.1f} s  {region} is {status}")
        if status == IN_SYNC and region not in seen.in_sync:
            seen.in_sync[region] = seconds
            if seen.first[region][1] != IN_SYNC:
                trial.say(f"{seconds:7.1f} s  {region} is {status}")
        if status == FAILED and region not in seen.failed:
            seen.failed[region] = entry.get("StatusMessage", "AWS gives no reason")
            trial.say(f"{seconds:7.1f} s  {region} is {status}: {seen.failed[region]}")


def _give_up(trial: Trial, seen: Seen) -> None:
    missing = [region for region in trial.regions if region not in seen.in_sync]
    trial.say(
        f"Not InSync after {trial.timeout_seconds:.0f} s: {', '.join(missing)}. "
        + (
            "`replicas redrive --dry-run` shows whether a dead letter says why"
            if seen.first
            else "No event reached the function, or it could not act: `replicas doctor` says what is missing"
        )
    )


def _all_in_sync(trial: Trial, seen: Seen) -> bool:
    return seen.in_sync.keys() == {*trial.regions}


def _describe(trial: Trial, region: str = "") -> "DescribeSecretResponseTypeDef | None":
    """Return what the stack's Region, or another one, shows of the secret; None if it shows nothing."""
    try:
        there = trial.connection.in_region(region).secrets if region else trial.home
        return there.describe_secret(SecretId=trial.name)
    except ClientError as error:
        if error.response["Error"].get("Code") != _GONE:
            raise
        return None


def _show_observations(trial: Trial, seen: Seen) -> None:
    """Say what was seen of AWS that its documentation leaves open, a line each."""
    for region, (first, status) in sorted(seen.first.items()):
        if region in seen.in_sync and status != IN_SYNC:
            trial.say(f"Observed: {region} was {status} for {seen.in_sync[region] - first:.1f} s")
    if seen.primary_region:
        trial.say(f"Observed: after the last replica was removed, PrimaryRegion was {seen.primary_region}")


# --- removal


def _remove(trial: Trial, seen: Seen, deadline: float) -> bool:
    """Take the tag back, remove the replicas, delete the secret for good; return whether nothing is left."""
    try:
        while not _is_removed(trial, seen, deadline):
            if trial.clock.now() > deadline:
                _say_what_is_left(trial)
                return False
            trial.clock.sleep(POLL_SECONDS)
    except AWS_ERRORS:
        _say_what_is_left(trial)
        raise
    trial.say(f"Removed {trial.name} and its replicas")
    return True


def _is_removed(trial: Trial, seen: Seen, deadline: float) -> bool:
    """Do the next step of the removal; tell whether nothing is left to do."""
    described = _describe(trial)
    if described is None:
        # A new secret may not be visible yet.
        invisible_seconds = CLEANUP_SECONDS - (deadline - trial.clock.now())
        known = seen.visible or not seen.arn or invisible_seconds > VISIBLE_SECONDS
        return known and not any(_describe(trial, region) for region in seen.first)
    seen.visible = True
    if not seen.untagged:
        # As long as the tag asks for them, replicas come back.
        trial.home.tag_resource(SecretId=trial.name, Tags=[{"Key": trial.tag_key, "Value": "none"}])
        seen.untagged = True
    regions = [entry["Region"] for entry in described.get("ReplicationStatus", []) if "Region" in entry]
    if regions:
        _remove_replicas(trial, regions)
    else:
        if seen.first:
            seen.primary_region = "still there" if "PrimaryRegion" in described else "gone"
        _delete(trial)
    return False


def _delete(trial: Trial) -> None:
    try:
        trial.home.delete_secret(SecretId=trial.name, ForceDeleteWithoutRecovery=True)
    except ClientError as error:
        if error.response["Error"].get("Code") not in (*_NOT_YET, _GONE):
            raise


def _remove_replicas(trial: Trial, regions: Sequence[str]) -> None:
    try:
        trial.home.remove_regions_from_replication(SecretId=trial.name, RemoveReplicaRegions=[*regions])
    except ClientError as error:
        if error.response["Error"].get("Code") not in _NOT_YET:
            raise


def _say_what_is_left(trial: Trial) -> None:
    trial.say(
        f"{trial.name} could not be removed. Remove it by hand: aws secretsmanager "
        f"remove-regions-from-replication --secret-id {trial.name} --remove-replica-regions "
        f"{' '.join(trial.regions)}; aws secretsmanager delete-secret --secret-id {trial.name} "
        "--force-delete-without-recovery"
    )
