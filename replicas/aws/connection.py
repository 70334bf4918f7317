"""A deployed stack as operators reach it: its queues by its name, and AWS's refusals in one sentence."""

import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from botocore.parsers import ResponseParserError

from replicas.aws.checkout import checkout, in_checkout
from replicas.aws.local_endpoint import local_session, read_address
from replicas.errors import NoStackError, OperatorError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

SAM_CONFIG = Path("samconfig.toml")
DEFAULT_STACK = "secret-replicator"
MAX_CONNECTIONS = 50

_OUTPUTS = ("ReplicationQueueUrl", "DeadLetterQueueUrl", "ReplicatorFunctionName")
_THROTTLED = frozenset(
    {"RequestLimitExceeded", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException"}
)

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


@dataclass(frozen=True)
class Access:
    """How to reach AWS, as in the AWS CLI. None is what the environment and the profile say."""

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    local: bool = False


@dataclass
class Throttling:
    """How often AWS asked to be asked more slowly. Counted in many threads."""

    times: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, response: "tuple[object, Mapping[str, Any]] | None", **_: object) -> None:
        """Look at an answer before botocore decides whether to ask again."""
        if response and response[1].get("Error", {}).get("Code") in _THROTTLED:
            with self._lock:
                self.times += 1

    def caused(self, error: Exception) -> bool:
        """Tell whether AWS only asked to be asked more slowly."""
        cause = error.__cause__
        return isinstance(cause, ClientError) and cause.response["Error"].get("Code") in _THROTTLED

    def __str__(self) -> str:
        """Say it in words to put behind a progress, nothing if there is nothing to say."""
        return f" (AWS throttles: waited {self.times:,} times)" if self.times else ""


@dataclass(frozen=True)
class Clients:
    """The services in one Region. A client takes a while to make, so each is made when it is needed."""

    session: boto3.Session
    endpoint_url: str | None
    ca_bundle: str | None
    config: Config
    throttling: Throttling = field(default_factory=Throttling)

    @property
    def region(self) -> str:
        """The Region of all of them; raise NoRegionError."""
        return self.cloudformation.meta.region_name

    @cached_property
    def cloudformation(self) -> "CloudFormationClient":
        """CloudFormation."""
        return self.session.client(
            "cloudformation", endpoint_url=self.endpoint_url, verify=self.ca_bundle, config=self.config
        )

    @cached_property
    def functions(self) -> "LambdaClient":
        """Lambda."""
        return self.session.client(
            "lambda", endpoint_url=self.endpoint_url, verify=self.ca_bundle, config=self.config
        )

    @cached_property
    def keys(self) -> "KMSClient":
        """KMS."""
        return self.session.client(
            "kms", endpoint_url=self.endpoint_url, verify=self.ca_bundle, config=self.config
        )

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        """CloudWatch Logs."""
        return self.session.client(
            "logs", endpoint_url=self.endpoint_url, verify=self.ca_bundle, config=self.config
        )

    @cached_property
    def secrets(self) -> "SecretsManagerClient":
        """Secrets Manager, for many calls at once. What it throttles is counted."""
        client = self.session.client(
            "secretsmanager", endpoint_url=self.endpoint_url, verify=self.ca_bundle, config=self.config
        )
        client.meta.events.register("needs-retry.secrets-manager", self.throttling.note)
        return client

    @cached_property
    def sqs(self) -> "SQSClient":
        """SQS."""
        return self.session.client(
            "sqs", endpoint_url=self.endpoint_url, verify=self.ca_bundle, config=self.config
        )


@dataclass(frozen=True)
class StackParts:
    """The parts of a stack that its outputs name."""

    queue_url: str
    dead_letter_queue_url: str
    function: str


def connect(access: Access) -> Clients:
    """Return the clients; raise BotoCoreError if there is no such profile, OperatorError if nothing is up."""
    if access.local:
        here = read_address()
        return Clients(
            local_session(access.region or here.region), here.endpoint, here.ca_bundle, _config(proxies={})
        )
    session = boto3.Session(profile_name=access.profile, region_name=access.region)
    return Clients(session, access.endpoint_url, None, _config())


def _config(proxies: dict[str, str] | None = None) -> Config:
    # Throttling is waited out: https://docs.aws.amazon.com/boto3/latest/guide/retries.html
    return Config(
        connect_timeout=10,
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": 10},
        max_pool_connections=MAX_CONNECTIONS,
        proxies=proxies,
    )


def find_parts(client: "CloudFormationClient", stack: str) -> StackParts:
    """Return the parts that the stack's outputs name; raise OperatorError if it has none."""
    outputs = _outputs(client, stack)
    try:
        return StackParts(*(outputs[name] for name in _OUTPUTS))
    except KeyError as missing:
        raise OperatorError(
            f"The stack {stack} in {client.meta.region_name} has no output {missing.args[0]}: "
            "it is not a deployed Secret Replicator, so name the one that is with --stack"
        ) from missing


def default_stack(config: Path | None = None) -> str:
    """Return the name that `sam deploy` gives the stack; raise OperatorError if the file does not say.

    Without a file and without a checkout it is the name that this repository gives.
    """
    here = checkout()
    if config is None and here is None:
        return DEFAULT_STACK
    config = config or in_checkout(SAM_CONFIG)
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
    except ResponseParserError as error:
        raise OperatorError("What answered is not AWS: is it the right --endpoint-url?") from error
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
        raise NoStackError(
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
