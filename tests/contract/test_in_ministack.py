"""The strict Secrets Manager behind MiniStack's IAM: each action and each condition key is asked for."""

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.aws.ministack import ACCOUNT, LocalAws, clients
from local.process.environment import HOME_REGION
from local.secrets_manager.events import EVENT_NAMES
from replicas.aws.local_endpoint import local_session
from tests.support.clients import queue_for_rules

pytestmark = pytest.mark.xdist_group("model in MiniStack")

WEST, EU = "us-west-2", "eu-west-1"
_numbers = count(1)
As = Callable[..., Any]


def policy(statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def secret(strict_aws: LocalAws) -> str:
    """A primary with a replica in the West."""
    name = f"seam/{next(_numbers)}"
    clients(strict_aws).secrets.create_secret(
        Name=name, SecretString="hidden", AddReplicaRegions=[{"Region": WEST}]
    )
    return name


@pytest.fixture
def role(strict_aws: LocalAws) -> As:
    """Return a client of a role that may do one action, under conditions."""

    def made(action: str, conditions: Any = None, region: str = HOME_REGION, resource: str = "*") -> Any:
        home, name = clients(strict_aws), f"role-{next(_numbers)}"
        trust = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
        allowed = {
            "Effect": "Allow",
            "Action": f"secretsmanager:{action}",
            "Resource": resource,
            **({"Condition": conditions} if conditions else {}),
        }
        arn = home.iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
        home.iam.put_role_policy(RoleName=name, PolicyName="one", PolicyDocument=policy(allowed))
        keys = home.sts.assume_role(RoleArn=arn, RoleSessionName="seam")["Credentials"]
        session = boto3.Session(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=region
        )
        return session.client(
            "secretsmanager", endpoint_url=strict_aws.endpoint, verify=str(strict_aws.ca_bundle)
        )

    return made


def test_a_region_that_is_switched_off_answers_nothing_until_it_is_on_again(strict_aws: LocalAws) -> None:
    def once(service: str, region: str) -> Any:
        config = Config(retries={"total_max_attempts": 1})
        url, ca = strict_aws.endpoint, str(strict_aws.ca_bundle)
        return local_session(region).client(service, endpoint_url=url, verify=ca, config=config)

    strict_aws.switch_off(EU)
    try:
        for call in (once("secretsmanager", EU).list_secrets, once("sqs", EU).list_queues):
            with pytest.raises(ClientError, match="503"):
                call()
        assert "Arn" in once("sts", EU).get_caller_identity()
        once("secretsmanager", WEST).list_secrets()
    finally:
        strict_aws.switch_on(EU)
    once("secretsmanager", EU).list_secrets()


CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "RemoveRegionsFromReplication": (
        *(HOME_REGION, "remove_regions_from_replication"),
        {"RemoveReplicaRegions": [WEST]},
    ),
    "StopReplicationToReplica": (WEST, "stop_replication_to_replica", {}),
}


def call(role: As, action: str, secret: str, *, may: str) -> Any:
    region, name, parameters = CALLS[action]
    return getattr(role(may, region=region), name)(SecretId=secret, **parameters)


@pytest.mark.parametrize("action", CALLS)
def test_an_action_that_ministack_does_not_know_is_done_with_the_permission(
    role: As, secret: str, action: str
) -> None:
    answer = call(role, action, secret, may=action)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("action", CALLS)
def test_and_refused_without(strict_aws: LocalAws, role: As, secret: str, action: str) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        call(role, action, secret, may="DescribeSecret")
    listed = clients(strict_aws).secrets.describe_secret(SecretId=secret)["ReplicationStatus"]
    assert [entry["Region"] for entry in listed] == [WEST]


CONDITIONS = [
    pytest.param(
        {"ForAllValues:StringEquals": {"secretsmanager:AddReplicaRegions": [EU]}},
        {"AddReplicaRegions": [{"Region": EU}]},
        {"AddReplicaRegions": [{"Region": EU}, {"Region": "sa-east-1"}]},
        id="AddReplicaRegions",
    ),
    pytest.param(
        {"BoolIfExists": {"secretsmanager:ForceOverwriteReplicaSecret": "false"}},
        {"AddReplicaRegions": [{"Region": EU}], "ForceOverwriteReplicaSecret": False},
        {"AddReplicaRegions": [{"Region": EU}], "ForceOverwriteReplicaSecret": True},
        id="ForceOverwriteReplicaSecret",
    ),
]


@pytest.mark.parametrize(("condition", "allowed", "refused"), CONDITIONS)
def test_a_condition_on_the_request_is_checked(
    role: As, secret: str, condition: Any, allowed: Any, refused: Any
) -> None:
    client = role("ReplicateSecretToRegions", condition)
    with pytest.raises(ClientError, match="AccessDenied"):
        client.replicate_secret_to_regions(SecretId=secret, **refused)
    answer = client.replicate_secret_to_regions(SecretId=secret, **allowed)
    assert {entry["Region"] for entry in answer["ReplicationStatus"]} == {EU, WEST}


def test_a_condition_on_the_primary_region_is_checked(role: As, secret: str) -> None:
    def describe(primary: str) -> Any:
        condition = {"StringEqualsIfExists": {"secretsmanager:SecretPrimaryRegion": primary}}
        return role("DescribeSecret", condition, region=WEST).describe_secret(SecretId=secret)

    assert describe(HOME_REGION)["PrimaryRegion"] == HOME_REGION
    with pytest.raises(ClientError, match="AccessDenied"):
        describe(WEST)


