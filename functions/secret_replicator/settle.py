"""What is concluded, done at SQS: dead letters written, and what stays put off."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from aws_lambda_powertools import Logger

from secret_replicator.budget import require_time
from secret_replicator.disposition import Disposition
from secret_replicator.errors import TransientError
from secret_replicator.results import Result
from secret_replicator.work_queue import WorkQueue

RESERVED_SECONDS = 15
"""The end of the function's time, kept for dead letters, delays and outcome events."""

logger = Logger()


@dataclass(frozen=True)
class Settler:
    """Ends messages and puts them off. Deadlines are times of `clock`, RESERVED_SECONDS before the last."""

    queue: WorkQueue
    clock: Callable[[], float] = time.monotonic

    def settle(self, results: Sequence[Result], deadline: float) -> list[Result]:
        """Write dead letters, and put off what stays: all at the same time, for SQS may take what is left.

        A message whose dead letter was not written stays, and comes back when its visibility timeout ends.
        """
        staying = [result for result in results if result.stays]
        ending = [result for result in results if result.disposition is Disposition.DEAD_LETTER]
        put_off, *written = self.at_once(
            partial(self._put_off, staying),
            *(partial(self._dead_letter, result, deadline) for result in ending),
        )
        sure = dict.fromkeys((result.message for result in staying), put_off)
        sure |= {result.message: done for result, done in zip(ending, written, strict=True)}
        return [_settled(result, sure=sure.get(result.message, True)) for result in results]

    def at_once(self, *jobs: Callable[[], bool]) -> list[bool]:
        """Do all of this at the same time."""
        with ThreadPoolExecutor(max_workers=len(jobs)) as pool:
            return list(pool.map(lambda job: job(), jobs))

    def _dead_letter(self, result: Result, deadline: float) -> bool:
        """Tell whether the dead letter is surely in its queue."""
        try:
            require_time(self.clock(), deadline + RESERVED_SECONDS)
            self.queue.dead_letter(result.message, result.outcome)
        except TransientError as error:
            logger.warning("dead_letter_not_written", secret=result.outcome.secret, error=str(error))
            return False
        return True

    def _put_off(self, results: Sequence[Result]) -> bool:
        """Tell whether the messages are surely still in the queue."""
        try:
            if results:
                self.queue.put_off({result.message: result.delay_seconds() for result in results})
        except TransientError as error:
            # The messages stay all the same, and come back after the queue's own visibility timeout.
            logger.warning("delay_not_set", error=str(error))
            return False
        return True


def _settled(result: Result, *, sure: bool) -> Result:
    if result.disposition is Disposition.DEAD_LETTER and not sure:
        return replace(result, disposition=Disposition.RETRY_LATER)
    return replace(result, sure=sure)
