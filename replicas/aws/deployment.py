"""What the function of a Region decides by, and the ways to what it looks at.

The switches are those of the function's own environment, read by the function's own reader. The policy is a
file on this disk: what the function carries could only be had by downloading its code.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from replicas.aws.checkout import POLICY, in_checkout
from replicas.aws.connection import (
    Clients,
    StackParts,
    connect,
    default_stack,
    find_parts,
)
from replicas.aws.dead_letters import Queues
from replicas.aws.local_endpoint import read_address
from replicas.errors import NoStackError, OperatorError
from replicas.options import Access, Where
from secret_replicator.errors import PolicyError, SettingsError
from secret_replicator.gateway import Budget, Gateway
from secret_replicator.policy import Policy, parse_policy
from secret_replicator.settings import Settings, read_settings

_NO_QUEUES = {"QUEUE_URL": "not deployed", "DEAD_LETTER_QUEUE_URL": "not deployed"}


@dataclass(frozen=True)
class Deployment:
    """The function of one Region, or one that is thought of, which has no stack and no queues."""

    settings: Settings
    policy: Policy
    gateway: Gateway
    clients: Clients
    stack: str = ""
    queues: Queues | None = None
    function: str = ""

    @property
    def region(self) -> str:
        """The Region of the primaries."""
        return self.settings.region

    def __str__(self) -> str:
        """Say by what is decided."""
        mode = f"stack {self.stack}, Mode={self.settings.mode}" if self.stack else "nothing deployed"
        allowed = ",".join(self.settings.allowed_regions)
        return f"{self.region}: {mode}, AllowedRegions={allowed}, policy {shown(self.settings.policy_file)}"


def deployments(where: Where) -> Iterator[Deployment]:
    """Yield the function of each Region asked for; raise OperatorError."""
    policy = load_policy(policy_file(where.policy, local=where.local))
    for region in dict.fromkeys(where.regions or ()) or [None]:
        yield _deployment(where, where.access(region), policy)


def policy_file(named: Path | None, *, local: bool) -> Path:
    """Return the policy that is read: named, else the local AWS's or that of this checkout."""
    return named or (Path(read_address().policy_file) if local else in_checkout(POLICY))


def load_policy(file: Path) -> Policy:
    """Return the policy in the file; raise OperatorError with all that is wrong with it."""
    try:
        return parse_policy(file.read_bytes(), shown(file))
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{file} cannot be read ({error}): name a policy with --policy") from error
    except PolicyError as error:
        raise OperatorError(str(error)) from error


def shown(file: Path) -> str:
    """Return the file's path as a person would write it from here."""
    file, here = file.resolve(), Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def _deployment(where: Where, access: Access, policy: Policy) -> Deployment:
    clients = connect(access)
    region = clients.region
    gateway = Gateway(clients.secrets, Budget(writes_per_second=1))
    if where.allowed_regions:
        settings = _settings({"ALLOWED_REGIONS": where.allowed_regions} | _NO_QUEUES, region, where)
        return Deployment(settings, policy, gateway, clients)
    stack = where.stack or default_stack()
    parts = _parts(clients, stack)
    settings = _settings(_environment(clients, parts), region, where)
    queues = Queues(clients.sqs, parts.queue_url, parts.dead_letter_queue_url)
    return Deployment(settings, policy, gateway, clients, stack, queues, parts.function)


def _parts(clients: Clients, stack: str) -> StackParts:
    try:
        return find_parts(clients.cloudformation, stack)
    except NoStackError as error:
        raise OperatorError(
            f"{error}. Before it is deployed, say --allowed-regions eu-west-1,us-west-2"
        ) from error


def _environment(clients: Clients, parts: StackParts) -> Mapping[str, str]:
    """Return the function's environment variables. They name switches and queues, no secrets.

    https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html
    """
    answer = clients.functions.get_function_configuration(FunctionName=parts.function)
    return answer.get("Environment", {}).get("Variables", {})


def _settings(environment: Mapping[str, str], region: str, where: Where) -> Settings:
    try:
        settings = read_settings({**environment, "AWS_REGION": region})
    except SettingsError as error:
        raise OperatorError(str(error)) from error
    # POLICY_FILE is a path in the function's own world.
    return replace(settings, policy_file=policy_file(where.policy, local=where.local))
