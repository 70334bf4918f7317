"""What the function's own role may do, as the local AWS enforces it."""

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.environment import HOME_REGION
from local.stack import ALLOWED_REGIONS, Stack
from tests.e2e.world import World

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = pytest.mark.xdist_group("e2e")

REPLICATE = "secretsmanager:ReplicateSecretToRegions"


@pytest.fixture(scope="session")
def as_function(deployed: Stack) -> "SecretsManagerClient":
    """Secrets Manager, as the function sees it."""
    role = deployed.clients.iam.get_role(RoleName=deployed.role)["Role"]["Arn"]
    found = deployed.clients.sts.assume_role(RoleArn=role, RoleSessionName="e2e")["Credentials"]
    return boto3.Session(
        aws_access_key_id=found["AccessKeyId"],
        aws_secret_access_key=found["SecretAccessKey"],
        aws_session_token=found["SessionToken"],
        region_name=HOME_REGION,
    ).client("secretsmanager", endpoint_url=deployed.aws.endpoint, verify=str(deployed.aws.ca_bundle))


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
def test_the_role_may_not(as_function: Any, call: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(as_function, call)(**parameters)


def test_the_role_may_describe(world: World, as_function: "SecretsManagerClient") -> None:
    name = world.create()
    assert as_function.describe_secret(SecretId=name)["Name"] == name


def test_the_deployed_role_names_the_allowed_regions(deployed: Stack) -> None:
    # MiniStack does not enforce secretsmanager:AddReplicaRegions, so the condition can only be read here.
    found = deployed.clients.iam.get_role_policy(RoleName=deployed.role, PolicyName="replicate")
    document: Any = found["PolicyDocument"]
    (statement,) = [statement for statement in document["Statement"] if REPLICATE in statement["Action"]]
    allowed = statement["Condition"]["ForAllValues:StringEquals"]["secretsmanager:AddReplicaRegions"]
    assert sorted(allowed) == sorted(ALLOWED_REGIONS)


def test_a_region_that_is_not_allowed_is_refused_and_reported(world: World) -> None:
    name = world.create({"replicate-to": "eu-west-1 ap-south-1"})
    world.ask_for(name)
    letter = world.letter(name)
    assert letter.reasons["FailedRegions"] == "ap-south-1"
    assert world.replicas(name) == {"eu-west-1"}
    assert not world.is_replica(name, "ap-south-1")
    world.delete_letter(letter)
