"""What stands where a replica may overwrite: a promoted copy, perhaps the live one, is never replaced."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from secret_replicator.disposition import region_problem
from secret_replicator.errors import (
    AGAIN,
    DeadlineExceededError,
    ReplicatorError,
    SecretNotFoundError,
    TransientError,
)
from secret_replicator.gateway import Gateway
from secret_replicator.models import Decision, DesiredReplica, Drift, Plan, Problem, Secret
from secret_replicator.planner import HOLD_TAG

PROMOTED = "promoted"
SILENT_SECONDS = 60
"""How long a Region that gave no answer is not asked again: the others would wait for it every time."""

Found = Mapping[str, Drift | Problem | None]
"""Of each Region why nothing may be overwritten there, why that is not known, or that something may be."""


@dataclass(frozen=True)
class Overwrites:
    """Looks at the secret of the same name in a Region before it may be overwritten there."""

    gateway_of: Callable[[str], Gateway]
    home_region: str
    tag_key: str
    clock: Callable[[], float] = time.monotonic
    _silent: dict[str, tuple[Problem, float]] = field(default_factory=dict)

    def found(self, secret: Secret, todo: Plan, deadline: float) -> Found:
        """Return what stands in the Regions that may be overwritten; raise DeadlineExceededError."""
        asked = todo.add + todo.retry
        return {
            want.region: self._found_in(want.region, secret, deadline) for want in asked if want.overwrite
        }

    def _found_in(self, region: str, secret: Secret, deadline: float) -> Drift | Problem | None:
        problem, until = self._silent.get(region, (None, 0))
        if self.clock() < until:
            return problem
        try:
            there = self.gateway_of(region).describe(secret.name, deadline)
        except SecretNotFoundError:
            return None
        except DeadlineExceededError:
            raise
        except ReplicatorError as error:
            problem = region_problem(region, error)
            if type(error) is TransientError:  # it neither allowed nor refused
                self._silent[region] = problem, self.clock() + SILENT_SECONDS
            return problem
        return Drift(region, PROMOTED) if self._is_kept(there, secret) else None

    def _is_kept(self, there: Secret, secret: Secret) -> bool:
        """Tell whether it is a promoted copy, is held, or is a primary, or a primary's elsewhere.

        A primary is known by its tag, or as it has replicas.
        """
        if there.cross_account_replica or there.primary_region not in ("", self.home_region):
            return True
        if there.primary_region:
            return False
        tagged = not {self.tag_key, HOLD_TAG}.isdisjoint(there.tags)
        return tagged or _suffix(there.arn) == _suffix(secret.arn)


def keeping(decision: Decision, found: Found) -> Decision:
    """Return the decision, asking neither for Regions that must be kept nor for those that are unseen.

    A Region that is kept is drift, and not wanted any more; one that is unseen stays wanted.
    """
    kept = {region: answer for region, answer in found.items() if isinstance(answer, Drift)}
    unseen = {region: answer for region, answer in found.items() if isinstance(answer, Problem)}
    for want in decision.plan.add + decision.plan.retry:
        if want.overwrite and want.region not in found:
            # It came up while the others were looked at.
            unseen[want.region] = Problem(want.region, f"{want.region} is not checked yet", AGAIN, "Waiting")
    left_out = kept.keys() | unseen.keys()
    todo = replace(
        decision.plan,
        add=_without(decision.plan.add, left_out),
        retry=_without(decision.plan.retry, left_out),
        drift=tuple(sorted({*decision.plan.drift, *kept.values()})),
    )
    desired = replace(decision.desired, replicas=_without(decision.desired.replicas, kept))
    return replace(decision, plan=todo, desired=desired, unseen=unseen)


def _suffix(arn: str) -> str:
    """Return what AWS adds to a name: a promoted copy keeps it, another secret of the name has its own."""
    return arn[-6:]


def _without(wanted: Iterable[DesiredReplica], regions: Collection[str]) -> tuple[DesiredReplica, ...]:
    return tuple(want for want in wanted if want.region not in regions)
