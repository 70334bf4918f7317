"""One page of all secrets: a message for each selected primary, and one for the next page."""

import json
from dataclasses import dataclass

from secret_replicator.errors import RefusedError
from secret_replicator.gateway import Gateway
from secret_replicator.models import Kind, Outcome
from secret_replicator.policy import Policy, desired_replicas
from secret_replicator.settings import Settings
from secret_replicator.work_queue import WorkQueue


@dataclass(frozen=True)
class Sweeper:
    """Finds what events have missed, or what was there before them."""

    gateway: Gateway
    queue: WorkQueue
    policy: Policy
    settings: Settings

    def sweep(self, next_token: str, deadline: float) -> Outcome:
        """Enqueue the selected primaries of the page and the page after it; raise ReplicatorError.

        What fails half way is done again: a message that comes twice does no harm.
        """
        try:
            page = self.gateway.list_secrets(self.policy.selecting_tag_keys(), next_token, deadline)
        except RefusedError as error:
            raise RefusedError(error.problem, "delete this letter: the next sweep begins anew") from error
        region, allowed = self.settings.region, self.settings.allowed_regions
        selected = [
            secret.arn
            for secret in page.secrets
            if secret.primary_region in ("", region)
            and desired_replicas(self.policy, secret.tags, region, allowed).selected
        ]
        bodies = [json.dumps({"secret_id": arn}) for arn in selected]
        if page.next_token:
            bodies.append(json.dumps({"sweep": {"next_token": page.next_token}}))
        self.queue.enqueue(bodies)
        return Outcome(Kind.SWEPT, note=f"{len(selected)} of {len(page.secrets)} listed secrets are selected")
