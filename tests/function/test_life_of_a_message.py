"""A message leaves the queue only when its secret is converged, skipped, or in the dead-letter queue."""

import json
import math
import random
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.config import Config

from local.secrets_manager.model import (
    ACCESS_DENIED,
    CUT_AFTER_EFFECT,
    CUT_BEFORE_EFFECT,
    SERVER_ERROR,
    SERVER_ERROR_AFTER_EFFECT,
    THROTTLED,
    Call,
    Fault,
    Outcome,
)
from local.secrets_manager.service import StrictSecretsManager
from secret_replicator.errors import TransientError
from secret_replicator.gateway import Gateway
from secret_replicator.reconciler import NOT_FOUND_ATTEMPTS
from tests.support.world import FUNCTION_SECONDS, HOME, Lines, World

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

HOUR = 3600
EVENTS = Path(__file__).parents[2] / "events"


def test_a_new_secret_is_requested_and_stays_until_it_is_in_sync(world: World) -> None:
    world.secrets.worlds.seconds_in_progress = 30
    world.add("orders/db", to="eu-west-1 us-west-2")
    world.send("orders/db")
    world.deliver()
    assert world.status("orders/db") == {"eu-west-1": "InProgress", "us-west-2": "InProgress"}
    assert world.queues.messages, "a message whose replicas are InProgress was deleted"
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync", "us-west-2": "InSync"}
    assert not world.queues.dead_letters


def test_all_missing_regions_go_in_one_call_with_an_explicit_refusal_to_overwrite(world: World) -> None:
    world.converge("orders/db", "eu-west-1 us-west-2")
    (call,) = world.calls("ReplicateSecretToRegions")
    assert call.parameters["AddReplicaRegions"] == [{"Region": "eu-west-1"}, {"Region": "us-west-2"}]
    assert call.parameters["ForceOverwriteReplicaSecret"] is False


def test_a_new_secret_costs_four_calls_after_a_pause_and_a_converged_one_a_single_one(world: World) -> None:
    world.converge("orders/db", "eu-west-1")
    operations = [call.operation for call in world.secrets.calls]
    assert operations == ["DescribeSecret", "DescribeSecret", "ReplicateSecretToRegions", "DescribeSecret"]
    world.send("orders/db")
    world.deliver_until_empty()
    assert len(world.secrets.calls) == 5


def test_the_kms_key_of_a_region_is_sent(world: World) -> None:
    world.secrets.set_key("us-west-2", "alias/payments")
    world.add("orders/db", to="dr", team="payments")
    world.send("orders/db")
    world.deliver_until_empty()
    (call,) = world.calls("ReplicateSecretToRegions")
    assert call.parameters["AddReplicaRegions"] == [{"Region": "us-west-2", "KmsKeyId": "alias/payments"}]


@pytest.mark.parametrize(
    ("tags", "fields"),
    [
        pytest.param({}, {}, id="nothing selects it"),
        pytest.param({"replicate-to": "none"}, {}, id="its tag says none"),
        pytest.param({"replicate-to": "eu-west-1"}, {"delete_at": 4e9}, id="it is scheduled for deletion"),
        pytest.param(
            {"environment": "prod", "criticality": "high"},
            {"owning_service": "rds"},
            id="a rule selects it, but it belongs to a service",
        ),
    ],
)
def test_a_secret_is_left_alone_when(world: World, tags: dict[str, str], fields: dict[str, object]) -> None:
    world.secrets.add_secret(HOME, "orders/db", tags=tags, **fields)
    world.send("orders/db")
    world.deliver_until_empty()
    assert [call.operation for call in world.secrets.calls] == ["DescribeSecret"]
    assert not world.queues.dead_letters


def test_a_replica_is_left_alone_though_it_carries_the_tag(world: World) -> None:
    client = world.app.reconciler.gateway.client
    world.secrets.add_secret("eu-west-1", "orders/db", tags={"replicate-to": "us-west-2"})
    world.secrets.handle(
        "ReplicateSecretToRegions",
        "eu-west-1",
        {"SecretId": "orders/db", "AddReplicaRegions": [{"Region": HOME}]},
    )
    assert client.describe_secret(SecretId="orders/db")["PrimaryRegion"] == "eu-west-1"
    world.send("orders/db")
    world.deliver_until_empty()
    assert not [call for call in world.calls("ReplicateSecretToRegions") if call.region == HOME]
    assert not world.queues.dead_letters


def test_aws_is_asked_for_a_secret_that_a_service_owns_if_its_own_tag_asks(world: World) -> None:
    """AWS says that the service might restrict it: only AWS's answer is true."""
    world.secrets.add_secret(HOME, "orders", tags={"replicate-to": "dr"}, owning_service="rds")
    world.send("orders")
    world.deliver_until_empty()
    dead_letter = world.only_dead_letter()
    assert (dead_letter["ErrorType"], dead_letter["FailedRegions"]) == ("Refused", "us-west-2")
    assert "The secret is managed by another service" in dead_letter["ErrorMessage"]


