"""`replicas plan`: what a sweep would do, secret by secret, and what it would cost. Nothing is written."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any, ClassVar

from replicas.aws.accounts import Answers
from replicas.aws.deployment import Deployment, shown
from replicas.commands.steps import CHANGING, Options, Region, Step, Totals, answers_of
from replicas.errors import OperatorError
from replicas.exit_codes import CHANGES, OK, exit_code
from replicas.inventory import pricing, wording
from replicas.inventory.inventory import Seen, read, require_some
from replicas.inventory.unselected import unselected
from replicas.options import Where
from replicas.terminal import Screen, count
from secret_replicator.models import FAILED as FAILED_STATUS
from secret_replicator.models import Plan
from secret_replicator.planner import best_by_region

NAMED = 5
"""Secrets that an error names before it becomes too long."""


class Planning(Totals):
    """What a sweep would do."""

    title = "Plan"
    marks: ClassVar = {"add": "+", "retry": "~", "wait": ".", "remove": "-", "drift": "?", "problem": "!"}

    def __str__(self) -> str:
        """Say it in one line."""
        number = self.steps
        where = f" in {count(len(self.regions('add')), 'Region')}" if number["add"] else ""
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


def run(options: Options, where: Where, screen: Screen) -> int:
    """Show the plan; return the exit code."""
    return exit_code(lambda: _run(options, where, screen), screen, "Stopped. Nothing was written.")


def make(deployment: Deployment, options: Options, screen: Screen, where: Where | None = None) -> Region:
    """Return the plan of one Region, with `where` also what nothing selects; raise OperatorError."""
    region = Region(deployment)
    what = f"Reading the secrets of {deployment.region}"
    with screen.progress(what, note=deployment.connection.throttling.__str__) as report:
        selected = read(deployment, options.choice, region.reading, report)
        others = unselected(deployment, options.choice, region.reading, screen) if where else ()
        for seen in chain(selected, others):
            region.add(seen.secret, steps_of(seen), options)
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


def _run(options: Options, where: Where, screen: Screen) -> int:
    def planned_for(deployment: Deployment, place: Where, own: Screen) -> Region:
        own.say(str(deployment))
        return make(deployment, options, own, place)

    answers = answers_of(where, Planning, planned_for, screen)
    planning = answers.total
    if answers.are_complete:
        require_some(options.choice)
    if options.as_json:
        screen.write_json(_document(answers))
    else:
        show(planning, screen, answers)
    require_all_read(planning)
    answers.require_all()
    return CHANGES if options.detailed_exitcode and planning.secrets(*CHANGING) else OK


def require_all_read(planning: Planning) -> None:
    """Raise OperatorError if some secrets could not be described."""
    if unread := [name for reading in planning.readings for name in reading.unread]:
        raise OperatorError(format_unread(unread))


def show(planning: Planning, screen: Screen, answers: Answers[Planning] | None = None) -> None:
    """Print the plan: its steps, the summary, the cost."""
    planning.show(screen, answers)
    screen.show(format_cost(planning))
    for region in planning.parts:
        if region.deployment.settings.mode == "plan":
            screen.say(f"{region.deployment.place} is deployed with Mode=plan: its function writes nothing.")


def format_unread(unread: Sequence[str]) -> str:
    """Return the error that some secrets could not be read."""
    some = ", ".join(sorted(unread)[:NAMED]) + (" …" if len(unread) > NAMED else "")
    return (
        f"{count(len(unread), 'secret')} could not be read ({some}): allow secretsmanager:DescribeSecret "
        "for the role or user that runs this, also in the secret's resource policy"
    )


def format_cost(planning: Planning) -> str:
    """Return what the plan adds to the bill, with the prices that it is computed from."""
    readings = planning.readings
    selected = sum(reading.selected for reading in readings)
    calls = sum(pricing.sweep_calls(reading.listed, reading.selected) for reading in readings)
    orphaned = sum(reading.orphaned for reading in readings)
    left = (
        f" {count(orphaned, 'orphaned replica')}: {pricing.dollars(pricing.of_replicas(orphaned))} a month."
        if orphaned
        else ""
    )
    return (
        f"Cost: {_change(added(planning))} a month for replicas (${pricing.REPLICA_DOLLARS} each), and "
        f"{pricing.dollars(pricing.of_calls(calls))} for a daily sweep of {count(selected, 'secret')} "
        f"({calls:,} calls, $0.05 per 10,000). List prices, without KMS.{left}"
    )


def added(totals: Totals) -> Decimal:
    """Return the dollars per month that the plan adds."""
    return pricing.of_replicas(totals.steps["add"] - totals.steps["remove"])


def _change(amount: Decimal) -> str:
    return ("+" if amount > 0 else "") + pricing.dollars(amount)


def _document(answers: Answers[Planning]) -> dict[str, Any]:
    totals = answers.total
    calls = sum(pricing.sweep_calls(reading.listed, reading.selected) for reading in totals.readings)
    orphaned = sum(reading.orphaned for reading in totals.readings)
    changing = totals.secrets(*CHANGING)
    return {
        "deployments": [_facts(region) for region in totals.parts],
        **totals.document(answers, add_regions=totals.regions("add"), secrets_to_change=changing),
        "cost_dollars_per_month": {
            "added_replicas": float(added(totals)),
            "orphaned_replicas": float(pricing.of_replicas(orphaned)),
            "sweep_calls": float(pricing.of_calls(calls)),
        },
    }


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
