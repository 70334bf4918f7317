"""All selected secrets of a Region, and what is to be done about each: one call per page and secret."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from replicas.aws.connection import MAX_CONNECTIONS
from replicas.aws.dead_letters import format_hidden
from replicas.aws.deployment import Deployment
from replicas.errors import OperatorError
from replicas.interrupts import reading_threads
from replicas.inventory import pricing
from replicas.options import Choice
from replicas.terminal import Report, count
from secret_replicator.errors import AccessDeniedError, ReplicatorError, SecretNotFoundError, TransientError
from secret_replicator.models import Decision, Secret
from secret_replicator.planner import decision, is_selected
from secret_replicator.policy import Policy

if TYPE_CHECKING:
    from concurrent.futures import Future

THROTTLED_SECONDS = 1
"""The pause when AWS throttles more than botocore waits out."""

NAMED = 5
"""Secrets that an error names before it becomes too long."""

T = TypeVar("T")

AHEAD = 100
"""Calls that are begun or waiting to begin, before an answer is looked at."""


@dataclass(frozen=True)
class Seen:
    """A selected primary as DescribeSecret shows it, what the function would do, and why it does not."""

    home: str
    secret: Secret
    decision: Decision
    account: str = ""
    blocked_by: str = ""


@dataclass
class Reading:
    """What has been read so far. `unread` are secrets that the person may not describe."""

    listed: int = 0
    selected: int = 0
    unread: list[str] = field(default_factory=list)
    hidden_dead_letters: int = 0
    """Dead letters that somebody else reads at the moment."""
    orphaned: int = 0
    """Replicas of secrets that nothing selects any more."""
    arns: set[str] = field(default_factory=set)
    """All selected secrets, chosen or not."""


def read(deployment: Deployment, choice: Choice, reading: Reading, report: Report) -> Iterator[Seen]:
    """Yield the selected secrets as they are now; raise OperatorError. At most AHEAD of them are held."""
    with format_calls(), reading_threads(MAX_CONNECTIONS) as pool:
        calls: deque[Future[Seen | None]] = deque()
        for secret in selected(deployment, deployment.policy, choice, reading):
            calls.append(pool.submit(_describe, deployment, secret, reading))
            if len(calls) == AHEAD:
                yield from _seen(calls.popleft(), reading, report)
        while calls:
            yield from _seen(calls.popleft(), reading, report)


def selected(deployment: Deployment, policy: Policy, choice: Choice, reading: Reading) -> Iterator[Secret]:
    """Yield the listed secrets that a sweep would enqueue, each once. Raise ReplicatorError."""
    for secret in listed(deployment, policy.selecting_tag_keys()):
        reading.listed += 1
        if is_selected(secret, policy, deployment.settings) and secret.arn not in reading.arns:
            reading.arns.add(secret.arn)
            if choice.takes(secret):
                yield secret


def require_some(
    choice: Choice,
    kind: str = "selected secret",
    remedy: str = "`replicas explain NAME` says why a secret is not selected",
) -> None:
    """Raise OperatorError for what was chosen and never found: a success of nothing hides a typo."""
    if missing := choice.missing:
        raise OperatorError(f"No {kind} matches {' or '.join(missing)}: {remedy}")


def sweep_calls(readings: Iterable[Reading]) -> int:
    """Return how many calls a month of daily sweeps is."""
    return sum(pricing.sweep_calls(reading.listed, reading.selected) for reading in readings)


def format_unread(readings: Iterable[Reading]) -> str:
    """Return the error that some secrets or dead letters could not be read, empty if all were."""
    errors, readings = [], [*readings]
    if unread := sorted(name for reading in readings for name in reading.unread):
        some = ", ".join(unread[:NAMED]) + (" …" if len(unread) > NAMED else "")
        errors.append(
            f"{count(len(unread), 'secret')} could not be read ({some}): allow secretsmanager:DescribeSecret "
            "for the role or user that runs this, also in the secret's resource policy"
        )
    if hidden := sum(reading.hidden_dead_letters for reading in readings):
        errors.append(format_hidden(hidden))
    return ". ".join(errors)


def require_all_read(readings: Iterable[Reading]) -> None:
    """Raise OperatorError if some secrets could not be described, or some dead letters not read."""
    if error := format_unread(readings):
        raise OperatorError(error)


def patiently(deployment: Deployment, call: Callable[[], T]) -> T:
    """Return what the call returns, however long AWS throttles it.

    botocore gives up when many calls at once are throttled: all of them share one quota of retries.
    """
    while True:
        try:
            return call()
        except TransientError as error:
            if not deployment.connection.throttling.caused(error):
                raise
            time.sleep(THROTTLED_SECONDS)


@contextmanager
def format_calls() -> Iterator[None]:
    """Raise what AWS said: the function's own words for it are for whoever reads a dead letter."""
    try:
        yield
    except ReplicatorError as error:
        if isinstance(error.__cause__, ClientError | BotoCoreError):
            raise error.__cause__ from None
        raise


def listed(deployment: Deployment, keys: Sequence[str]) -> Iterator[Secret]:
    """Yield the secrets with a tag key that begins like one of these, and perhaps others."""
    token = ""
    while True:
        page = patiently(deployment, partial(deployment.gateway.list_secrets, keys, token, inf))
        yield from page.secrets
        if not (token := page.next_token):
            return


def _describe(deployment: Deployment, listed: Secret, reading: Reading) -> Seen | None:
    """Return what is seen, nothing of what was just deleted, or may not be seen, which is noted."""
    try:
        secret = patiently(deployment, lambda: deployment.gateway.describe(listed.arn, inf))
    except SecretNotFoundError:
        return None
    except AccessDeniedError:
        reading.unread.append(listed.name)
        return None
    return seen_as(deployment, secret)


def seen_as(deployment: Deployment, secret: Secret) -> Seen:
    """Return the secret with what the deployment's function would do about it now."""
    found = decision(secret, deployment.policy, deployment.settings, time.time())
    return Seen(deployment.region, secret, found, deployment.account, deployment.blocked_by)


def _seen(call: "Future[Seen | None]", reading: Reading, report: Report) -> Iterator[Seen]:
    seen = call.result()
    if seen and (not seen.decision.skip or seen.decision.plan.drift):
        reading.selected += 1
        yield seen
    report(reading.selected)
