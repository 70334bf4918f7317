"""Two Regions with a function each on the strict Secrets Manager, an application, and an operator."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.secrets_manager.model import Params
from local.secrets_manager.service import StrictSecretsManager
from replicas.aws.connection import connect
from replicas.aws.region_secrets import RegionSecrets
from replicas.options import Access
from secret_replicator.budget import Budget
from secret_replicator.errors import ReplicatorError
from secret_replicator.gateway import Gateway
from secret_replicator.models import Attempt
from secret_replicator.overwrites import Overwrites
from secret_replicator.policy import parse_policy
from secret_replicator.reconciler import Reconciler
from secret_replicator.settings import read_settings
from secret_replicator.writes import Answers

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

HOME, THERE, THIRD = "us-east-1", "us-west-2", "eu-west-1"
POLICY = '[tag]\nkey = "replicate-to"\n'
QUEUES = {"QUEUE_URL": "none", "DEAD_LETTER_QUEUE_URL": "none"}
SECRETS = 40


class KilledError(BaseException):
    """The operator's process is gone: nothing after this call happens."""


@dataclass
class Scene:
    """All there is. `kills` decides when the operator's process dies; without it, it lives."""

    secrets: StrictSecretsManager
    url: str
    folder: Path
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    kills: random.Random | None = None
    written: dict[str, str] = field(default_factory=dict)
    discarded: dict[str, str] = field(default_factory=dict)
    _clients: dict[str, "SecretsManagerClient"] = field(default_factory=dict)
    _calls_left: int = -1

    def client(self, region: str) -> "SecretsManagerClient":
        """Return the client of whoever is not the operator."""
        if region not in self._clients:
            self._clients[region] = connect(Access(region, endpoint_url=self.url)).secrets
        return self._clients[region]

    def operators(self, access: Access, writes_per_second: float) -> RegionSecrets:
        """Return a Region as the operator reaches it, until the process is killed."""
        connection = connect(access)
        connection.secrets.meta.events.register("before-call", self._live_or_die)
        budget = Budget(writes_per_second, self.clock, self.sleep)
        return RegionSecrets(str(access.region), connection.secrets, connection.keys, budget)

    def _live_or_die(self, **_: object) -> None:
        if self._calls_left == 0:
            raise KilledError
        self._calls_left -= 1

    def through_kills(self, work: Callable[[], int]) -> int:
        """Do the operator's work, killed now and then and begun again."""
        for _ in range(self.kills.randrange(3) if self.kills else 0):
            self._calls_left = self.kills.randrange(1, 200) if self.kills else -1
            try:
                work()
            except KilledError:
                self.sleep(5)
            self._calls_left = -1
        return work()

    def call(self, region: str, operation: str, **params: Any) -> Params:  # noqa: ANN401  AWS's own
        """Do what an owner of secrets does."""
        return self.secrets.handle(operation, region, params)

    def create(self, region: str, name: str, to: str) -> None:
        """Create a tagged secret."""
        self.written[name] = f"{name} as created"
        tags = [{"Key": "replicate-to", "Value": to}]
        self.call(region, "CreateSecret", Name=name, SecretString=self.written[name], Tags=tags)

    def put(self, region: str, name: str) -> None:
        """Give it a new value."""
        self.written[name] = f"{name} written in {region}"
        self.call(region, "PutSecretValue", SecretId=name, SecretString=self.written[name])

    def read(self, region: str) -> dict[str, str | None]:
        """Return what an application with credentials of its own reads in a Region."""
        return {name: self.secrets.secret(region, name).value for name in self.secrets.names(region)}

    def functions_run(self, *regions: str) -> None:
        """Let the function of each Region attend to every secret there, as a sweep does."""
        for region in regions:
            reconciler = self._reconciler(region)
            for name in self.secrets.names(region):
                self._reconcile(reconciler, self.secrets.secret(region, name).arn)
        self.sleep(1)

    def _reconcile(self, reconciler: Reconciler, arn: str) -> None:
        now = self.clock()
        try:
            reconciler.reconcile(arn, Attempt(1, 0, float("inf"), now))
        except ReplicatorError:
            return  # its message would come back later

    def _reconciler(self, region: str) -> Reconciler:
        allowed = ",".join(sorted({HOME, THERE, THIRD} - {region}))
        settings = read_settings({"AWS_REGION": region, "ALLOWED_REGIONS": allowed} | QUEUES)
        budget = Budget(50, self.clock, self.sleep)
        gateway = Gateway(self.client(region), self.clock)
        policy = parse_policy(POLICY)
        overwrites = Overwrites(lambda there: Gateway(self.client(there), self.clock), region, policy.tag_key)
        return Reconciler(gateway, budget, policy, settings, Answers(self.clock), overwrites)
