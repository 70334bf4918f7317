"""`replicas plan`: what a sweep would do, secret by secret, and what it would cost. Nothing is written.

With `--against`: what another policy would change, from the tags alone.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Self

from replicas.aws.accounts import Answers
from replicas.aws.deployment import Deployment, load_policy, shown
from replicas.commands import steps
from replicas.commands.steps import CHANGING, Region, Step, Totals
from replicas.inventory import pricing, wording
from replicas.inventory.inventory import Reading, Seen, format_calls, read, selected, sweep_calls
from replicas.inventory.unselected import unselected
from replicas.options import Choice, PlanOptions, Scope
from replicas.terminal import Screen, count, counted
from secret_replicator.models import FAILED as FAILED_STATUS
from secret_replicator.models import Desired, Plan, Secret
from secret_replicator.planner import best_by_region, decision, overwriting_nothing
from secret_replicator.policy import Policy
from secret_replicator.settings import Settings


class Planning(Totals):
    """What a sweep would do, and what that would cost."""

    title = "Plan"
    marks: ClassVar = {"add": "+", "retry": "~", "wait": ".", "remove": "-", "drift": "?", "problem": "!"}

    def __str__(self) -> str:
        """Say it in one line."""
        number = self.steps
        where = f" in {count(len(self.add_regions), 'Region')}" if number["add"] else ""
        parts = [
            f"{number['add']:,} to add{where}",
            f"{number['retry']:,} to retry",
            *([f"{number['wait']:,} to wait for"] if number["wait"] else []),
            f"{number['remove']:,} to remove",
            *([f"{number['drift']:,} drifted"] if number["drift"] else []),
            count(number["problem"], "problem"),
            f"{self.unchanged:,} unchanged",
        ]
        return ", ".join(parts)

    @property
    def changing(self) -> int:
        """How many secrets the function would write to."""
        return self.secrets(*CHANGING)

    @property
    def add_regions(self) -> list[str]:
        """The Regions that a replica would be added in."""
        found = (step for secret in self.planned for step in secret.steps)
        return sorted({step.region for step in found if step.action == "add"})

    @property
    def orphaned(self) -> int:
        """How many replicas have a primary that nothing selects."""
        return sum(reading.orphaned for reading in self.readings)

    @property
    def cost(self) -> dict[str, Decimal]:
        """What it adds to the bill, in dollars a month."""
        return {
            "added_replicas": pricing.of_replicas(self.steps["add"] - self.steps["remove"]),
            "orphaned_replicas": pricing.of_replicas(self.orphaned),
            "sweep_calls": pricing.of_calls(sweep_calls(self.readings)),
        }

    def show(self, screen: Screen, answers: Answers[Self] | None = None) -> None:
        """Print the plan: its steps, the summary, the cost."""
        super().show(screen, answers)
        screen.show(self._format_cost())
        for region in self.parts:
            if region.deployment.settings.mode == "plan":
                place = region.deployment.place
                screen.say(f"{place} is deployed with Mode=plan: its function writes nothing.")

    def _format_cost(self) -> str:
        """Return what the plan adds to the bill, with the prices that it is computed from."""
        dollars = {item: pricing.dollars(amount) for item, amount in self.cost.items()}
        sign = "+" if self.cost["added_replicas"] > 0 else ""
        selected = sum(reading.selected for reading in self.readings)
        orphaned = f" {count(self.orphaned, 'orphaned replica')}: {dollars['orphaned_replicas']} a month."
        sweep = f"{count(selected, 'secret')} ({sweep_calls(self.readings):,} calls, $0.05 per 10,000)"
        return (
            f"Cost: {sign}{dollars['added_replicas']} a month for replicas "
            f"(${pricing.REPLICA_DOLLARS} each), and {dollars['sweep_calls']} for a daily sweep of {sweep}. "
            f"List prices, without KMS.{orphaned if self.orphaned else ''}"
        )

    def document(self, answers: Answers[Self], **more: object) -> dict[str, Any]:
        """Return the same as JSON has it."""
        changes = {"add_regions": self.add_regions, "secrets_to_change": self.changing}
        return {
            "deployments": [_facts(region) for region in self.parts],
            **super().document(answers, **changes, **more),
            "cost_dollars_per_month": {item: float(amount) for item, amount in self.cost.items()},
        }


class Comparison(Totals):
    """What another policy would change."""

    title = "Change"
    marks: ClassVar = {"gains": "+", "loses": "-", "other key": "~", "new problem": "!", "solved": "*"}

    def __str__(self) -> str:
        """Say it in one line."""
        number, secrets = self.steps, self.secrets
        return (
            f"{count(secrets('gains'), 'secret')} to gain {count(number['gains'], 'replica')}, "
            f"{secrets('loses'):,} to lose {number['loses']:,}, {number['other key']:,} to want another key, "
            f"{count(number['new problem'], 'new problem')}, {number['solved']:,} solved, "
            f"{self.unchanged:,} unchanged"
        )

    def show(self, screen: Screen, answers: Answers[Self] | None = None) -> None:
        """Print the steps, the summary, the cost."""
        super().show(screen, answers)
        amount = pricing.dollars(pricing.of_replicas(self.steps["gains"] - self.steps["loses"]))
        screen.show(
            f"Cost: {amount} a month for replicas (${pricing.REPLICA_DOLLARS} each, list price), once all "
            "are made and those that are lost are removed."
        )
        screen.say(
            "This compares what the policies want. Lost replicas stay, as drift, unless PruneReplicas is on; "
            "the key of a replica that is there can be changed only in its own Region."
        )


def run(options: PlanOptions, scope: Scope, screen: Screen) -> int:
    """Show the plan, or what changes from the policy `against` to the other; return the exit code."""
    if options.against:
        compared = partial(_compared, options, shown(options.against), load_policy(options.against))
        return steps.run(Comparison, compared, options, scope, screen)

    def planned(deployment: Deployment, own: Screen) -> Region:
        own.say(str(deployment))
        return make(deployment, options.choice, own, options.replica_regions, everything=True)

    return steps.run(Planning, planned, options, scope, screen)


def make(
    deployment: Deployment,
    choice: Choice,
    screen: Screen,
    replica_regions: Sequence[str] = (),
    *,
    everything: bool = False,
) -> Region:
    """Return the plan of one Region, with `everything` also what nothing selects; raise OperatorError."""
    region = Region(deployment)
    reading = f"Reading the secrets of {deployment.region}"
    with screen.progress(reading, note=deployment.connection.throttling.__str__) as report:
        selected = read(deployment, choice, region.reading, report)
        others = unselected(deployment, choice, region.reading, screen) if everything else ()
        for seen in chain(selected, others):
            region.add(seen.secret, steps_of(seen), replica_regions)
    return region


def steps_of(seen: Seen) -> Iterator[Step]:
    """Yield what the function would do about the secret and report of it, as its own plan has it."""
    plan: Plan = seen.decision.plan
    actual = best_by_region(seen.secret.replicas)
    for want in plan.add:
        yield Step("add", want.region, wording.of_key(want.kms_key_id), may_overwrite=want.overwrite)
    for want in plan.retry:
        said = actual[want.region].message
        why = f"{FAILED_STATUS} ({said})" if said else FAILED_STATUS
        yield Step("retry", want.region, wording.of_key(want.kms_key_id), why, want.overwrite)
    for have in plan.wait:
        yield Step("wait", have.region, wording.of_key(have.kms_key_id), have.status)
    for region in plan.remove:
        yield Step("remove", region, wording.of_key(actual[region].kms_key_id), "no tag or rule requests it")
    for drift in plan.drift:
        key = wording.of_key(actual[drift.region].kms_key_id) if drift.region in actual else ""
        yield Step("drift", drift.region, key, wording.of_drift(drift, seen.decision))
    for problem in seen.decision.problems:
        yield Step.of_problem("problem", problem)


def _facts(region: Region) -> dict[str, Any]:
    settings = region.deployment.settings
    return {
        "account": region.deployment.account or None,
        "primary_region": settings.region,
        "stack": region.deployment.stack or None,
        "mode": settings.mode,
        "allowed_regions": [*settings.allowed_regions],
        "policy": shown(settings.policy_file),
        "listed": region.reading.listed,
        "selected": region.reading.selected,
        "unread": sorted(region.reading.unread),
    }


def _changes(before: Desired, after: Desired) -> Iterator[Step]:
    old = {want.region: want for want in before.replicas}
    new = {want.region: want for want in after.replicas}
    for region in sorted(new.keys() - old.keys()):
        key, overwrite = wording.of_key(new[region].kms_key_id), new[region].overwrite
        yield Step("gains", region, key, may_overwrite=overwrite)
    for region in sorted(old.keys() - new.keys()):
        yield Step("loses", region, wording.of_key(old[region].kms_key_id))
    for region in sorted(old.keys() & new.keys()):
        was, becomes = wording.of_key(old[region].kms_key_id), wording.of_key(new[region].kms_key_id)
        if was != becomes:
            yield Step("other key", region, becomes, f"instead of {was}")
    for problem in sorted(set(after.problems) - set(before.problems)):
        yield Step.of_problem("new problem", problem)
    for problem in sorted(set(before.problems) - set(after.problems)):
        yield Step("solved", problem.region, why=problem.text)


def _compared(
    options: PlanOptions, against: str, before: Policy, deployment: Deployment, screen: Screen
) -> Region:
    screen.say(f"{deployment}, instead of {against}")
    region = Region(deployment)
    with screen.progress(f"Reading the secrets of {deployment.region}") as report, format_calls():
        for secret in counted(_of_either(deployment, before, options.choice), report):
            old, new = (
                _desired(secret, policy, deployment.settings) for policy in (before, deployment.policy)
            )
            region.add(secret, _changes(old, new), options.replica_regions)
    return region


def _desired(secret: Secret, policy: Policy, settings: Settings) -> Desired:
    """Return what the function would bring about: nothing for a secret that it leaves alone."""
    found = decision(secret, policy, settings, time.time())
    if found.skip:
        return Desired(selected=False)
    return found.desired if settings.allow_overwrite else overwriting_nothing(found.desired)


def _of_either(deployment: Deployment, before: Policy, choice: Choice) -> Iterator[Secret]:
    """Yield the secrets that one of the policies selects, each once."""
    known: set[str] = set()
    for policy in (deployment.policy, before):
        for secret in selected(replace(deployment, policy=policy), policy, choice, Reading()):
            if secret.arn not in known:
                known.add(secret.arn)
                yield secret
