"""The real template.yaml, built by the real `sam build` and deployed by the real `sam deploy`."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from local.aws import fixes
from local.aws.ministack import LocalAws, clients, local_aws
from local.errors import LocalError
from local.process import processes
from local.process.environment import HOME_REGION, ROOT, SAM_FOLDER, tool
from replicas.aws.connection import Connection
from replicas.aws.local_endpoint import KEY

ALLOWED_REGIONS = ("us-west-2", "eu-west-1", "eu-central-1")
STACK = "secret-replicator"

_NO_CONFIGURATION = ("--config-env", "none")
"""Nothing of samconfig.toml: what `sam deploy --guided` saves there leads to a real account."""

Step = Callable[[str], AbstractContextManager[object]]
"""Says what is being done, for as long as it is done."""


@dataclass(frozen=True)
class Variant:
    """What is to be other than by default: the template's parameters, functions' variables, the worlds."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    worlds: str = ""


AS_IT_IS = Variant()


@dataclass(frozen=True)
class Stack:
    aws: LocalAws
    clients: Connection
    queue_url: str
    dead_letter_queue_url: str
    function_name: str
    log_group: str
    role: str


@contextmanager
def local_stack(step: Step, port: int = 0, variant: Variant = AS_IT_IS) -> Iterator[Stack]:
    """Run the whole system until the end of the block; raise LocalError if a part of it cannot be had."""
    sam, _uv = tool("sam"), tool("uv")
    with ExitStack() as running:
        with step("Start the local AWS (MiniStack)"):
            aws = running.enter_context(local_aws(port, variant.environment, variant.worlds))
        with step("Build the function (sam build)"):
            _build(sam, aws)
        with step("Deploy template.yaml (sam deploy)"):
            _deploy(sam, aws, variant.parameters)
            stack = describe(aws, clients(aws))
        with step("Call the function once"):
            _call(stack)
        yield stack


def deployed_also(
    stack: Stack, *, account: str = KEY, region: str = HOME_REGION, name: str = STACK, **parameters: str
) -> Stack:
    """Deploy what was built for this stack in another account or Region of the same local AWS, too.

    MiniStack makes a role's name from the stack's alone, so in another Region `name` is another one. On AWS
    both may be alike.
    """
    aws = replace(stack.aws, key=account)
    _deploy(tool("sam"), aws, parameters, region, name)
    return describe(aws, clients(aws, region), name)


def _build(sam: str, aws: LocalAws) -> None:
    # Not into .aws-sam: two of us side by side, or the person's own build, would be disturbed.
    options = ["--template-file", str(ROOT / "template.yaml"), "--build-dir", str(_built(aws))]
    _run("sam build", [sam, "build", *options, "--beta-features", *_NO_CONFIGURATION], aws, SAM_FOLDER)


def _deploy(
    sam: str, aws: LocalAws, parameters: Mapping[str, str], region: str = HOME_REGION, name: str = STACK
) -> None:
    given = {"AllowedRegions": ",".join(ALLOWED_REGIONS), **parameters}
    options = [
        *("--template-file", str(_built(aws) / "template.yaml"), *_NO_CONFIGURATION),
        *("--stack-name", name, "--region", region, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"),
        *("--no-confirm-changeset", "--no-fail-on-empty-changeset"),
        *("--parameter-overrides", *(f"{name}={value}" for name, value in given.items())),
    ]
    _run("sam deploy", [sam, "deploy", *options], aws, aws.folder)


def _built(aws: LocalAws) -> Path:
    return aws.folder / "build"


def _run(name: str, command: Sequence[str], aws: LocalAws, folder: Path) -> None:
    log = aws.folder / f"{name.replace(' ', '-')}.log"
    # Both look for work to do every 5 s by default. Here it is done sooner.
    environment = aws.environment | {"TMPDIR": str(aws.folder), "SAM_CLI_POLL_DELAY": "0.5"}
    with processes.running(command, environment, folder, log) as process:
        if process.wait():
            raise LocalError(f"`{name}` failed. Its last lines:\n{processes.last_lines(log)}")


def _call(stack: Stack) -> None:
    """Ask for a secret that is not there: a function that cannot even do that is not worth waiting for."""
    asked = json.dumps({"secret_id": "secret-replicator/no-such-secret"})
    answer = stack.clients.functions.invoke(FunctionName=stack.function_name, Payload=asked)
    if "FunctionError" in answer:
        raise LocalError(f"The function does not work: {answer['Payload'].read().decode()}")


def logical_id(name: str) -> str:
    """Return the logical ID in a name that CloudFormation made for the stack; any other name as it is."""
    made = re.fullmatch(rf"{STACK}-(\w+)-\w+", name)
    return made[1] if made else name


def describe(aws: LocalAws, home: Connection, name: str = STACK) -> Stack:
    """Return the stack that was deployed there, fixed; raise LocalError if it is not as it should be."""
    try:
        stack = _stack(aws, home, name)
        fixes.maximum_concurrency(home.functions, stack.function_name)
        fixes.recursive_loop(home, name, stack.function_name)
        fixes.batch_permissions(home.iam, stack.role)
    except (BotoCoreError, ClientError, KeyError) as error:
        raise LocalError(
            f"The deployed stack cannot be read ({error!r}): is template.yaml as it should be?"
        ) from error
    return stack


def _stack(aws: LocalAws, home: Connection, name: str) -> Stack:
    described = home.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    resources = home.cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    names = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
    return Stack(
        aws=aws,
        clients=home,
        queue_url=outputs["ReplicationQueueUrl"],
        dead_letter_queue_url=outputs["DeadLetterQueueUrl"],
        function_name=outputs["ReplicatorFunctionName"],
        log_group=names["ReplicatorFunctionLogGroup"],
        role=names["ReplicatorFunctionRole"],
    )
