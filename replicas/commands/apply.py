"""`replicas apply`: a sweep of chosen secrets: the planned ones are sent to the queue, and followed."""

import json
import time
from collections.abc import Callable, Sequence
from uuid import uuid4

from replicas.aws.dead_letters import Queues
from replicas.aws.deployment import Deployment, deployments
from replicas.aws.errors import AWS_ERRORS, format_error
from replicas.aws.function_log import Follower, follow, follower_of
from replicas.commands import plan, sweep
from replicas.commands.steps import Region
from replicas.errors import OperatorError
from replicas.exit_codes import CHANGES, OK
from replicas.inventory.inventory import require_all_read, require_some
from replicas.options import ApplyOptions, Scope
from replicas.terminal import Screen, count
from secret_replicator.errors import TransientError
from secret_replicator.work_queue import WorkQueue

BATCH = 10
"""Messages that SQS takes in one call."""


def run(
    options: ApplyOptions, scope: Scope, screen: Screen, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Send and follow the planned secrets; return the exit code."""
    screen.stopped = "Stopped. Nothing was sent."
    planning = plan.Planning(
        [_planned(deployment, options, screen) for deployment in deployments(scope, deployed_first=True)]
    )
    require_some(options.choice)
    if not options.as_json:
        planning.show(screen)
    question = f"Send {count(planning.changing, 'secret')} to the ReplicationQueue?"
    code = OK
    if planning.changing and (options.yes or screen.ask(question)):
        code = _apply(planning.parts, options, screen, sleep)
    elif options.as_json:
        screen.write_json(sweep.document(None, []))
    else:
        screen.show("Nothing was sent.", "bold")
    require_all_read(planning.readings)
    return code


def _planned(deployment: Deployment, options: ApplyOptions, screen: Screen) -> Region:
    """Return what would be sent; raise OperatorError where the function would write nothing."""
    screen.say(str(deployment))
    if deployment.is_deployed_policy is None:
        screen.say(
            f"{deployment.region}: whether the function decides by this policy is not known, so it may "
            "do other than the plan says: allow lambda:GetFunction for the role or user that runs this"
        )
    if deployment.settings.mode == "plan":
        raise OperatorError(
            f"{deployment.region} is deployed with Mode=plan: its function writes nothing. "
            "Deploy Mode=apply first"
        )
    return plan.make(deployment, options.choice, screen)


def _apply(
    regions: Sequence[Region], options: ApplyOptions, screen: Screen, sleep: Callable[[float], None]
) -> int:
    sweep_id = str(uuid4())
    screen.stopped = (
        "Stopped. What was sent stays in the queue, and the function works on it: see replicas status."
    )
    followed = [_send(region, sweep_id, screen) for region in regions if region.to_change()]
    for queues, follower in followed:
        follow(follower, queues, screen, sleep)
        if not options.as_json:
            sweep.show(follower.progress, screen)
    progress = [follower.progress for _, follower in followed]
    if options.as_json:
        screen.write_json(sweep.document(sweep_id, progress))
    return max(sweep.code_of(each) or (CHANGES if each.drift else OK) for each in progress)


def _send(region: Region, sweep_id: str, screen: Screen) -> tuple[Queues, Follower]:
    """Enqueue the secrets that something would be done about; return what is to be followed."""
    deployment, queues = region.deployment, region.deployment.queues
    assert queues is not None, "without a stack there is no apply"  # noqa: S101
    arns = region.to_change()
    follower = follower_of(deployment.connection, deployment.function, sweep_id, frozenset(arns))
    queue = WorkQueue(queues.client, queues.queue_url, queues.dead_letter_queue_url)
    with screen.progress("Sending", len(arns)) as report:
        for start in range(0, len(arns), BATCH):
            batch = arns[start : start + BATCH]
            try:
                queue.enqueue([json.dumps({"secret_id": arn, "sweep_id": sweep_id}) for arn in batch])
            except TransientError as error:
                cause = error.__cause__
                said = format_error(cause) if isinstance(cause, AWS_ERRORS) else error.problem
                raise OperatorError(
                    f"Sent {start} of {count(len(arns), 'secret')}: {said}. Run it again: what comes twice "
                    "does no harm"
                ) from error
            report(start + len(batch))
    screen.say(f"{region.deployment.region}: {count(len(arns), 'secret')} sent, sweep {sweep_id}")
    return queues, follower
