"""`replicas apply`: a sweep of chosen secrets: the planned ones are sent to the queue, and followed."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from replicas.aws.deployment import Deployment, deployments
from replicas.aws.function_log import Follower, SweepProgress, find_log_group, follow
from replicas.commands import plan, sweep
from replicas.commands.steps import Region
from replicas.errors import OperatorError
from replicas.exit_codes import CHANGES, OK
from replicas.inventory.inventory import require_all_read, require_some
from replicas.options import ApplyOptions, Where
from replicas.terminal import Screen, count
from secret_replicator.errors import TransientError
from secret_replicator.work_queue import WorkQueue


@dataclass(frozen=True)
class Sent:
    """What was sent in one Region, and how to follow it."""

    deployment: Deployment
    follower: Follower


def run(
    options: ApplyOptions, where: Where, screen: Screen, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Send and follow the planned secrets; return the exit code."""
    screen.stopped = (
        "Stopped. What was sent stays in the queue, and the function works on it: see replicas status."
    )
    regions = []
    for deployment in deployments(where, deployed_first=True):
        screen.say(str(deployment))
        if deployment.is_deployed_policy is None:
            screen.say(
                f"{deployment.region}: whether the function decides by this policy is not known, so it may "
                "do other than the plan says: allow lambda:GetFunction for the role or user that runs this"
            )
        _require_function(deployment)
        regions.append(plan.make(deployment, options.choice, screen))
    require_some(options.choice)
    planning = plan.Planning(regions)
    if not options.as_json:
        planning.show(screen)
    question = f"Send {count(planning.changing, 'secret')} to the ReplicationQueue?"
    wished = bool(planning.changing) and (options.yes or screen.ask(question))
    code = _apply(regions, options, screen, sleep) if wished else _say_nothing_was_sent(options, screen)
    require_all_read(planning.readings)
    return code


def _require_function(deployment: Deployment) -> None:
    if deployment.settings.mode == "plan":
        raise OperatorError(
            f"{deployment.region} is deployed with Mode=plan: its function writes nothing. "
            "Deploy Mode=apply first"
        )


def _apply(
    regions: Sequence[Region], options: ApplyOptions, screen: Screen, sleep: Callable[[float], None]
) -> int:
    sweep_id = str(uuid4())
    followed = [_send(region, sweep_id, screen) for region in regions if region.to_change()]
    for sent in followed:
        queues = sent.deployment.queues
        assert queues is not None, "without a stack there is no apply"  # noqa: S101
        follow(sent.follower, queues, screen, sleep)
        if not options.as_json:
            sweep.show(sent.follower.progress, screen)
    if options.as_json:
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


def _say_nothing_was_sent(options: ApplyOptions, screen: Screen) -> int:
    if options.as_json:
        screen.write_json(sweep.document(None, []))
    else:
        screen.show("Nothing was sent.", "bold")
    return OK
