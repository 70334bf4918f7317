"""What this instance knows of secrets and messages, so that events of its own calls lead to nothing new."""

from dataclasses import dataclass, field, replace
from typing import TypeVar

from secret_replicator.messages import ReconcileRequest, Request
from secret_replicator.models import Outcome

MAX_SECRETS = 10_000
"""Of more, those noted first are forgotten: that costs further dead letters about one failure at most."""

T = TypeVar("T")

MARGIN_SECONDS = 5
"""An event tells the second, clocks differ, and AWS may show an attempt what was true a moment before."""


def as_sent(request: Request, sent_at: float, *, redriven: bool) -> Request:
    """Return the request as its message came: it tells of nothing later, and redriven it is no echo.

    An echo only checks, for to act on it could go on for ever. Then a person wants another try.
    """
    if not isinstance(request, ReconcileRequest):
        return request
    echo, happened_at = request.echo and not redriven, min(request.happened_at, sent_at)
    return replace(request, echo=echo, happened_at=happened_at)


@dataclass
class EchoFilter:
    """When a secret was last attempted by a message that stays in the queue, or had a dead letter written.

    An event only says that there is something to check: any later attempt answers it, if its message may act
    on what it sees, and so does a later dead letter. What other instances know is not known here. Times are
    seconds since the epoch, of when the attempt, or that before the dead letter, began.
    """

    _attempted_at: dict[str, float] = field(default_factory=dict)

    def note(self, secret: str, attempted_at: float) -> None:
        """Note such an attempt, by when it began."""
        _remember(self._attempted_at, secret, attempted_at)

    def answers(self, secret: str, happened_at: float) -> bool:
        """Tell whether what happened at this time was surely seen by such an attempt."""
        return happened_at + MARGIN_SECONDS < self._attempted_at.get(secret, 0)


@dataclass
class Unseen:
    """The messages whose first attempt, made here, saw nothing: that they came again says nothing.

    AWS throttled it, or time was up. What another instance saw is not known here: then something was open.
    """

    _ids: dict[str, None] = field(default_factory=dict)

    def note(self, message_id: str, attempt: int, outcome: Outcome) -> bool:
        """Note what this attempt saw; return whether there was something to do, now or before."""
        if outcome.plan.open_regions or outcome.regions:
            self._ids.pop(message_id, None)
            return True
        if attempt > 1:
            return message_id not in self._ids
        _remember(self._ids, message_id, None)
        return False


def _remember(known: dict[str, T], key: str, value: T) -> None:
    """Note it last, and forget what was noted first where there is too much."""
    known.pop(key, None)
    known[key] = value
    if len(known) > MAX_SECRETS:
        del known[next(iter(known))]
