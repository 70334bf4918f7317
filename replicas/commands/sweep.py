"""`replicas sweep`: start one now, and follow it until every selected secret is accounted for."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from replicas.aws.connection import Access, Clients, connect, default_stack, errors_in_words, find_parts
from replicas.aws.dead_letters import names_of
from replicas.aws.function_log import Account, Follower, Queue, follow
from replicas.errors import OperatorError
from replicas.exit_codes import CHANGES, FAILED, OK, exit_code
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
    with errors_in_words("cloudformation"):
        clients = connect(access)
        name = stack or default_stack()
        parts = find_parts(clients.cloudformation, name)
    log_group = _log_group(clients, parts.function) if asked.follow else ""
    since = int(time.time() * 1000) - EARLIER_MILLISECONDS
    with errors_in_words("sqs"):
        clients.sqs.send_message(QueueUrl=parts.queue_url, MessageBody=SweepRequest(sweep_id).body())
    screen.say(f"{clients.region}: stack {name}, sweep {sweep_id}")
    if not asked.follow:
        return OK
    account = Account()
    follower = Follower(clients.logs, log_group, sweep_id, account, since)
    follow(follower, Queue(clients.sqs, parts.queue_url), screen, sleep)
    _show(account, sweep_id, asked, screen)
    if not account.complete:
        return FAILED
    return CHANGES if account.of("dead_letter") else OK


def _log_group(clients: Clients, function: str) -> str:
    """Return where the function's log goes to; raise OperatorError if it says too little.

    https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html
    """
    with errors_in_words("lambda"):
        found: Mapping[str, Any] = clients.functions.get_function_configuration(FunctionName=function)
    level = found.get("Environment", {}).get("Variables", {}).get("POWERTOOLS_LOG_LEVEL", "INFO")
    if level not in ("DEBUG", "INFO"):
        raise OperatorError(
            f"The function logs no more than LogLevel={level}, so that a sweep cannot be followed: start it "
            "with --no-follow, or deploy LogLevel=INFO"
        )
    return str(found.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{function}")


def _show(account: Account, sweep_id: str, asked: Asked, screen: Screen) -> None:
    if asked.as_json:
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
