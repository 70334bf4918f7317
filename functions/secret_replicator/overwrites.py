"""What stands where a replica may overwrite: a promoted copy, perhaps the live one, is never replaced."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from secret_replicator.disposition import region_problem
from secret_replicator.errors import DeadlineExceededError, ReplicatorError, SecretNotFoundError
from secret_replicator.gateway import Gateway
from secret_replicator.models import Decision, DesiredReplica, Drift, Problem, Secret
from secret_replicator.planner import HOLD_TAG

PROMOTED = "promoted"


@dataclass(frozen=True)
class Overwrites:
    """Looks at the secret of the same name in a Region before it may be overwritten there."""

    gateway_of: Callable[[str], Gateway]
    home_region: str
    tag_key: str

    def checked(self, secret: Secret, decision: Decision, deadline: float) -> Decision:
        """Return the decision, asking neither for Regions that must be kept nor for those that are unseen.

        A Region that is kept is drift, and not wanted any more; one that is unseen stays wanted.
        """
        asked = decision.plan.add + decision.plan.retry
        found = {want.region: self._found(secret, want, deadline) for want in asked if want.overwrite}
        kept = {region: answer for region, answer in found.items() if isinstance(answer, Drift)}
        unseen = {region: answer for region, answer in found.items() if isinstance(answer, Problem)}
        left_out = kept.keys() | unseen.keys()
        todo = replace(
            decision.plan,
            add=_without(decision.plan.add, left_out),
            retry=_without(decision.plan.retry, left_out),
            drift=tuple(sorted({*decision.plan.drift, *kept.values()})),
        )
        desired = replace(decision.desired, replicas=_without(decision.desired.replicas, kept))
        return replace(decision, plan=todo, desired=desired, unseen=unseen)

    def _found(self, secret: Secret, want: DesiredReplica, deadline: float) -> Drift | Problem | None:
        try:
            there = self.gateway_of(want.region).describe(secret.name, deadline)
        except SecretNotFoundError:
            return None
        except DeadlineExceededError:
            raise
        except ReplicatorError as error:
            return region_problem(want.region, error)
        return Drift(want.region, PROMOTED) if self._is_kept(there, secret, want.region) else None

    def _is_kept(self, there: Secret, secret: Secret, region: str) -> bool:
        """Tell whether it is a promoted copy, is held, or is a primary: by its tag, or as it has replicas."""
        if there.primary_region == self.home_region:
            return False
        own = there.primary_region == region or not {self.tag_key, HOLD_TAG}.isdisjoint(there.tags)
        return own or _suffix(there.arn) == _suffix(secret.arn)


def _suffix(arn: str) -> str:
    """Return what AWS adds to a name: a promoted copy keeps it, another secret of the name has its own."""
    return arn[-6:]


def _without(wanted: Iterable[DesiredReplica], regions: Collection[str]) -> tuple[DesiredReplica, ...]:
    return tuple(want for want in wanted if want.region not in regions)
