"""Lambda entry point: a batch in, a partial batch response out."""

import gc

gc.disable()  # until all is made: a cold start has no garbage, and looks for it in vain

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from secret_replicator import VERSION
from secret_replicator.budget import Budget
from secret_replicator.clients import Clients
from secret_replicator.disposition import conclude, outcome_of_error
from secret_replicator.echo_filter import EchoFilter, Unseen, as_sent
from secret_replicator.errors import (
    MalformedMessageError,
    PermanentError,
    PolicyError,
    ReplicatorError,
    SettingsError,
    TransientError,
)
from secret_replicator.gateway import Gateway
from secret_replicator.messages import ReconcileRequest, Request, SweepRequest, parse
from secret_replicator.metrics import CallMetrics, facts, report, report_one
from secret_replicator.models import Attempt, Kind, Outcome
from secret_replicator.outcome_events import CALL_SECONDS as EVENT_SECONDS
from secret_replicator.outcome_events import Notifier, outcome_event
from secret_replicator.overwrites import Overwrites
from secret_replicator.policy import parse_policy
from secret_replicator.reconciler import NOT_FOUND_ATTEMPTS, Reconciler
from secret_replicator.results import Result, response
from secret_replicator.settings import Settings, read_settings
from secret_replicator.settle import RESERVED_SECONDS, Settler
from secret_replicator.sweep import Sweeper
from secret_replicator.unready import Unready, unready
from secret_replicator.work_queue import Message, WorkQueue
from secret_replicator.writes import Answers

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

logger = Logger()


@dataclass(frozen=True)
class App:
    """What a cold start makes once. Deadlines are times of the gateway's clock, `now` is of the epoch."""

    settings: Settings
    reconciler: Reconciler
    sweeper: Sweeper
    settler: Settler
    call_metrics: CallMetrics
    notifier: Notifier | None = None
    now: Callable[[], float] = time.time
    echo_filter: EchoFilter = field(default_factory=EchoFilter)
    unseen: Unseen = field(default_factory=Unseen)

    def handle_batch(self, records: Sequence[Mapping[str, Any]], deadline: float) -> dict[str, Any]:
        """Attempt all records at the same time; return those that must stay in the queue."""
        messages = [Message.from_record(record) for record in records]
        begun = self.now()
        with self.reconciler.budget.invocation():
            results = self.settler.settle(self._attempt(messages, deadline), deadline)
        for result in results:
            if result.answers_echoes:
                self.echo_filter.note(result.outcome.secret, begun)
        report(results, self.call_metrics, self.now())
        self._notify(results, deadline)
        return response(results)

    def handle_one(self, event: object, deadline: float, request_id: str) -> dict[str, Any]:
        """Do what one event asks for, as a last attempt; return the outcome, or raise why it failed."""
        request = self._read(json.dumps(event), request_id)
        with self.reconciler.budget.invocation():
            outcome = self.do(request, Attempt(NOT_FOUND_ATTEMPTS, math.inf, deadline, self.now()))
        outcome, _ = conclude(outcome, NOT_FOUND_ATTEMPTS, self.settings.max_attempts)
        report_one(outcome, request, self.call_metrics)
        if outcome.kind is Kind.FAILED:
            raise PermanentError(f"{outcome.secret} - {outcome.reason}", outcome.remedy)
        return facts(outcome)

    def do(self, request: Request, attempt: Attempt) -> Outcome:
        """Return the outcome of what is asked for; raise ReplicatorError."""
        if isinstance(request, SweepRequest):
            return self.sweeper.sweep(request, attempt.deadline)
        if attempt.read_only and self.echo_filter.answers(request.secret_id, request.happened_at):
            return Outcome(Kind.SKIPPED, request.secret_id, "followed_by_another_message")
        return self.reconciler.reconcile(request.secret_id, attempt)

    def _read(self, body: str, own_id: str) -> Request:
        """Return what is asked for. A sweep that has no id yet gets that of its first message."""
        request = parse(body, self.settings.region)
        if isinstance(request, SweepRequest) and not request.sweep_id:
            return replace(request, sweep_id=own_id)
        return request

    def _attempt(self, messages: Sequence[Message], deadline: float) -> list[Result]:
        """Do what the messages ask for, and conclude what becomes of each."""
        with ThreadPoolExecutor(max_workers=len(messages)) as pool:
            jobs = [(message, *self._begin(pool, message, deadline)) for message in messages]
        return [self._result(message, request, job) for message, request, job in jobs]

    def _result(self, message: Message, request: Request, job: Future[Outcome]) -> Result:
        error = job.exception()
        if error and not isinstance(error, ReplicatorError):
            logger.error("unexpected_error", secret=request.secret_id, exc_info=error)
        outcome = outcome_of_error(error, request.secret_id, message.attempt) if error else job.result()
        outcome, disposition = conclude(outcome, message.attempt, self.settings.max_attempts)
        acted = not error and not request.echo
        brought = self.unseen.note(message.message_id, message.attempt, outcome)
        return Result(message, request, outcome, disposition, acted, brought)

    def _begin(self, pool: Executor, message: Message, deadline: float) -> tuple[Request, Future[Outcome]]:
        try:
            request = self._read(message.body, message.message_id)
            request = as_sent(request, message.sent_at, redriven=message.redriven)
        except MalformedMessageError as error:
            malformed: Future[Outcome] = Future()
            malformed.set_exception(error)
            return ReconcileRequest("unknown"), malformed
        now = self.now()
        attempt = Attempt(
            message.attempt,
            now - message.first_received_at,
            deadline,
            now,
            read_only=request.echo,
            last=message.attempt >= self.settings.max_attempts,
            together=message.attempt == 1,
        )
        return request, pool.submit(self.do, request, attempt)

    def _notify(self, results: Sequence[Result], deadline: float) -> None:
        """Tell others, when all that matters is done: what cannot be told is lost, and nothing else."""
        outcome_events = [found for result in results if (found := outcome_event(result, self.now()))]
        if not self.notifier or not outcome_events:
            return
        if self.reconciler.gateway.clock() > deadline + RESERVED_SECONDS - 2 * EVENT_SECONDS:
            logger.warning("events_not_sent", number=len(outcome_events), error="the function's time is up")
            return
        try:
            self.notifier.send(outcome_events)
        except TransientError as error:
            logger.warning("events_not_sent", number=len(outcome_events), error=str(error))


