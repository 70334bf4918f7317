"""One secret: describe, desired, plan, apply, judge."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from secret_replicator.errors import AccessDeniedError, RefusedError, ReplicatorError, SecretNotFoundError
from secret_replicator.gateway import Gateway
from secret_replicator.judge import REFUSED_LOOKS, error_type
from secret_replicator.models import (
    FAILED,
    IN_SYNC,
    Desired,
    DesiredReplica,
    Kind,
    Look,
    Outcome,
    Plan,
    Problem,
    Replica,
    Secret,
)
from secret_replicator.planner import belongs_to_another_account, best_by_region, intent
from secret_replicator.policy import Policy
from secret_replicator.settings import Settings

NOT_FOUND_LOOKS, NOT_FOUND_SECONDS = 3, 20
"""A new secret may not be visible yet. Not found by this many looks in this time, it was deleted."""

_CLOUDFORMATION_STACK = "aws:cloudformation:stack-name"
_NAME_TAKEN = re.compile("already exists|ResourceExistsException")
"""AWS's own words. They decide only where a problem is reported, never that there is none."""


@dataclass(frozen=True)
class Answer:
    """What AWS reports of the Regions, and which it refused."""

    actual: Mapping[str, Replica]
    refusals: Mapping[str, Problem] = field(default_factory=dict)
    deleted: bool = False


@dataclass(frozen=True)
class Reconciler:
    """Brings one secret nearer to what the policy wants, and says how near it is."""

    gateway: Gateway
    policy: Policy
    settings: Settings

    def reconcile(self, secret_id: str, look: Look) -> Outcome:
        """Return the outcome of this look at the secret; raise ReplicatorError."""
        if belongs_to_another_account(secret_id, self.settings):
            return Outcome(Kind.SKIPPED, secret_id, "another_account")
        try:
            secret = self.gateway.describe(secret_id, look.deadline)
        except SecretNotFoundError:
            if look.attempt < NOT_FOUND_LOOKS or look.age_seconds < NOT_FOUND_SECONDS:
                raise
            return Outcome(Kind.SKIPPED, secret_id, "deleted")
        settings = replace(self.settings, prune_replicas=False) if look.only_look else self.settings
        what = intent(secret, self.policy, settings, look.now)
        desired, todo = what.desired, what.plan
        if what.skip:
            return Outcome(Kind.SKIPPED, secret.arn, what.skip, todo)
        if look.only_look:
            todo = Plan(wait=todo.wait, drift=todo.drift)
        elif look.last:
            todo = _asking_nothing_again(todo, secret)
        stack = _stack_that_removed(todo, secret, settings.region)
        if settings.mode == "plan":
            outcome = Outcome(Kind.SKIPPED, note="plan_mode", problems=what.problems)
        else:
            outcome = self._reconcile(secret, desired, todo, look)
        return replace(outcome, secret=secret.arn, plan=todo, cloudformation_stack=stack)

    def _reconcile(self, secret: Secret, desired: Desired, todo: Plan, look: Look) -> Outcome:
        try:
            answer = self._apply(secret, todo, look.deadline)
        except ReplicatorError as error:
            raise error.about(secret.arn, todo.open_regions, _known(secret, todo)) from error
        if answer.deleted:
            return Outcome(Kind.SKIPPED, note="scheduled_for_deletion")
        outcome = _judge(secret, desired, answer, look.attempt)
        return replace(
            outcome,
            requested=any(new.region in answer.actual for new in todo.add),
            replicas=tuple(
                replica
                for region, replica in sorted(answer.actual.items())
                if region not in todo.remove or region in answer.refusals
            ),
        )

    def _apply(self, secret: Secret, todo: Plan, deadline: float) -> Answer:
        """Do what the plan says; return what AWS then reports."""
        answer = Answer(best_by_region(secret.replicas))
        for overwrite, wanted in _by_overwrite(todo.add + todo.retry):
            new = self._replicate(secret.arn, wanted, deadline, overwrite=overwrite)
            answer = Answer({**answer.actual, **new.actual}, {**answer.refusals, **new.refusals})
        if todo.remove:
            refusals = self._remove(secret.arn, todo.remove, deadline)
            answer = replace(answer, refusals={**answer.refusals, **refusals})
        if answer.refusals:
            # Perhaps another call for the same secret was first: look what is true now.
            now = self.gateway.describe(secret.arn, deadline)
            answer = replace(answer, actual=best_by_region(now.replicas), deleted=now.deleted)
        return answer

    def _remove(self, arn: str, regions: tuple[str, ...], deadline: float) -> dict[str, Problem]:
        try:
            self.gateway.remove(arn, regions, deadline)
        except (RefusedError, AccessDeniedError) as error:
            return {region: _refusal(region, error) for region in regions}
        return {}

    def _replicate(
        self, arn: str, wanted: tuple[DesiredReplica, ...], deadline: float, *, overwrite: bool
    ) -> Answer:
        """Request all Regions in one call; if AWS does not take it, each alone: so the bad one is named."""
        try:
            return Answer(best_by_region(self.gateway.replicate(arn, wanted, deadline, overwrite=overwrite)))
        except (RefusedError, AccessDeniedError) as error:
            if len(wanted) == 1:
                region = wanted[0].region
                return Answer({}, {region: _refusal(region, error)})
        answers = [self._replicate(arn, (one,), deadline, overwrite=overwrite) for one in wanted]
        return Answer(
            {region: replica for answer in answers for region, replica in answer.actual.items()},
            {region: refusal for answer in answers for region, refusal in answer.refusals.items()},
        )


