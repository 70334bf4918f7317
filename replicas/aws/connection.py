"""A deployed stack as operators reach it: sessions, clients, and its queues by its name."""

import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from replicas.aws.checkout import checkout, in_checkout
from replicas.aws.dead_letters import Queues
from replicas.aws.errors import AWS_ERRORS, name_services
from replicas.aws.local_endpoint import local_session, read_address
from replicas.errors import NoStackError, OperatorError
from replicas.options import Access
from replicas.regions import known_regions
from secret_replicator.throttling import is_throttling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_account import AccountClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudtrail import CloudTrailClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient

SAM_CONFIG = Path("samconfig.toml")
DEFAULT_STACK = "secret-replicator"
MAX_CONNECTIONS = 50
ATTEMPTS = 10
"""How often a call is tried, unless AWS_MAX_ATTEMPTS or the profile's max_attempts says it."""

FEW_ATTEMPTS = 2
"""How often for what can be done without, and in a Region that botocore does not know: a typo, most likely.

Where nobody answers, ten take a minute."""

_IMPATIENT = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1})


@dataclass
class Throttling:
    """How often AWS throttled. Counted in many threads."""

    times: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, response: "tuple[object, Mapping[str, Any]] | None", **_: object) -> None:
        """Count an answer that throttles, before botocore decides whether to try again."""
        if response and is_throttling(response[1].get("Error", {}).get("Code", "")):
            with self._lock:
                self.times += 1

    def caused(self, error: Exception) -> bool:
        """Tell whether AWS only throttled."""
        cause = error.__cause__
        return isinstance(cause, ClientError) and is_throttling(cause.response["Error"].get("Code", ""))

    def __str__(self) -> str:
        """Return what stands behind a progress, empty if nothing was throttled."""
        return f" (AWS throttles: waited {self.times:,} times)" if self.times else ""


def _client(service: str) -> "cached_property[Any]":
    return cached_property(lambda connection: connection.client(service))


class _Services:
    """A client takes a while to make, so each is made when it is needed."""

    account: "cached_property[AccountClient]" = _client("account")
    cloudformation: "cached_property[CloudFormationClient]" = _client("cloudformation")
    cloudtrail: "cached_property[CloudTrailClient]" = _client("cloudtrail")
    cloudwatch: "cached_property[CloudWatchClient]" = _client("cloudwatch")
    events: "cached_property[EventBridgeClient]" = _client("events")
    functions: "cached_property[LambdaClient]" = _client("lambda")
    iam: "cached_property[IAMClient]" = _client("iam")
    keys: "cached_property[KMSClient]" = _client("kms")
    logs: "cached_property[CloudWatchLogsClient]" = _client("logs")
    sqs: "cached_property[SQSClient]" = _client("sqs")
    sts: "cached_property[STSClient]" = _client("sts")


@dataclass(frozen=True)
class Connection(_Services):
    """The services in a Region."""

    session: boto3.Session
    endpoint_url: str | None
    ca_bundle: str | None
    config: Config
    throttling: Throttling = field(default_factory=Throttling)
    region_name: str | None = None
    """None is the session's own."""
    _elsewhere: "dict[str, Connection]" = field(default_factory=dict)

    @property
    def region(self) -> str:
        """The Region of all of them; raise NoRegionError."""
        return self.cloudformation.meta.region_name

    def in_region(self, region: str) -> "Connection":
        """Return the same in another Region. Its clients are kept."""
        if region not in self._elsewhere:
            self._elsewhere[region] = replace(self, region_name=region)
        return self._elsewhere[region]

    @cached_property
    def brief(self) -> "Connection":
        """The same, for what can be done without: it tries a call less often."""
        few = Config(retries={"mode": "standard", "total_max_attempts": FEW_ATTEMPTS})
        return replace(self, config=self.config.merge(few), _elsewhere={})

    def client(self, service: str) -> Any:  # noqa: ANN401  boto3 has a type for each service
        """Return a new client of a service, by boto3's name for it."""
        return self.session.client(  # type: ignore[call-overload]
            service,
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            verify=self.ca_bundle,
            config=self.config,
        )

    @cached_property
    def secrets(self) -> "SecretsManagerClient":
        """Secrets Manager, for many calls at once. What it throttles is counted."""
        client: SecretsManagerClient = self.client("secretsmanager")
        client.meta.events.register("needs-retry.secrets-manager", self.throttling.note)
        return client


@dataclass(frozen=True)
class Parts:
    """The parts of a stack that its outputs name."""

    queues: Queues
    function: str


def connect(access: Access) -> Connection:
    """Return the connection; raise BotoCoreError if there is no such profile, OperatorError if nothing is up.

    Also raise it for an AWS configuration, in the environment or in a file, that leads nowhere.
    """
    if access.local:
        here = read_address()
        session = local_session(access.region or here.region)
        connection = Connection(session, here.endpoint, here.ca_bundle, _config(ATTEMPTS, proxies={}))
    else:
        with _credential_errors():
            session = _session(access)
        if session.region_name == "":
            raise NoRegionError
        connection = Connection(session, access.endpoint_url, None, _config(_attempts(session)))
    name_services(session.events)
    with _credential_errors():
        if credentials := session.get_credentials():
            credentials.get_frozen_credentials()
    _require_endpoint(connection)
    return connection


