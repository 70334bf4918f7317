"""`replicas sweep`: start one now, and follow it until every selected secret is accounted for."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from replicas.aws.connection import connect, default_stack, find_parts
from replicas.aws.dead_letters import names_of
from replicas.aws.function_log import Account, Follower, Queue, find_log_group, follow
from replicas.exit_codes import CHANGES, FAILED, OK, exit_code
from replicas.options import Access
from replicas.terminal import Screen
from secret_replicator.messages import SweepRequest

EARLIER_MILLISECONDS = 300_000
"""The function's clock may be behind this one. The sweep's id stands in no older line anyway."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks of a sweep."""

    follow: bool = True
    as_json: bool = False


def run(
    asked: Asked,
    stack: str | None,
    access: Access,
    screen: Screen,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Start a sweep and follow it; return the exit code."""
    sweep_id = str(uuid4())
    stopped = (
        f"Stopped following. A sweep that was started goes on; its id in the function's log is {sweep_id}."
    )
    return exit_code(lambda: _run(asked, stack, access, screen, sleep, sweep_id), screen, stopped)


def _run(  # noqa: PLR0913, PLR0917  what `run` has, and the id
    asked: Asked,
    stack: str | None,
    access: Access,
    screen: Screen,
    sleep: Callable[[float], None],
    sweep_id: str,
) -> int:
    clients = connect(access)
    name = stack or default_stack()
    parts = find_parts(clients.cloudformation, name)
    log_group = find_log_group(clients, parts.function) if asked.follow else ""
    since = int(time.time() * 1000) - EARLIER_MILLISECONDS
    clients.sqs.send_message(QueueUrl=parts.queue_url, MessageBody=SweepRequest(sweep_id).body())
    screen.say(f"{clients.region}: stack {name}, sweep {sweep_id}")
    if not asked.follow:
        if asked.as_json:
            screen.write(json.dumps({"sweep_id": sweep_id}, indent=2) + "\n")
        return OK
    account = Account()
    follower = Follower(clients.logs, log_group, sweep_id, account, since)
    follow(follower, Queue(clients.sqs, parts.queue_url), screen, sleep)
    show(account, sweep_id, screen, as_json=asked.as_json)
    return code_of(account)


def code_of(account: Account) -> int:
    """Return the exit code of what became of the secrets."""
    if not account.complete:
        return FAILED
    return CHANGES if account.of("dead_letter") else OK


def show(account: Account, sweep_id: str, screen: Screen, *, as_json: bool) -> None:
    """Show what became of the secrets."""
    if as_json:
        screen.write(json.dumps({"sweep_id": sweep_id, **account.facts()}, indent=2) + "\n")
        return
    for arn, reason in sorted(account.of("dead_letter").items()):
        screen.show(f"{names_of(arn)[-1]}: dead letter: {reason}")
    for arn in account.open():
        screen.show(f"{names_of(arn)[-1]}: not accounted for")
    if account.lost_page:
        screen.show(f"A page could not be read: {account.lost_page}")
    screen.show(str(account), "bold")
    if not account.complete:
        screen.say(
            "Not all is accounted for: the function's log says what stopped it, replicas redrive --dry-run "
            "what is in the DeadLetterQueue. Then start another sweep"
        )
