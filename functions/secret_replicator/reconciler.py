"""One secret: describe, desired, plan, apply, assess."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from secret_replicator.budget import Budget, require_time
from secret_replicator.disposition import REFUSED_ATTEMPTS, region_problem
from secret_replicator.errors import (
    AccessDeniedError,
    DeadlineExceededError,
    KeyRefusedError,
    RefusedError,
    ReplicatorError,
    SecretNotFoundError,
)
from secret_replicator.gateway import KEY_REMEDY, Gateway, is_about_a_key
from secret_replicator.models import (
    FAILED,
    IN_SYNC,
    Attempt,
    Decision,
    Kind,
    Outcome,
    Plan,
    Problem,
    Replica,
    Secret,
)
from secret_replicator.overwrites import Overwrites, keeping
from secret_replicator.planner import belongs_to_another_account, best_by_region, decision, is_selected
from secret_replicator.policy import Policy
from secret_replicator.settings import Settings
from secret_replicator.writes import Answers, Requests, Write

NOT_FOUND_ATTEMPTS, NOT_FOUND_SECONDS = 3, 20
"""A new secret may not be visible yet. Not found by this many attempts in this time, it was deleted."""

_NAME_TAKEN = re.compile("already exists|ResourceExistsException")
"""AWS's own words. They decide only where a problem is reported, never that there is none."""


MOMENT_SECONDS = 0.25
"""How old a reading may be when a write begins: what is older is read again first."""

_REFUSALS = (RefusedError, AccessDeniedError, KeyRefusedError)
"""Of these one Region may be the cause, and the others are asked for all the same."""


@dataclass
class Work:
    """One attempt at one secret: what DescribeSecret last showed of it, what was asked for, what AWS said."""

    secret: Secret
    decision: Decision
    read_at: float
    requests: Requests
    actual: dict[str, Replica] = field(init=False)
    shown: Decision = field(init=False)
    """What the outcome's plan is: what was asked for by an older reading stays in it."""
    finished: bool = True
    """Whether there was time for all that was to be asked for, and to see what came of it."""

    def __post_init__(self) -> None:
        self.go_on_by(self.secret, self.decision, self.read_at)

    def go_on_by(self, secret: Secret, decision: Decision, read_at: float) -> None:
        """Work from now on by what was read at this time."""
        self.secret, self.decision, self.read_at = secret, decision, read_at
        self.actual = {**best_by_region(secret.replicas)}
        if not self.requests.has_written:
            self.shown = decision

    def next_write(self) -> Write | None:
        """Return the call to make next, None if there is none."""
        return None if self.decision.skip else self.requests.next_write(self.decision.plan)


@dataclass(frozen=True)
class Reconciler:
    """Brings one secret nearer to what the policy wants, and says how near it is."""

    gateway: Gateway
    budget: Budget
    policy: Policy
    settings: Settings
    answers: Answers
    overwrites: Overwrites

    def reconcile(self, secret_id: str, attempt: Attempt) -> Outcome:
        """Return the outcome of this attempt at the secret; raise ReplicatorError."""
        if belongs_to_another_account(secret_id, self.settings):
            return Outcome(Kind.SKIPPED, secret_id, "another_account")
        try:
            secret, found, read_at = self._read(secret_id, attempt)
        except SecretNotFoundError:
            if attempt.number < NOT_FOUND_ATTEMPTS or attempt.age_seconds < NOT_FOUND_SECONDS:
                raise
            return Outcome(Kind.SKIPPED, secret_id, "deleted")
        except AccessDeniedError:
            # The secret's own policy may deny it: that is wrong only where something asks for a replica.
            listed = self.gateway.listed(secret_id, attempt.deadline)
            if listed is None or is_selected(listed, self.policy, self.settings):
                raise
            return Outcome(Kind.SKIPPED, listed.arn, "not_selected")
        work = Work(secret, found, read_at, Requests(secret.arn, attempt, self.answers))
        outcome = self._outcome(work)
        return replace(outcome, secret=work.secret.arn, plan=work.shown.plan)

    def _read(self, secret_id: str, attempt: Attempt) -> tuple[Secret, Decision, float]:
        """Return the secret as it is now, what is to be done about it in this attempt, and when this was."""
        secret, decided, read_at = self._described(secret_id, attempt)
        elsewhere = self.overwrites.found(secret, decided.plan, attempt.deadline)
        if elsewhere and self.budget.clock() - read_at > MOMENT_SECONDS:
            secret, decided, read_at = self._described(secret_id, attempt)
        decided = keeping(decided, elsewhere)
        if attempt.read_only:
            decided = replace(decided, plan=Plan(wait=decided.plan.wait, drift=decided.plan.drift))
        elif attempt.last:
            decided = replace(decided, plan=_asking_nothing_again(decided.plan, secret))
        return secret, decided, read_at

    def _described(self, secret_id: str, attempt: Attempt) -> tuple[Secret, Decision, float]:
        """Return the same, whatever stands where a replica may overwrite."""
        secret = self.gateway.describe(secret_id, attempt.deadline)
        read_at = self.budget.clock()
        settings = replace(self.settings, prune_replicas=False) if attempt.read_only else self.settings
        return secret, decision(secret, self.policy, settings, attempt.now), read_at

    def _outcome(self, work: Work) -> Outcome:
        if not work.decision.skip and self.settings.mode == "plan":
            return Outcome(Kind.SKIPPED, note="plan_mode", problems=work.decision.problems)
        try:
            self._work(work)
        except ReplicatorError as error:
            plan = work.shown.plan
            raise error.about(work.secret.arn, plan.open_regions, _known(work)) from error
        return _assess(work)

    def _work(self, work: Work) -> None:
        """Ask for all that is to be asked for, and see what came of it."""
        began = self.budget.clock()
        try:
            while work.next_write():
                self._write_next(work, began)
            if work.requests.refused:
                # Perhaps another call for the same secret was first: see what is true now.
                self._read_again(work)
        except DeadlineExceededError:
            if not work.requests.has_written:
                raise
            work.finished = False

    def _read_again(self, work: Work) -> None:
        work.go_on_by(*self._read(work.secret.arn, work.requests.attempt))

    def _write_next(self, work: Work, began: float) -> None:
        """Make the next call, whatever it is when its slot has come: nothing is written by an old reading."""
        deadline = work.requests.attempt.deadline
        if work.requests.has_written:
            # No more than half of the time for one secret: others are waiting.
            require_time(2 * self.budget.clock() - began, deadline)
        refresh = partial(self._read_again, work)
        with self.budget.slot(deadline, refresh):
            if self.budget.clock() - work.read_at > MOMENT_SECONDS:
                refresh()
            if write := work.next_write():
                self._write(work, write)

    def _write(self, work: Work, write: Write) -> None:
        arn, requests = work.secret.arn, work.requests
        new = {want.region for want in work.decision.plan.add} & write.regions
        self.answers.ask(write.regions)
        try:
            if write.remove:
                self.gateway.remove(arn, write.remove)
                requests.removed = write.remove
            else:
                work.actual |= best_by_region(self.gateway.replicate(arn, write.replicate))
                requests.taken |= write.regions
        except _REFUSALS as error:
            if write.replicate and len(write.regions) > 1:
                requests.refused_together.append(write.regions)
                return
            requests.refused |= {region: region_problem(region, error) for region in write.regions}
            if isinstance(error, RefusedError):
                self.answers.note(new, taken=False)
        else:
            self.answers.note(new, taken=True)


