"""The only module that calls EventBridge: what became of a secret. Never a value or a message's body.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from secret_replicator.disposition import Disposition
from secret_replicator.errors import TransientError
from secret_replicator.models import IN_SYNC
from secret_replicator.results import Result

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

SOURCE = "secret-replicator"
CONVERGED = "Secret Replication Converged"
FAILED = "Secret Replication Failed"

CALL_SECONDS = 3
"""No call takes longer: one try of 1 s to connect and 2 s to read (see clients.py)."""

_MAX_REASON_CHARACTERS = 1024
_MAX_ENTRIES = 10
_REMEDY = "nothing: the next outcome is published again"


def outcome_event(result: Result, now: float) -> "PutEventsRequestEntryTypeDef | None":
    """Return the event of this result: none while it is open, nor if nothing had to be done."""
    outcome, seconds = result.outcome, round(max(0, now - result.message.sent_at), 1)
    detail: dict[str, object] = {"secret": outcome.secret, "seconds": seconds}
    if result.disposition is Disposition.DEAD_LETTER:
        detail |= {"regions": outcome.regions, "reason": outcome.reason[:_MAX_REASON_CHARACTERS]}
        return {"Source": SOURCE, "DetailType": FAILED, "Detail": json.dumps(detail)}
    if result.has_become_converged:
        detail["regions"] = [replica.region for replica in outcome.replicas if replica.status == IN_SYNC]
        return {"Source": SOURCE, "DetailType": CONVERGED, "Detail": json.dumps(detail)}
    return None


@dataclass(frozen=True)
class Notifier:
    """The account's default bus. Its client is made for the first event: no cold start waits for it."""

    make_client: Callable[[], "EventBridgeClient"]

    @cached_property
    def client(self) -> "EventBridgeClient":
        """The client that sends."""
        return self.make_client()

    def send(self, outcome_events: "Sequence[PutEventsRequestEntryTypeDef]") -> None:
        """Send ten events at most in one call; raise TransientError if not all of them were taken."""
        try:
            answer = self.client.put_events(Entries=outcome_events[:_MAX_ENTRIES])
        except (BotoCoreError, ClientError) as error:
            raise TransientError(f"PutEvents failed ({error})", _REMEDY) from error
        if failed := answer.get("FailedEntryCount", 0):
            raise TransientError(f"PutEvents failed for {failed}", _REMEDY)
