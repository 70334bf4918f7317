"""Where MiniStack differs from AWS, the deployed stack is made to behave as it would on AWS."""

import json
from typing import TYPE_CHECKING, Any

from local.function.template import parse

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient

    from replicas.aws.connection import Connection

_BATCHED = ("sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:SendMessage")


def maximum_concurrency(functions: "LambdaClient", function_name: str) -> None:
    """Say MaximumConcurrency again, as a number: CloudFormation's text makes MiniStack's poller stumble."""
    mappings = functions.list_event_source_mappings(FunctionName=function_name)["EventSourceMappings"]
    for mapping in mappings:
        concurrency = int(mapping["ScalingConfig"]["MaximumConcurrency"])
        functions.update_event_source_mapping(
            UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": concurrency}
        )


def recursive_loop(home: "Connection", stack: str, function_name: str) -> None:
    """Set what the template says of RecursiveLoop: MiniStack's CloudFormation passes over it."""
    body: Any = home.cloudformation.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]
    template = parse(body) if isinstance(body, str) else body  # boto3 has read JSON already
    properties = template["Resources"]["ReplicatorFunction"]["Properties"]
    home.functions.put_function_recursion_config(
        FunctionName=function_name, RecursiveLoop=properties.get("RecursiveLoop", "Terminate")
    )


def batch_permissions(iam: "IAMClient", role: str) -> None:
    """Let the role make in batches the SQS calls it may make one by one; what it may not stays forbidden.

    On AWS the one permission is good for both; MiniStack asks for `sqs:SendMessageBatch` by name:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
    """
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document: Any = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for statement in document["Statement"]:
            _adapt(statement)
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


def _adapt(statement: dict[str, Any]) -> None:
    """Put the batch form next to each SQS action that has one.

    Conditions on what PutEvents sends hold only if MiniStack knows what is sent, which it does not.
    """
    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    statement["Action"] = actions + [f"{action}Batch" for action in actions if action in _BATCHED]
    conditions = statement.get("Condition", {})
    if "events:source" in conditions.get("StringEquals", {}):
        conditions["StringEqualsIfExists"] = conditions.pop("StringEquals")
