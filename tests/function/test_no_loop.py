"""No loop: whatever the start, the events that our own calls cause end in no further call.

What AWS tells of a call is taken at its widest: the call itself, the service events of its outcome, from both
Regions, and a label and a creation in the replica's Region. Each goes through the rules of template.yaml, to
an instance that has seen nothing before.
"""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from local.secrets_manager.model import Outcome, Params, Replica
from local.secrets_manager.service import METERED
from tests.support.world import HOME, World, make_world
from tests.template.test_rules import EVENTS, matching_rules

REGIONS = ("eu-west-1", "us-west-2")
TAGS = st.fixed_dictionaries(
    {},
    optional={
        "replicate-to": st.sampled_from(["eu-west-1", "all", "dr", "none", "eu-wst-1 us-west-2", ""]),
        "environment": st.just("prod"),
        "criticality": st.just("high"),
        "team": st.just("payments"),
    },
)
STATUSES = st.sampled_from([None, "InSync", "InProgress", "Failed", "Pending"])
STARTS = st.sampled_from(
    [name for name in EVENTS if name not in ("sqs-batch.json", "sweep.json") and matching_rules(EVENTS[name])]
    + ["secret-id.json", "sweep.json"]
)


def event(name: str, **detail: object) -> dict[str, Any]:
    given = deepcopy(EVENTS[name])
    given["detail"] |= detail
    return given


def events_of(operation: str, arn: str, regions: list[str]) -> Iterator[dict[str, Any]]:
    """Yield every event that a call of ours may cause."""
    request = {"secretId": arn}
    name = {
        "ReplicateSecretToRegions": "replicate-secret-to-regions.json",
        "RemoveRegionsFromReplication": "remove-regions-from-replication.json",
    }[operation]
    yield event(name, requestParameters=request)
    for region in regions:
        replica = arn.replace(f":{HOME}:", f":{region}:")
        for outcome in ("replication-started", "replication-succeeded", "replication-failed"):
            for where in (arn, replica):
                yield event(f"{outcome}.json", additionalEventData={"SecretId": where})


def as_start(name: str, arn: str) -> str:
    """Return the body of a message about this secret, made from a file in events/."""
    old = "arn:aws:secretsmanager:us-east-1:123456789012:secret:orders/db-AbCdEf"
    text = json.dumps(EVENTS[name])
    assert name == "sweep.json" or "orders/db" in text
    return text.replace(old, arn).replace(old.replace("us-east-1", "eu-west-1"), arn)


def own_calls(world: World) -> list[Any]:
    return world.secrets.calls_of(*METERED)


@settings(
    max_examples=15,
    phases=[Phase.generate],  # to find the smallest start takes minutes
    suppress_health_check=list(HealthCheck),
)
@given(
    tags=TAGS,
    statuses=st.tuples(STATUSES, STATUSES),
    fails=st.sampled_from([None, "no luck", "Secret with this name already exists in this region"]),
    prune=st.booleans(),
    start=STARTS,
)
@pytest.mark.parametrize("repeat", ["accepted", "refused"])
def test_the_events_of_our_own_calls_end_in_no_further_call(  # noqa: PLR0913, PLR0917 - a start
    tmp_path: Path,
    repeat: Any,
    tags: Mapping[str, str],
    statuses: tuple[str | None, str | None],
    fails: str | None,
    start: str,
    *,
    prune: bool,
) -> None:
    world = make_world(tmp_path, repeat).having(prune_replicas=prune)
    world.secrets.set_key("us-west-2", "alias/payments")
    secret = world.secrets.add_secret(HOME, "orders/db", tags=dict(tags))
    if fails:
        world.secrets.set_outcome("*", "*", Outcome("Failed", fails))
    for region, status in zip(REGIONS, statuses, strict=True):
        if status:
            secret.replicas[region] = Replica(region, status=status)
    world.queues.send(as_start(start, secret.arn))
    world.deliver_until_empty()

    calls = own_calls(world)
    other = world.having()  # an instance that does not remember that the calls were its own
    for call in calls:
        for caused in events_of(call.operation, secret.arn, _regions(call.parameters)):
            if matching_rules(caused):
                other.queues.send(json.dumps(caused))
    other.deliver_until_empty(batches=1000)
    assert own_calls(world) == calls, "an event of our own call has ended in another call"


def _regions(parameters: Params) -> list[str]:
    added = [entry["Region"] for entry in parameters.get("AddReplicaRegions", [])]
    return [*added, *parameters.get("RemoveReplicaRegions", [])]
