"""What a stack costs, for docs/reference/cost.md: prices of us-east-1, arm64, no free tier, no taxes.

https://aws.amazon.com/secrets-manager/pricing/ https://aws.amazon.com/sqs/pricing/
https://aws.amazon.com/lambda/pricing/ https://aws.amazon.com/eventbridge/pricing/
https://aws.amazon.com/cloudwatch/pricing/ https://aws.amazon.com/xray/pricing/
"""

from collections.abc import Iterator
from decimal import Decimal

from replicas.inventory import pricing

SECRETS = 1000
MILLION = 1_000_000
CHECKS = 2
"""A new secret takes two attempts: describe and replicate, then describe again."""

SECONDS, GIGABYTES = Decimal("0.25"), Decimal("0.25")
"""Of one invocation, with one message in its batch: more than docs/explanation/benchmarks.md computes from
the processor time that was measured. A test compares the dollars."""

LOG_GIGABYTES = Decimal("0.000002")
"""2 KB of log for each attempt: a line, and the metrics."""

POLLERS, POLL_SECONDS = 5, 20
"""With MaximumConcurrency, Lambda keeps five pollers also while the queue is empty, each with long polls.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
"""

MONTH_SECONDS = 30 * 24 * 60 * 60
TRACED = Decimal("0.05")

QUEUE_CALL = Decimal("0.40") / MILLION
LOG = LOG_GIGABYTES * Decimal("0.50")
TRACE = TRACED * Decimal(5) / MILLION
NOTICE = Decimal(1) / MILLION
ALARM, DASHBOARD, METRIC = Decimal("0.10"), Decimal(3), Decimal("0.30")


def invocation(seconds: Decimal = SECONDS, gigabytes: Decimal = GIGABYTES) -> Decimal:
    """Return the dollars of one invocation of so many seconds."""
    return Decimal("0.20") / MILLION + seconds * gigabytes * Decimal("0.0000133334")


def rows(alarms: int, metrics: int) -> Iterator[str]:
    """Yield the rows of the page's table for a stack with so many alarms and own metrics."""
    yield _row(
        f"replicas: {SECRETS:,} secrets in one more Region, a month",
        pricing.of_replicas(SECRETS),
        f"{SECRETS:,} x ${pricing.REPLICA_DOLLARS}",
    )
    yield _row(
        f"daily sweeps over {SECRETS:,} secrets that are converged, a month",
        sweeps(),
        "a call for each secret and page; each is a message, sent, received and deleted, "
        f"an invocation of {SECONDS} s, and 2 KB of log",
    )
    yield _row(
        "a million events, each a new secret",
        events(),
        f"{CHECKS} attempts: 4 calls, 5 of SQS, {CHECKS} invocations of {SECONDS} s, 4 KB of log with "
        "the metrics, a notice",
    )
    yield _row(
        "the queue's pollers while nothing happens, a month",
        idle_receives() * QUEUE_CALL,
        f"{POLLERS} pollers, a receive each every {POLL_SECONDS} s: {idle_receives():,} receives",
    )
    yield _row("alarms, a month", alarms * ALARM, f"{alarms} x ${ALARM}")
    yield _row("dashboard, a month", DASHBOARD, "the first three of an account are free")
    yield _row(
        "own metrics, a month at most",
        metrics * METRIC,
        f"{metrics} x ${METRIC}, and as much for each Region and status of replicas; "
        "billed only for hours in which they are published",
    )


def idle_receives() -> int:
    """Return how often an empty queue is asked in a month."""
    return POLLERS * MONTH_SECONDS // POLL_SECONDS


def sweeps(per_invocation: Decimal | None = None) -> Decimal:
    """Return the dollars of a month of daily sweeps, with so many for one invocation."""
    calls = pricing.of_calls(pricing.sweep_calls(SECRETS, SECRETS))
    pages = SECRETS // pricing.PAGE
    messages = pricing.SWEEPS_PER_MONTH * (SECRETS + pages)
    return calls + messages * (3 * QUEUE_CALL + _check(per_invocation))


def events(per_invocation: Decimal | None = None) -> Decimal:
    """Return the dollars of a million events, with so many for one invocation."""
    return MILLION * (pricing.of_calls(4) + 5 * QUEUE_CALL + CHECKS * _check(per_invocation) + NOTICE)


def _check(per_invocation: Decimal | None) -> Decimal:
    return (invocation() if per_invocation is None else per_invocation) + LOG + TRACE


def _row(item: str, dollars: Decimal, computed: str) -> str:
    return f"| {item} | {pricing.dollars(dollars)} | {computed} |"
