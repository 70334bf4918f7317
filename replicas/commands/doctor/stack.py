"""What the checks know of a stack."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from replicas.aws.connection import Connection
from replicas.aws.deployment import PolicySource, function_environment, source_of
from replicas.commands.doctor.findings import Finding
from replicas.errors import OperatorError
from secret_replicator.policy import Policy

FUNCTION, QUEUE = "AWS::Lambda::Function", "AWS::SQS::Queue"


@dataclass(frozen=True)
class Stack:
    """A deployed stack: its parts' physical names, and the function's environment and policy."""

    connection: Connection
    names: Mapping[str, Mapping[str, str]]
    """Physical names by type and logical ID."""

    environment: Mapping[str, str]
    policy: Policy
    source: PolicySource
    name: str

    @property
    def function(self) -> str:
        """The function's name."""
        return self.names[FUNCTION]["ReplicatorFunction"]


Check = Callable[[Stack], Iterator[Finding]]


def read_stack(connection: Connection, stack: str, policy_file: Path) -> Stack:
    """Return the stack's parts; raise OperatorError if there is no such stack, or it may not be read."""
    names: dict[str, dict[str, str]] = {}
    for resource in connection.cloudformation.describe_stack_resources(StackName=stack)["StackResources"]:
        physical = resource.get("PhysicalResourceId", "")
        names.setdefault(resource["ResourceType"], {})[resource["LogicalResourceId"]] = physical
    if not (function := names.get(FUNCTION, {}).get("ReplicatorFunction")):
        raise OperatorError(
            f"The stack {stack} in {connection.region} is not a Secret Replicator: name it with --stack"
        )
    source = source_of(policy_file, connection, function)
    environment = function_environment(connection, function)
    return Stack(connection, names, environment, source.parsed(), source, stack)
