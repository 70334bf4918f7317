"""One page of all secrets: a message for each selected primary, and one for the next page."""

import math
import random
from dataclasses import dataclass, replace

from secret_replicator.budget import require_time
from secret_replicator.errors import RefusedError
from secret_replicator.gateway import Gateway
from secret_replicator.messages import ReconcileRequest, SweepRequest
from secret_replicator.models import Kind, Outcome, SweptPage
from secret_replicator.planner import is_selected
from secret_replicator.policy import Policy
from secret_replicator.settings import Settings
from secret_replicator.work_queue import MAX_DELAY_SECONDS, WorkQueue


@dataclass(frozen=True)
class Sweeper:
    """Finds what events have missed, or what was there before them."""

    gateway: Gateway
    queue: WorkQueue
    policy: Policy
    settings: Settings

    def sweep(self, request: SweepRequest, deadline: float) -> Outcome:
        """Enqueue the selected primaries of the page and the page after it; raise ReplicatorError.

        What fails half way is done again: a message that comes twice does no harm.
        """
        begun = self.gateway.clock()
        try:
            page = self.gateway.list_secrets(self.policy.selecting_tag_keys(), request.next_token, deadline)
        except RefusedError as error:
            if request.next_token and not request.restarted:
                return self._restart(request, error)
            raise RefusedError(
                error.problem, "delete this dead letter: the next sweep starts again"
            ) from error
        selected = [secret.arn for secret in page.secrets if is_selected(secret, self.policy, self.settings)]
        require_time(self.gateway.clock(), deadline)
        self.queue.enqueue([ReconcileRequest(arn, sweep_id=request.sweep_id).body() for arn in selected])
        if page.next_token:
            following = replace(request, page=request.page + 1, next_token=page.next_token)
            require_time(self.gateway.clock(), deadline)
            seconds = len(selected) / self.settings.writes_per_second - self.gateway.clock() + begun
            # After all others: whoever sees the next page knows that this one is in the queue.
            self.queue.enqueue([following.body()], _delay_seconds(request, seconds))
        return _outcome(request, listed=len(page.secrets), selected=len(selected), last=not page.next_token)

    def _restart(self, request: SweepRequest, error: RefusedError) -> Outcome:
        """Begin this sweep anew: AWS does not say how long a token lives."""
        self.queue.enqueue([SweepRequest(request.sweep_id, restarted=True).body()])
        note = f"begun anew from the first page, because of the token of page {request.page}: {error.problem}"
        return replace(_outcome(replace(request, restarted=True)), note=note)


def _delay_seconds(request: SweepRequest, seconds: float) -> int:
    """Return how long the next page must wait, so that pages come no faster than they are worked off.

    One page is always ahead, or the queue would run dry between them. SQS knows whole seconds only: rounded
    by chance, they are right on average.
    """
    if request.page == 1:
        return 0
    rounded = math.floor(seconds + random.random())  # noqa: S311  a delay is no secret
    return min(MAX_DELAY_SECONDS, max(0, rounded))


def _outcome(request: SweepRequest, *, listed: int = 0, selected: int = 0, last: bool = False) -> Outcome:
    page = SweptPage(request.sweep_id, request.page, listed, selected, last, request.restarted)
    return Outcome(Kind.SWEPT, request.secret_id, swept=page)
