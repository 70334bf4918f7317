"""What the strict model alone can show. What others show too: test_secrets_managers.py."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from local.secrets_manager.model import (
    ACCESS_DENIED,
    CUT_AFTER_EFFECT,
    CUT_BEFORE_EFFECT,
    DAY,
    SERVER_ERROR,
    SERVER_ERROR_AFTER_EFFECT,
    THROTTLED,
    Call,
    Fault,
    ManualClock,
    Outcome,
)
from local.secrets_manager.service import StrictSecretsManager
from local.secrets_manager.worlds import Repeat, Worlds

if TYPE_CHECKING:
    from random import Random

    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.literals import FilterNameStringTypeType
    from mypy_boto3_secretsmanager.type_defs import FilterTypeDef, ReplicaRegionTypeTypeDef

HOME, WEST, EU = "us-east-1", "us-west-2", "eu-west-1"
NOT_ON_A_REPLICA = (
    "Operation not permitted on a replica secret. Call must be made in primary secret's region."
)


def client_in(
    region: str, endpoint_url: str | None = None, read_seconds: float = 60
) -> "SecretsManagerClient":
    return boto3.client(
        "secretsmanager",
        region_name=region,
        endpoint_url=endpoint_url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=read_seconds, proxies={}),
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["accepted", "refused"])
def repeat(request: pytest.FixtureRequest) -> Repeat:
    world: Repeat = request.param
    return world


@pytest.fixture
def model(clock: ManualClock) -> StrictSecretsManager:
    return StrictSecretsManager(clock=clock, sleep=clock.advance)


def attached(model: StrictSecretsManager, region: str) -> "SecretsManagerClient":
    client = client_in(region)
    model.attach(client)
    return client


@pytest.fixture
def home(model: StrictSecretsManager) -> "SecretsManagerClient":
    return attached(model, HOME)


@pytest.fixture
def west(model: StrictSecretsManager) -> "SecretsManagerClient":
    return attached(model, WEST)


def refusal(call: Callable[..., object], **params: object) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**params)
    return refused.value.response["Error"]["Code"], refused.value.response["Error"]["Message"]


def replicate(client: "SecretsManagerClient", *regions: str, overwrite: bool = False) -> list[object]:
    answer = client.replicate_secret_to_regions(
        SecretId="db",
        AddReplicaRegions=[{"Region": region} for region in regions],
        ForceOverwriteReplicaSecret=overwrite,
    )
    return [*answer["ReplicationStatus"]]


def statuses(client: "SecretsManagerClient") -> dict[str, str]:
    described = client.describe_secret(SecretId="db").get("ReplicationStatus", [])
    return {entry["Region"]: entry["Status"] for entry in described}


def message(client: "SecretsManagerClient", region: str) -> str | None:
    described = client.describe_secret(SecretId="db")["ReplicationStatus"]
    return next(entry.get("StatusMessage") for entry in described if entry["Region"] == region)


def names(client: "SecretsManagerClient", *filters: tuple["FilterNameStringTypeType", str]) -> list[str]:
    wanted: list[FilterTypeDef] = [{"Key": key, "Values": [value]} for key, value in filters]
    return [entry["Name"] for entry in client.list_secrets(Filters=wanted)["SecretList"]]


def all_names(client: "SecretsManagerClient") -> list[str]:
    listed = client.list_secrets(IncludePlannedDeletion=True)["SecretList"]
    return [entry["Name"] for entry in listed]


# The life cycle of a replica


def test_a_replica_is_in_progress_until_its_time_is_over(
    model: StrictSecretsManager, home: "SecretsManagerClient", clock: ManualClock
) -> None:
    model.worlds.seconds_in_progress = 60
    model.set_outcome("db", EU, Outcome(seconds=90))
    model.add_secret(HOME, "db")
    replicate(home, WEST, EU)
    clock.advance(59)
    assert statuses(home) == {WEST: "InProgress", EU: "InProgress"}
    assert model.names(WEST) == []
    clock.advance(1)
    assert statuses(home) == {WEST: "InSync", EU: "InProgress"}
    clock.advance(30)
    assert statuses(home) == {WEST: "InSync", EU: "InSync"}


def test_the_answer_to_replicate_is_in_progress_even_when_it_takes_no_time(
    model: StrictSecretsManager, home: "SecretsManagerClient"
) -> None:
    model.add_secret(HOME, "db")
    assert replicate(home, WEST) == [
        {"Region": WEST, "KmsKeyId": "alias/aws/secretsmanager", "Status": "InProgress"}
    ]
    assert statuses(home) == {WEST: "InSync"}


def test_a_replica_carries_value_tags_and_policy(
    model: StrictSecretsManager, home: "SecretsManagerClient"
) -> None:
    model.add_secret(HOME, "db", value="hush", tags={"a": "1"}, policy="{}")
    replicate(home, WEST)
    home.tag_resource(SecretId="db", Tags=[{"Key": "b", "Value": "2"}])
    replica = model.secret(WEST, "db")
    assert (replica.value, replica.tags, replica.policy) == ("hush", {"a": "1", "b": "2"}, "{}")
    home.put_secret_value(SecretId="db", SecretString="hush hush")
    assert model.secret(WEST, "db").value == "hush hush"


def test_a_secret_without_a_value_is_replicated(
    model: StrictSecretsManager, home: "SecretsManagerClient"
) -> None:
    assert "VersionId" not in home.create_secret(Name="db")
    replicate(home, WEST)
    assert statuses(home) == {WEST: "InSync"}
    assert model.secret(WEST, "db").value is None


def test_a_secret_may_be_created_with_replicas(
    model: StrictSecretsManager, home: "SecretsManagerClient"
) -> None:
    answer = home.create_secret(Name="db", SecretString="x", AddReplicaRegions=[{"Region": WEST}])
    assert answer["ReplicationStatus"][0]["Status"] == "InProgress"
    assert model.names(WEST) == ["db"]


def test_a_failed_attempt_leaves_no_replica_but_stays_listed(
    model: StrictSecretsManager, home: "SecretsManagerClient"
) -> None:
    model.set_outcome("db", WEST, Outcome("Failed", "no permission"))
    model.add_secret(HOME, "db")
    replicate(home, WEST, EU)
    assert statuses(home) == {WEST: "Failed", EU: "InSync"}
    assert message(home, WEST) == "no permission"
    assert model.names(WEST) == []


def test_a_failure_heals_after_its_attempts(
    model: StrictSecretsManager, home: "SecretsManagerClient"
) -> None:
    model.set_outcome("*", WEST, Outcome("Failed", "not yet", attempts=2))
    model.add_secret(HOME, "db")
    seen = []
    for _ in range(3):
        replicate(home, WEST)
        seen.append(statuses(home)[WEST])
    assert seen == ["Failed", "Failed", "InSync"]
    model.set_outcome("*", WEST, Outcome("Failed", "again", attempts=1))
    home.put_secret_value(SecretId="db", SecretString="x")
    assert statuses(home) == {WEST: "Failed"}


def test_a_replica_fails_later_when_the_value_changes(
    model: StrictSecretsManager, home: "SecretsManagerClient"
) -> None:
    model.add_secret(HOME, "db", value="old")
    replicate(home, WEST)
    assert statuses(home) == {WEST: "InSync"}
    model.set_outcome("db", WEST, Outcome("Failed", "the rotation role may not use the key"))
    home.tag_resource(SecretId="db", Tags=[{"Key": "a", "Value": "1"}])
    assert statuses(home) == {WEST: "InSync"}
    home.put_secret_value(SecretId="db", SecretString="new")
    assert statuses(home) == {WEST: "Failed"}
    assert model.secret(WEST, "db").value == "old"


def test_a_status_can_be_any_string(model: StrictSecretsManager, home: "SecretsManagerClient") -> None:
    model.set_outcome("db", WEST, Outcome("Pending"))
    model.add_secret(HOME, "db")
    replicate(home, WEST, EU)
    model.secret(HOME, "db").replicas[EU].status = "Detached"
    assert statuses(home) == {WEST: "Pending", EU: "Detached"}


@pytest.mark.parametrize("state", [None, "Creating", "Disabled", "PendingDeletion"])
def test_a_key_that_cannot_be_used_fails_the_replica_until_it_can(
    model: StrictSecretsManager, home: "SecretsManagerClient", state: str | None
) -> None:
    model.add_secret(HOME, "db")
    model.set_key(HOME, "alias/mine")  # keys live in a Region: this one is not in WEST
    if state:
        model.set_key(WEST, "alias/mine", state)
    entry: ReplicaRegionTypeTypeDef = {"Region": WEST, "KmsKeyId": "alias/mine"}
    home.replicate_secret_to_regions(SecretId="db", AddReplicaRegions=[entry])
    assert statuses(home) == {WEST: "Failed"}
    assert message(home, WEST) == f"The KMS key alias/mine is {state or 'missing'} in us-west-2"
    model.set_key(WEST, "alias/mine")
    home.replicate_secret_to_regions(SecretId="db", AddReplicaRegions=[entry])
    assert statuses(home) == {WEST: "InSync"}
    assert model.secret(WEST, "db").kms_key_id == "alias/mine"


def test_the_primarys_own_key_is_needed_too(
    model: StrictSecretsManager, home: "SecretsManagerClient"
) -> None:
    model.add_secret(HOME, "db", kms_key_id="alias/gone")
    replicate(home, WEST)
    assert statuses(home) == {WEST: "Failed"}
    assert refusal(home.put_secret_value, SecretId="db", SecretString="x")[0] == "EncryptionFailure"


def test_only_the_key_of_a_replica_can_be_changed_in_its_region(
    model: StrictSecretsManager, home: "SecretsManagerClient", west: "SecretsManagerClient"
) -> None:
    model.add_secret(HOME, "db")
    model.set_key(WEST, "alias/mine")
    replicate(home, WEST)
    west.update_secret(SecretId="db", KmsKeyId="alias/mine")
    assert home.describe_secret(SecretId="db")["ReplicationStatus"][0]["KmsKeyId"] == "alias/mine"
    assert refusal(west.update_secret, SecretId="db", Description="x")[1] == NOT_ON_A_REPLICA


def test_a_same_named_secret_is_overwritten_only_when_told(
    model: StrictSecretsManager, home: "SecretsManagerClient"
) -> None:
    model.add_secret(HOME, "db", value="ours")
    model.add_secret(WEST, "db", value="theirs")
    replicate(home, WEST)
    assert message(home, WEST) == "Secret with this name already exists in this region"
    assert model.secret(WEST, "db").value == "theirs"
    replicate(home, WEST, overwrite=True)
    assert statuses(home) == {WEST: "InSync"}
    assert model.secret(WEST, "db").value == "ours"


def test_an_overwritten_secret_leaves_the_lagging_list(
    model: StrictSecretsManager,
    home: "SecretsManagerClient",
    west: "SecretsManagerClient",
    clock: ManualClock,
) -> None:
    model.listing.lag_seconds = 60
    model.add_secret(HOME, "db")
    model.add_secret(WEST, "db")
    clock.advance(60)
    replicate(home, WEST, overwrite=True)
    assert statuses(home) == {WEST: "InSync"}
    clock.advance(60)
    assert names(west) == ["db"]


def test_removing_a_region_in_conflict_leaves_the_other_secret_alone(
    model: StrictSecretsManager, home: "SecretsManagerClient"
) -> None:
    model.add_secret(HOME, "db")
    model.add_secret(WEST, "db", value="theirs")
    replicate(home, WEST)
    home.remove_regions_from_replication(SecretId="db", RemoveReplicaRegions=[WEST])
    assert model.secret(WEST, "db").value == "theirs"
    assert statuses(home) == {}


def test_a_region_removed_while_in_progress_gets_no_replica(
    model: StrictSecretsManager, home: "SecretsManagerClient", clock: ManualClock
) -> None:
    model.worlds.seconds_in_progress = 60
    model.add_secret(HOME, "db")
    replicate(home, WEST)
    home.remove_regions_from_replication(SecretId="db", RemoveReplicaRegions=[WEST])
    clock.advance(60)
    assert model.names(WEST) == []


def test_a_replica_tells_when_it_was_last_read(
    model: StrictSecretsManager, home: "SecretsManagerClient", clock: ManualClock
) -> None:
    model.add_secret(HOME, "db")
    replicate(home, WEST, EU)
    model.secret(HOME, "db").replicas[WEST].last_accessed = clock()
    read, never = home.describe_secret(SecretId="db")["ReplicationStatus"]
    assert read["LastAccessedDate"].timestamp() == clock()
    assert "LastAccessedDate" not in never


# PrimaryRegion


@pytest.mark.parametrize("stays", [False, True])
def test_the_primary_region_is_shown_on_both_sides(
    model: StrictSecretsManager, home: "SecretsManagerClient", west: "SecretsManagerClient", *, stays: bool
) -> None:
    model.worlds.primary_region_stays = stays
    model.add_secret(HOME, "db")
    replicate(home, WEST)
    for client in (home, west):
        assert client.describe_secret(SecretId="db")["PrimaryRegion"] == HOME
        assert client.list_secrets()["SecretList"][0]["PrimaryRegion"] == HOME
    home.remove_regions_from_replication(SecretId="db", RemoveReplicaRegions=[WEST])
    assert home.describe_secret(SecretId="db").get("PrimaryRegion") == (HOME if stays else None)


def test_a_promoted_replica_stands_alone(
    model: StrictSecretsManager, home: "SecretsManagerClient", west: "SecretsManagerClient"
) -> None:
    model.add_secret(HOME, "db")
    replicate(home, WEST)
    assert refusal(home.stop_replication_to_replica, SecretId="db")[0] == "InvalidRequestException"
    west.stop_replication_to_replica(SecretId="db")
    assert statuses(home) == {}
    assert "PrimaryRegion" not in west.describe_secret(SecretId="db")
    west.put_secret_value(SecretId="db", SecretString="its own now")
    replicate(home, WEST)
    assert "already exists" in str(message(home, WEST))


@pytest.mark.parametrize(
    ("shows", "listed"), [("nothing", {}), ("failed", {WEST: "Failed"}), ("stale", {WEST: "InSync"})]
)
def test_what_the_old_primary_shows_of_a_promoted_copy_is_a_switch(
    model: StrictSecretsManager,
    home: "SecretsManagerClient",
    west: "SecretsManagerClient",
    shows: Any,
    listed: dict[str, str],
) -> None:
    model.worlds.old_primary_shows = shows
    model.add_secret(HOME, "db")
    replicate(home, WEST)
    west.stop_replication_to_replica(SecretId="db")
    assert statuses(home) == listed
    west.put_secret_value(SecretId="db", SecretString="its own now")
    home.put_secret_value(SecretId="db", SecretString="new at home")
    assert model.secret(WEST, "db").value == "its own now"


@pytest.mark.parametrize("own", [False, True])
def test_whether_a_replica_has_the_version_ids_of_its_primary_is_a_switch(
    model: StrictSecretsManager, home: "SecretsManagerClient", *, own: bool
) -> None:
    model.worlds.own_version_ids = own
    model.add_secret(HOME, "db")
    replicate(home, WEST)
    here, there = model.secret(HOME, "db").versions, model.secret(WEST, "db").versions
    assert (here.keys() == there.keys()) is not own
    assert [version.value for version in there.values()] == ["a value"]


def test_a_region_that_is_switched_off_answers_nothing(
    model: StrictSecretsManager, home: "SecretsManagerClient", west: "SecretsManagerClient"
) -> None:
    model.add_secret(HOME, "db")
    replicate(home, WEST)
    model.switch_off(HOME)
    with pytest.raises(ConnectionClosedError):
        home.describe_secret(SecretId="db")
    assert west.describe_secret(SecretId="db")["PrimaryRegion"] == HOME


# Refusals


@pytest.mark.parametrize(
    "regions",
    [
        pytest.param([WEST, "mars-north-1"], id="an unknown Region"),
        pytest.param([WEST, "eu-west-3"], id="a Region that is not enabled"),
        pytest.param([WEST, WEST], id="a Region twice"),
    ],
)
def test_one_wrong_region_refuses_the_whole_call(
    model: StrictSecretsManager, home: "SecretsManagerClient", regions: list[str]
) -> None:
    model.regions.discard("eu-west-3")
    model.add_secret(HOME, "db")
    assert refusal(partial(replicate, home, *regions))[0] == "InvalidParameterException"
    assert statuses(home) == {}


@pytest.mark.parametrize("status", ["InProgress", "InSync", "Failed"])
def test_replicating_a_region_again_depends_on_the_world(
    clock: ManualClock, repeat: Repeat, status: str
) -> None:
    model = StrictSecretsManager(clock=clock, worlds=Worlds(repeat, seconds_in_progress=60))
    model.set_outcome("db", WEST, Outcome(status, attempts=1))
    model.add_secret(HOME, "db")
    home = attached(model, HOME)
    replicate(home, WEST)
    if status != "InProgress":
        clock.advance(60)
    assert statuses(home) == {WEST: status}
    if repeat == "refused":
        assert refusal(partial(replicate, home, WEST, EU))[0] == "InvalidParameterException"
        assert statuses(home) == {WEST: status}
    else:
        replicate(home, WEST, EU)
        assert statuses(home) == {WEST: "InSync" if status == "InSync" else "InProgress", EU: "InProgress"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"delete_at": 2_000_000_000.0}, "marked for deletion"),
        ({"owning_service": "rds"}, "managed by another service"),
    ],
)
def test_a_secret_that_is_deleted_or_managed_is_not_replicated(
    model: StrictSecretsManager, home: "SecretsManagerClient", fields: dict[str, Any], reason: str
) -> None:
    model.add_secret(HOME, "db", **fields)
    code, text = refusal(partial(replicate, home, WEST))
    assert code == "InvalidRequestException"
    assert reason in text


def test_a_region_that_has_no_replica_cannot_be_removed(
    model: StrictSecretsManager, home: "SecretsManagerClient"
) -> None:
    model.add_secret(HOME, "db")
    refused = refusal(home.remove_regions_from_replication, SecretId="db", RemoveReplicaRegions=[WEST])
    assert refused[0] == "InvalidParameterException"


def test_a_secret_may_have_fifty_tags(home: "SecretsManagerClient") -> None:
    home.create_secret(Name="db", Tags=[{"Key": f"k{n}", "Value": "v"} for n in range(50)])
    one_more = refusal(home.tag_resource, SecretId="db", Tags=[{"Key": "one-more", "Value": "v"}])
    assert one_more[0] == "InvalidParameterException"
    assert refusal(home.create_secret, Name="x", Tags=[{"Key": "aws:a", "Value": "v"}])[0] == one_more[0]


def test_a_partial_arn_that_looks_complete_is_not_found(
    model: StrictSecretsManager, home: "SecretsManagerClient"
) -> None:
    arn = model.add_secret(HOME, "db-abcdef").arn
    assert home.describe_secret(SecretId=arn)["Name"] == "db-abcdef"
    assert refusal(home.describe_secret, SecretId=arn[:-7])[0] == "ResourceNotFoundException"


def test_a_deleted_secret_goes_away_when_its_window_ends(
    model: StrictSecretsManager, home: "SecretsManagerClient", clock: ManualClock
) -> None:
    model.add_secret(HOME, "db")
    home.delete_secret(SecretId="db", RecoveryWindowInDays=7)
    assert refusal(home.create_secret, Name="db", SecretString="x")[0] == "InvalidRequestException"
    clock.advance(7 * DAY)
    assert refusal(home.describe_secret, SecretId="db")[0] == "ResourceNotFoundException"
    assert all_names(home) == []
    home.create_secret(Name="db", SecretString="x")


@pytest.mark.parametrize(
    "params", [{"RecoveryWindowInDays": 6}, {"RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": True}]
)
def test_a_wrong_recovery_window_is_refused(home: "SecretsManagerClient", params: dict[str, Any]) -> None:
    assert refusal(home.delete_secret, SecretId="db", **params)[0] == "InvalidParameterException"


def test_the_same_token_creates_and_puts_once(home: "SecretsManagerClient") -> None:
    token = "0" * 32
    first = home.create_secret(Name="db", SecretString="x", ClientRequestToken=token)
    again = home.create_secret(Name="db", SecretString="x", ClientRequestToken=token)
    assert first["ARN"] == again["ARN"]
    home.put_secret_value(SecretId="db", SecretString="x", ClientRequestToken=token)
    assert [*home.describe_secret(SecretId="db")["VersionIdsToStages"]] == [token]
    another = refusal(home.put_secret_value, SecretId="db", SecretString="y", ClientRequestToken=token)
    assert another[0] == "ResourceExistsException"


def test_staging_labels_move_with_the_value_and_by_hand(home: "SecretsManagerClient") -> None:
    old = home.create_secret(Name="db", SecretString="old")["VersionId"]
    new = home.update_secret(SecretId="db", SecretString="new", Description="changed")["VersionId"]
    assert home.describe_secret(SecretId="db")["VersionIdsToStages"] == {
        old: ["AWSPREVIOUS"],
        new: ["AWSCURRENT"],
    }
    move = partial(home.update_secret_version_stage, SecretId="db", VersionStage="AWSCURRENT")
    assert refusal(move, MoveToVersionId=old)[0] == "InvalidParameterException"
    assert refusal(move, MoveToVersionId="9" * 32)[0] == "ResourceNotFoundException"
    move(MoveToVersionId=old, RemoveFromVersionId=new)
    assert home.describe_secret(SecretId="db")["VersionIdsToStages"] == {
        old: ["AWSCURRENT"],
        new: ["AWSPREVIOUS"],
    }


# Values, records


@pytest.mark.parametrize(
    ("operation", "params"),
    [("get_secret_value", {"SecretId": "db"}), ("batch_get_secret_value", {"SecretIdList": ["db"]})],
)
def test_a_value_is_never_given_and_the_attempt_is_recorded(
    model: StrictSecretsManager, home: "SecretsManagerClient", operation: str, params: dict[str, Any]
) -> None:
    model.add_secret(HOME, "db")
    assert refusal(getattr(home, operation), **params)[0] == "AccessDeniedException"
    assert [call.error for call in model.calls] == ["AccessDeniedException"]


def test_calls_are_recorded_without_values(
    model: StrictSecretsManager, home: "SecretsManagerClient", clock: ManualClock
) -> None:
    arn = home.create_secret(Name="db", SecretString="hush", ClientRequestToken="0" * 32)["ARN"]
    refusal(home.describe_secret, SecretId="nothing")
    home.describe_secret(SecretId=arn)
    home.put_secret_value(SecretId=arn, SecretBinary=b"hush")
    assert model.calls[:3] == [
        Call("CreateSecret", HOME, "db", {"Name": "db", "ClientRequestToken": "0" * 32}, clock()),
        Call(
            "DescribeSecret",
            HOME,
            "nothing",
            {"SecretId": "nothing"},
            clock(),
            "ResourceNotFoundException",
        ),
        Call("DescribeSecret", HOME, "db", {"SecretId": arn}, clock()),
    ]
    assert [*model.calls[3].parameters] == ["SecretId", "ClientRequestToken"]
    assert "hush" not in repr(model.calls)
    assert "hush" not in repr(model.secret(HOME, "db"))
    assert len(model.calls_of("DescribeSecret", "PutSecretValue")) == 3


# Lists


def test_the_list_lags_behind(
    model: StrictSecretsManager, home: "SecretsManagerClient", clock: ManualClock
) -> None:
    model.add_secret(HOME, "db", tags={"a": "1"})
    clock.advance(600)
    model.listing.lag_seconds = 300
    model.add_secret(HOME, "new")
    home.tag_resource(SecretId="db", Tags=[{"Key": "a", "Value": "2"}])
    assert names(home) == ["db"]
    assert names(home, ("tag-value", "2")) == []
    clock.advance(300)
    assert names(home, ("tag-value", "2")) == ["db"]
    home.delete_secret(SecretId="new", ForceDeleteWithoutRecovery=True)
    assert names(home) == ["db", "new"]
    clock.advance(300)
    assert names(home) == ["db"]


def test_a_token_is_refused_when_it_is_unknown_or_expired(
    model: StrictSecretsManager, home: "SecretsManagerClient", clock: ManualClock
) -> None:
    for name in ("a", "b"):
        model.add_secret(HOME, name)
        clock.advance(1)
    model.listing.token_seconds = 60
    token = home.list_secrets(MaxResults=1)["NextToken"]
    for _ in range(2):  # a token may be used again
        (rest,) = home.list_secrets(NextToken=token)["SecretList"]
        assert rest["Name"] == "b"
    clock.advance(61)
    assert refusal(home.list_secrets, NextToken=token)[0] == "InvalidNextTokenException"
    assert refusal(home.list_secrets, NextToken="made up")[0] == "InvalidNextTokenException"
    token = home.list_secrets(MaxResults=1)["NextToken"]
    model.listing.expire_tokens()
    assert refusal(home.list_secrets, NextToken=token)[0] == "InvalidNextTokenException"


def test_a_page_may_be_short_or_empty_though_more_follow(
    model: StrictSecretsManager, home: "SecretsManagerClient", clock: ManualClock
) -> None:
    for number in range(6):
        model.add_secret(HOME, f"s{number}", tags={"replicate-to": "all"} if number > 3 else {})
        clock.advance(1)
    model.listing.short_pages = True
    pages = home.get_paginator("list_secrets").paginate(
        Filters=[{"Key": "tag-key", "Values": ["replicate-to"]}], PaginationConfig={"PageSize": 2}
    )
    assert [[entry["Name"] for entry in page["SecretList"]] for page in pages] == [[], [], ["s4", "s5"]]


def test_how_many_secrets_a_page_has_is_a_switch(
    model: StrictSecretsManager, home: "SecretsManagerClient"
) -> None:
    for number in range(5):
        model.add_secret(HOME, f"s{number}")
    model.worlds.secrets_on_a_page = 2
    pages = home.get_paginator("list_secrets").paginate(PaginationConfig={"PageSize": 100})
    assert [len(page["SecretList"]) for page in pages] == [2, 2, 1]


def test_a_list_shows_what_two_regions_are_compared_by(
    model: StrictSecretsManager,
    home: "SecretsManagerClient",
    west: "SecretsManagerClient",
    clock: ManualClock,
) -> None:
    model.add_secret(HOME, "db")
    replicate(home, WEST)
    clock.advance(60)
    version = home.put_secret_value(SecretId="db", SecretString="new")["VersionId"]
    (here,), (there,) = home.list_secrets()["SecretList"], west.list_secrets()["SecretList"]
    assert here["SecretVersionsToStages"] == there["SecretVersionsToStages"]
    assert here["SecretVersionsToStages"][version] == ["AWSCURRENT"]
    assert here["LastChangedDate"].timestamp() == there["LastChangedDate"].timestamp() == clock()
    assert here["PrimaryRegion"] == there["PrimaryRegion"] == HOME
    assert "ReplicationStatus" not in here


def test_a_list_is_filtered_by_name_owner_and_primary(
    model: StrictSecretsManager, home: "SecretsManagerClient", west: "SecretsManagerClient"
) -> None:
    model.add_secret(HOME, "db")
    model.add_secret(HOME, "rds!1", owning_service="rds")
    replicate(home, WEST)
    assert names(home, ("owning-service", "rds")) == names(home, ("name", "rds")) == ["rds!1"]
    assert names(home, ("owning-service", "!rds")) == ["db"]
    assert names(west, ("primary-region", HOME)) == ["db"]
    refused = refusal(home.list_secrets, Filters=[{"Key": "all", "Values": ["db"]}])
    assert refused[0] == "NotInTheModel"


# Faults, throttling, eventual consistency


def test_writes_of_a_region_share_one_budget(
    model: StrictSecretsManager,
    home: "SecretsManagerClient",
    west: "SecretsManagerClient",
    clock: ManualClock,
) -> None:
    model.writes_per_second = 2
    for region in (HOME, WEST):
        model.add_secret(region, "db")
    home.put_secret_value(SecretId="db", SecretString="x")
    replicate(home, EU)
    assert refusal(partial(replicate, home, EU)) == ("ThrottlingException", "Rate exceeded")
    west.put_secret_value(SecretId="db", SecretString="x")
    home.tag_resource(SecretId="db", Tags=[{"Key": "a", "Value": "1"}])
    home.describe_secret(SecretId="db")
    clock.advance(0.5)
    home.remove_regions_from_replication(SecretId="db", RemoveReplicaRegions=[EU])
    assert refusal(home.update_secret, SecretId="db", Description="x")[0] == "ThrottlingException"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (THROTTLED, "ThrottlingException"),
        (SERVER_ERROR, "InternalServiceError"),
        (ACCESS_DENIED, "AccessDeniedException"),
        (Fault("SomethingNewException"), "SomethingNewException"),
    ],
)
def test_a_scripted_error_is_answered_once_and_has_no_effect(
    model: StrictSecretsManager, home: "SecretsManagerClient", fault: Fault, code: str
) -> None:
    model.add_secret(HOME, "db")
    model.fail_next("ReplicateSecretToRegions", None, fault)
    replicate(home, WEST)
    assert refusal(partial(replicate, home, EU))[0] == code
    assert statuses(home) == {WEST: "InSync"}
    replicate(home, EU)
    assert [call.error for call in model.calls_of("ReplicateSecretToRegions")] == [None, code, None]


def test_a_server_error_may_come_after_the_effect(
    model: StrictSecretsManager, home: "SecretsManagerClient"
) -> None:
    model.add_secret(HOME, "db")
    model.fail_next("ReplicateSecretToRegions", SERVER_ERROR_AFTER_EFFECT)
    assert refusal(partial(replicate, home, WEST))[0] == "InternalServiceError"
    assert statuses(home) == {WEST: "InSync"}


@pytest.mark.parametrize("over_http", [False, True])
@pytest.mark.parametrize(
    ("fault", "replicas"), [(CUT_BEFORE_EFFECT, {}), (CUT_AFTER_EFFECT, {WEST: "InSync"})]
)
def test_a_connection_is_cut_before_or_after_the_effect(
    model: StrictSecretsManager, fault: Fault, replicas: dict[str, str], *, over_http: bool
) -> None:
    model.add_secret(HOME, "db")
    model.fail_next("ReplicateSecretToRegions", fault)
    with model.serve() as endpoint_url:
        client = client_in(HOME, endpoint_url) if over_http else attached(model, HOME)
        with pytest.raises(ConnectionClosedError):
            replicate(client, WEST)
        assert statuses(client) == replicas
        client.close()
    assert model.calls[0].error == "ConnectionCut"


def test_a_hook_decides_about_every_call_and_is_repeatable(clock: ManualClock) -> None:
    def half(call: Call, random: "Random") -> Fault | None:
        return THROTTLED if call.secret == "db" and random.random() < 0.5 else None

    def run() -> list[str | None]:
        model = StrictSecretsManager(clock=clock)
        model.add_secret(HOME, "db")
        model.faults = half
        client = attached(model, HOME)
        for _ in range(20):
            try:
                client.describe_secret(SecretId="db")
            except ClientError:
                continue
        return [call.error for call in model.calls]

    assert run() == run()
    assert set(run()) == {None, "ThrottlingException"}


def test_a_slow_answer_takes_its_time_after_the_effect(
    model: StrictSecretsManager, home: "SecretsManagerClient", clock: ManualClock
) -> None:
    model.add_secret(HOME, "db")
    model.fail_next("ReplicateSecretToRegions", Fault(delay_seconds=30))
    before = clock()
    replicate(home, WEST)
    assert clock() == before + 30


def test_a_client_that_does_not_wait_misses_the_answer_but_not_the_effect() -> None:
    model = StrictSecretsManager()
    model.add_secret(HOME, "db")
    model.fail_next("ReplicateSecretToRegions", Fault(delay_seconds=1.2))
    with model.serve() as endpoint_url:
        client = client_in(HOME, endpoint_url, read_seconds=1)
        with pytest.raises(ReadTimeoutError):
            replicate(client, WEST)
        assert statuses(client) == {WEST: "InSync"}
        client.close()


def test_a_new_secret_is_not_found_for_a_while(
    model: StrictSecretsManager, home: "SecretsManagerClient", clock: ManualClock
) -> None:
    model.seconds_until_visible = 5
    home.create_secret(Name="db", SecretString="x")
    assert refusal(home.describe_secret, SecretId="db")[0] == "ResourceNotFoundException"
    clock.advance(5)
    assert home.describe_secret(SecretId="db")["Name"] == "db"


# Transport


def test_the_region_comes_from_the_signature() -> None:
    model = StrictSecretsManager()
    with model.serve() as endpoint_url:
        for region in (HOME, WEST):
            client = client_in(region, endpoint_url)
            client.create_secret(Name=region, SecretString="x")
            client.close()
    assert (model.names(HOME), model.names(WEST)) == ([HOME], [WEST])


def test_many_threads_write_at_once() -> None:
    model = StrictSecretsManager()
    model.add_secret(HOME, "db")
    with model.serve() as endpoint_url, ThreadPoolExecutor(8) as pool:
        client = client_in(HOME, endpoint_url)

        def tag(number: int) -> None:
            client.tag_resource(SecretId="db", Tags=[{"Key": f"k{number}", "Value": "v"}])

        list(pool.map(tag, range(40)))
        client.close()
    assert len(model.secret(HOME, "db").tags) == len(model.calls) == 40


def test_an_operation_the_model_does_not_know_is_an_error(home: "SecretsManagerClient") -> None:
    assert refusal(home.get_random_password)[0] == "UnknownOperationException"