@pytest.mark.parametrize(
    "arn",
    [
        pytest.param("arn:aws:secretsmanager:us-east-1:999999999999:secret:orders/db-AbCdEf", id="account"),
        pytest.param(
            "arn:aws-cn:secretsmanager:us-east-1:123456789012:secret:orders/db-AbCdEf", id="partition"
        ),
    ],
)
def test_a_secret_of_another_account_is_skipped_without_a_call(
    world: World, log_lines: Lines, arn: str
) -> None:
    """Events of an organisation's other accounts may stand on this bus: a dead letter would only mislead."""
    world.send(arn)
    world.deliver()
    assert (log_lines()[0]["outcome"], log_lines()[0]["reason"]) == ("skipped", "another_account")
    assert not world.secrets.calls
    assert not world.queues.dead_letters
    assert not world.queues.messages


def test_a_replica_of_another_accounts_primary_is_a_replica() -> None:
    """DescribeSecret shows CrossAccountPrimary, which not every model of botocore knows."""
    answer = {"ARN": "arn", "Name": "db", "CrossAccountPrimary": {"Arn": "arn of the primary"}}
    client = cast("SecretsManagerClient", SimpleNamespace(describe_secret=lambda **_: answer))
    assert Gateway(client).describe("db", math.inf).cross_account_replica


def test_a_wrong_region_is_named_after_the_good_ones_are_in_sync(world: World) -> None:
    world.secrets.worlds.seconds_in_progress = 5
    arn = world.add("orders/db", to="eu-west-1 eu-wst-1").arn
    world.send("orders/db")
    world.deliver()
    assert not world.queues.dead_letters, "the good Region was not followed to InSync"
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}
    dead_letter = world.only_dead_letter()
    assert dead_letter["ErrorType"] == "RegionProblem"
    assert dead_letter["SecretArn"] == arn
    assert dead_letter["FailedRegions"] == "eu-wst-1"
    assert dead_letter["ErrorMessage"].startswith(f"{arn} - tag replicate-to asks for eu-wst-1")
    assert dead_letter["Attempts"] == "2"
    assert datetime.fromisoformat(dead_letter["FirstReceived"]).timestamp() <= world.clock()
    assert json.loads(world.queues.dead_letters[0].body) == {"secret_id": "orders/db"}


def test_a_region_that_aws_refuses_does_not_stop_the_others(world: World) -> None:
    world.secrets.regions -= {"us-west-2"}
    world.converge("orders/db", "eu-west-1 us-west-2")
    assert world.status("orders/db") == {"eu-west-1": "InSync"}
    dead_letter = world.only_dead_letter()
    assert dead_letter["ErrorType"] == "Refused"
    assert dead_letter["FailedRegions"] == "us-west-2"
    assert "Invalid replica region." in dead_letter["ErrorMessage"]


def test_a_refusal_counts_only_when_it_is_seen_twice(world: World) -> None:
    world.secrets.regions -= {"us-west-2"}
    world.add("orders/db", to="us-west-2")
    world.send("orders/db")
    world.deliver()
    assert not world.queues.dead_letters
    world.secrets.regions |= {"us-west-2"}
    world.deliver_until_empty()
    assert world.status("orders/db") == {"us-west-2": "InSync"}
    assert not world.queues.dead_letters


def test_two_events_for_one_secret_at_the_same_moment_make_no_dead_letter(world: World) -> None:
    world.secrets.worlds.seconds_in_progress = 25
    world.add("orders/db", to="eu-west-1 us-west-2")
    world.send("orders/db")
    world.send("orders/db")
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync", "us-west-2": "InSync"}
    assert not world.queues.dead_letters


def test_a_call_that_crosses_another_one_late_in_its_life_makes_no_dead_letter(world: World) -> None:
    world.secrets.worlds.seconds_in_progress = 25
    world.add("orders/db", to="eu-west-1")
    world.secrets.fail_next("DescribeSecret", THROTTLED, THROTTLED, THROTTLED)
    world.send("orders/db")
    for _ in range(3):
        world.deliver()
        world.clock.advance(HOUR)
    refusal = Fault("InvalidParameterException", "under way", after_effect=True)
    world.secrets.fail_next("ReplicateSecretToRegions", refusal)
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}
    assert not world.queues.dead_letters


def test_a_failed_region_is_tried_again_until_it_heals(world: World) -> None:
    message = "KMS key is still being created"
    world.secrets.set_outcome("orders/db", "eu-west-1", Outcome("Failed", message, attempts=1))
    world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    world.deliver()
    world.clock.advance(HOUR)
    world.deliver()
    assert world.queues.messages, "a Failed Region was taken for an end"
    if world.secrets.worlds.repeat == "refused":
        # There, only a new value or the removal of the Region starts it again.
        world.secrets.handle("PutSecretValue", HOME, {"SecretId": "orders/db", "SecretString": "new"})
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}
    assert not world.queues.dead_letters


def test_a_region_that_stays_failed_ends_with_what_aws_says(world: World) -> None:
    world.add("orders/db", to="eu-west-1")
    world.secrets.add_secret("eu-west-1", "orders/db")
    world.send("orders/db")
    world.deliver_until_empty()
    dead_letter = world.only_dead_letter()
    assert dead_letter["ErrorType"] == "AttemptsUsedUp"
    assert dead_letter["Attempts"] == "10"
    assert dead_letter["FailedRegions"] == "eu-west-1"
    assert "Secret with this name already exists in this region" in dead_letter["ErrorMessage"]
    assert "redrive" in dead_letter["ErrorMessage"]


