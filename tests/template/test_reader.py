"""The reader of template.yaml that `make invoke` uses sees what CloudFormation would."""

import pytest

from local.errors import LocalError
from local.function import template
from tests.template.stack import deployed

RESOURCES = {"ReplicationQueue": "ReplicationQueue", "DeadLetterQueue": "DeadLetterQueue"}


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({}, id="defaults"),
        pytest.param({"Mode": "plan", "PruneReplicas": "true", "AllowOverwrite": "true"}, id="switches"),
        pytest.param({"WritesPerSecond": "7", "MaxAttempts": "3", "LogLevel": "DEBUG"}, id="numbers"),
        pytest.param({"AllowedRegions": "eu-west-1,us-west-2,eu-central-1"}, id="a list"),
    ],
)
def test_the_function_is_what_cloudformation_would_make_of_it(parameters: dict[str, str]) -> None:
    stack = deployed(**parameters)
    properties = stack.properties("ReplicatorFunction")
    read = template.replicator_function(stack.parameters, RESOURCES)
    assert read.environment == {
        name: str(value) for name, value in properties["Environment"]["Variables"].items()
    }
    assert (read.handler, read.timeout_seconds, read.memory_megabytes) == (
        properties["Handler"],
        properties["Timeout"],
        properties["MemorySize"],
    )


def test_what_it_cannot_resolve_is_named_and_not_guessed() -> None:
    with pytest.raises(LocalError, match="ReplicationQueue"):
        template.replicator_function({"AllowedRegions": "eu-west-1"}, {})


def test_an_endpoint_of_its_own_is_never_deployed() -> None:
    variables = deployed().properties("ReplicatorFunction")["Environment"]["Variables"]
    assert not [name for name in variables if name.startswith("AWS_")]