@contextmanager
def _credential_errors() -> Iterator[None]:
    """Raise OperatorError for what botocore cannot read, and does not word."""
    try:
        yield
    except BotoCoreError:
        raise
    except (OSError, ValueError) as error:
        raise OperatorError(
            f"There are no credentials ({error}): is credential_process, or web_identity_token_file, right "
            "in the AWS configuration?"
        ) from error


def _require_endpoint(connection: Connection) -> None:
    try:
        urlsplit(connection.cloudformation.meta.endpoint_url).port  # noqa: B018  a wrong one is an error here
    except BotoCoreError:
        raise
    except ValueError as error:
        raise OperatorError(
            f"{error}: is AWS_ENDPOINT_URL, --endpoint-url, or endpoint_url in the AWS configuration, a URL?"
        ) from error


def _session(access: Access) -> boto3.Session:
    """Return the caller's session, or one of the role that the caller assumes. It is assumed again in time.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    """
    own = boto3.Session(profile_name=access.profile, region_name=access.region)
    if access.role is None:
        return own
    extra = {"RoleSessionName": "replicas"}
    if access.role.external_id:
        extra["ExternalId"] = access.role.external_id
    name_services(own.events)
    source = own._session  # noqa: SLF001  boto3 has no public way to a role's session
    fetcher = AssumeRoleCredentialFetcher(
        partial(source.create_client, region_name=own.region_name, endpoint_url=access.endpoint_url),
        own.get_credentials(),
        access.role.arn,
        extra_args=extra,
    )
    assumed = botocore.session.Session(profile=access.profile)
    assumed._credentials = DeferredRefreshableCredentials(  # type: ignore[attr-defined]  # noqa: SLF001
        fetcher.fetch_credentials, "assume-role"
    )
    return boto3.Session(botocore_session=assumed, region_name=access.region or own.region_name)


def _attempts(session: boto3.Session) -> int:
    """Return how often a call is tried: as the person's AWS configuration says, else patiently.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
    """
    try:
        said = session._session.get_config_variable("max_attempts")  # noqa: SLF001  boto3 does not hand it on
    except ValueError as error:
        raise OperatorError(
            f"AWS_MAX_ATTEMPTS, or max_attempts in a profile, is no number: {error}"
        ) from error
    usual = ATTEMPTS if session.region_name in known_regions() else FEW_ATTEMPTS
    return usual if said is None else max(1, said)


def _config(attempts: int, proxies: dict[str, str] | None = None) -> Config:
    # Throttling is waited out: https://docs.aws.amazon.com/boto3/latest/guide/retries.html
    return Config(
        connect_timeout=10,
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=MAX_CONNECTIONS,
        proxies=proxies,
    )


def find_parts(connection: Connection, stack: str) -> Parts:
    """Return the parts that the stack's outputs name; raise OperatorError if it has none."""
    outputs = stack_outputs(connection.cloudformation, stack)
    try:
        urls = outputs["ReplicationQueueUrl"], outputs["DeadLetterQueueUrl"]
        return Parts(Queues(connection.sqs, *urls), outputs["ReplicatorFunctionName"])
    except KeyError as missing:
        raise OperatorError(
            f"The stack {stack} in {connection.region} has no output {missing.args[0]}: "
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
        default = tomllib.loads(config.read_text("utf-8"))["default"]
        parts = [default.get(part, {}).get("parameters", {}) for part in ("deploy", "global")]
        names = [part.get("stack_name") for part in parts]
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise OperatorError(f"{config} cannot be read ({error}): name the stack with --stack") from error
    for name in filter(None, names):
        return str(name)
    raise OperatorError(f"{config} has no stack_name: name the stack with --stack")


def deployed_version() -> str:
    """Return which version the stack is that is found without an option, empty if none can be read."""
    try:
        stack = default_stack()
        client = replace(connect(Access()), config=_IMPATIENT).cloudformation
        version = stack_outputs(client, stack).get("Version", "of an older version")
    except (OperatorError, *AWS_ERRORS):
        return ""
    return f"stack {stack} in {client.meta.region_name}: {version}"


def stack_outputs(client: "CloudFormationClient", stack: str) -> dict[str, str]:
    """Return the stack's outputs; raise NoStackError, or as boto3 does."""
    with stack_errors(client, stack):
        described = client.describe_stacks(StackName=stack)["Stacks"][0]
    if not (outputs := described.get("Outputs")):
        raise NoStackError(
            f"The stack {stack} in {client.meta.region_name} is {described['StackStatus']}, without outputs: "
            "deploy it, or name the deployed one with --stack, and its Region with --region"
        )
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


@contextmanager
def stack_errors(client: "CloudFormationClient", stack: str) -> Iterator[None]:
    """Raise NoStackError where CloudFormation says that there is no such stack."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"].get("Code") != "ValidationError":
            raise
        raise NoStackError(
            f"There is no stack {stack} in {client.meta.region_name}: name the deployed one with --stack, "
            "and its Region with --region"
        ) from error
