"""A deployed stack as operators reach it: its queues by its name, and AWS's refusals in one sentence."""

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_sqs import SQSClient

SAM_CONFIG = Path(__file__).parent.parent / "samconfig.toml"

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "KmsAccessDenied", "KMS.AccessDeniedException"})
_NOT_SIGNED_IN = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_REMEDIES: tuple[tuple[tuple[type[BotoCoreError], ...], str], ...] = (
    (
        (
            NoCredentialsError,
            PartialCredentialsError,
            SSOError,
            TokenRetrievalError,
            UnauthorizedSSOTokenError,
        ),
        "sign in with `aws sso login` or `aws configure`, or name a profile with --profile",
    ),
    ((ProfileNotFound,), "`aws configure list-profiles` shows those that there are"),
    ((NoRegionError,), "name the stack's Region with --region"),
    ((SSLError,), "is AWS_CA_BUNDLE the right one for this endpoint?"),
    ((EndpointConnectionError,), "is it the right --region or --endpoint-url, and is the network up?"),
)


class OperatorError(Exception):
    """A command cannot do its work: one sentence that says what is wrong, and what to do."""


@dataclass(frozen=True)
class Access:
    """How to reach AWS, as in the AWS CLI. None is what the environment and the profile say."""

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None


@dataclass(frozen=True)
class Clients:
    """The services that a redrive needs, in one Region."""

    cloudformation: "CloudFormationClient"
    sqs: "SQSClient"


@dataclass(frozen=True)
class StackQueues:
    """Where the two queues of a stack are."""

    queue_url: str
    dead_letter_queue_url: str


def connect(access: Access) -> Clients:
    """Return the clients; raise BotoCoreError if there is no such profile, or no Region."""
    session = boto3.Session(profile_name=access.profile, region_name=access.region)
    # Throttling is waited out.
    config = Config(
        connect_timeout=10, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 6}
    )
    return Clients(
        cloudformation=session.client("cloudformation", endpoint_url=access.endpoint_url, config=config),
        sqs=session.client("sqs", endpoint_url=access.endpoint_url, config=config),
    )


def find_queues(client: "CloudFormationClient", stack: str) -> StackQueues:
    """Return the queues that the stack's outputs name; raise OperatorError if it has none."""
    outputs = _outputs(client, stack)
    try:
        return StackQueues(outputs["ReplicationQueueUrl"], outputs["DeadLetterQueueUrl"])
    except KeyError as missing:
        raise OperatorError(
            f"The stack {stack} in {client.meta.region_name} has no output {missing.args[0]}: "
            "it is not a deployed Secret Replicator, so name the one that is with --stack"
        ) from missing


def default_stack(config: Path = SAM_CONFIG) -> str:
    """Return the name that `sam deploy` gives the stack; raise OperatorError if the file does not say."""
    try:
        parts = tomllib.loads(config.read_text("utf-8"))["default"]
    except (OSError, KeyError, ValueError) as error:
        raise OperatorError(f"{config} cannot be read ({error}): name the stack with --stack") from error
    for part in ("deploy", "global"):
        if name := parts.get(part, {}).get("parameters", {}).get("stack_name"):
            return str(name)
    raise OperatorError(f"{config} has no stack_name: name the stack with --stack")


@contextmanager
def errors_in_words(service: str) -> Iterator[None]:
    """Turn what AWS refuses in this block into OperatorError. `service` is its name in IAM actions."""
    try:
        yield
    except ClientError as error:
        raise OperatorError(_refusal(service, error)) from error
    except BotoCoreError as error:
        remedy = next((text for kinds, text in _REMEDIES if isinstance(error, kinds)), "")
        said = " ".join(str(error).split()).rstrip(".")
        raise OperatorError(f"{said}: {remedy}" if remedy else said) from error


def _outputs(client: "CloudFormationClient", stack: str) -> dict[str, str]:
    try:
        described = client.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if error.response["Error"].get("Code") != "ValidationError":
            raise
        raise OperatorError(
            f"There is no stack {stack} in {client.meta.region_name}: name the deployed one with --stack, "
            "and its Region with --region"
        ) from error
    return {output["OutputKey"]: output["OutputValue"] for output in described[0].get("Outputs", [])}


def _refusal(service: str, error: ClientError) -> str:
    code = error.response["Error"].get("Code", "")
    said = " ".join(error.response["Error"].get("Message", "").split()).rstrip(".")
    # Permissions know no batches: sqs:DeleteMessage allows DeleteMessageBatch as well.
    action = f"{service}:{error.operation_name.removesuffix('Batch')}"
    if code in _DENIED:
        return f"Permission {action} is missing: allow it for the role or user that runs this ({said})"
    if code in _NOT_SIGNED_IN:
        return f"AWS does not take these credentials ({code}): sign in again, or name another --profile"
    return f"{action} failed ({code}: {said}): run it again when this is mended"
