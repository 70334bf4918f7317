"""`replicas plan --against`: what another policy would change, from the tags alone."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Self

from replicas.aws.accounts import Answers
from replicas.aws.deployment import Deployment, load_policy, shown
from replicas.commands import steps
from replicas.commands.steps import Region, Step, Totals
from replicas.inventory import pricing, wording
from replicas.inventory.inventory import Reading, format_calls, selected
from replicas.options import Choice, PlanOptions, Where
from replicas.terminal import Screen, count
from secret_replicator.models import Desired, Secret
from secret_replicator.planner import decision, overwriting_nothing
from secret_replicator.policy import Policy
from secret_replicator.settings import Settings


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


def run(options: PlanOptions, where: Where, screen: Screen) -> int:
    """Show what changes from the policy `against` to the one that `where` names; return the exit code."""
    assert options.against is not None, "there is nothing to compare with"  # noqa: S101
    against, before = shown(options.against), load_policy(options.against)

    def compared_in(deployment: Deployment, own: Screen) -> Region:
        own.say(f"{deployment}, instead of {against}")
        return _compared(options, deployment, before, own)

    return steps.run(Comparison, compared_in, options, where, screen)


def changes(before: Desired, after: Desired) -> Iterator[Step]:
    """Yield what changes for one secret."""
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


def _compared(options: PlanOptions, deployment: Deployment, before: Policy, screen: Screen) -> Region:
    region = Region(deployment)
    with screen.progress(f"Reading the secrets of {deployment.region}") as report, format_calls():
        for number, secret in enumerate(_of_either(deployment, before, options.choice), start=1):
            report(number)
            old, new = (
                _desired(secret, policy, deployment.settings) for policy in (before, deployment.policy)
            )
            region.add(secret, changes(old, new), options.replica_regions or ())
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