def _asking_nothing_again(todo: Plan, secret: Secret) -> Plan:
    """Return the plan for the last attempt: nobody would see what comes of another try."""
    failed = best_by_region(secret.replicas)
    left = tuple(failed[want.region] for want in todo.retry)
    return replace(todo, retry=(), wait=tuple(sorted(todo.wait + left)))


def _known(work: Work) -> str:
    """Return what AWS has said of the Regions that have Failed, and of those that it refused."""
    listed = best_by_region(work.secret.replicas)
    failed = (listed[region] for region in work.shown.plan.open_regions if region in listed)
    said = [_pending(replica.region, _said(replica)).text for replica in failed if replica.status == FAILED]
    return "; ".join(said + [refusal.text for _, refusal in sorted(work.requests.refused.items())])


def _said(replica: Replica, before: str = "") -> str:
    """Return status and reason; the reason may be the one that was there before."""
    reason = replica.message or before
    return f"{replica.status} ({reason})" if reason else replica.status


def _pending(region: str, status: str) -> Problem:
    remedy = KEY_REMEDY if is_about_a_key(status) else "fix what AWS names in that Region, then redrive"
    return Problem(region, f"{region} is {status}", remedy, "Waiting")


def _not_there(work: Work, region: str) -> str:
    """Return why AWS lists no replica: others may have come first, where it lately refused this Region."""
    waits = region in {want.region for want in work.decision.plan.add} - work.requests.asked
    return "not requested yet" if waits else "not listed by AWS (yet)"


def _assess(work: Work) -> Outcome:
    """Say how near the secret is. Only what AWS reports as InSync counts."""
    removed = work.requests.removed
    if work.decision.skip and not removed:
        return Outcome(Kind.SKIPPED, note=work.decision.skip)
    desired = work.decision.desired
    open_ends = tuple(_open_ends(work))
    problems = open_ends + desired.problems
    seen_twice = work.requests.attempt.number >= REFUSED_ATTEMPTS and work.finished
    settled = {"AccessDenied", "Refused"} if seen_twice else set()
    kind = Kind.FAILED if problems else Kind.CONVERGED
    if any(problem.error_type not in settled for problem in open_ends):
        kind = Kind.WAITING
    return Outcome(
        kind,
        problems=problems,
        requested=bool(removed) or any(new.region in work.requests.taken for new in work.shown.plan.add),
        replicas=tuple(replica for region, replica in sorted(work.actual.items()) if region not in removed),
    )


def _open_ends(work: Work) -> Iterator[Problem]:
    """Yield what keeps each wanted Region from being InSync, and each unwanted one from being gone."""
    desired, refused = work.decision.desired, work.requests.refused
    wanted = [want.region for want in desired.replicas]
    for region in wanted:
        replica = work.actual.get(region)
        if replica and replica.status == IN_SYNC:
            continue
        problem = _not_in_sync(work, region, replica)
        taken = desired.is_asked_by_rules_alone(region) and _NAME_TAKEN.search(problem.text)
        yield replace(problem, drift="name_taken") if taken else problem
    for region in sorted((work.actual.keys() & refused.keys()) - {*wanted}):
        yield refused[region]
    for region in work.requests.removed:
        # It may be wanted again: an attempt that has removed something never ends its message.
        text = f"{region} was removed, and has not been checked since"
        yield Problem(region, text, "redrive it", "Waiting")


def _not_in_sync(work: Work, region: str, replica: Replica | None) -> Problem:
    """Return why a wanted Region is not InSync: what AWS refused, or says of its replica."""
    if region in work.decision.unseen:
        return work.decision.unseen[region]
    if replica is None:
        return work.requests.refused.get(region) or _pending(region, _not_there(work, region))
    before = best_by_region(work.secret.replicas).get(region, replica)
    return _pending(region, _said(replica, before.message))
