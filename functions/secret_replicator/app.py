"""Lambda entry point: a batch in, a partial batch response out."""

import json
import math
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.config import Config

from secret_replicator.errors import MalformedMessageError, PermanentError, ReplicatorError, TransientError
from secret_replicator.gateway import Budget, Gateway
from secret_replicator.judge import Verdict, outcome_of_error, verdict
from secret_replicator.messages import ReconcileRequest, Request, SweepRequest, parse
from secret_replicator.models import Kind, Look, Outcome
from secret_replicator.policy import parse_policy
from secret_replicator.reconciler import NOT_FOUND_LOOKS, Reconciler
from secret_replicator.settings import Settings, read_settings
from secret_replicator.sweep import Sweeper
from secret_replicator.work_queue import Message, WorkQueue, error_message, retry_delay_seconds

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

RESERVED_SECONDS = 15
"""The end of the function's time, kept for dead letters and delays."""

logger = Logger()
metrics = Metrics()


@dataclass(frozen=True)
class App:
    """What a cold start makes once. Deadlines are times of the budget's clock, `now` is of the epoch."""

    settings: Settings
    reconciler: Reconciler
    sweeper: Sweeper
    queue: WorkQueue
    now: Callable[[], float] = time.time

    def handle_batch(self, records: Sequence[Mapping[str, Any]], deadline: float) -> dict[str, Any]:
        """Look at all records at the same time; return those that must stay in the queue."""
        messages = [Message.from_record(record) for record in records]
        with ThreadPoolExecutor(max_workers=len(messages)) as pool:
            jobs = [(message, *self._begin(pool, message, deadline)) for message in messages]
        delays_seconds = {}
        for message, request, future in jobs:
            outcome = _outcome(message, request, future)
            what = self._settle(message, outcome)
            if what in (Verdict.RETURN, Verdict.PUT_OFF):
                delays_seconds[message] = 0 if what is Verdict.RETURN else _delay_seconds(message)
            _report(outcome, request, message, what, self.now())
        if delays_seconds:
            self._put_off(delays_seconds)
        metrics.flush_metrics()
        return {"batchItemFailures": [{"itemIdentifier": message.message_id} for message in delays_seconds]}

    def handle_one(self, event: Mapping[str, Any], deadline: float) -> dict[str, Any]:
        """Do what one event asks for, as a last look; return the outcome, or raise why it failed."""
        request = parse(json.dumps(event), self.settings.region)
        outcome = self.do(request, Look(NOT_FOUND_LOOKS, math.inf, deadline))
        _report(outcome, request)
        metrics.flush_metrics()
        if outcome.kind is Kind.FAILED:
            raise PermanentError(f"{outcome.secret} - {outcome.reason}", outcome.remedy)
        return _facts(outcome)

    def do(self, request: Request, look: Look) -> Outcome:
        """Return the outcome of what is asked for; raise ReplicatorError."""
        if isinstance(request, SweepRequest):
            return self.sweeper.sweep(request.next_token, look.deadline)
        return self.reconciler.reconcile(request.secret_id, look)

    def _begin(self, pool: Executor, message: Message, deadline: float) -> tuple[Request, Future[Outcome]]:
        try:
            request = parse(message.body, self.settings.region)
        except MalformedMessageError as error:
            malformed: Future[Outcome] = Future()
            malformed.set_exception(error)
            return ReconcileRequest("unknown"), malformed
        look = Look(message.attempt, self.now() - message.first_received_at, deadline)
        return request, pool.submit(self.do, request, look)

    def _settle(self, message: Message, outcome: Outcome) -> Verdict:
        """Write the dead letter if there must be one; return what becomes of the message."""
        what = verdict(outcome, message.attempt, self.settings.max_attempts)
        if what is not Verdict.DEAD_LETTER:
            return what
        try:
            self.queue.dead_letter(
                message,
                error_type="AttemptsUsedUp"
                if outcome.kind is Kind.WAITING
                else outcome.problems[0].error_type,
                error=error_message(outcome.secret, outcome.reason, outcome.remedy),
                secret=outcome.secret,
                regions=",".join(outcome.regions) or "none",
            )
        except TransientError as error:
            logger.warning("dead_letter_not_written", secret=outcome.secret, error=str(error))
            return Verdict.PUT_OFF
        return what

    def _put_off(self, delays_seconds: Mapping[Message, int]) -> None:
        try:
            self.queue.put_off(delays_seconds)
        except TransientError as error:
            # The messages stay all the same, and come back after the queue's own visibility timeout.
            logger.warning("delay_not_set", error=str(error))


def make_app(
    settings: Settings,
    secrets: "SecretsManagerClient",
    sqs: "SQSClient",
    budget: Budget,
    now: Callable[[], float] = time.time,
) -> App:
    """Return the app for these settings; raise PolicyError."""
    policy = parse_policy(settings.policy_file.read_text("utf-8"), settings.policy_file.name)
    gateway = Gateway(secrets, budget)
    queue = WorkQueue(sqs, settings.queue_url, settings.dead_letter_queue_url)
    sweeper = Sweeper(gateway, queue, policy, settings)
    return App(settings, Reconciler(gateway, policy, settings), sweeper, queue, now)


def _make_app_from_environment() -> App:
    settings = read_settings(os.environ)
    config = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})
    session = boto3.Session(region_name=settings.region)
    return make_app(
        settings,
        session.client("secretsmanager", config=config),
        session.client("sqs", config=config),
        Budget(settings.writes_per_second / settings.maximum_concurrency),
    )


app = _make_app_from_environment()


@logger.inject_lambda_context
def handler(event: Mapping[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Handle a batch from the ReplicationQueue, or one event given by hand."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVED_SECONDS
    records = event.get("Records")
    if records and all(record.get("eventSource") == "aws:sqs" for record in records):
        return app.handle_batch(records, deadline)
    return app.handle_one(event, deadline)


def _outcome(message: Message, request: Request, future: Future[Outcome]) -> Outcome:
    error = future.exception()
    if error is None:
        return future.result()
    if not isinstance(error, ReplicatorError):
        logger.error("unexpected_error", secret=request.secret_id, exc_info=error)
    return outcome_of_error(error, request.secret_id, message.attempt)


def _delay_seconds(message: Message) -> int:
    return retry_delay_seconds(message.attempt, random.uniform(-1, 1))  # noqa: S311  a delay is no secret


def _facts(outcome: Outcome) -> dict[str, Any]:
    facts = {
        "outcome": str(outcome.kind),
        "secret": outcome.secret,
        "reason": outcome.reason,
        "plan": outcome.plan.regions(),
    }
    return {key: value for key, value in facts.items() if value}


def _report(
    outcome: Outcome,
    request: Request,
    message: Message | None = None,
    what: Verdict | None = None,
    now: float = 0,
) -> None:
    """Log one line, and count. Only names, ARNs, Regions and statuses may stand in either."""
    facts = _facts(outcome)
    if message:
        facts |= {"attempt": message.attempt, "verdict": str(what), "message_id": message.message_id}
    logger.info("secret_reconciled", correlation_id=request.event_id or facts.get("message_id"), **facts)
    count = "dead_lettered" if what is Verdict.DEAD_LETTER else str(outcome.kind)
    metrics.add_metric(count.title().replace("_", ""), MetricUnit.Count, 1)
    if outcome.plan.drift:
        metrics.add_metric("Drift", MetricUnit.Count, len(outcome.plan.drift))
    if message and outcome.kind is Kind.CONVERGED and (message.attempt > 1 or outcome.plan.changes):
        metrics.add_metric("SecondsToConverge", MetricUnit.Seconds, now - message.sent_at)
