"""`replicas apply`: a sweep of chosen secrets: the planned ones are sent to the queue, and followed."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from replicas.aws.deployment import Deployment, deployments
from replicas.aws.function_log import Follower, SweepProgress, find_log_group, follow
from replicas.commands import plan, steps, sweep
from replicas.commands.steps import CHANGING, Region
from replicas.errors import OperatorError
from replicas.exit_codes import CHANGES, OK, exit_code
from replicas.inventory.inventory import require_some
from replicas.options import Where
from replicas.terminal import Screen, count
from secret_replicator.errors import TransientError
from secret_replicator.work_queue import WorkQueue


@dataclass(frozen=True)
class Options:
    """What the command line asks of an apply."""

    plan: steps.Options
    yes: bool = False


@dataclass(frozen=True)
class Sent:
    """What was sent in one Region, and how to follow it."""

    deployment: Deployment
    follower: Follower


def run(options: Options, where: Where, screen: Screen, sleep: Callable[[float], None] = time.sleep) -> int:
    """Send and follow the planned secrets; return the exit code."""
    stopped = "Stopped. What was sent stays in the queue, and the function works on it: see replicas status."
    return exit_code(lambda: _run(options, where, screen, sleep), screen, stopped)


def _run(options: Options, where: Where, screen: Screen, sleep: Callable[[float], None]) -> int:
    regions = []
    for deployment in deployments(where, deployed_first=True):
        screen.say(str(deployment))
        _require_function(deployment)
        regions.append(plan.make(deployment, options.plan, screen))
    require_some(options.plan.choice)
    planning = plan.Planning(regions)
    to_do = planning.secrets(*CHANGING)
    if not options.plan.as_json:
        plan.show(planning, screen)
    question = f"Send {count(to_do, 'secret')} to the ReplicationQueue?"
    wished = bool(to_do) and (options.yes or screen.ask(question))
    code = _apply(regions, options, screen, sleep) if wished else _say_nothing_was_sent(options, screen)
    plan.require_all_read(planning)
    return code


def _require_function(deployment: Deployment) -> None:
    if deployment.settings.mode == "plan":
        raise OperatorError(
            f"{deployment.region} is deployed with Mode=plan: its function writes nothing. "
            "Deploy Mode=apply first"
        )


def _apply(
    regions: Sequence[Region], options: Options, screen: Screen, sleep: Callable[[float], None]
) -> int:
    sweep_id = str(uuid4())
    followed = [_send(region, sweep_id, screen) for region in regions if region.to_change()]
    for sent in followed:
        queues = sent.deployment.queues
        assert queues is not None, "without a stack there is no apply"  # noqa: S101
        follow(sent.follower, queues, screen, sleep)
        if not options.plan.as_json:
            sweep.show(sent.follower.progress, screen)
    if options.plan.as_json:
        screen.write_json(sweep.document(sweep_id, [sent.follower.progress for sent in followed]))
    return max(_code(sent.follower.progress) for sent in followed)


def _code(progress: SweepProgress) -> int:
    code = sweep.code_of(progress)
    return CHANGES if code == OK and progress.drift else code


def _send(region: Region, sweep_id: str, screen: Screen) -> Sent:
    """Enqueue the secrets that something would be done about; return what is to be followed."""
    deployment, queues = region.deployment, region.deployment.queues
    assert queues is not None, "without a stack there is no apply"  # noqa: S101
    arns = region.to_change()
    log_group = find_log_group(deployment.connection, deployment.function)
    since = int(time.time() * 1000) - sweep.EARLIER_MILLISECONDS
    queue = WorkQueue(queues.client, queues.queue_url, queues.dead_letter_queue_url)
    with screen.progress("Sending", len(arns)) as report:
        for start in range(0, len(arns), 10):
            _enqueue(queue, arns, start, sweep_id)
            report(start + 10)
    progress = SweepProgress(frozenset(arns))
    return Sent(deployment, Follower(deployment.connection.logs, log_group, sweep_id, progress, since))


def _enqueue(queue: WorkQueue, arns: Sequence[str], start: int, sweep_id: str) -> None:
    bodies = [json.dumps({"secret_id": arn, "sweep_id": sweep_id}) for arn in arns[start : start + 10]]
    try:
        queue.enqueue(bodies)
    except TransientError as error:
        raise OperatorError(
            f"Sent {start} of {count(len(arns), 'secret')}: {error.problem}. Run it again: what "
            "comes twice does no harm"
        ) from error


def _say_nothing_was_sent(options: Options, screen: Screen) -> int:
    if options.plan.as_json:
        screen.write_json(sweep.document(None, []))
    else:
        screen.show("Nothing was sent.", "bold")
    return OK
