"""What the checks know of a stack."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from replicas.aws.connection import Connection
from replicas.aws.deployment import PolicySource, source_of
from replicas.commands.doctor.findings import Finding
from replicas.errors import OperatorError
from secret_replicator.policy import Policy

FUNCTION = "AWS::Lambda::Function"


@dataclass(frozen=True)
class Deployed:
    """What the checks know of the stack: the physical names of its parts, and the function's environment."""

    connection: Connection
    names: Mapping[str, Mapping[str, str]]
    """Physical names by type and logical ID."""

    environment: Mapping[str, str]
    policy: Policy
    source: PolicySource
    stack: str

    def one(self, kind: str, logical_id: str) -> str:
        """Return a part's physical name."""
        return self.names[kind][logical_id]

    @property
    def function(self) -> str:
        """The function's name."""
        return self.one(FUNCTION, "ReplicatorFunction")


Check = Callable[[Deployed], Iterator[Finding]]


def find(connection: Connection, stack: str, policy_file: Path) -> Deployed:
    """Return the stack's parts; raise OperatorError if there is no such stack, or it may not be read."""
    found = connection.cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    names: dict[str, dict[str, str]] = {}
    for resource in found:
        physical = resource.get("PhysicalResourceId", "")
        names.setdefault(resource["ResourceType"], {})[resource["LogicalResourceId"]] = physical
    if "ReplicatorFunction" not in names.get(FUNCTION, {}):
        raise OperatorError(
            f"The stack {stack} in {connection.region} is not a Secret Replicator: name it with --stack"
        )
    function = names[FUNCTION]["ReplicatorFunction"]
    configuration = connection.functions.get_function_configuration(FunctionName=function)
    environment = configuration.get("Environment", {}).get("Variables", {})
    source = source_of(policy_file, connection, function)
    return Deployed(connection, names, environment, source.parsed(), source, stack)
