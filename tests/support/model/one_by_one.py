"""Settles a batch in the thread that was conducted so far, which no other thread may run beside."""

from collections.abc import Callable

from secret_replicator.settle import Settler


class OneByOne(Settler):
    """Writes dead letters and delays one after the other."""

    def at_once(self, *jobs: Callable[[], bool]) -> list[bool]:
        return [job() for job in jobs]