def _stack_that_removed(todo: Plan, secret: Secret, home_region: str) -> str:
    """Return the CloudFormation stack of a secret that lacks Regions though it was replicated before."""
    replicated_before = secret.primary_region == home_region
    return secret.tags.get(_CLOUDFORMATION_STACK, "") if todo.add and replicated_before else ""


def _by_overwrite(
    wanted: tuple[DesiredReplica, ...],
) -> Iterator[tuple[bool, tuple[DesiredReplica, ...]]]:
    """Yield the Regions of each call: a call may overwrite in all of its Regions, or in none."""
    for overwrite in (False, True):
        if regions := tuple(want for want in wanted if want.overwrite is overwrite):
            yield overwrite, regions


def _refusal(region: str, error: ReplicatorError) -> Problem:
    return Problem(region, f"{region}: {error.problem}", error.remedy, error_type(error))


def _asking_nothing_again(todo: Plan, secret: Secret) -> Plan:
    """Return the plan for a look that is the last: nobody would see what comes of another try."""
    failed = best_by_region(secret.replicas)
    left = tuple(failed[want.region] for want in todo.retry)
    return replace(todo, retry=(), wait=tuple(sorted(todo.wait + left)))


def _known(secret: Secret, todo: Plan) -> str:
    """Return what AWS has said of the Regions that have Failed."""
    listed = best_by_region(secret.replicas)
    failed = (listed[region] for region in todo.open_regions if region in listed)
    return "; ".join(
        _pending(replica.region, _said(replica)).text for replica in failed if replica.status == FAILED
    )


def _said(replica: Replica, before: str = "") -> str:
    """Return status and reason; the reason may be the one that was there before."""
    reason = replica.message or before
    return f"{replica.status} ({reason})" if reason else replica.status


def _pending(region: str, status: str) -> Problem:
    return Problem(
        region, f"{region} is {status}", "mend what AWS names in that Region, then redrive", "Waiting"
    )


def _judge(secret: Secret, desired: Desired, answer: Answer, attempt: int) -> Outcome:
    """Say how near the secret is. Only what AWS reports as InSync counts."""
    open_ends = tuple(_open_ends(secret, desired, answer))
    problems = open_ends + desired.problems
    settled = {"AccessDenied", "Refused"} if attempt >= REFUSED_LOOKS else {"AccessDenied"}
    if any(problem.error_type not in settled for problem in open_ends):
        return Outcome(Kind.WAITING, problems=problems)
    return Outcome(Kind.FAILED if problems else Kind.CONVERGED, problems=problems)


def _open_ends(secret: Secret, desired: Desired, answer: Answer) -> Iterator[Problem]:
    """Yield what keeps each wanted Region from being InSync, and each unwanted one from being gone."""
    before = best_by_region(secret.replicas)
    for region in (want.region for want in desired.replicas):
        replica = answer.actual.get(region)
        if replica is None:
            problem = answer.refusals.get(region) or _pending(region, "not listed by AWS (yet)")
        elif replica.status != IN_SYNC:
            message_before = before[region].message if region in before else ""
            problem = _pending(region, _said(replica, message_before))
        else:
            continue
        taken = region in desired.asked_by_rules_alone and _NAME_TAKEN.search(problem.text)
        yield replace(problem, drift="name_taken") if taken else problem
    unwanted = answer.actual.keys() - {want.region for want in desired.replicas}
    for region in sorted(unwanted & answer.refusals.keys()):
        yield answer.refusals[region]