def test_a_name_stands_for_the_whole_arn(strict_aws: LocalAws, role: As, secret: str) -> None:
    arn = clients(strict_aws).secrets.describe_secret(SecretId=secret)["ARN"]
    assert role("DescribeSecret", resource=arn).describe_secret(SecretId=secret)["ARN"] == arn


def test_a_resource_policy_is_asked_too(strict_aws: LocalAws, role: As, secret: str) -> None:
    denied = {"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:DescribeSecret", "Resource": "*"}
    client = role("DescribeSecret")
    assert client.describe_secret(SecretId=secret)["Name"] == secret
    clients(strict_aws).secrets.put_resource_policy(SecretId=secret, ResourcePolicy=policy(denied))
    with pytest.raises(ClientError, match="AccessDenied"):
        client.describe_secret(SecretId=secret)


def test_a_moved_label_is_an_event_for_eventbridge(strict_aws: LocalAws, secret: str) -> None:
    home = clients(strict_aws)
    queue, arn = queue_for_rules(home.sqs, "labels")
    pattern = json.dumps({"source": ["aws.secretsmanager"], "detail-type": ["Secret Label Updated"]})
    home.events.put_rule(Name="labels", EventPattern=pattern)
    home.events.put_targets(Rule="labels", Targets=[{"Id": "queue", "Arn": arn}])
    home.secrets.tag_resource(SecretId=secret, Tags=[{"Key": "a", "Value": "b"}])
    version = home.secrets.put_secret_value(SecretId=secret, SecretString="new")["VersionId"]
    received = home.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=2)["Messages"]
    details = [json.loads(message["Body"])["detail"] for message in received]
    assert details == [{"name": secret, "labelUpdated": "AWSCURRENT", "versionId": version}]


def records_of(strict_aws: LocalAws, event_name: str, region: str = HOME_REGION) -> list[Any]:
    """Return what CloudTrail of a Region has of calls or service events with this name, newest first."""
    found = clients(strict_aws, region).cloudtrail.lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": event_name}]
    )
    return [json.loads(each["CloudTrailEvent"]) for each in found["Events"]]


def test_a_call_that_was_refused_is_recorded_with_its_error(strict_aws: LocalAws, secret: str) -> None:
    home = clients(strict_aws).secrets
    with pytest.raises(ClientError):
        home.delete_secret(SecretId=secret)
    refused = records_of(strict_aws, "DeleteSecret")[0]
    assert refused["requestParameters"]["SecretId"] == secret
    assert refused["errorCode"] == "InvalidParameterException"
    assert "still has replica regions" in refused["errorMessage"]
    home.remove_regions_from_replication(SecretId=secret, RemoveReplicaRegions=[WEST])
    home.delete_secret(SecretId=secret)
    assert "errorCode" not in records_of(strict_aws, "DeleteSecret")[0]


def test_cloudtrail_of_the_sending_region_has_the_service_events(strict_aws: LocalAws, secret: str) -> None:
    home = clients(strict_aws).secrets
    arn = home.describe_secret(SecretId=secret)["ARN"]
    unknown: Any = [{"Region": EU, "KmsKeyId": "alias/not-there"}]
    home.replicate_secret_to_regions(SecretId=secret, AddReplicaRegions=unknown)
    seen = {
        name: [
            record["additionalEventData"]["SecretId"]
            for record in records_of(strict_aws, name)
            if record["additionalEventData"]["SecretId"] == arn
        ]
        for name in EVENT_NAMES.values()
    }
    assert {name: len(arns) for name, arns in seen.items()} == {
        "ReplicationStarted": 2,
        "ReplicationSucceeded": 1,
        "ReplicationFailed": 1,
    }
    (failed,) = [
        record
        for record in records_of(strict_aws, "ReplicationFailed")
        if record["additionalEventData"]["SecretId"] == arn
    ]
    assert failed["eventType"] == "AwsServiceEvent"
    assert "alias/not-there is missing" in failed["errorMessage"]
    assert not records_of(strict_aws, "ReplicationFailed", EU)


def test_keys_of_the_local_kms_decide_about_replicas(strict_aws: LocalAws, secret: str) -> None:
    session = boto3.Session("test", "test", region_name=EU)
    keys = session.client("kms", endpoint_url=strict_aws.endpoint, verify=str(strict_aws.ca_bundle))
    key = keys.create_key()["KeyMetadata"]["KeyId"]
    keys.disable_key(KeyId=key)
    home = clients(strict_aws).secrets
    wanted: Any = [{"Region": EU, "KmsKeyId": key}]

    def status_once_requested() -> tuple[str, str]:
        home.replicate_secret_to_regions(SecretId=secret, AddReplicaRegions=wanted)
        entries = home.describe_secret(SecretId=secret)["ReplicationStatus"]
        (entry,) = [entry for entry in entries if entry["Region"] == EU]
        return entry["Status"], entry["StatusMessage"]

    status, reason = status_once_requested()
    assert status == "Failed"
    assert "Disabled" in reason
    keys.enable_key(KeyId=key)
    assert status_once_requested()[0] == "InSync"
