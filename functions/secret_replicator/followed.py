"""What this instance knows of the secrets that messages in the queue follow."""

from dataclasses import dataclass, field

MAX_SECRETS = 10_000
"""Of more, those noted first are forgotten: that costs a second dead letter about one failure at most."""


@dataclass
class Followed:
    """Since when a secret's state is surely seen by a message that acts on it, or told by a dead letter.

    An event only says that there is something to look at: any later look answers it. What other instances
    know is not known here. Times are seconds since the epoch.
    """

    _since: dict[str, float] = field(default_factory=dict)

    def note(self, secret: str, now: float) -> None:
        """Note that a message about the secret stays in the queue, or is a dead letter, as of now."""
        self._since.pop(secret, None)
        self._since[secret] = now
        if len(self._since) > MAX_SECRETS:
            del self._since[next(iter(self._since))]

    def answers(self, secret: str, happened_at: float) -> bool:
        """Tell whether what happened at this time is seen, or told, without another message."""
        return happened_at < self._since.get(secret, happened_at)
