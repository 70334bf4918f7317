"""What replicas and calls cost: https://aws.amazon.com/secrets-manager/pricing/, without taxes and KMS."""

from decimal import Decimal
from math import ceil

REPLICA_DOLLARS = Decimal("0.40")
"""A month of one replica."""

DOLLARS_PER_CALL = Decimal("0.05") / 10_000
SWEEPS_PER_MONTH = 30
"""As SweepRate is by default: one a day."""

PAGE = 100

_CENT = Decimal("0.01")


def of_replicas(replicas: int) -> Decimal:
    """Return the dollars per month."""
    return REPLICA_DOLLARS * replicas


def sweep_calls(listed: int, selected: int) -> int:
    """Return the calls per month of sweeps that change nothing: one per page, one per selected secret."""
    return SWEEPS_PER_MONTH * (ceil(max(listed, 1) / PAGE) + selected)


def of_calls(calls: int) -> Decimal:
    """Return the dollars."""
    return DOLLARS_PER_CALL * calls


def dollars(amount: Decimal) -> str:
    """Return `$1,234.50`, or `-$0.40`. What is not nothing is never shown as nothing."""
    if 0 < amount < _CENT:
        return "less than $0.01"
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"
