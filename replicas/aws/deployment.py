"""What the function of a Region decides by, and the way to its secrets and queues.

The switches are those of the function's own environment, read by the function's own reader. The policy is
the one that is named, else this checkout's, else the deployed one. The others are compared with that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from replicas.aws.checkout import POLICY, in_checkout
from replicas.aws.connection import Connection, Parts, connect, default_stack, find_parts
from replicas.aws.dead_letters import Queues
from replicas.aws.deployed_policy import PACKAGED, policy_if_allowed
from replicas.aws.local_endpoint import local_policy, read_address
from replicas.errors import NoStackError, OperatorError
from replicas.options import Access, Scope
from secret_replicator.errors import PolicyError, SettingsError
from secret_replicator.gateway import Gateway
from secret_replicator.policy import Policy, parse_policy
from secret_replicator.settings import Settings, read_settings

_NO_QUEUES = {"QUEUE_URL": "not deployed", "DEAD_LETTER_QUEUE_URL": "not deployed"}
AS_DEPLOYED = "as deployed"


@dataclass(frozen=True)
class PolicySource:
    """A policy, and where it is from."""

    content: bytes
    name: str
    is_deployed: bool | None = None
    """Whether the function decides by the same one; None if that cannot be known."""

    def parsed(self) -> Policy:
        """Return the policy; raise OperatorError with all that is wrong with it."""
        try:
            return parse_policy(self.content, self.name)
        except PolicyError as error:
            raise OperatorError(str(error)) from error


@dataclass(frozen=True)
class Deployment:
    """The function of one Region, or one that is thought of, which has no stack and no queues."""

    settings: Settings
    policy: Policy
    gateway: Gateway
    connection: Connection
    stack: str = ""
    queues: Queues | None = None
    function: str = ""
    is_deployed_policy: bool | None = None
    account: str = ""

    @property
    def place(self) -> str:
        """The Region, and the account if there are several."""
        return f"{self.account} {self.region}".lstrip()

    @property
    def region(self) -> str:
        """The Region of the primaries."""
        return self.settings.region

    @property
    def blocked_by(self) -> str:
        """Why its function does not do what is decided here, empty if it does."""
        if not self.stack:
            return "nothing is deployed here"
        if self.settings.mode == "plan":
            return "nothing is written with Mode=plan"
        if self.is_deployed_policy is False:
            return "another policy is deployed: deploy this one first"
        return ""

    def __str__(self) -> str:
        """Say by what is decided."""
        mode = f"stack {self.stack}, Mode={self.settings.mode}" if self.stack else "nothing deployed"
        allowed = ",".join(self.settings.allowed_regions)
        policy = shown(self.settings.policy_file)
        line = f"{self.region}: {mode}, AllowedRegions={allowed}, policy {policy}"
        if self.is_deployed_policy is not False:
            return line
        differs = f"{self.region}: the function decides by another policy than {policy}: deploy it first"
        return f"{line}\n{differs}"


def deployments(scope: Scope, *, deployed_first: bool = False) -> Iterator[Deployment]:
    """Yield the function of each Region asked for; raise OperatorError.

    `deployed_first` takes the deployed policy, where it may be read, before that of the checkout.
    """
    for access in scope.accesses:
        yield _deployment(scope, access, deployed_first=deployed_first)


def policy_file(named: Path | None, *, local: bool) -> Path:
    """Return the policy that is read: named, else the local AWS's or that of this checkout."""
    return named or (Path(read_address().policy_file) if local else in_checkout(POLICY))


def source_of(file: Path, connection: Connection, function: str) -> PolicySource:
    """Return the policy in the file; if it would be that of a checkout and is not there, the deployed one."""
    return _on_disk(file, connection) or _as_deployed(policy_if_allowed(connection, function))


def load_policy(file: Path) -> Policy:
    """Return the policy in the file; raise OperatorError with all that is wrong with it."""
    return _in_file(file).parsed()


