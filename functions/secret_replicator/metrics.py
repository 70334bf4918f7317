"""Log and count what becomes of messages: CloudWatch reads the metrics out of the function's log.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format.html
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
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

_DIMENSIONS = {"Replicas": ("region", "status"), "Skipped": ("reason",), "Drift": ("kind",)}
"""The metrics that have further dimensions than the service."""

_Counts = Counter[tuple[str, ...]]
"""Numbers by a metric's name and the values of its dimensions."""


class CallMetrics:
    """How many calls of a client AWS answered since it was asked last, and how many of them it throttled."""

    def __init__(self, client: "BaseClient") -> None:
        self._counts = Counter[str]()
        self._lock = threading.Lock()
        service = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register(f"after-call.{service}", self._note)

    def take(self) -> Mapping[str, int]:
        """Return the counts by the name of their metric, and begin anew."""
        with self._lock:
            taken, self._counts = self._counts, Counter()
        return taken

    def _note(self, parsed: Mapping[str, Any], **_: object) -> None:
        throttled = is_throttling(parsed.get("Error", {}).get("Code", ""))
        with self._lock:
            self._counts.update(["ApiCalls", "ThrottledCalls"] if throttled else ["ApiCalls"])


def report(results: Sequence[Result], call_metrics: CallMetrics, now: float) -> None:
    """Log and count what became of the messages of a batch."""
    counts: _Counts = Counter()
    for result in results:
        message, disposition = result.message, result.disposition
        own = {"attempt": message.attempt, "verdict": str(disposition), "message_id": message.message_id}
        _report(result.outcome, result.request, **own)
        if not result.stays:
            # Once in a sweep: when the message ends.
            counts.update(_report_drift(result.outcome, result.request))
        dead_lettered = disposition is Disposition.DEAD_LETTER
        counts.update(_count(result.outcome, "dead_lettered" if dead_lettered else result.outcome.kind))
        _count_seconds(result, now)
    _publish(counts, call_metrics)


def report_one(outcome: Outcome, request: Request, call_metrics: CallMetrics) -> None:
    """Log and count what came of an event that was given by hand."""
    _report(outcome, request)
    _publish(Counter([*_report_drift(outcome, request), *_count(outcome, outcome.kind)]), call_metrics)


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


def _report_drift(outcome: Outcome, request: Request) -> Iterator[tuple[str, ...]]:
    """Log what nobody here can fix, and yield what is to be counted of it."""
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
        yield "Drift", drift.kind


def _count(outcome: Outcome, ended: str) -> Iterator[tuple[str, ...]]:
    """Count how it ended, and yield what is to be counted for the batch as a whole."""
    metrics.add_metric(ended.title().replace("_", ""), MetricUnit.Count, 1)
    if failed := _failed_regions(outcome):
        metrics.add_metric("FailedReplicas", MetricUnit.Count, len(failed))
    if outcome.kind is Kind.SKIPPED:
        yield "Skipped", outcome.note
    for replica in outcome.replicas:
        yield "Replicas", replica.region, replica.status


def _failed_regions(outcome: Outcome) -> set[str]:
    """Return the Regions that this attempt found Failed: a retry that AWS accepts hides it again at once."""
    still = {replica.region for replica in outcome.replicas if replica.status == FAILED}
    return still | {wanted.region for wanted in outcome.plan.retry}


def _publish(counts: _Counts, call_metrics: CallMetrics) -> None:
    """Write all that was counted."""
    for name, number in call_metrics.take().items():
        metrics.add_metric(name, MetricUnit.Count, number)
    metrics.flush_metrics()
    for (name, *values), number in sorted(counts.items()):
        with single_metric(name, MetricUnit.Count, number) as metric:
            metric.add_dimension("service", metrics.service)
            for dimension, value in zip(_DIMENSIONS[name], values, strict=True):
                metric.add_dimension(dimension, value)


def _count_seconds(result: Result, now: float) -> None:
    """Count how long a message took to end, or waits."""
    seconds = max(0, now - result.message.sent_at)
    if result.has_become_converged:
        metrics.add_metric("SecondsToConverge", MetricUnit.Seconds, seconds)
    if result.stays:
        # SQS's own metric leaves out what was received three times and more.
        metrics.add_metric("SecondsWaiting", MetricUnit.Seconds, seconds)