def test_what_aws_says_of_a_failed_region_is_reported_though_the_last_try_met_a_fault(world: World) -> None:
    world.secrets.set_outcome("orders/db", "eu-west-1", Outcome("Failed", "the key is disabled"))
    secret = world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    world.deliver()
    world.secrets.fail_next("ReplicateSecretToRegions", *[THROTTLED] * 9)
    secret.tags["replicate-to"] = "eu-west-1 us-west-2"
    world.deliver_until_empty()
    dead_letter = world.only_dead_letter()
    assert (
        "ReplicateSecretToRegions failed (ThrottlingException: Rate exceeded)" in dead_letter["ErrorMessage"]
    )
    assert "eu-west-1 is Failed (the key is disabled)" in dead_letter["ErrorMessage"]
    assert dead_letter["FailedRegions"] == "eu-west-1,us-west-2"


def test_a_region_that_never_ends_is_dead_lettered_as_in_progress(world: World) -> None:
    world.secrets.worlds.seconds_in_progress = 99 * HOUR
    world.converge("orders/db", "eu-west-1")
    assert "eu-west-1 is InProgress" in world.only_dead_letter()["ErrorMessage"]


def test_a_status_that_nobody_knows_is_waited_for(world: World) -> None:
    world.secrets.set_outcome("orders/db", "eu-west-1", Outcome("Pending"))
    world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    world.deliver()
    world.clock.advance(HOUR)
    world.deliver()
    assert world.queues.messages
    assert len(world.calls("ReplicateSecretToRegions")) == 1


def test_an_event_that_comes_before_the_secret_is_visible_waits_for_it(world: World) -> None:
    world.secrets.seconds_until_visible = 12
    world.secrets.handle(
        "CreateSecret", HOME, {"Name": "orders/db", "Tags": [{"Key": "replicate-to", "Value": "eu-west-1"}]}
    )
    world.send("orders/db")
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}


def test_a_secret_that_is_gone_is_checked_three_times_and_skipped(world: World) -> None:
    world.send("never/was")
    world.deliver_until_empty()
    assert len(world.calls("DescribeSecret")) == 3
    assert not world.queues.dead_letters


def test_a_secret_is_not_taken_for_deleted_because_its_message_came_often_in_a_short_time(
    world: World,
) -> None:
    world.secrets.seconds_until_visible = 12
    world.secrets.handle(
        "CreateSecret", HOME, {"Name": "orders/db", "Tags": [{"Key": "replicate-to", "Value": "eu-west-1"}]}
    )
    world.send("orders/db")
    for _ in range(4):
        world.deliver(seconds=5)
        world.only_message().visible_at = world.clock()  # as if SQS had shown it again at once
    assert world.deliver() == 1
    assert world.only_message().receives > NOT_FOUND_ATTEMPTS
    assert world.calls("DescribeSecret"), "it was looked for this time"
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(THROTTLED, id="throttled"),
        pytest.param(SERVER_ERROR, id="500 before the effect"),
        pytest.param(SERVER_ERROR_AFTER_EFFECT, id="500 after the effect"),
        pytest.param(CUT_BEFORE_EFFECT, id="connection cut before the effect"),
        pytest.param(CUT_AFTER_EFFECT, id="connection cut after the effect"),
        pytest.param(Fault("NobodyKnowsThisException", "?"), id="unknown code"),
    ],
)
@pytest.mark.parametrize("operation", ["DescribeSecret", "ReplicateSecretToRegions"])
def test_a_passing_fault_is_tried_again(world: World, operation: str, fault: Fault) -> None:
    world.add("orders/db", to="eu-west-1")
    world.secrets.fail_next(operation, fault, fault)
    world.send("orders/db")
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}
    assert not world.queues.dead_letters


def test_an_answer_that_does_not_come_in_time_is_a_passing_fault() -> None:
    given_up = threading.Event()
    secrets = StrictSecretsManager(sleep=lambda _seconds: given_up.wait(30) and None)
    secrets.add_secret(HOME, "orders/db")
    secrets.fail_next("DescribeSecret", Fault(delay_seconds=1))
    config = Config(read_timeout=0.1, retries={"total_max_attempts": 1})
    with secrets.serve() as endpoint_url:
        client = boto3.client("secretsmanager", region_name=HOME, endpoint_url=endpoint_url, config=config)
        gateway = Gateway(client)
        with pytest.raises(TransientError, match="ReadTimeoutError"):
            gateway.describe("orders/db", math.inf)
        given_up.set()
        client.close()


def test_access_denied_is_permanent_and_names_the_action_and_the_secret(world: World) -> None:
    arn = world.add("orders/db", to="eu-west-1").arn
    world.secrets.fail_next("ReplicateSecretToRegions", ACCESS_DENIED, ACCESS_DENIED)
    world.send("orders/db")
    world.deliver_until_empty()
    dead_letter = world.only_dead_letter()
    assert (dead_letter["ErrorType"], dead_letter["Attempts"]) == ("AccessDenied", "2")
    assert "secretsmanager:ReplicateSecretToRegions" in dead_letter["ErrorMessage"]
    assert arn in dead_letter["ErrorMessage"]
    assert not world.queues.messages


