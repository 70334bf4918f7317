"""What the function's own role may do, as the local AWS enforces it."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.process.environment import HOME_REGION, ROOT
from local.stack import ALLOWED_REGIONS, Stack
from tests.e2e.world import World

pytestmark = pytest.mark.xdist_group("e2e")

REPLICATE = "secretsmanager:ReplicateSecretToRegions"


Service = Callable[[str], Any]


@pytest.fixture(scope="session")
def as_function(deployed: Stack) -> Service:
    """Return a service's client with the function's own permissions."""
    role = deployed.clients.iam.get_role(RoleName=deployed.role)["Role"]["Arn"]
    found = deployed.clients.sts.assume_role(RoleArn=role, RoleSessionName="e2e")["Credentials"]
    session = boto3.Session(
        aws_access_key_id=found["AccessKeyId"],
        aws_secret_access_key=found["SecretAccessKey"],
        aws_session_token=found["SessionToken"],
        region_name=HOME_REGION,
    )
    aws = deployed.aws
    return lambda name: session.client(name, endpoint_url=aws.endpoint, verify=str(aws.ca_bundle))


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        pytest.param("get_secret_value", {"SecretId": "shop/db"}, id="read a value"),
        pytest.param("batch_get_secret_value", {"SecretIdList": ["shop/db"]}, id="read values"),
        pytest.param("put_secret_value", {"SecretId": "shop/db", "SecretString": "x"}, id="write a value"),
        pytest.param("delete_secret", {"SecretId": "shop/db"}, id="delete a secret"),
        pytest.param(
            "remove_regions_from_replication",
            {"SecretId": "shop/db", "RemoveReplicaRegions": ["eu-west-1"]},
            id="remove a replica while PruneReplicas is off",
        ),
    ],
)
def test_the_role_may_not(as_function: Service, call: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(as_function("secretsmanager"), call)(**parameters)


@pytest.mark.parametrize(
    ("service", "call", "parameters"),
    [
        pytest.param("sqs", "receive_message", {"QueueUrl": "dead letters"}, id="take a dead letter"),
        pytest.param("sqs", "purge_queue", {"QueueUrl": "dead letters"}, id="throw the dead letters away"),
        pytest.param("sqs", "purge_queue", {"QueueUrl": "queue"}, id="throw the backlog away"),
        pytest.param(
            "sqs", "set_queue_attributes", {"QueueUrl": "queue", "Attributes": {"Policy": ""}}, id="open it"
        ),
        pytest.param("iam", "list_roles", {}, id="look at roles"),
    ],
)
def test_the_role_may_not_beyond_its_queue(
    world: World, as_function: Service, service: str, call: str, parameters: Mapping[str, Any]
) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(as_function(service), call)(**in_this_stack(parameters, world))


ALLOWED: dict[str, tuple[str, dict[str, Any]]] = {
    "describe_secret": ("secretsmanager", {"SecretId": "secret"}),
    "list_secrets": ("secretsmanager", {}),
    "replicate_secret_to_regions": (
        "secretsmanager",
        {
            "SecretId": "secret",
            "AddReplicaRegions": [{"Region": "eu-west-1"}],
            "ForceOverwriteReplicaSecret": False,
        },
    ),
    "put_events": (
        "events",
        {
            "Entries": [
                {"Source": "secret-replicator", "DetailType": "Secret Replication Failed", "Detail": "{}"}
            ]
        },
    ),
    "send_message": ("sqs", {"QueueUrl": "dead letters", "MessageBody": "a letter of the permissions' test"}),
    "send_message_batch": (
        "sqs",
        {"QueueUrl": "queue", "Entries": [{"Id": "0", "MessageBody": '{"secret_id": "%s"}'}]},
    ),
    "change_message_visibility_batch": (
        "sqs",
        {"QueueUrl": "queue", "Entries": [{"Id": "0", "ReceiptHandle": "gone", "VisibilityTimeout": 0}]},
    ),
    # What Lambda does in its name. Not its log: MiniStack asks for the log group's ARN without the `:*` that
    # CloudFormation's GetAtt ends in, on AWS and there.
    "receive_message": ("sqs", {"QueueUrl": "queue", "VisibilityTimeout": 0}),
    "get_queue_attributes": ("sqs", {"QueueUrl": "queue"}),
}
REFUSED_HERE = {"remove_regions_from_replication"}
"""PruneReplicas is off in this stack."""


def in_this_stack(parameters: Mapping[str, Any], world: World, secret: str = "") -> dict[str, Any]:
    """Return the parameters with what is really there in place of its name in the table."""
    names = {
        '"queue"': world.stack.queue_url,
        '"dead letters"': world.stack.dead_letter_queue_url,
        '"secret"': secret,
    }
    text = json.dumps(parameters).replace("%s", secret)
    for name, meaning in names.items():
        text = text.replace(name, json.dumps(meaning))
    return dict(json.loads(text))


@pytest.mark.parametrize("call", sorted(ALLOWED))
def test_every_call_that_the_function_makes_is_allowed(world: World, as_function: Service, call: str) -> None:
    service, parameters = ALLOWED[call]
    secret = world.create()
    answer = getattr(as_function(service), call)(**in_this_stack(parameters, world, secret))
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    if call == "send_message":
        dead_letters = world.dead_letters("")
        world.delete_dead_letter(dead_letters[0])


def test_no_call_of_the_function_is_missing_above() -> None:
    code = "".join(
        path.read_text("utf-8") for path in (ROOT / "functions" / "secret_replicator").glob("*.py")
    )
    made = set(re.findall(r"self\.client\.(\w+)\(", code))
    assert made
    assert made <= ALLOWED.keys() | REFUSED_HERE


def test_the_deployed_role_names_the_allowed_regions(deployed: Stack) -> None:
    # That it is enforced: tests/e2e/test_strict_permissions.py.
    found = deployed.clients.iam.get_role_policy(RoleName=deployed.role, PolicyName="replicate")
    document: Any = found["PolicyDocument"]
    (statement,) = [statement for statement in document["Statement"] if REPLICATE in statement["Action"]]
    allowed = statement["Condition"]["ForAllValues:StringEquals"]["secretsmanager:AddReplicaRegions"]
    assert sorted(allowed) == sorted(ALLOWED_REGIONS)


def test_a_region_that_is_not_allowed_is_refused_and_reported(world: World) -> None:
    name = world.create({"replicate-to": "eu-west-1 ap-south-1"})
    world.ask_for(name)
    dead_letter = world.dead_letter(name)
    assert dead_letter.reasons["FailedRegions"] == "ap-south-1"
    assert world.replicas(name) == {"eu-west-1"}
    assert not world.is_replica(name, "ap-south-1")
    world.delete_dead_letter(dead_letter)
