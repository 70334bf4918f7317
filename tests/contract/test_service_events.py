"""What happened to replicas: the history, what CloudTrail makes of it, and what follows after a moment."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.secrets_manager.events import StatusChange, service_event
from local.secrets_manager.model import AwsError, ManualClock, Outcome
from local.secrets_manager.service import StrictSecretsManager
from local.secrets_manager.worlds import Worlds, read_worlds
from secret_replicator.messages import ReconcileRequest, parse

HOME, WEST = "us-east-1", "us-west-2"
FILES = Path(__file__).parents[2] / "events"
ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:orders/db-AbCdEf"
IDS = {"id", "time", "eventID", "requestID", "eventTime"}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def model(clock: ManualClock) -> StrictSecretsManager:
    model = StrictSecretsManager(clock=clock, worlds=Worlds(seconds_in_progress=3))
    model.add_secret(HOME, "db", value="old", tags={"a": "1"})
    return model


def replicate(model: StrictSecretsManager) -> None:
    model.handle(
        "ReplicateSecretToRegions", HOME, {"SecretId": "db", "AddReplicaRegions": [{"Region": WEST}]}
    )


def put(model: StrictSecretsManager, value: str = "new") -> None:
    model.handle("PutSecretValue", HOME, {"SecretId": "db", "SecretString": value})


def told(model: StrictSecretsManager) -> list[str]:
    return [event["detail"]["eventName"] for event in model.service_events]


def history_of(model: StrictSecretsManager, name: str, region: str) -> list[StatusChange]:
    return [change for change in model.history if (change.name, change.region) == (name, region)]


def without_ids(event: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in event.items() if key not in IDS | {"detail"}}
    return kept | {key: value for key, value in event["detail"].items() if key not in IDS}


def test_the_history_says_when_a_replica_had_which_status(
    model: StrictSecretsManager, clock: ManualClock
) -> None:
    begun = clock()
    replicate(model)
    clock.advance(10)
    seen = [(change.time - begun, change.status) for change in history_of(model, "db", WEST)]
    assert seen == [(0, "InProgress"), (3, "InSync")]
    assert history_of(model, "db", "eu-west-1") == []


def test_a_replica_fails_long_after_it_was_in_sync_and_heals_with_the_next_value(
    model: StrictSecretsManager, clock: ManualClock
) -> None:
    replicate(model)
    clock.advance(90 * 86_400)
    model.set_outcome("db", WEST, Outcome("Failed", "the role may not use the key", attempts=1))
    for _ in range(2):
        put(model)
        clock.advance(3)
    assert [change.status for change in history_of(model, "db", WEST)] == [
        *("InProgress", "InSync"),
        *("InProgress", "Failed"),
        *("InProgress", "InSync"),
    ]
    assert told(model)[2:5] == ["ReplicationStarted", "ReplicationFailed", "ReplicationStarted"]


def test_an_event_keeps_its_id_and_its_place(model: StrictSecretsManager, clock: ManualClock) -> None:
    replicate(model)
    before = model.service_events
    put(model)
    put(model)
    clock.advance(3)
    after = model.service_events
    assert after[: len(before)] == before
    assert len({event["id"] for event in after}) == len(after) == 4


@pytest.mark.parametrize(
    ("file", "status", "worlds"),
    [
        ("replication-started.json", "InProgress", Worlds()),
        ("replication-succeeded.json", "InSync", Worlds()),
        ("replication-failed.json", "Failed", Worlds()),
        ("replication-failed-by-resources.json", "Failed", Worlds(arn_in_events="resources")),
        ("replication-failed-in-replica-region.json", "Failed", Worlds(event_sent_by="replica")),
    ],
)
def test_an_event_has_the_shape_of_cloudtrails_record(file: str, status: str, worlds: Worlds) -> None:
    change = StatusChange(
        1_800_000_000,
        "orders/db",
        ARN,
        "eu-west-1",
        status,
        "Secret with this name already exists in this region" if status == "Failed" else None,
    )
    event = service_event(0, change, worlds)
    assert without_ids(event) == without_ids(json.loads((FILES / file).read_text("utf-8")))
    if status == "Failed":
        request = parse(json.dumps(event), HOME)
        assert isinstance(request, ReconcileRequest)
        assert request.secret_id == ARN


def test_tags_and_policy_reach_the_replica_after_a_moment(
    model: StrictSecretsManager, clock: ManualClock
) -> None:
    replicate(model)
    clock.advance(3)
    model.worlds.seconds_to_follow = 5
    model.handle("TagResource", HOME, {"SecretId": "db", "Tags": [{"Key": "b", "Value": "2"}]})
    model.handle("PutResourcePolicy", HOME, {"SecretId": "db", "ResourcePolicy": "{}"})
    clock.advance(4)
    assert (model.secret(WEST, "db").tags, model.secret(WEST, "db").policy) == ({"a": "1"}, None)
    clock.advance(1)
    assert (model.secret(WEST, "db").tags, model.secret(WEST, "db").policy) == ({"a": "1", "b": "2"}, "{}")
    model.handle("DeleteResourcePolicy", HOME, {"SecretId": "db"})
    clock.advance(5)
    assert model.secret(WEST, "db").policy is None


@pytest.mark.parametrize("off", [HOME, WEST])
def test_nothing_passes_between_regions_while_one_is_off(
    model: StrictSecretsManager, clock: ManualClock, off: str
) -> None:
    replicate(model)
    clock.advance(3)
    put(model)
    model.handle("TagResource", HOME, {"SecretId": "db", "Tags": [{"Key": "b", "Value": "2"}]})
    model.worlds.seconds_to_follow = 1
    model.handle("PutResourcePolicy", HOME, {"SecretId": "db", "ResourcePolicy": "{}"})
    model.switch_off(off)
    clock.advance(60)
    assert (model.secret(WEST, "db").value, model.secret(WEST, "db").policy) == ("old", None)
    model.switch_on(off)
    on_again = clock()
    clock.advance(60)
    assert (model.secret(WEST, "db").value, model.secret(WEST, "db").policy) == ("new", "{}")
    assert history_of(model, "db", WEST)[-1].time == on_again


def test_worlds_are_read_as_a_person_writes_them() -> None:
    text = "repeat=refused primary_region_stays=true seconds_in_progress=2.5 secrets_on_a_page=2"
    assert read_worlds(text) == Worlds(
        "refused", primary_region_stays=True, seconds_in_progress=2.5, secrets_on_a_page=2
    )
    assert read_worlds("") == Worlds()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mars=yes", "unknown world mars; known: repeat, "),
        ("repeat=perhaps", "repeat=perhaps: must be one of accepted, refused"),
        ("seconds_in_progress=soon", "seconds_in_progress=soon: must be a number of seconds"),
        ("seconds_in_progress=-1", "seconds_in_progress=-1: must be a number of seconds"),
        ("secrets_on_a_page=0", "secrets_on_a_page=0: must be a whole number, from 1"),
    ],
)
def test_a_world_that_is_not_known_is_refused_with_what_is(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}"):
        read_worlds(text)


def test_an_older_change_of_tags_never_undoes_a_newer_one(
    model: StrictSecretsManager, clock: ManualClock
) -> None:
    replicate(model)
    clock.advance(3)
    model.worlds.seconds_to_follow, model.worlds.seconds_in_progress = 5, 2
    for value in ("2", "3"):
        model.handle("TagResource", HOME, {"SecretId": "db", "Tags": [{"Key": "a", "Value": value}]})
        clock.advance(1)
    put(model)
    seen = []
    for _ in range(6):
        clock.advance(1)
        seen.append(model.secret(WEST, "db").tags["a"])
    assert seen == sorted(seen)
    assert seen[-1] == "3"


@pytest.mark.parametrize("overwritten", [True, False])
def test_whether_a_primary_with_replicas_may_be_overwritten_is_a_switch(
    model: StrictSecretsManager, clock: ManualClock, *, overwritten: bool
) -> None:
    model.worlds.primaries_overwritten = overwritten
    model.add_secret(WEST, "db", value="theirs")
    wanted = {"SecretId": "db", "AddReplicaRegions": [{"Region": "eu-west-1"}]}
    model.handle("ReplicateSecretToRegions", WEST, wanted)
    clock.advance(3)
    overwrite = {"AddReplicaRegions": [{"Region": WEST}], "ForceOverwriteReplicaSecret": True}
    model.handle("ReplicateSecretToRegions", HOME, {"SecretId": "db"} | overwrite)
    clock.advance(3)
    assert history_of(model, "db", WEST)[-1].status == ("InSync" if overwritten else "Failed")
    assert model.secret(WEST, "db").value == ("old" if overwritten else "theirs")


def test_a_value_is_read_only_where_a_person_may_and_the_primary_tells_when(
    model: StrictSecretsManager, clock: ManualClock
) -> None:
    replicate(model)
    clock.advance(3)
    with pytest.raises(AwsError, match="never read"):
        model.handle("GetSecretValue", WEST, {"SecretId": "db"})
    model.values_readable = True
    answer = model.handle("GetSecretValue", WEST, {"SecretId": "db"})
    assert (answer["SecretString"], answer["VersionStages"]) == ("old", ["AWSCURRENT"])
    (listed,) = model.handle("DescribeSecret", HOME, {"SecretId": "db"})["ReplicationStatus"]
    assert listed["LastAccessedDate"] == clock()
    with pytest.raises(AwsError, match="specified secret value"):
        model.handle("GetSecretValue", WEST, {"SecretId": "db", "VersionStage": "AWSPREVIOUS"})
    model.handle("PutSecretValue", HOME, {"SecretId": "db", "SecretBinary": "AAAA"})
    assert model.handle("GetSecretValue", HOME, {"SecretId": "db"})["SecretBinary"] == "AAAA"
    model.handle("CreateSecret", HOME, {"Name": "gone", "SecretString": "x"})
    model.handle("DeleteSecret", HOME, {"SecretId": "gone"})
    with pytest.raises(AwsError, match="marked for deletion"):
        model.handle("GetSecretValue", HOME, {"SecretId": "gone"})
