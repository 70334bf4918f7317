"""What the checks know of a stack."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from replicas.aws.connection import Connection, connect, default_stack, stack_errors
from replicas.aws.deployment import PolicySource, function_environment, policy_file, source_of
from replicas.commands.doctor.findings import Finding
from replicas.errors import OperatorError
from replicas.options import Access
from secret_replicator.policy import Policy

FUNCTION, QUEUE = "AWS::Lambda::Function", "AWS::SQS::Queue"
ROLE = "AWS::IAM::Role"

_PARTS = (
    (FUNCTION, "ReplicatorFunction"),
    (ROLE, "ReplicatorFunctionRole"),
    (QUEUE, "ReplicationQueue"),
    (QUEUE, "DeadLetterQueue"),
)
"""What every check takes for granted."""


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


def read_stack(access: Access, stack: str | None, policy: Path | None) -> Stack:
    """Return the stack's parts; raise OperatorError if there is no such stack, or it may not be read."""
    connection, stack = connect(access), stack or default_stack()
    file = policy_file(policy, local=access.local)
    names: dict[str, dict[str, str]] = {}
    with stack_errors(connection.cloudformation, stack):
        found = connection.cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    for resource in found:
        physical = resource.get("PhysicalResourceId", "")
        names.setdefault(resource["ResourceType"], {})[resource["LogicalResourceId"]] = physical
    if missing := [logical_id for kind, logical_id in _PARTS if not names.get(kind, {}).get(logical_id)]:
        raise OperatorError(
            f"The stack {stack} in {connection.region} is not a Secret Replicator, or not whole: it has no "
            f"{', '.join(missing)}. Name it with --stack, or deploy it again"
        )
    function = names[FUNCTION]["ReplicatorFunction"]
    source = source_of(file, connection, function)
    environment = function_environment(connection, function)
    return Stack(connection, names, environment, source.parsed(), source, stack)
