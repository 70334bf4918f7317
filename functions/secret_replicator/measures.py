"""Count what becomes of messages: metrics that CloudWatch reads out of the function's log.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format.html
"""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from secret_replicator.disposition import Disposition
from secret_replicator.models import FAILED, Kind, Outcome
from secret_replicator.results import Result
from secret_replicator.throttling import is_throttling

if TYPE_CHECKING:
    from botocore.client import BaseClient

metrics = Metrics()


@dataclass
class Traffic:
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


@dataclass
class Tally:
    """What a batch comes to."""

    replicas: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    drift: Counter[str] = field(default_factory=Counter)

    def count(self, outcome: Outcome, disposition: Disposition | None = None) -> None:
        """Count one outcome, and what becomes of its message: None where it is that of a call by hand."""
        kind = "dead_lettered" if disposition is Disposition.DEAD_LETTER else str(outcome.kind)
        metrics.add_metric(kind.title().replace("_", ""), MetricUnit.Count, 1)
        if outcome.kind is Kind.SKIPPED:
            self.skipped[outcome.note] += 1
        self.replicas.update((replica.region, replica.status) for replica in outcome.replicas)
        if failed := _failed_regions(outcome):
            metrics.add_metric("FailedReplicas", MetricUnit.Count, len(failed))
        if disposition in (None, Disposition.DELETE, Disposition.DEAD_LETTER):
            # Once in a sweep: when the message ends.
            self.drift.update(drift.kind for drift in outcome.plan.drift)

    def publish(self, traffic: Traffic) -> None:
        """Write all that was counted."""
        calls, throttled = traffic.take()
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


def count_seconds(result: Result, now: float) -> None:
    """Count how long a message took to end, or waits."""
    seconds = max(0, now - result.message.sent_at)
    if result.has_become_converged:
        metrics.add_metric("SecondsToConverge", MetricUnit.Seconds, seconds)
    if result.stays:
        # SQS's own metric leaves out what was received three times and more.
        metrics.add_metric("SecondsWaiting", MetricUnit.Seconds, seconds)


def _publish(name: str, number: int, **dimensions: str) -> None:
    with single_metric(name, MetricUnit.Count, number) as metric:
        metric.add_dimension("service", metrics.service)
        for dimension, value in dimensions.items():
            metric.add_dimension(dimension, value)
