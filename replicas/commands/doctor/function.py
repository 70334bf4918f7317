"""Whether the function starts, and decides as these commands do."""

from collections.abc import Iterator

from botocore.exceptions import ClientError

from replicas.aws.connection import stack_outputs
from replicas.aws.deployed_policy import UNREADABLE, deployed_policy
from replicas.aws.deployment import AS_DEPLOYED
from replicas.commands.doctor.findings import Finding, bad, good, unknown
from replicas.commands.doctor.stack import Stack
from replicas.errors import NoStackError
from secret_replicator import VERSION
from secret_replicator.errors import PolicyError, SettingsError
from secret_replicator.policy import parse_policy
from secret_replicator.settings import read_settings

_UNKNOWN_OPERATION = ("UnknownOperationException", "InvalidAction", "404")
"""How a Region answers a call that it does not have yet."""


def the_function_can_start(stack: Stack) -> Iterator[Finding]:
    """Say whether the function's settings are such that it starts."""
    try:
        read_settings({**stack.environment, "AWS_REGION": stack.connection.region})
    except SettingsError as error:
        yield bad(f"The function cannot start: {error}", "deploy with other parameters, then redrive")
    else:
        yield good("The function's settings are valid")


def versions_are_the_same(stack: Stack) -> Iterator[Finding]:
    """Say whether these commands and the function decide by the same code."""
    try:
        outputs = stack_outputs(stack.connection.cloudformation, stack.name)
    except NoStackError as error:
        yield bad(str(error), "see in the stack's events what stopped it")
        return
    version = outputs.get("Version", f"of a version before {VERSION}")
    if version == VERSION:
        yield good(f"The stack is {VERSION}, as these commands are")
        return
    yield bad(
        f"The stack is {version}, these commands are {VERSION}: what they predict may not be what it does",
        "deploy the stack again, or use the commands of its version",
    )


def sweeps_are_not_taken_for_a_loop(stack: Stack) -> Iterator[Finding]:
    """Say whether Lambda lets the function send to its own queue, as a sweep does from page to page.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
    """
    functions = stack.connection.functions
    try:
        answer = functions.get_function_recursion_config(FunctionName=stack.function)
    except ClientError as error:
        if error.response["Error"].get("Code") not in _UNKNOWN_OPERATION:
            raise
        yield unknown(
            f"Lambda in {stack.connection.region} does not know RecursiveLoop",
            "if RecursionStoppedAlarm fires, ask AWS Support to turn off recursive loop detection for "
            f"{stack.function}",
        )
        return
    if answer.get("RecursiveLoop") == "Allow":
        yield good("The function may invoke itself through its queue, as a sweep does")
        return
    yield bad(
        "Lambda takes a sweep of more than about 1,600 secrets for an endless loop, and stops it",
        f"aws lambda put-function-recursion-config --recursive-loop Allow --function-name {stack.function}",
    )


def policy_is_the_deployed_one(stack: Stack) -> Iterator[Finding]:
    """Say whether the policy that these commands decide by was deployed."""
    if path := stack.environment.get("POLICY_FILE"):
        yield unknown(f"The function reads {path}, not the packaged policy", "compare it there")
        return
    try:
        packaged = deployed_policy(stack.connection, stack.function)
    except UNREADABLE as error:
        yield unknown(f"The function's code cannot be downloaded ({type(error).__name__})", "run it again")
        return
    yield from _wrong_policy(packaged)
    source = stack.source
    if source.is_deployed and source.name != AS_DEPLOYED:
        yield good(f"The local stack decides by {source.name}")
    elif source.is_deployed:
        yield good("There is no policy here to compare with the deployed one")
    elif packaged == source.content:
        yield good(f"The deployed policy is {source.name}")
    else:
        yield bad(
            f"The deployed policy is not {source.name}",
            "see what changes with `replicas plan`, then sam build && sam deploy",
        )


def _wrong_policy(packaged: bytes) -> Iterator[Finding]:
    """Yield why the function cannot start with the deployed policy, if it cannot."""
    try:
        parse_policy(packaged, "The deployed policy")
    except PolicyError as error:
        yield bad(f"The function cannot start: {error}", "correct the policy, deploy it, then redrive")