def make_app(  # noqa: PLR0913, PLR0917  a client each
    settings: Settings,
    secrets_in: "Callable[[str], SecretsManagerClient]",
    sqs: "SQSClient",
    budget: Budget,
    now: Callable[[], float] = time.time,
    events: "Callable[[], EventBridgeClient] | None" = None,
) -> App:
    """Return the app for these settings; raise PolicyError."""
    policy = parse_policy(settings.policy_file.read_bytes(), settings.policy_file.name)
    secrets = secrets_in(settings.region)
    gateway = Gateway(secrets, budget.clock)
    queue = WorkQueue(sqs, settings.queue_url, settings.dead_letter_queue_url)
    gateway_of = cache(lambda region: Gateway(secrets_in(region), budget.clock))
    overwrites = Overwrites(gateway_of, settings.region, policy.tag_key, budget.clock)
    reconciler = Reconciler(gateway, budget, policy, settings, Answers(budget.clock), overwrites)
    sweeper = Sweeper(gateway, queue, policy, settings)
    settler = Settler(queue, budget.clock)
    notifier = Notifier(events) if events else None
    return App(settings, reconciler, sweeper, settler, CallMetrics(secrets), notifier, now)


def start(environment: Mapping[str, str]) -> App | Unready:
    """Return the app, or what stands in for it where settings or policy are wrong: a crash says no reason."""
    try:
        settings = read_settings(environment)
        clients = Clients(settings.region)
        started = make_app(
            settings,
            clients.secrets_in,
            clients.sqs(),
            Budget(settings.writes_per_second / settings.maximum_concurrency),
            events=clients.events if settings.publish_events else None,
        )
    except (SettingsError, PolicyError, OSError) as error:
        logger.critical("cannot_start", version=VERSION, error=str(error))
        return unready(error, environment)
    logger.info("started", version=VERSION)
    return started


app = start(os.environ)
gc.freeze()
gc.enable()


@logger.inject_lambda_context
def handler(event: object, context: "LambdaContext") -> dict[str, Any]:
    """Handle a batch from the ReplicationQueue, or one event given by hand."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVED_SECONDS
    match event:
        case {"Records": [_, *_] as records} if all(_is_of_sqs(record) for record in records):
            return app.handle_batch(records, deadline)
    return app.handle_one(event, deadline, context.aws_request_id)


def _is_of_sqs(record: object) -> bool:
    return isinstance(record, dict) and record.get("eventSource") == "aws:sqs"
