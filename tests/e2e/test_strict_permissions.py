"""The deployed role on the strict Secrets Manager: what it may, and what its conditions refuse."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.aws import observe
from local.aws.ministack import clients
from local.process.environment import HOME_REGION
from tests.e2e.world import VALUE, World, aws_tags

pytestmark = pytest.mark.xdist_group("strict e2e")


def test_with_pruning_the_function_removes_what_is_not_wanted(pruning: World) -> None:
    pruning.stack.clients.secrets.create_secret(
        Name="pruned",
        SecretString=VALUE,
        Tags=aws_tags({"replicate-to": "eu-west-1"}),
        AddReplicaRegions=[{"Region": "eu-west-1"}, {"Region": "us-west-2"}],
    )
    pruning.wait_for_replicas("pruned", "eu-west-1", "us-west-2")
    pruning.ask_for("pruned")
    pruning.wait_for_replicas("pruned", "eu-west-1")
    assert observe.describe(clients(pruning.stack.aws, "us-west-2").secrets, "pruned") is None


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(
            {"AddReplicaRegions": [{"Region": "eu-west-1"}, {"Region": "ap-south-1"}]},
            id="to a Region that AllowedRegions does not name",
        ),
        pytest.param(
            {"AddReplicaRegions": [{"Region": "eu-west-1"}], "ForceOverwriteReplicaSecret": True},
            id="over a secret of the same name while AllowOverwrite is off",
        ),
    ],
)
def test_the_role_may_not_replicate(pruning: World, asked: dict[str, Any]) -> None:
    stack, name = pruning.stack, pruning.create()
    role = stack.clients.iam.get_role(RoleName=stack.role)["Role"]["Arn"]
    keys = stack.clients.sts.assume_role(RoleArn=role, RoleSessionName="e2e")["Credentials"]
    session = boto3.Session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=HOME_REGION
    )
    secrets: Any = session.client(
        "secretsmanager", endpoint_url=stack.aws.endpoint, verify=str(stack.aws.ca_bundle)
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        secrets.replicate_secret_to_regions(SecretId=name, **asked)
    assert not observe.statuses(observe.describe(stack.clients.secrets, name))
