"""What it costs to run at each memory size: as the README computes it, with measured milliseconds."""

from dataclasses import dataclass
from decimal import Decimal

from tools.bench import running_cost

MEMORY_MEGABYTES = (128, 256, 512, 1024, 1769)
FULL_PROCESSOR_MEGABYTES = 1769
"""With so much memory a function has one processor.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
"""
WAIT_MILLISECONDS = 50
"""What AWS itself takes for one call, as in the measurement of batches."""

FIRST_CALLS, SECOND_CALLS = 3, 2
"""The first attempt describes, replicates, and puts its message off; the second describes, and tells."""

ROOM = 3
"""A function that runs out of memory is killed with its whole batch; room costs little."""


@dataclass(frozen=True)
class Cost:
    """At one memory size: a first attempt in ms, dollars of a million events and a month of sweeps."""

    megabytes: int
    processor_milliseconds: float
    event_milliseconds: float
    million_events_dollars: float
    nightly_dollars: float


def costs(processor_milliseconds: float) -> list[Cost]:
    """Return the cost at each memory size, for an event that takes so much of a full processor.

    An event is one new secret: two attempts (describe, replicate; describe), each in a batch of its own. A
    sweep's secret is one attempt. A smaller size has less of a processor, and takes as much longer.
    """
    return [_cost(megabytes, processor_milliseconds) for megabytes in MEMORY_MEGABYTES]


def _cost(megabytes: int, processor_milliseconds: float) -> Cost:
    busy = processor_milliseconds / min(1, megabytes / FULL_PROCESSOR_MEGABYTES)
    event, second = FIRST_CALLS * WAIT_MILLISECONDS + busy, SECOND_CALLS * WAIT_MILLISECONDS + busy / 2
    million = running_cost.events(_invocation(megabytes, (event + second) / 2))
    nightly = running_cost.sweeps(_invocation(megabytes, WAIT_MILLISECONDS + busy / 2))
    return Cost(megabytes, busy, event, float(million), float(nightly))


def _invocation(megabytes: int, milliseconds: float) -> Decimal:
    return running_cost.invocation(Decimal(milliseconds) / 1000, Decimal(megabytes) / 1024)


def recommended(of: list[Cost], resident_megabytes: float) -> Cost:
    """Return the cheapest size that has room for three times the memory that was resident."""
    fitting = [cost for cost in of if cost.megabytes >= ROOM * resident_megabytes]
    return min(fitting, key=lambda cost: cost.million_events_dollars)