def test_access_denied_counts_only_when_it_is_seen_twice(world: World) -> None:
    """IAM needs seconds to know what a deployment has just allowed."""
    world.add("orders/db", to="eu-west-1")
    world.secrets.fail_next("ReplicateSecretToRegions", ACCESS_DENIED)
    world.send("orders/db")
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}
    assert not world.queues.dead_letters


def described_by_others_alone(call: Call, _random: object) -> Fault | None:
    return ACCESS_DENIED if call.operation == "DescribeSecret" else None


@pytest.mark.parametrize("by", ["name", "arn"])
def test_a_secret_that_nothing_selects_may_deny_to_be_described(world: World, by: str) -> None:
    """Its own policy lets nobody else in: each rotation of it would be a dead letter at night."""
    world.secrets.faults = described_by_others_alone
    world.send(getattr(world.add("private"), by))
    world.deliver()
    assert not world.queues.messages
    assert not world.queues.dead_letters


@pytest.mark.parametrize("listed", [True, False])
def test_one_that_is_selected_or_not_listed_may_not(world: World, *, listed: bool) -> None:
    world.secrets.faults = described_by_others_alone
    world.add("private/db", to="eu-west-1")
    world.send("private/db" if listed else "private")
    world.deliver_until_empty()
    assert world.only_dead_letter()["ErrorType"] == "AccessDenied"


KEY_REFUSALS = [
    Fault("AccessDeniedException", "Access to KMS is not allowed"),
    Fault("InvalidRequestException", "The KMS key arn:aws:kms:us-east-1:111122223333:key/1 is disabled."),
    Fault("InvalidParameterException", "KMS key alias/payments is pending deletion."),
    Fault("EncryptionFailure", "The key does not exist."),
]


@pytest.mark.parametrize("refusal", KEY_REFUSALS, ids=lambda fault: fault.message)
def test_a_key_that_is_refused_is_waited_for_until_the_attempts_are_used_up(
    world: World, refusal: Fault
) -> None:
    world.add("orders/db", to="eu-west-1")
    world.secrets.faults = lambda call, _: refusal if call.operation.startswith("Replicate") else None
    world.send("orders/db")
    world.deliver_until_empty()
    dead_letter = world.only_dead_letter()
    assert (dead_letter["ErrorType"], dead_letter["Attempts"]) == ("AttemptsUsedUp", "10")
    assert refusal.message in dead_letter["ErrorMessage"]
    assert "the key's own policy" in dead_letter["ErrorMessage"]
    assert "KmsKeyArns" in dead_letter["ErrorMessage"]


def test_a_key_that_is_refused_in_one_region_does_not_stop_the_others(world: World) -> None:
    def refuse(call: Call, _random: random.Random) -> Fault | None:
        asked = call.parameters.get("AddReplicaRegions", [])
        return KEY_REFUSALS[0] if {"Region": "us-west-2"} in asked else None

    world.secrets.faults = refuse
    world.add("orders/db", to="eu-west-1 us-west-2")
    world.send("orders/db")
    world.deliver()
    world.clock.advance(60)
    world.deliver()
    world.secrets.faults = None
    assert world.status("orders/db") == {"eu-west-1": "InSync"}
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync", "us-west-2": "InSync"}
    assert not world.queues.dead_letters


@pytest.mark.parametrize("name", ["kms/orders", "KMS/orders", "orders-KMS"])
def test_a_secret_that_is_named_as_kms_is_no_key(world: World, name: str) -> None:
    arn = world.add(name, to="eu-west-1").arn
    denied = Fault("AccessDeniedException", f"not authorized to replicate resource: {arn}")
    world.secrets.fail_next("ReplicateSecretToRegions", denied, denied)
    world.send(name)
    world.deliver_until_empty()
    assert world.only_dead_letter()["ErrorType"] == "AccessDenied"


def test_a_denied_region_does_not_stop_the_others(world: World) -> None:
    def deny(call: Call, _random: random.Random) -> Fault | None:
        asked = call.parameters.get("AddReplicaRegions", [])
        return ACCESS_DENIED if {"Region": "us-west-2"} in asked else None

    world.secrets.faults = deny
    world.add("orders/db", to="eu-west-1 us-west-2")
    world.send("orders/db")
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}
    dead_letter = world.only_dead_letter()
    assert (dead_letter["ErrorType"], dead_letter["FailedRegions"]) == ("AccessDenied", "us-west-2")


def test_a_dead_letter_after_many_faults_names_secret_and_regions_and_what_to_do(world: World) -> None:
    arn = world.add("orders/db", to="eu-west-1 us-west-2").arn
    world.secrets.fail_next("ReplicateSecretToRegions", *[THROTTLED] * 10)
    world.send("orders/db")
    world.deliver_until_empty()
    dead_letter = world.only_dead_letter()
    assert (dead_letter["SecretArn"], dead_letter["FailedRegions"]) == (arn, "eu-west-1,us-west-2")
    assert dead_letter["ErrorMessage"].endswith(" - redrive it when AWS answers again")


def test_receives_that_were_no_attempts_do_not_cost_a_secret_its_chance(world: World) -> None:
    world.secrets.worlds.seconds_in_progress = 30
    world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    for _ in range(9):
        world.deliver(seconds=5)
    world.deliver()
    assert not world.queues.dead_letters, "a secret was given up at its first look"
    world.clock.advance(HOUR)
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}
    assert not world.queues.dead_letters


