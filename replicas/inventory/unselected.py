"""What nothing selects, and a person may yet want to see: a tag key with a typo, replicas left behind."""

from collections.abc import Iterator
from dataclasses import replace

from replicas.aws.deployment import Deployment
from replicas.aws.held import Held, arn_in
from replicas.aws.region_secrets import region_secrets
from replicas.errors import OperatorError
from replicas.inventory.inventory import Reading, Seen, format_calls, listed, seen_as
from replicas.inventory.wording import ORPHANED
from replicas.options import Choice
from replicas.terminal import Screen
from secret_replicator.models import Drift, Plan, Replica, Secret
from secret_replicator.policy import similar_tag_key


def unselected(deployment: Deployment, choice: Choice, reading: Reading, screen: Screen) -> Iterator[Seen]:
    """Yield such secrets, after all that are selected were read. No secret is described for it."""
    found = {secret.arn: secret for secret in _with_similar_tag(deployment)}
    for held in _replicas(deployment, screen):
        arn = arn_in(deployment.region, held.identity)
        if arn in reading.arns:
            continue
        secret = found.setdefault(arn, replace(held, arn=arn))
        found[arn] = replace(secret, replicas=(*secret.replicas, Replica(held.region, ORPHANED)))
    for arn, secret in found.items():
        if choice.takes(secret) and arn not in reading.arns:
            reading.orphaned += len(secret.replicas)
            yield _seen(deployment, secret)


def _with_similar_tag(deployment: Deployment) -> Iterator[Secret]:
    key = deployment.policy.tag_key
    first = key.lstrip(" -_.:")[:1]
    # A filter's value is the beginning of a key, and case matters.
    beginnings = sorted({first.lower(), first.upper(), *" -_.:"} - {""})
    with format_calls():
        for secret in listed(deployment, beginnings):
            seen = seen_as(deployment, secret)
            if seen.decision.skip == "not_selected" and similar_tag_key(secret.tags, key):
                yield secret


def _replicas(deployment: Deployment, screen: Screen) -> Iterator[Held]:
    """Yield what the allowed Regions list as replicas of this Region's secrets. One may not be readable."""
    for region in sorted({*deployment.settings.allowed_regions} - {deployment.region}):
        try:
            there = region_secrets(deployment.connection.brief.in_region(region))
            for held in there.listed(primary_region=deployment.region):
                if held.primary_region == deployment.region:
                    yield held
        except OperatorError as error:
            screen.say(f"{region}: orphaned replicas cannot be found there: {error}")


def _seen(deployment: Deployment, secret: Secret) -> Seen:
    """Return it as not selected: its primary is not among the selected, whatever a replica's tags say."""
    seen = seen_as(deployment, replace(secret, primary_region=""))
    left = tuple(Drift(replica.region, ORPHANED) for replica in secret.replicas)
    plan = Plan(drift=(*left, *seen.decision.plan.drift))
    nothing = replace(seen.decision.desired, selected=False, replicas=())
    untouched = replace(seen.decision, desired=nothing, plan=plan, problems=(), skip="not_selected")
    return replace(seen, decision=untouched)
