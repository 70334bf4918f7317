"""The gateway and the queue on moto: our calls have the shapes that boto3 and an independent fake accept."""

import json
from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from secret_replicator.errors import RefusedError, SecretNotFoundError, TransientError
from secret_replicator.gateway import Gateway
from secret_replicator.models import DesiredReplica, Kind, Outcome, Problem
from secret_replicator.planner import best_by_region
from secret_replicator.work_queue import Message, WorkQueue

DEADLINE = 1e12
HOME = "us-east-1"

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with mock_aws():
        yield Gateway(boto3.client("secretsmanager", region_name=HOME))


@pytest.fixture
def queue() -> Iterator[WorkQueue]:
    with mock_aws():
        sqs = boto3.client("sqs", region_name=HOME)
        urls = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("replication", "dead-letters")]
        yield WorkQueue(sqs, *urls)


def received(queue: WorkQueue, url: str) -> list[dict[str, object]]:
    answer = queue.client.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
    )
    return answer.get("Messages", [])


def test_a_secret_is_described_replicated_and_its_replica_removed(gateway: Gateway) -> None:
    tags = [{"Key": "replicate-to", "Value": "eu-west-1"}]
    arn = gateway.client.create_secret(Name="orders/db", SecretString="x", Tags=tags)["ARN"]
    secret = gateway.describe("orders/db", DEADLINE)
    assert (secret.arn, secret.name, secret.tags) == (arn, "orders/db", {"replicate-to": "eu-west-1"})
    wanted = [DesiredReplica("eu-west-1"), DesiredReplica("us-west-2", "alias/k")]
    answer = gateway.replicate(arn, wanted)
    assert set(best_by_region(answer)) == {"eu-west-1", "us-west-2"}
    gateway.remove(arn, ["us-west-2"])
    assert [replica.region for replica in gateway.describe(arn, DEADLINE).replicas] == ["eu-west-1"]


def test_a_region_that_moto_lists_twice_is_taken_at_its_better_status(gateway: Gateway) -> None:
    arn = gateway.client.create_secret(Name="orders/db", SecretString="x")["ARN"]
    for _ in range(2):
        gateway.replicate(arn, [DesiredReplica("eu-west-1")])
    replicas = gateway.describe(arn, DEADLINE).replicas
    assert sorted(replica.status for replica in replicas) == ["Failed", "InSync"]
    assert best_by_region(replicas)["eu-west-1"].status == "InSync"


def test_a_missing_secret_is_not_found(gateway: Gateway) -> None:
    with pytest.raises(SecretNotFoundError):
        gateway.describe("never/was", DEADLINE)


def test_pages_are_listed_by_tag_key(gateway: Gateway) -> None:
    for number in range(130):
        gateway.client.create_secret(
            Name=f"t/{number}", SecretString="x", Tags=[{"Key": "replicate-to", "Value": "all"}]
        )
        gateway.client.create_secret(
            Name=f"o/{number}", SecretString="x", Tags=[{"Key": "team", "Value": "all"}]
        )
    first = gateway.list_secrets(["replicate-to"], "", DEADLINE)
    second = gateway.list_secrets(["replicate-to"], first.next_token, DEADLINE)
    assert (len(first.secrets), len(second.secrets), second.next_token) == (100, 30, "")
    assert {secret.name[0] for secret in first.secrets + second.secrets} == {"t"}


def test_a_call_that_boto3_itself_refuses_is_refused(gateway: Gateway) -> None:
    with pytest.raises(RefusedError, match="AddReplicaRegions"):
        gateway.replicate("orders/db", [])


@pytest.mark.slow
def test_an_unreachable_secrets_manager_is_transient() -> None:
    once = Config(retries={"total_max_attempts": 1})
    client = boto3.client("secretsmanager", region_name=HOME, endpoint_url="http://127.0.0.1:1", config=once)
    with pytest.raises(TransientError, match="DescribeSecret got no answer"):
        Gateway(client).describe("orders/db", DEADLINE)


def test_a_dead_letter_has_the_original_body_and_every_attribute(queue: WorkQueue) -> None:
    message = Message("id", "handle", '{"secret_id": "orders/db"}', 3, 0.0, 1.0)
    problem = Problem("eu-west-1", "a\x00b\ud800", "fix it", "Refused")
    queue.dead_letter(message, Outcome(Kind.FAILED, "orders/db", problems=(problem,)))
    (dead_letter,) = received(queue, queue.dead_letter_queue_url)
    assert dead_letter["Body"] == message.body
    values = {name: value["StringValue"] for name, value in dead_letter["MessageAttributes"].items()}
    assert values == {
        "ErrorType": "Refused",
        "ErrorMessage": "orders/db - a?b? - fix it",
        "SecretArn": "orders/db",
        "FailedRegions": "eu-west-1",
        "Attempts": "3",
        "FirstReceived": "1970-01-01T00:00:01+00:00",
    }


def test_more_than_ten_messages_are_enqueued_in_batches(queue: WorkQueue) -> None:
    queue.enqueue([json.dumps({"secret_id": f"s{number}"}) for number in range(23)])
    attributes = queue.client.get_queue_attributes(QueueUrl=queue.queue_url, AttributeNames=["All"])[
        "Attributes"
    ]
    assert attributes["ApproximateNumberOfMessages"] == "23"


def test_a_message_is_put_off(queue: WorkQueue) -> None:
    queue.enqueue(["{}"])
    (raw,) = received(queue, queue.queue_url)
    message = Message("id", raw["ReceiptHandle"], "{}", 1, 0.0, 0.0)
    queue.put_off({message: 0})
    assert received(queue, queue.queue_url)


def test_a_delay_that_sqs_does_not_take_is_an_error(queue: WorkQueue) -> None:
    message = Message("id", "no such handle", "{}", 1, 0.0, 0.0)
    with pytest.raises(TransientError, match="ChangeMessageVisibilityBatch"):
        queue.put_off({message: 0})
