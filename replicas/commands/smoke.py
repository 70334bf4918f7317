"""`replicas smoke`: one secret's way from its creation to InSync, on the deployed stack, and back again.

No value is read, and no secret is touched but the one that is made here.
"""

import json
import secrets as random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from replicas import interrupts
from replicas.aws.services import Services
from secret_replicator.models import FAILED, IN_SYNC

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

PREFIX = "secret-replicator-smoke/"
LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 300.0
CLEANUP_SECONDS = 120.0
VISIBLE_SECONDS = 20.0
"""As in the function: what is not visible for so long after its creation is not there."""

TRAIL_SECONDS = 30.0
"""CloudTrail may take 15 minutes to show an event: whoever wants the answer waits for longer."""

_NO_SUCH_ACTION = "Unknown action"
"""How MiniStack says that it has no such call. It has no error code of its own for it."""

_GONE = "ResourceNotFoundException"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Clock:
    """Time, as it passes here."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Trial:
    """What is tried: a secret of this name, in these Regions."""

    services: Services
    regions: Sequence[str]
    tag_key: str
    say: Say
    patience_seconds: float = PATIENCE_SECONDS
    trail_seconds: float = TRAIL_SECONDS
    clock: Clock = field(default_factory=Clock)
    name: str = field(default_factory=lambda: PREFIX + random.token_hex(6))

    @property
    def home(self) -> "SecretsManagerClient":
        """Secrets Manager in the stack's Region."""
        return self.services.secrets(self.services.region)


@dataclass
class Seen:
    """What was seen of the secret: when, in seconds after its creation, and with what words of AWS."""

    arn: str = ""
    visible: bool = False
    untagged: bool = False
    first: dict[str, tuple[float, str]] = field(default_factory=dict)
    in_sync: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)


def run(trial: Trial) -> bool:
    """Try it, and remove everything again, however it ends.

    Return whether every Region was InSync, and nothing is left.
    Raise ClientError or BotoCoreError. What could not be removed is said.
    """
    seen, began = Seen(), trial.clock.now()
    started = datetime.now(UTC)
    trial.say(f"Create {trial.name} with the tag {trial.tag_key}={' '.join(trial.regions)}")
    try:
        with interrupts.shielded():
            seen.arn = _create(trial)
        _follow(trial, seen, began)
        if _all_in_sync(trial, seen):
            _ask_again(trial, seen)
            _ask_cloudtrail(trial, seen, started)
    finally:
        interrupts.end()
        removed = _remove(trial, seen, trial.clock.now() + CLEANUP_SECONDS)
    _print_answers(trial, seen)
    return removed and _all_in_sync(trial, seen)


def _create(trial: Trial) -> str:
    return trial.home.create_secret(
        Name=trial.name,
        Description="Made by `replicas smoke`, which removes it again",
        SecretString=random.token_hex(16),
        Tags=[{"Key": trial.tag_key, "Value": " ".join(trial.regions)}],
    )["ARN"]


# --- from the event to InSync


def _follow(trial: Trial, seen: Seen, began: float) -> None:
    """Look until each Region is InSync or Failed, or patience ends; say each step when it is seen."""
    while True:
        seconds = trial.clock.now() - began
        described = _describe(trial)
        if described:
            seen.visible = True
            _note(trial, seen, described, seconds)
        if len(seen.in_sync) + len(seen.failed) == len(trial.regions):
            return
        if seconds > trial.patience_seconds:
            _give_up(trial, seen)
            return
        trial.clock.sleep(LOOK_SECONDS)


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
        f"Not InSync after {trial.patience_seconds:.0f} s: {', '.join(missing)}. "
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
        return trial.services.secrets(region or trial.services.region).describe_secret(SecretId=trial.name)
    except ClientError as error:
        if error.response["Error"].get("Code") != _GONE:
            raise
        return None


# --- what AWS does not document


def _ask_again(trial: Trial, seen: Seen) -> None:
    """Note whether a Region that is InSync may be replicated to again, or is refused."""
    region = trial.regions[0]
    try:
        trial.home.replicate_secret_to_regions(
            SecretId=seen.arn, AddReplicaRegions=[{"Region": region}], ForceOverwriteReplicaSecret=False
        )
    except ClientError as error:
        said = error.response["Error"]
        seen.answers["a"] = f"refused ({said.get('Code', '')}: {said.get('Message', '')})"
    else:
        seen.answers["a"] = "accepted"