def test_a_refused_region_does_not_keep_a_failed_one_beyond_its_attempts(world: World) -> None:
    world.secrets.regions -= {"us-west-2"}
    world.secrets.set_outcome("orders/db", "eu-west-1", Outcome("Failed", "no luck"))
    world.add("orders/db", to="eu-west-1 us-west-2")
    world.send("orders/db")
    world.deliver_until_empty()
    dead_letter = world.only_dead_letter()
    assert (dead_letter["Attempts"], dead_letter["FailedRegions"]) == ("10", "eu-west-1,us-west-2")
    assert "no luck" in dead_letter["ErrorMessage"]


def test_a_secret_that_is_deleted_in_the_middle_of_an_attempt_is_skipped(world: World) -> None:
    secret = world.add("orders/db", to="eu-west-1")
    world.secrets.fail_next("DescribeSecret", THROTTLED)
    world.send("orders/db")
    world.deliver()
    world.clock.advance(HOUR)

    def delete(call: Call, _random: random.Random) -> None:
        if call.operation == "ReplicateSecretToRegions":
            secret.delete_at = 4e9

    world.secrets.faults = delete
    world.deliver_until_empty()
    assert not world.queues.dead_letters


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("orders/db, please", id="not JSON"),
        pytest.param('{"detail-type": "Scheduled Event"}', id="another event"),
        pytest.param('{"secret_id": 7}', id="a wrong type"),
    ],
)
def test_a_malformed_message_is_dead_lettered_at_once_as_it_was(world: World, body: str) -> None:
    world.queues.send(body)
    world.deliver()
    assert world.queues.dead_letters[0].body == body
    dead_letter = world.only_dead_letter()
    assert dead_letter["ErrorType"] == "MalformedMessage"
    assert dead_letter["SecretArn"] == "unknown"
    assert dead_letter["FailedRegions"] == "none"
    assert not world.queues.messages


def test_a_secret_that_aws_twice_refuses_to_describe_is_dead_lettered(world: World) -> None:
    refusal = Fault("InvalidParameterException", "Invalid name.")
    world.secrets.fail_next("DescribeSecret", refusal, refusal)
    world.send("orders/db")
    world.deliver_until_empty()
    assert world.only_dead_letter()["ErrorType"] == "Refused"


def test_a_message_whose_dead_letter_cannot_be_written_stays(world: World) -> None:
    world.queues.failing = {"SendMessage"}
    world.queues.send("not JSON")
    world.deliver()
    assert world.queues.messages, "a message was deleted without its dead letter"
    world.queues.failing = set()
    world.deliver_until_empty()
    assert len(world.queues.dead_letters) == 1


