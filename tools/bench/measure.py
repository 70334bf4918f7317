"""What a number in the report is: samples of several contestants, taken in turns."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Samples:
    """Measurements of one contestant, in one unit."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def p90(self) -> float:
        return (
            quantiles(self.values, n=10, method="inclusive")[-1] if len(self.values) > 1 else self.values[0]
        )


def by_turns(contestants: Iterable[str], measure: Callable[[str], T], rounds: int) -> dict[str, list[T]]:
    """Measure every contestant once in each round: what disturbs the machine disturbs all of them."""
    taken: dict[str, list[T]] = {contestant: [] for contestant in contestants}
    for _ in range(rounds):
        for contestant, measured in taken.items():
            measured.append(measure(contestant))
    return taken
