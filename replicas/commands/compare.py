"""`replicas plan --against`: what another policy would change, from the tags alone."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from replicas.aws.accounts import Answers
from replicas.aws.deployment import Deployment, load_policy, shown
from replicas.commands.steps import Options, Region, Step, Totals, answers_of
from replicas.exit_codes import CHANGES, OK, exit_code
from replicas.inventory import pricing, wording
from replicas.inventory.inventory import Choice, Reading, format_calls, require_some, selected
from replicas.options import Where
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
        steps, secrets = self.steps, self.secrets
        return (
            f"{count(secrets('gains'), 'secret')} to gain {count(steps['gains'], 'replica')}, "
            f"{secrets('loses'):,} to lose {steps['loses']:,}, {steps['other key']:,} to want another key, "
            f"{count(steps['new problem'], 'new problem')}, {steps['solved']:,} solved, "
            f"{self.unchanged:,} unchanged"
        )


def run(options: Options, where: Where, against: Path, screen: Screen) -> int:
    """Show what changes from the policy `against` to the one that `where` names; return the exit code."""
    return exit_code(lambda: _run(options, where, against, screen), screen, "Stopped. Nothing was written.")


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


def _run(options: Options, where: Where, against: Path, screen: Screen) -> int:
    before = load_policy(against)

    def compared_in(deployment: Deployment, _place: Where, own: Screen) -> Region:
        own.say(f"{deployment}, instead of {shown(against)}")
        return _compared(options, deployment, before, own)

    answers = answers_of(where, Comparison, compared_in, screen)
    if answers.are_complete:
        require_some(options.choice)
    if options.as_json:
        screen.write_json(answers.total.document(answers))
    else:
        _show(answers, screen)
    answers.require_all()
    return CHANGES if options.detailed_exitcode and answers.total.planned else OK


def _compared(options: Options, deployment: Deployment, before: Policy, screen: Screen) -> Region:
    region = Region(deployment)
    with screen.progress(f"Reading the secrets of {deployment.region}") as report, format_calls():
        for number, secret in enumerate(_of_either(deployment, before, options.choice), start=1):
            report(number)
            old, new = (
                _desired(secret, policy, deployment.settings) for policy in (before, deployment.policy)
            )
            region.add(secret, changes(old, new), options)
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


def _show(answers: Answers[Comparison], screen: Screen) -> None:
    answers.total.show(screen, answers)
    steps = answers.total.steps
    amount = pricing.dollars(pricing.of_replicas(steps["gains"] - steps["loses"]))
    screen.show(
        f"Cost: {amount} a month for replicas (${pricing.REPLICA_DOLLARS} each, list price), once all are "
        "made and those that are lost are removed."
    )
    screen.say(
        "This compares what the policies want. Lost replicas stay, as drift, unless PruneReplicas is on; the "
        "key of a replica that is there can be changed only in its own Region."
    )
