"""Which Regions there are, as far as this botocore knows."""

from collections.abc import Iterable, Iterator
from functools import cache

from replicas.suggest import suggestion
from secret_replicator.policy import Policy

PARTITIONS = ("aws", "aws-us-gov", "aws-cn")


@cache
def known_regions() -> tuple[str, ...]:
    """Return the Regions of Secrets Manager."""
    import botocore.session  # noqa: PLC0415  only an option that names a Region waits for it

    session = botocore.session.Session()
    found = (session.get_available_regions("secretsmanager", partition) for partition in PARTITIONS)
    return tuple(sorted({region for regions in found for region in regions}))


def unknown(regions: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each name that is no Region, with what may be meant."""
    for region in regions:
        if region not in known_regions():
            suggested = suggestion(region, known_regions())
            said = f"{region!r} is not a Region" if not suggested else f"AWS has no Region {region!r}"
            yield f"{said}: did you mean {suggested}?" if suggested else said


def unknown_in(policy: Policy) -> Iterator[str]:
    """Yield the Regions of a policy that this botocore does not know, each once. New ones are possible."""
    named = [region for regions in policy.groups.values() for region in regions]
    for rule in policy.rules:
        named += [*rule.regions, *rule.only, *rule.kms_keys]
    yield from unknown(dict.fromkeys([*named, *policy.kms_keys]))
