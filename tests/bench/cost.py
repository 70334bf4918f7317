"""What it costs to run, computed from measured milliseconds: us-east-1, arm64, list prices.

https://aws.amazon.com/lambda/pricing/ https://aws.amazon.com/sqs/pricing/
https://aws.amazon.com/secrets-manager/pricing/
"""

from dataclasses import dataclass

MEMORY_MEGABYTES = (128, 256, 512, 1024, 1769)
FULL_PROCESSOR_MEGABYTES = 1769
"""With so much memory a function has one processor.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
"""
WAIT_MILLISECONDS = 50
"""What AWS itself takes for one call, as in the measurement of batches."""

ROOM = 3
"""A function that runs out of memory is killed with its whole batch; room costs little."""

GIGABYTE_SECOND = 0.0000133334
INVOCATION = 0.20 / 1_000_000
QUEUE_CALL = 0.40 / 1_000_000
SECRETS_CALL = 0.05 / 10_000
NIGHTS = 30


@dataclass(frozen=True)
class Cost:
    """At one memory size: milliseconds of one event, dollars per million events and per month of sweeps."""

    megabytes: int
    processor_milliseconds: float
    event_milliseconds: float
    million_events_dollars: float
    nightly_dollars: float


def costs(processor_milliseconds: float) -> list[Cost]:
    """Return the cost at each memory size, for an event that takes so much of a full processor.

    An event is one new secret: two looks (describe, replicate; describe), each in a batch of its own.
    A nightly sweep of 1,000 converged secrets is 10 pages and 100 batches of ten, each night of a month.
    """
    return [_cost(megabytes, processor_milliseconds) for megabytes in MEMORY_MEGABYTES]


def _cost(megabytes: int, processor_milliseconds: float) -> Cost:
    of_processor = min(1, megabytes / FULL_PROCESSOR_MEGABYTES)
    busy = processor_milliseconds / of_processor
    event, look = 2 * WAIT_MILLISECONDS + busy, WAIT_MILLISECONDS + busy / 2
    million = 1_000_000 * (
        _invocation(megabytes, event) + _invocation(megabytes, look) + 6 * QUEUE_CALL + 3 * SECRETS_CALL
    )
    batch_of_ten = WAIT_MILLISECONDS + 10 * busy / 2
    night = 110 * _invocation(megabytes, batch_of_ten) + 1010 * SECRETS_CALL + (100 + 220) * QUEUE_CALL
    return Cost(megabytes, busy, event, million, NIGHTS * night)


def _invocation(megabytes: int, milliseconds: float) -> float:
    return INVOCATION + milliseconds / 1000 * megabytes / 1024 * GIGABYTE_SECOND


def recommended(of: list[Cost], resident_megabytes: float) -> Cost:
    """Return the cheapest size that has room for three times the memory that was resident."""
    fitting = [cost for cost in of if cost.megabytes >= ROOM * resident_megabytes]
    return min(fitting, key=lambda cost: cost.million_events_dollars)
