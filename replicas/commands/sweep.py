"""`replicas sweep`: start one now, and follow it until every selected secret is accounted for."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from uuid import uuid4

from replicas.aws.connection import connect, default_stack, find_parts
from replicas.aws.dead_letters import names_of
from replicas.aws.function_log import SweepProgress, follow, follower_of
from replicas.exit_codes import CHANGES, FAILED, OK
from replicas.options import StackOptions, SweepOptions
from replicas.terminal import Screen
from secret_replicator.messages import SweepRequest


def run(
    options: SweepOptions, at: StackOptions, screen: Screen, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Start a sweep and follow it; return the exit code."""
    sweep_id = str(uuid4())
    screen.stopped = "Stopped. No sweep was started."
    clients = connect(at.access)
    name = at.stack or default_stack()
    parts = find_parts(clients, name)
    follower = None if options.no_follow else follower_of(clients, parts.function, sweep_id)
    screen.stopped = (
        f"Stopped following. A sweep that was started goes on; its id in the function's log is {sweep_id}."
    )
    clients.sqs.send_message(QueueUrl=parts.queues.queue_url, MessageBody=SweepRequest(sweep_id).body())
    screen.say(f"{clients.region}: stack {name}, sweep {sweep_id}")
    if follower is None:
        if options.as_json:
            screen.write_json({"sweep_id": sweep_id})
        return OK
    follow(follower, parts.queues, screen, sleep)
    if options.as_json:
        screen.write_json(document(sweep_id, [follower.progress]))
    else:
        show(follower.progress, screen)
    return code_of(follower.progress)


def code_of(progress: SweepProgress) -> int:
    """Return the exit code of what became of the secrets."""
    if not progress.complete:
        return FAILED
    return CHANGES if progress.of("dead_letter") else OK


def document(sweep_id: str | None, accounts: Sequence[SweepProgress]) -> dict[str, object]:
    """Return what became of the secrets of one Region, or of several, as JSON has it."""
    summary, skipped, drift = Counter[str](), Counter[str](), Counter[str]()
    for progress in accounts:
        summary.update(progress.counts())
        skipped.update(progress.skipped)
        drift.update(progress.drifted)
    return {
        "sweep_id": sweep_id,
        "dead_letters": [
            {"name": names_of(arn)[-1], "arn": arn, "reason": reason}
            for progress in accounts
            for arn, reason in sorted(progress.of("dead_letter").items())
        ],
        "skipped_by_reason": skipped,
        "drift_by_kind": drift,
        "restarted": any(progress.restarted for progress in accounts),
        "complete": all(progress.complete for progress in accounts),
        "summary": {**SweepProgress().counts(), **summary, "text": " ".join(map(str, accounts))},
    }


def show(progress: SweepProgress, screen: Screen) -> None:
    """Show what became of the secrets."""
    for arn, reason in sorted(progress.of("dead_letter").items()):
        screen.show(f"{names_of(arn)[-1]}: dead letter: {reason}", hanging=4)
    for arn in progress.open():
        screen.show(f"{names_of(arn)[-1]}: not accounted for")
    if progress.lost_page:
        screen.show(f"A page could not be read: {progress.lost_page}")
    screen.show(str(progress), "bold")
    if not progress.complete:
        screen.say(
            "Not all is accounted for: the function's log says what stopped it, replicas redrive --dry-run "
            "what is in the DeadLetterQueue. Then start another sweep"
        )
