"""`replicas smoke`: one secret's way from its creation to InSync, on the deployed stack, and back again.

No value is read, and no secret is touched but the one that is made here.
"""

import secrets as random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from replicas import interrupts
from replicas.aws.connection import Connection
from replicas.aws.errors import DENIED
from replicas.commands.doctor.stack import Stack, read_stack
from replicas.errors import OperatorError
from replicas.exit_codes import FAILED, OK
from replicas.inventory.explanation import MISSING
from replicas.options import SmokeOptions, StackOptions
from replicas.terminal import Screen
from secret_replicator.models import FAILED as REPLICA_FAILED
from secret_replicator.models import IN_SYNC
from secret_replicator.policy import ALL

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

PREFIX = "secret-replicator-smoke/"
POLL_SECONDS = 1.0
CLEANUP_SECONDS = 120.0
VISIBLE_SECONDS = 20.0
"""As in the function: what is not visible for so long after its creation is not there."""


@dataclass
class Trial:
    """What is tried: a secret of this name, in these Regions; and what was seen of it."""

    connection: Connection
    regions: Sequence[str]
    tag_key: str
    tag_value: str
    say: Callable[[str], None]
    timeout_seconds: float = 300
    observe: bool = False
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    name: str = field(default_factory=lambda: PREFIX + random.token_hex(6))
    arn: str = ""
    denied: bool = False
    """Whether it could not even be created."""
    visible: bool = False
    untagged: bool = False
    first: dict[str, tuple[float, str]] = field(default_factory=dict)
    """By Region: how many seconds after its creation it was seen there, and with which status."""
    in_sync: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    primary_region: str = ""
    removed: bool = False

    @property
    def home(self) -> "SecretsManagerClient":
        """Secrets Manager in the stack's Region."""
        return self.connection.secrets

    @property
    def all_in_sync(self) -> bool:
        """Whether it was InSync in every Region."""
        return self.in_sync.keys() == {*self.regions}


def run(options: SmokeOptions, at: StackOptions, screen: Screen) -> int:
    """Try one secret; return the exit code: 0 if it was InSync everywhere and nothing is left of it."""
    with interrupts.installed():
        trial = _trial(options, at, screen)
        code = OK if carry_out(trial) else FAILED
        if options.as_json:
            screen.write_json(document(trial))
        return code


def _trial(options: SmokeOptions, at: StackOptions, screen: Screen) -> Trial:
    stack = read_stack(at.access, at.stack, options.policy)
    if stack.environment.get("MODE") == "plan":
        raise OperatorError(
            f"{stack.name} is deployed with Mode=plan: its function writes nothing. Deploy Mode=apply first"
        )
    regions = options.to
    return Trial(
        connection=stack.connection,
        regions=_regions(stack, regions),
        tag_key=stack.policy.tag_key,
        # A tag has at most 256 characters: all Regions may be more.
        tag_value=" ".join(sorted({*regions})) or ALL,
        say=screen.say if options.as_json else screen.show,
        timeout_seconds=options.timeout,
        observe=options.observe,
    )


def _regions(stack: Stack, chosen: Sequence[str]) -> list[str]:
    allowed = {*stack.environment.get("ALLOWED_REGIONS", "").split(",")} - {"", stack.connection.region}
    if unknown := {*chosen} - allowed:
        raise OperatorError(
            f"{', '.join(sorted(unknown))}: not in AllowedRegions; choose among {', '.join(sorted(allowed))}"
        )
    if not allowed:
        raise OperatorError(
            "AllowedRegions names no other Region than the stack's own: there is nothing to try"
        )
    return sorted({*chosen} or allowed)


def carry_out(trial: Trial) -> bool:
    """Try it, and remove everything again, however it ends.

    Return whether every Region was InSync, and nothing is left.
    Raise ClientError or BotoCoreError. What could not be removed is said.
    """
    began = trial.now()
    trial.say(f"Create {trial.name} with the tag {trial.tag_key}={trial.tag_value}")
    try:
        with interrupts.shielded():
            trial.arn = _create(trial)
        _follow(trial, began)
    except ClientError as error:
        trial.denied = not trial.arn and error.response["Error"].get("Code") in DENIED
        raise
    finally:
        interrupts.end()
        if not trial.denied:
            _remove(trial, trial.now() + CLEANUP_SECONDS)
    if trial.observe:
        _show_observations(trial)
    return trial.removed and trial.all_in_sync


def document(trial: Trial) -> dict[str, object]:
    """Return what was seen as JSON has it."""
    statuses = {region: status for region, (_, status) in trial.first.items()}
    statuses |= dict.fromkeys(trial.failed, REPLICA_FAILED) | dict.fromkeys(trial.in_sync, IN_SYNC)
    return {
        "primary_region": trial.connection.region,
        "name": trial.name,
        "arn": trial.arn or None,
        "status": IN_SYNC if trial.all_in_sync else "not InSync",
        "regions": {region: statuses.get(region, MISSING) for region in trial.regions},
        "seconds_to_in_sync": {
            region: round(seconds, 1) for region, seconds in sorted(trial.in_sync.items())
        },
        "why": "; ".join(f"{region}: {reason}" for region, reason in sorted(trial.failed.items())) or None,
        "removed": trial.removed,
    }