def _ask_cloudtrail(trial: Trial, seen: Seen, started: datetime) -> None:
    """Look for the secret's own events, at home and in the replica Regions."""
    deadline = trial.clock.now() + trial.trail_seconds
    while True:
        try:
            own = [*_events(trial, trial.services.region, started)]
            there = {
                region: sorted({str(event["eventName"]) for event in _events(trial, region, started)})
                for region in trial.regions
            }
        except ClientError as error:
            seen.answers["c"] = seen.answers["d"] = f"not seen: {error.response['Error'].get('Code', '')}"
            return
        made = [event for event in own if event["eventName"] == "CreateSecret"]
        if made:
            request = made[0].get("requestParameters") or {}
            seen.answers["c"] = (
                "in the record" if any(key.lower() == "tags" for key in request) else "not in it"
            )
            seen.answers["d"] = "; ".join(
                f"{region}: {', '.join(names) or 'none'}" for region, names in there.items()
            )
            return
        if trial.clock.now() > deadline:
            seen.answers["c"] = seen.answers["d"] = "not seen yet: CloudTrail may take 15 minutes"
            return
        trial.clock.sleep(LOOK_SECONDS)


def _events(trial: Trial, region: str, started: datetime) -> Iterator[Mapping[str, Any]]:
    """Yield CloudTrail's records of this secret in a Region, without those of reading."""
    pages = (
        trial.services.cloudtrail(region)
        .get_paginator("lookup_events")
        .paginate(
            LookupAttributes=[
                {"AttributeKey": "EventSource", "AttributeValue": "secretsmanager.amazonaws.com"}
            ],
            StartTime=started,
        )
    )
    for page in pages:
        for entry in page["Events"]:
            event = json.loads(entry.get("CloudTrailEvent", "{}"))
            if trial.name in json.dumps(event) and not str(event["eventName"]).startswith(
                ("Describe", "List")
            ):
                yield event


def _print_answers(trial: Trial, seen: Seen) -> None:
    """Say what was seen of aws-facts' open questions, and what was not."""
    waits = {
        region: seen.in_sync[region] - first
        for region, (first, status) in seen.first.items()
        if region in seen.in_sync and status != IN_SYNC
    }
    lasted = ", ".join(f"{region} {seconds:.1f} s" for region, seconds in sorted(waits.items()))
    answers = {
        "a": "replicating to a Region that is InSync",
        "c": "tags in the record of CreateSecret",
        "d": "events in the replica Regions",
        "e": "PrimaryRegion after the last replica is removed",
        "g": "InProgress lasted",
    }
    given = {**seen.answers, "g": lasted or "not seen: every Region was InSync at the first check"}
    trial.say("What AWS does not document, as seen here:")
    for letter, question in answers.items():
        trial.say(f"  ({letter}) {question}: {given.get(letter, 'not seen: it did not get that far')}")
    trial.say("  (b) events of a replication that fails: not seen, as nothing is made to fail")
    trial.say("  (f) secrets that AWS services manage: not seen, as none is made here")


# --- removal


def _remove(trial: Trial, seen: Seen, deadline: float) -> bool:
    """Take the tag back, remove the replicas, delete the secret for good; return whether nothing is left."""
    try:
        while not _is_removed(trial, seen, deadline):
            if trial.clock.now() > deadline:
                _say_what_is_left(trial)
                return False
            trial.clock.sleep(LOOK_SECONDS)
    except ClientError:
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
            seen.answers["e"] = "still there" if "PrimaryRegion" in described else "gone"
        _delete(trial)
    return False


def _delete(trial: Trial) -> None:
    try:
        trial.home.delete_secret(SecretId=trial.name, ForceDeleteWithoutRecovery=True)
    except ClientError as error:
        # DescribeSecret is eventually consistent: a replica may still be there.
        if error.response["Error"].get("Code") not in ("InvalidRequestException", _GONE):
            raise


def _remove_replicas(trial: Trial, regions: Sequence[str]) -> None:
    try:
        trial.home.remove_regions_from_replication(SecretId=trial.name, RemoveReplicaRegions=[*regions])
    except ClientError as error:
        said = error.response["Error"]
        if said.get("Message", "").startswith(_NO_SUCH_ACTION):
            trial.say(
                "This AWS has no RemoveRegionsFromReplication (the local one). "
                "Its DeleteSecret takes the replicas along"
            )
            _delete(trial)
        elif said.get("Code") not in ("InvalidParameterException", "InvalidRequestException"):
            raise


def _say_what_is_left(trial: Trial) -> None:
    trial.say(
        f"{trial.name} could not be removed. Remove it by hand: aws secretsmanager "
        f"remove-regions-from-replication --secret-id {trial.name} --remove-replica-regions "
        f"{' '.join(trial.regions)}; aws secretsmanager delete-secret --secret-id {trial.name} "
        "--force-delete-without-recovery"
    )
