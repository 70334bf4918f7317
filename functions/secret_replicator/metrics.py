"""Log and count what becomes of messages: CloudWatch reads the metrics out of the function's log.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format.html
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from secret_replicator.disposition import Disposition
from secret_replicator.messages import ReconcileRequest, Request, SweepRequest
from secret_replicator.models import FAILED, SIMILAR_TAG, Kind, Outcome
from secret_replicator.results import Result
from secret_replicator.throttling import is_throttling

if TYPE_CHECKING:
    from botocore.client import BaseClient

logger = Logger()
metrics = Metrics()


@dataclass
class CallMetrics:
    """How many calls AWS answered since the last time it was asked for, and how many of them it throttled."""

    calls: int = 0
    throttled: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, client: "BaseClient") -> None:
        """Count this client's calls from now on."""
        service = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register(f"after-call.{service}", self._note)

    def take(self) -> tuple[int, int]:
        """Return calls and throttled calls, and begin anew."""
        with self._lock:
            taken = self.calls, self.throttled
            self.calls = self.throttled = 0
        return taken

    def _note(self, parsed: Mapping[str, Any], **_: object) -> None:
        with self._lock:
            self.calls += 1
            self.throttled += is_throttling(parsed.get("Error", {}).get("Code", ""))


def report(results: Sequence[Result], call_metrics: CallMetrics, now: float) -> None:
    """Log and count what became of the messages of a batch."""
    batch = _BatchMetrics()
    for result in results:
        message, disposition = result.message, result.disposition
        own = {"attempt": message.attempt, "verdict": str(disposition), "message_id": message.message_id}
        _report(result.outcome, result.request, **own)
        if disposition in (Disposition.DELETE, Disposition.DEAD_LETTER):
            # Once in a sweep: when the message ends.
            batch.drift.update(_report_drift(result.outcome, result.request))
        batch.count(result.outcome, dead_lettered=disposition is Disposition.DEAD_LETTER)
        _count_seconds(result, now)
    batch.publish(call_metrics)


def report_one(outcome: Outcome, request: Request, call_metrics: CallMetrics) -> None:
    """Log and count what came of an event that was given by hand."""
    batch = _BatchMetrics()
    _report(outcome, request)
    batch.drift.update(_report_drift(outcome, request))
    batch.count(outcome)
    batch.publish(call_metrics)


def facts(outcome: Outcome) -> dict[str, Any]:
    """Return what is said of an outcome. Only names, ARNs, Regions and statuses may stand in it."""
    known = {
        "outcome": str(outcome.kind),
        "secret": outcome.secret,
        "reason": outcome.reason,
        "plan": outcome.plan.regions(),
        **{drift.kind: drift.said for drift in outcome.plan.drift if drift.kind == SIMILAR_TAG},
        **(asdict(outcome.swept) if outcome.swept else {}),
    }
    return {key: value for key, value in known.items() if value not in ("", {})}


def _report(outcome: Outcome, request: Request, **own: Any) -> None:  # noqa: ANN401  a log's facts
    """Log what happened, with the message's own facts."""
    sweep = {"sweep_id": request.sweep_id} if request.sweep_id else {}
    page = {"page": request.page} if isinstance(request, SweepRequest) else {}
    logger.info(
        _event_name(outcome, request),
        correlation_id=request.event_id or own.get("message_id"),
        **sweep | page | own | facts(outcome),
    )


def _event_name(outcome: Outcome, request: Request) -> str:
    if isinstance(request, ReconcileRequest):
        return "secret_reconciled"
    if not outcome.swept:
        return "page_not_swept"
    return "sweep_restarted" if outcome.note else "page_swept"


def _report_drift(outcome: Outcome, request: Request) -> Iterator[str]:
    """Log what nobody here can fix, and yield its kinds."""
    for drift in outcome.plan.drift:
        logger.warning(
            "drift_found",
            secret=outcome.secret,
            region=drift.region,
            kind=drift.kind,
            said=drift.said,
            what_to_do=drift.remedy,
            sweep_id=request.sweep_id,
        )
        yield drift.kind


@dataclass
class _BatchMetrics:
    """What a batch comes to."""

    replicas: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    drift: Counter[str] = field(default_factory=Counter)

    def count(self, outcome: Outcome, *, dead_lettered: bool = False) -> None:
        """Count one outcome."""
        kind = "dead_lettered" if dead_lettered else str(outcome.kind)
        metrics.add_metric(kind.title().replace("_", ""), MetricUnit.Count, 1)
        if outcome.kind is Kind.SKIPPED:
            self.skipped[outcome.note] += 1
        self.replicas.update((replica.region, replica.status) for replica in outcome.replicas)
        if failed := _failed_regions(outcome):
            metrics.add_metric("FailedReplicas", MetricUnit.Count, len(failed))

    def publish(self, call_metrics: CallMetrics) -> None:
        """Write all that was counted."""
        calls, throttled = call_metrics.take()
        if calls:
            metrics.add_metric("ApiCalls", MetricUnit.Count, calls)
        if throttled:
            metrics.add_metric("ThrottledCalls", MetricUnit.Count, throttled)
        metrics.flush_metrics()
        for (region, status), number in sorted(self.replicas.items()):
            _publish("Replicas", number, region=region, status=status)
        for reason, number in sorted(self.skipped.items()):
            _publish("Skipped", number, reason=reason)
        for kind, number in sorted(self.drift.items()):
            _publish("Drift", number, kind=kind)


def _failed_regions(outcome: Outcome) -> set[str]:
    """Return the Regions that this attempt found Failed: a retry that AWS accepts hides it again at once."""
    still = {replica.region for replica in outcome.replicas if replica.status == FAILED}
    return still | {wanted.region for wanted in outcome.plan.retry}


def _publish(name: str, number: int, **dimensions: str) -> None:
    with single_metric(name, MetricUnit.Count, number) as metric:
        metric.add_dimension("service", metrics.service)
        for dimension, value in dimensions.items():
            metric.add_dimension(dimension, value)


def _count_seconds(result: Result, now: float) -> None:
    """Count how long a message took to end, or waits."""
    seconds = max(0, now - result.message.sent_at)
    if result.has_become_converged:
        metrics.add_metric("SecondsToConverge", MetricUnit.Seconds, seconds)
    if result.stays:
        # SQS's own metric leaves out what was received three times and more.
        metrics.add_metric("SecondsWaiting", MetricUnit.Seconds, seconds)