def _create(trial: Trial) -> str:
    return trial.home.create_secret(
        Name=trial.name,
        Description="Made by `replicas smoke`, which removes it again",
        SecretString=random.token_hex(16),
        Tags=[{"Key": trial.tag_key, "Value": trial.tag_value}],
    )["ARN"]


# --- from the event to InSync


def _follow(trial: Trial, began: float) -> None:
    """Check until each Region is InSync or Failed, or time is up; say each step when it is seen."""
    while True:
        seconds = trial.now() - began
        described = _describe(trial)
        if described:
            trial.visible = True
            _note(trial, described, seconds)
        if {*trial.in_sync, *trial.failed} == {*trial.regions}:
            return
        if seconds > trial.timeout_seconds:
            _give_up(trial)
            return
        trial.sleep(POLL_SECONDS)


def _note(trial: Trial, described: "DescribeSecretResponseTypeDef", seconds: float) -> None:
    for entry in described.get("ReplicationStatus", []):
        region, status = entry.get("Region", ""), entry.get("Status", "")
        if region not in trial.regions:
            continue
        if region not in trial.first:
            trial.first[region] = (seconds, status)
            trial.say(f"{seconds:7.1f} s  {region} is {status}")
        if status == IN_SYNC and region not in trial.in_sync:
            trial.in_sync[region] = seconds
            if trial.first[region][1] != IN_SYNC:
                trial.say(f"{seconds:7.1f} s  {region} is {status}")
        if status == REPLICA_FAILED and region not in trial.failed:
            trial.failed[region] = entry.get("StatusMessage", "AWS gives no reason")
            trial.say(f"{seconds:7.1f} s  {region} is {status}: {trial.failed[region]}")


def _give_up(trial: Trial) -> None:
    missing = [region for region in trial.regions if region not in trial.in_sync]
    trial.say(
        f"Not InSync after {trial.timeout_seconds:.0f} s: {', '.join(missing)}. "
        + (
            "`replicas redrive --dry-run` shows whether a dead letter says why"
            if trial.first
            else "No event reached the function, or it could not act: `replicas doctor` says what is missing"
        )
    )


def _describe(trial: Trial, region: str = "") -> "DescribeSecretResponseTypeDef | None":
    """Return what the stack's Region, or another one, shows of the secret; None if it shows nothing."""
    there = trial.connection.in_region(region).secrets if region else trial.home
    try:
        return there.describe_secret(SecretId=trial.name)
    except there.exceptions.ResourceNotFoundException:
        return None


def _show_observations(trial: Trial) -> None:
    """Say what was seen of AWS that its documentation leaves open, a line each."""
    for region, (first, status) in sorted(trial.first.items()):
        if region in trial.in_sync and status != IN_SYNC:
            trial.say(f"Observed: {region} was {status} for {trial.in_sync[region] - first:.1f} s")
    if trial.primary_region:
        trial.say(f"Observed: after the last replica was removed, PrimaryRegion was {trial.primary_region}")


# --- removal


def _remove(trial: Trial, deadline: float) -> None:
    """Take the tag back, remove the replicas, delete the secret for good."""
    try:
        while not _is_removed(trial, deadline):
            if trial.now() > deadline:
                return
            trial.sleep(POLL_SECONDS)
        trial.removed = True
    finally:
        if not trial.removed:
            _say_what_is_left(trial)
    trial.say(f"Removed {trial.name} and its replicas")


def _is_removed(trial: Trial, deadline: float) -> bool:
    """Do the next step of the removal; tell whether nothing is left to do."""
    described = _describe(trial)
    if described is None:
        # A new secret may not be visible yet.
        invisible_seconds = CLEANUP_SECONDS - (deadline - trial.now())
        known = trial.visible or not trial.arn or invisible_seconds > VISIBLE_SECONDS
        return known and not any(_describe(trial, region) for region in trial.first)
    trial.visible = True
    if not trial.untagged:
        # As long as the tag asks for them, replicas come back.
        trial.home.tag_resource(SecretId=trial.name, Tags=[{"Key": trial.tag_key, "Value": "none"}])
        trial.untagged = True
    regions = [entry["Region"] for entry in described.get("ReplicationStatus", []) if "Region" in entry]
    if not regions and trial.first:
        trial.primary_region = "still there" if "PrimaryRegion" in described else "gone"
    refused = trial.home.exceptions
    not_yet = (refused.InvalidParameterException, refused.InvalidRequestException)
    # What is refused may be so by an old reading: DescribeSecret is eventually consistent.
    with suppress(*not_yet, refused.ResourceNotFoundException):
        if regions:
            trial.home.remove_regions_from_replication(SecretId=trial.name, RemoveReplicaRegions=regions)
        else:
            trial.home.delete_secret(SecretId=trial.name, ForceDeleteWithoutRecovery=True)
    return False


def _say_what_is_left(trial: Trial) -> None:
    trial.say(
        f"{trial.name} could not be removed. Remove it by hand: aws secretsmanager "
        f"remove-regions-from-replication --secret-id {trial.name} --remove-replica-regions "
        f"{' '.join(trial.regions)}; aws secretsmanager delete-secret --secret-id {trial.name} "
        "--force-delete-without-recovery"
    )