def shown(file: Path) -> str:
    """Return the file's path as a person would write it from here."""
    file, here = file.resolve(), Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def _deployment(scope: Scope, access: Access, *, deployed_first: bool) -> Deployment:
    connection = connect(access)
    region = connection.region
    gateway = Gateway(connection.secrets)
    if scope.policy:
        own: PolicySource | None = _in_file(scope.policy)
    else:
        own = _on_disk(policy_file(None, local=scope.local), connection)
    if scope.allowed_regions:
        source = own or _in_file(in_checkout(POLICY))
        settings = _settings({"ALLOWED_REGIONS": scope.allowed_regions} | _NO_QUEUES, region, source)
        if scope.account:
            _require_once(scope, f"{connection.sts.get_caller_identity()['Account']} {region}")
        return Deployment(settings, source.parsed(), gateway, connection, account=scope.account)
    stack = scope.stack or default_stack()
    try:
        parts = find_parts(connection, stack)
    except NoStackError as error:
        raise OperatorError(
            f"{error}. Before it is deployed, say --allowed-regions eu-west-1,us-west-2"
        ) from error
    environment = function_environment(connection, parts.function)
    source = _policy_source(own, connection, parts, environment)
    if deployed_first and source.is_deployed is False and not scope.policy:
        source = _policy_source(None, connection, parts, environment)
    settings = _settings(environment, region, source)
    _require_once(scope, settings.queue_url)
    return Deployment(
        settings,
        source.parsed(),
        gateway,
        connection,
        stack,
        parts.queues,
        parts.function,
        source.is_deployed,
        scope.account,
    )


def _require_once(scope: Scope, secrets: str) -> None:
    """Raise OperatorError if these secrets were read under the name of another account."""
    first = scope.read_as.setdefault(secrets, scope.account)
    if first != scope.account:
        raise OperatorError(
            f"It reads the same secrets as {first}, which would count twice: leave one of the two out"
        )


def _on_disk(file: Path, connection: Connection) -> PolicySource | None:
    """Return the policy in the file, None if it would be that of a checkout and is not there.

    The functions of the local AWS decide by a file of their own, not by that in their code.
    """
    local = local_policy(connection.functions.meta.endpoint_url)
    if local and file in (local, in_checkout(POLICY)):
        return replace(_in_file(local), is_deployed=True)
    return None if file == in_checkout(POLICY) and not file.is_file() else _in_file(file)


def _in_file(file: Path) -> PolicySource:
    try:
        return PolicySource(file.read_bytes(), shown(file))
    except OSError as error:
        raise OperatorError(f"{file} cannot be read ({error}): name a policy with --policy") from error


def _policy_source(
    own: PolicySource | None, connection: Connection, parts: Parts, environment: Mapping[str, str]
) -> PolicySource:
    """Return the policy to decide by, compared with the deployed one where that may be read."""
    if own and own.is_deployed:
        return own
    packaged = environment.get("POLICY_FILE", PACKAGED) == PACKAGED
    deployed = policy_if_allowed(connection, parts.function) if packaged else None
    if own:
        return replace(own, is_deployed=None if deployed is None else deployed == own.content)
    return _as_deployed(deployed)


def _as_deployed(content: bytes | None) -> PolicySource:
    if content is None:
        raise OperatorError(
            "There is no functions/policy.toml here, and the deployed policy cannot be read: name a policy "
            "with --policy, or allow lambda:GetFunction for the role or user that runs this"
        )
    return PolicySource(content, AS_DEPLOYED, is_deployed=True)


def function_environment(connection: Connection, function: str) -> Mapping[str, str]:
    """Return the function's environment variables. They name switches and queues, no secrets.

    https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html
    """
    answer = connection.functions.get_function_configuration(FunctionName=function)
    return answer.get("Environment", {}).get("Variables", {})


def _settings(environment: Mapping[str, str], region: str, source: PolicySource) -> Settings:
    try:
        settings = read_settings({**environment, "AWS_REGION": region})
    except SettingsError as error:
        raise OperatorError(str(error)) from error
    # POLICY_FILE is a path in the function's own world.
    return replace(settings, policy_file=Path(source.name))
