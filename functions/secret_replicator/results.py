"""A message of the batch, and what came of it."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from secret_replicator.disposition import Disposition
from secret_replicator.messages import Request
from secret_replicator.models import Kind, Outcome
from secret_replicator.work_queue import Message, retry_delay_seconds


@dataclass(frozen=True)
class Result:
    """What a message asks for, how the attempt ended, and what becomes of the message."""

    message: Message
    request: Request
    outcome: Outcome
    disposition: Disposition
    acted: bool = True
    """Whether the attempt was made, and might change something."""
    brought: bool = False
    """Whether something had to be done, in this attempt or in one before."""
    sure: bool = False
    """Whether SQS has surely done what becomes of the message."""

    @property
    def stays(self) -> bool:
        """Whether the message stays in the queue."""
        return self.disposition in (Disposition.RELEASE, Disposition.RETRY_LATER)

    @property
    def answers_echoes(self) -> bool:
        """Whether what happened before needs no check of its own: this message acts on it, or has ended."""
        return self.sure and (self.acted if self.stays else self.disposition is Disposition.DEAD_LETTER)

    @property
    def has_become_converged(self) -> bool:
        """Whether the secret had to be brought there. A sweep finds most secrets where they are."""
        return self.outcome.kind is Kind.CONVERGED and self.brought

    def delay_seconds(self) -> int:
        """Return in how many seconds the message is to be received again."""
        if self.disposition is Disposition.RELEASE:
            return 0
        return retry_delay_seconds(self.message.attempt, random.uniform(-1, 1))  # noqa: S311  no secret


def response(results: Iterable[Result]) -> dict[str, Any]:
    """Return what tells Lambda which messages must stay in the queue."""
    staying = [result.message.message_id for result in results if result.stays]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in staying]}
