"""The drill's scene without a stack: the function's own code on the strict Secrets Manager, in no time.

`replicas verify` asks it over HTTP; all others, thousands of times, in process.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.drill.scene import HOME, POLICY, THERE, THIRD, Scene
from local.secrets_manager.service import StrictSecretsManager
from local.secrets_manager.transport import attach
from replicas.aws.region_secrets import RegionSecrets
from replicas.options import Access, Scope
from secret_replicator.budget import Budget
from secret_replicator.errors import ReplicatorError
from secret_replicator.gateway import Gateway
from secret_replicator.models import Attempt
from secret_replicator.overwrites import Overwrites
from secret_replicator.policy import parse_policy
from secret_replicator.reconciler import Reconciler
from secret_replicator.settings import read_settings
from secret_replicator.writes import Answers
from tests.support.clients import client_of

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

QUEUES = {"QUEUE_URL": "none", "DEAD_LETTER_QUEUE_URL": "none"}


@dataclass(kw_only=True)
class InProcess(Scene):
    """A strict Secrets Manager that is served over HTTP, and a function that is called, not deployed."""

    secrets: StrictSecretsManager
    _clients: "dict[str, SecretsManagerClient]" = field(default_factory=dict)
    _drift: list[tuple[str, str, str]] = field(default_factory=list)

    def scope(self) -> Scope:
        """Return how to reach home, where no stack can be read."""
        allowed = f"{THERE},{THIRD}"
        return Scope(regions=[HOME], endpoint_url=self.url, policy=self.policy, allowed_regions=allowed)

    def owner(self, region: str) -> "SecretsManagerClient":
        """Return one client a Region."""
        if region not in self._clients:
            self._clients[region] = client_of(self.secrets.handle, region)
        return self._clients[region]

    def operators(self, access: Access, writes_per_second: float) -> RegionSecrets:
        """Return a Region as the operator reaches it, until the process is killed."""
        reached = super().operators(access, writes_per_second)
        attach(self.secrets.handle, reached.client)
        return reached

    def read(self, region: str) -> dict[str, str | None]:
        """Return the values as the model has them: it gives none to a call."""
        return {name: self.secrets.secret(region, name).value for name in self.secrets.names(region)}

    def switch_off(self, region: str) -> None:
        """Let a Region answer nothing."""
        self.secrets.switch_off(region)

    def switch_on(self, region: str) -> None:
        """Let a Region answer again."""
        self.secrets.switch_on(region)

    def functions_run(self, *regions: str) -> None:
        """Call the function's core for every secret of each Region, as a sweep does."""
        for region in regions:
            reconciler = self._reconciler(region)
            for name in self.secrets.names(region):
                self._reconcile(reconciler, region, name)
        self.sleep(1)

    def reported(self, region: str, drift: str) -> list[str]:
        """Return what the calls so far came to."""
        return sorted(name for there, kind, name in self._drift if (there, kind) == (region, drift))

    def _reconcile(self, reconciler: Reconciler, region: str, name: str) -> None:
        arn = self.secrets.secret(region, name).arn
        try:
            outcome = reconciler.reconcile(arn, Attempt(1, 0, float("inf"), self.clock()))
        except ReplicatorError:
            return  # its message would come back later
        self._drift += [(region, drift.kind, name) for drift in outcome.plan.drift]

    def _reconciler(self, region: str) -> Reconciler:
        allowed = ",".join(sorted({HOME, THERE, THIRD} - {region}))
        given = {"AWS_REGION": region, "ALLOWED_REGIONS": allowed, "ALLOW_OVERWRITE": "true"}
        settings = read_settings(given | QUEUES)
        budget = Budget(50, self.clock, self.sleep)
        gateway = Gateway(self.owner(region), self.clock)
        policy = parse_policy(POLICY)
        overwrites = Overwrites(
            lambda there: Gateway(self.owner(there), self.clock), region, policy.tag_key, self.clock
        )
        return Reconciler(gateway, budget, policy, settings, Answers(self.clock), overwrites)
