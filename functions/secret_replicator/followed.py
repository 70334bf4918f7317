"""What this instance knows of the secrets that messages in the queue follow."""

from dataclasses import dataclass, field

from secret_replicator.models import Outcome

MAX_SECRETS = 10_000
"""Of more, those noted first are forgotten: that costs further dead letters about one failure at most."""

MARGIN_SECONDS = 5
"""An event tells the second, clocks differ, and AWS may show a look what was true a moment before."""


@dataclass
class Followed:
    """When a secret was last looked at by a message that stays in the queue, or had a letter written.

    An event only says that there is something to look at: any later look answers it, if its message may act
    on what it sees, and so does a later letter. What other instances know is not known here. Times are
    seconds since the epoch, of when the look, or that before the letter, began.
    """

    _looked_at: dict[str, float] = field(default_factory=dict)

    def note(self, secret: str, looked_at: float) -> None:
        """Note such a look, by when it began."""
        self._looked_at.pop(secret, None)
        self._looked_at[secret] = looked_at
        if len(self._looked_at) > MAX_SECRETS:
            del self._looked_at[next(iter(self._looked_at))]

    def answers(self, secret: str, happened_at: float) -> bool:
        """Tell whether what happened at this time was surely seen by such a look."""
        return happened_at + MARGIN_SECONDS < self._looked_at.get(secret, 0)


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
        self._ids[message_id] = None
        if len(self._ids) > MAX_SECRETS:
            del self._ids[next(iter(self._ids))]
        return False