def test_dead_letters_of_a_batch_are_written_at_the_same_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, ten slow answers of SQS would take longer than the function has."""
    together = threading.Barrier(10, timeout=30)
    send = world.queues.send_message

    def slowly(**sent: Any) -> dict[str, Any]:
        together.wait()
        return send(**sent)

    monkeypatch.setattr(world.queues, "send_message", slowly)
    for number in range(10):
        world.queues.send(f"no secret {number}")
    world.deliver()
    assert len(world.queues.dead_letters) == 10
    assert not world.queues.messages


def test_a_dead_letter_for_which_there_is_no_time_is_put_off(world: World) -> None:
    """A function that is stopped in between would write it again when the message comes back."""
    world.queues.send("no secret")
    world.deliver(seconds=-1)
    assert not world.queues.dead_letters
    assert world.queues.messages
    world.deliver_until_empty()
    assert len(world.queues.dead_letters) == 1


def test_a_message_whose_delay_cannot_be_set_comes_back_after_the_queues_own(world: World) -> None:
    world.queues.failing = {"ChangeMessageVisibilityBatch"}
    world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    world.deliver()
    message = world.only_message()
    assert message.visible_at == message.first_received_at + 360


def test_the_delay_grows_from_ten_seconds_to_fifteen_minutes(world: World) -> None:
    world.secrets.faults = lambda _call, _random: THROTTLED
    random.seed(7)
    world.send("orders/db")
    for expected in (10, 20, 40, 80, 160, 320, 640, 900, 900):
        world.deliver()
        delay = world.only_message().visible_at - world.clock()
        assert expected * 0.8 - 1 <= delay <= expected * 1.2 + 1
        world.clock.advance(delay)
    world.deliver()
    assert world.only_dead_letter()["ErrorType"] == "AttemptsUsedUp"


def test_when_time_runs_short_what_has_not_begun_goes_back_at_once(world: World) -> None:
    world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    world.deliver(seconds=5)
    assert world.only_message().visible_at == world.clock()
    assert not world.secrets.calls


def test_a_message_that_was_never_begun_is_not_dead_lettered_however_often(world: World) -> None:
    world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    for _ in range(15):
        world.deliver(seconds=5)
    assert not world.queues.dead_letters
    assert world.queues.messages


def test_one_message_of_a_batch_does_not_harm_another(world: World) -> None:
    world.add("good", to="eu-west-1")
    world.queues.send("not JSON")
    world.send("good")
    world.send("never/was")
    assert world.deliver() == 3
    assert [message.body for message in world.queues.messages] == [
        '{"secret_id": "good"}',
        '{"secret_id": "never/was"}',
    ]


def test_a_message_that_comes_twice_or_a_day_late_does_no_harm(world: World) -> None:
    world.converge("orders/db", "eu-west-1")
    world.clock.advance(24 * HOUR)
    world.send("orders/db")
    world.deliver_until_empty()
    assert len(world.calls("ReplicateSecretToRegions")) == 1


def test_a_secret_that_is_deleted_while_it_waits_is_skipped(world: World) -> None:
    world.secrets.worlds.seconds_in_progress = 99 * HOUR
    secret = world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    world.deliver()
    secret.delete_at = world.clock()
    world.deliver_until_empty()
    assert not world.queues.dead_letters


def test_a_tag_that_is_taken_back_while_it_waits_is_no_longer_followed(world: World) -> None:
    world.secrets.worlds.seconds_in_progress = 99 * HOUR
    secret = world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    world.deliver()
    secret.tags.clear()
    world.deliver_until_empty()
    assert not world.queues.dead_letters
    assert not world.calls("RemoveRegionsFromReplication")


def test_a_tag_that_is_changed_while_it_waits_is_followed_to_its_new_region(world: World) -> None:
    world.secrets.worlds.seconds_in_progress = 30
    secret = world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    world.deliver()
    secret.tags["replicate-to"] = "us-west-2"
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync", "us-west-2": "InSync"}
    assert not world.calls("RemoveRegionsFromReplication")
    assert not world.queues.dead_letters


def test_no_value_is_ever_asked_for(world: World) -> None:
    world.add("orders/db", to="eu-west-1 eu-wst-1")
    world.send("orders/db")
    world.queues.send('{"sweep": {}}')
    world.deliver_until_empty()
    assert not world.calls("GetSecretValue")
    assert not world.calls("BatchGetSecretValue")


def replication_failed(world: World, name: str, seconds_ago: float = 0) -> str:
    event = json.loads((EVENTS / "replication-failed.json").read_text())
    event["detail"]["additionalEventData"] = {"SecretId": world.secrets.secret(HOME, name).arn}
    event["time"] = datetime.fromtimestamp(world.clock() - seconds_ago, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps(event)


def another_instance(world: World) -> World:
    """Return this world with a function instance that has seen nothing yet."""
    return world.having()


def given_up(world: World) -> int:
    """Let a secret fail for good; return how many calls it took."""
    world.secrets.set_outcome("orders/db", "eu-west-1", Outcome("Failed", "no luck"))
    world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    world.deliver_until_empty()
    assert len(world.queues.dead_letters) == 1
    return len(world.calls("ReplicateSecretToRegions"))


def test_that_a_replication_failed_is_only_checked_for_our_own_call_may_have_failed(world: World) -> None:
    calls = given_up(world)
    other = another_instance(world)
    other.queues.send(replication_failed(world, "orders/db"))
    other.deliver_until_empty()
    assert len(world.calls("ReplicateSecretToRegions")) == calls
    assert len(world.queues.dead_letters) == 2, "nobody is told of a failure that stays"
    assert "no luck" in world.queues.dead_letters[-1].attributes["ErrorMessage"]


def test_each_failure_of_a_secret_that_fails_for_good_does_not_make_a_dead_letter_of_its_own(
    world: World,
) -> None:
    world.secrets.set_outcome("orders/db", "*", Outcome("Failed", "no luck", seconds=5))
    world.add("orders/db", to="eu-west-1 us-west-2")
    world.send("orders/db")
    reported = 0
    while world.queues.messages:
        world.clock.advance(max(0, min(m.visible_at for m in world.queues.messages) - world.clock()))
        world.deliver()
        for _call in world.calls("ReplicateSecretToRegions")[reported:]:
            reported += 1
            for _region in ("eu-west-1", "us-west-2"):
                world.queues.send(replication_failed(world, "orders/db", seconds_ago=-5), delay_seconds=60)
    assert reported
    assert len(world.queues.dead_letters) == 1


def test_what_failed_before_the_dead_letter_was_written_is_in_that_dead_letter_however_late_the_event(
    world: World, log_lines: Lines
) -> None:
    given_up(world)
    world.queues.send(replication_failed(world, "orders/db", seconds_ago=60))
    world.deliver()
    assert not world.queues.messages
    assert len(world.queues.dead_letters) == 1
    said = log_lines()[-1]
    assert (said["outcome"], said["reason"]) == ("skipped", "followed_by_another_message")


@pytest.mark.parametrize("seconds_later", [0, 0.5, 1, 60])
def test_what_failed_after_the_dead_letters_attempt_is_checked(world: World, seconds_later: float) -> None:
    given_up(world)
    world.clock.advance(seconds_later)
    event = replication_failed(world, "orders/db")
    world.clock.advance(60)
    world.queues.send(event)
    world.deliver()
    assert world.queues.messages, "a failure that no message has seen is gone"


@pytest.mark.parametrize("dead_letter", [True, False])
def test_what_failed_while_a_batch_was_under_way_is_checked(world: World, *, dead_letter: bool) -> None:
    world.add("orders/db", to="eu-wst-1" if dead_letter else "eu-west-1")
    world.secrets.worlds.seconds_in_progress = 99 * HOUR
    world.secrets.fail_next("DescribeSecret", Fault(delay_seconds=20))
    world.send("orders/db")
    event = replication_failed(world, "orders/db", seconds_ago=-15)
    world.deliver()
    assert len(world.queues.dead_letters) == dead_letter
    described = len(world.calls("DescribeSecret"))
    world.queues.send(event)
    world.deliver()
    assert len(world.calls("DescribeSecret")) > described, "a failure that no message has seen is gone"


def test_an_event_without_a_time_counts_from_when_it_was_sent(world: World) -> None:
    given_up(world)
    event = json.loads(replication_failed(world, "orders/db"))
    del event["time"]
    world.queues.send(json.dumps(event))
    world.deliver()
    assert world.queues.messages, "a failure that no message has seen is gone"
    world.send("orders/db")
    world.clock.advance(60)
    world.deliver()
    world.clock.advance(60)
    world.deliver()
    assert [json.loads(message.body) for message in world.queues.messages] == [{"secret_id": "orders/db"}]


def test_an_event_that_was_left_to_another_answers_no_later_one(world: World) -> None:
    given_up(world)
    world.queues.send(replication_failed(world, "orders/db", seconds_ago=60))
    later = replication_failed(world, "orders/db")
    world.clock.advance(60)
    world.deliver()
    world.queues.send(later)
    world.deliver()
    assert world.queues.messages, "a failure that no message has seen is gone"


@pytest.mark.parametrize("fault", [THROTTLED, None])
def test_a_message_that_was_not_attempted_is_no_follower(world: World, fault: Fault | None) -> None:
    """SQS may deliver it twice: another instance looked before the failure, and deletes it."""
    world.converge("orders/db", "eu-west-1")
    world.send(world.secrets.secret(HOME, "orders/db").arn)
    event = replication_failed(world, "orders/db")
    world.clock.advance(60)
    if fault:
        world.secrets.fail_next("DescribeSecret", fault)
    world.deliver(FUNCTION_SECONDS if fault else 0)
    assert world.only_message()
    world.queues.messages.clear()
    described = len(world.calls("DescribeSecret"))
    world.queues.send(event)
    world.deliver()
    assert len(world.calls("DescribeSecret")) > described, "nobody has looked since the failure"


def test_an_event_of_a_failure_does_not_take_another_one_for_its_follower(world: World) -> None:
    world.secrets.set_outcome("orders/db", "eu-west-1", Outcome("Failed", "no luck"))
    world.add("orders/db", to="eu-west-1")
    for _ in range(2):
        world.queues.send(replication_failed(world, "orders/db"))
    world.deliver()
    world.clock.advance(15)
    world.deliver()
    assert len(world.queues.messages) == 2, "each has left it to the other, and nobody looks"


@pytest.mark.parametrize(("fails", "left"), [(False, 1), (True, 2)])
def test_only_a_message_that_is_surely_in_the_queue_is_a_follower(
    world: World, left: int, *, fails: bool
) -> None:
    world.secrets.worlds.seconds_in_progress = 99 * HOUR
    world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    if fails:
        world.queues.failing.add("ChangeMessageVisibilityBatch")
    world.deliver()
    world.queues.failing.clear()
    world.queues.send(replication_failed(world, "orders/db", seconds_ago=60))
    world.deliver()
    assert len(world.queues.messages) == left


def test_the_last_attempt_does_not_ask_again_for_what_nobody_would_see(world: World) -> None:
    world.secrets.worlds.seconds_in_progress = 1
    given_up(world)
    (dead_letter,) = world.queues.dead_letters
    assert "eu-west-1 is Failed (no luck)" in dead_letter.attributes["ErrorMessage"]
    assert world.status("orders/db") == {"eu-west-1": "Failed"}
    if world.secrets.worlds.repeat == "accepted":
        assert len(world.calls("ReplicateSecretToRegions")) == 9, "each attempt but the last asks again"


def test_that_a_replication_failed_is_forgotten_once_it_is_fixed(world: World) -> None:
    world.secrets.set_outcome("orders/db", "eu-west-1", Outcome("Failed", "no luck", attempts=1))
    world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    world.deliver()
    other = another_instance(world)
    other.queues.send(replication_failed(world, "orders/db"))
    other.deliver()
    assert len(world.queues.messages) == 2
    world.secrets.handle("PutSecretValue", HOME, {"SecretId": "orders/db", "SecretString": "new"})
    world.deliver_until_empty()
    assert not world.queues.dead_letters


def test_a_dead_letter_about_a_failed_replication_is_acted_on_once_it_is_redriven(world: World) -> None:
    world.add("orders/db", to="eu-west-1")
    world.queues.send(replication_failed(world, "orders/db"))
    world.deliver_until_empty()
    assert not world.calls("ReplicateSecretToRegions")
    assert len(world.queues.dead_letters) == 1
    world.queues.redrive()
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}


def test_that_a_replication_failed_removes_nothing(world: World) -> None:
    world.converge("orders/db", "eu-west-1 us-west-2")
    world.secrets.secret(HOME, "orders/db").tags["replicate-to"] = "us-west-2"
    pruning = world.having(prune_replicas=True)
    pruning.queues.send(replication_failed(world, "orders/db"))
    pruning.deliver_until_empty()
    assert set(world.status("orders/db")) == {"eu-west-1", "us-west-2"}
    assert not world.queues.dead_letters


def test_an_event_given_by_hand_is_acted_on_whatever_it_tells_of(world: World) -> None:
    world.add("orders/db", to="eu-west-1")
    world.app.handle_one(json.loads(replication_failed(world, "orders/db")), 1e12, "request-1")
    assert set(world.status("orders/db")) == {"eu-west-1"}


# A dead letter that is larger than SQS takes.

LARGEST = 1_048_576


def padded(message: dict[str, Any], size: int = LARGEST, dead_letter: str = "x") -> str:
    """Return the message as a body of this many bytes."""
    bare = json.dumps(message | {"padding": ""}, ensure_ascii=False)
    padding = dead_letter * ((size - len(bare)) // len(dead_letter.encode()))
    return bare.replace('"padding": ""', f'"padding": "{padding}"')


@pytest.mark.parametrize("dead_letter", ["x", "\N{SNOWMAN}"], ids=["ASCII", "three bytes each"])
def test_a_message_of_sqs_largest_size_has_its_reason_at_once(world: World, dead_letter: str) -> None:
    secret = world.add("orders/db", to="eu-wst-1")
    given = json.loads((EVENTS / "create-secret.json").read_text())
    given["detail"]["responseElements"]["arn"] = secret.arn
    world.queues.send(padded(given, dead_letter=dead_letter))
    world.deliver()
    (dead_letter,) = world.queues.dead_letters
    assert not world.queues.messages
    assert json.loads(dead_letter.body) == {"secret_id": secret.arn}
    assert "eu-wst-1" in dead_letter.attributes["ErrorMessage"]
    assert "replaced" in dead_letter.attributes["OriginalBody"]
    secret.tags["replicate-to"] = "eu-west-1"
    world.queues.redrive()
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}


def test_a_message_that_names_no_secret_is_cut(world: World) -> None:
    world.queues.send("x" * LARGEST)
    world.deliver()
    (dead_letter,) = world.queues.dead_letters
    assert not world.queues.messages
    assert 1_000 < len(dead_letter.body) < LARGEST
    assert not dead_letter.body.strip("x")
    assert "shortened" in dead_letter.attributes["OriginalBody"]
    assert dead_letter.attributes["ErrorType"] == "MalformedMessage"


def test_a_secret_of_a_sweep_stays_in_its_sweep(world: World) -> None:
    secret = world.add("orders/db", to="eu-wst-1")
    world.queues.send(padded({"secret_id": "orders/db", "sweep_id": "a sweep"}))
    world.deliver()
    (dead_letter,) = world.queues.dead_letters
    assert json.loads(dead_letter.body) == {"secret_id": secret.arn, "sweep_id": "a sweep"}


def test_a_page_of_a_sweep_stays_that_page(world: World) -> None:
    world.secrets.fail_next("ListSecrets", ACCESS_DENIED, ACCESS_DENIED)
    page = {"id": "a sweep", "page": 3, "next_token": "abc=="}
    world.queues.send(padded({"sweep": page}))
    world.deliver_until_empty()
    (dead_letter,) = world.queues.dead_letters
    assert json.loads(dead_letter.body) == {"sweep": page}


def test_a_dead_letter_that_just_fits_is_whole(world: World) -> None:
    world.add("orders/db", to="eu-wst-1")
    body = padded({"secret_id": "orders/db"}, LARGEST - 2_000)
    world.queues.send(body)
    world.deliver()
    (dead_letter,) = world.queues.dead_letters
    assert dead_letter.body == body
    assert "OriginalBody" not in dead_letter.attributes


def test_a_queue_that_takes_less_than_others_gets_its_dead_letter_too(world: World) -> None:
    """Queues from before August 2025 may have a limit of 262,144 bytes: only SQS knows."""
    secret = world.add("orders/db", to="eu-wst-1")
    world.queues.maximum_message_size = 262_144
    world.queues.send(padded({"secret_id": "orders/db"}, 262_144))
    world.deliver()
    (dead_letter,) = world.queues.dead_letters
    assert json.loads(dead_letter.body) == {"secret_id": secret.arn}


def test_a_dead_letter_that_sqs_never_takes_is_tried_again(world: World) -> None:
    world.queues.maximum_message_size = 10
    world.queues.send("nothing that is JSON")
    world.deliver()
    assert len(world.queues.messages) == 1


# A dead letter of an echo, which the function did not write itself.


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"moved_from": "arn:aws:sqs:us-east-1:1:ReplicationQueue"}, id="by SQS after crashes"),
        pytest.param({"attributes": {"ERROR_CODE": "NO_PERMISSIONS"}}, id="by EventBridge"),
        pytest.param({"attributes": {"Redriven": "by replicas redrive"}}, id="by whom nobody knows"),
    ],
)
def test_a_dead_letter_that_others_have_written_needs_one_redrive(world: World, how: Any) -> None:
    world.add("orders/db", to="eu-west-1")
    world.queues.send(replication_failed(world, "orders/db"), **how)
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}
    assert not world.queues.dead_letters
