"""Why a secret is where it is, from its tags, the policy and what AWS reports."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from replicas.inventory import wording
from replicas.inventory.inventory import Seen
from replicas.suggest import suggestion
from secret_replicator.models import FAILED, IN_SYNC, Claim, Decision, DesiredReplica, Plan, Replica, Secret
from secret_replicator.planner import HOLD_TAG, best_by_region
from secret_replicator.policy import ALL, NONE, REGION_CODE, YES_WORDS, Policy, Rule, tag_words
from secret_replicator.settings import Settings

MISSING = "missing"
"""Where AWS lists no replica, but there must be one."""

NOWHERE = "-"
"""Where there is no replica, and none must be."""


@dataclass(frozen=True)
class Miss:
    """A tag that a rule wants and the secret does not have so."""

    key: str
    wanted: tuple[str, ...]
    found: str | None
    suggested: str = ""
    """A tag key, or a value of the rule, that is like the one the secret has."""

    def __str__(self) -> str:
        """Say what is wrong, and what may be meant."""
        wanted = " or ".join(self.wanted)
        if self.found is None:
            said = f"it has no tag {self.key} (must be {wanted})"
            return f"{said}, but {self.suggested}: did you mean {self.key}?" if self.suggested else said
        said = f"{self.key} is {self.found or 'empty'}, and must be {wanted}"
        return f"{said}: did you mean {self.suggested}?" if self.suggested else said


@dataclass(frozen=True)
class Source:
    """The tag or a rule: whether it counts for the secret, and what it gave or cut, or what it misses."""

    name: str
    counts: bool
    text: str
    misses: tuple[Miss, ...] = ()

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.name} {'applies' if self.counts else 'does not apply'}: {self.text}"

    def entry(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        misses = [
            {"tag": miss.key, "values": [*miss.wanted], "found": miss.found, "near": miss.suggested or None}
            for miss in self.misses
        ]
        return {"source": self.name, "applies": self.counts, "text": self.text, "misses": misses}


@dataclass(frozen=True)
class Place:
    """One Region: who asks for it, what forbids it, its key and where that is named, and what AWS reports."""

    region: str
    asked_by: tuple[str, ...]
    cut: str
    key: str
    key_from: str
    status: str
    message: str = ""
    drift: tuple[str, ...] = ()

    def entry(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "region": self.region,
            "status": None if self.status == NOWHERE else self.status,
            "wanted": self.wanted,
            "asked_by": [*self.asked_by],
            "not_allowed": self.cut or None,
            "key": self.key or None,
            "key_from": self.key_from or None,
            "aws_message": self.message or None,
            "drift": [*self.drift],
        }

    @property
    def named_key(self) -> str:
        """The key, and where it is named."""
        return f"{self.key} ({self.key_from})" if self.key else "-"

    @property
    def wanted(self) -> bool:
        """Whether the secret must have a replica there."""
        return bool(self.asked_by) and not self.cut

    @property
    def is_late(self) -> bool:
        """Whether the secret must have a replica there that is not yet as it must be."""
        return self.wanted and self.status != IN_SYNC


def sources(seen: Seen, policy: Policy) -> list[Source]:
    """Return what the tag and each rule of the policy say about the secret."""
    return [_tag_source(seen, policy), *(_rule_source(rule, seen.secret) for rule in policy.rules)]


def places(seen: Seen) -> list[Place]:
    """Return every Region that is asked for or has a replica, the home Region aside. A replica has none."""
    if seen.decision.skip == "replica":
        return []
    claims = {claim.region: claim for claim in seen.decision.desired.claims}
    actual = best_by_region(seen.secret.replicas)
    return [
        _place(claims.get(region, Claim(DesiredReplica(region))), actual.get(region), seen.decision)
        for region in sorted((claims.keys() | actual.keys()) - {seen.home})
    ]


def how_to_select(policy: Policy, settings: Settings) -> str:
    """Return what a person can do to have a secret replicated that nothing selects."""
    values = ", ".join([*settings.allowed_regions, *policy.groups, ALL])
    return f"You: to have it replicated, give it the tag {policy.tag_key} ({values}), or a rule's tags"


def closest_rule(found: Sequence[Source], policy: Policy) -> Source | None:
    """Return the rule that would select the secret if the fewest tags were changed."""
    gives = {rule.name for rule in policy.rules if rule.regions}
    suggested = [source for source in found if source.misses and source.name in gives]
    return min(suggested, key=_distance, default=None)


def misspelt(policy: Policy, settings: Settings, secret: Secret, aws_regions: Sequence[str]) -> Iterator[str]:
    """Yield what looks like a typo in tag keys, Regions and groups."""
    tags = secret.tags
    if policy.tag_key not in tags and (suggested := suggestion(policy.tag_key, tags)):
        yield f"it has the tag {suggested} ({tags[suggested]}): did you mean {policy.tag_key}?"
    for word in tag_words(tags.get(policy.tag_key, "")):
        if word in (ALL, NONE, *YES_WORDS, *policy.groups, *settings.allowed_regions, *aws_regions):
            continue
        kind = "AWS has no Region" if REGION_CODE.fullmatch(word) else "There is neither a Region nor a group"
        suggested = suggestion(word, [*settings.allowed_regions, *policy.groups, *aws_regions, ALL, NONE])
        yield f"{kind} {word}: did you mean {suggested}?" if suggested else f"{kind} {word}"


def _place(claim: Claim, have: Replica | None, decision: Decision) -> Place:
    wanted = bool(claim.asked_by) and not claim.cut
    key, key_from = "", ""
    if wanted:
        key = wording.of_key(claim.replica.kms_key_id)
        key_from = claim.key_from or "no rule and no [kms_keys] names one"
    elif have:
        key, key_from = wording.of_key(have.kms_key_id), "AWS reports it"
    return Place(
        region=claim.region,
        asked_by=tuple(wording.of_asker(asker, claim.region) for asker in claim.asked_by),
        cut=wording.of_cut(claim.cut) if claim.cut else "",
        key=key,
        key_from=key_from,
        status=have.status if have else MISSING if wanted else NOWHERE,
        message=have.message if have else "",
        drift=tuple(
            wording.of_drift(drift, decision) for drift in decision.plan.drift if drift.region == claim.region
        ),
    )


def _tag_source(seen: Seen, policy: Policy) -> Source:
    name, desired = f"tag {policy.tag_key}", seen.decision.desired
    if policy.tag_key not in seen.secret.tags:
        return Source(name, counts=False, text="the secret does not have it")
    if not desired.asked_by_tag:
        return Source(name, counts=True, text="none: asks for no replicas; a rule may still ask for some")
    options = [claim.region for claim in desired.claims if any(asker.word for asker in claim.asked_by)]
    value = seen.secret.tags[policy.tag_key] or "empty"
    return Source(name, counts=True, text=f"{value}: asks for {_listed(options)}")


def _rule_source(rule: Rule, secret: Secret) -> Source:
    misses = tuple(_misses(rule, secret))
    if misses:
        return Source(rule.name, counts=False, text="; ".join(map(str, misses)), misses=misses)
    parts = []
    if rule.regions:
        parts.append(f"asks for {_listed(rule.regions)}")
    if rule.only:
        parts.append(f"allows only {_listed(rule.only)}")
    if rule.kms_keys:
        parts.append("keys " + ", ".join(f"{region} {key}" for region, key in rule.kms_keys.items()))
    if rule.overwrite:
        parts.append("may replace a same-named secret in these, if AllowOverwrite is on")
    return Source(rule.name, counts=True, text="; ".join(parts))


def _misses(rule: Rule, secret: Secret) -> Iterator[Miss]:
    tags = secret.tags
    for key in rule.misses(tags):
        others = [other for other in tags if other not in rule.match]
        suggested = suggestion(tags[key], rule.match[key]) if key in tags else suggestion(key, others)
        yield Miss(key, rule.match[key], tags.get(key), suggested)


def _distance(source: Source) -> tuple[float, bool]:
    """Return how far a rule is: a typo is half a tag."""
    far = sum(0.5 if miss.suggested else 1 for miss in source.misses)
    return far, all(miss.found is None for miss in source.misses)


def _listed(regions: Sequence[str]) -> str:
    return ", ".join(regions) or "none"


def answer(seen: Seen, policy: Policy, found: Sequence[Place]) -> str:
    """Return in one sentence whether the secret is where it must be, and if not, the first reason why."""
    if reason := _untouched(seen, policy):
        return _with_what_is_left(reason, seen, found)
    late = [place for place in found if place.is_late]
    there = _listed([place.region for place in found if place.wanted and place.status == IN_SYNC])
    if late:
        said = ", ".join(f"{place.region} is {place.status}" for place in late)
        return f"It is not where it must be: {said}. InSync: {there}."
    if problems := seen.decision.problems:
        return f"It is not where it was asked to be: {problems[0].text}. InSync: {there}."
    if any(place.wanted for place in found):
        return _with_what_is_left(f"It is where it must be. InSync: {there}.", seen, found)
    return _with_what_is_left(_why_nowhere(seen, policy), seen, found)


def _with_what_is_left(said: str, seen: Seen, found: Sequence[Place]) -> str:
    """Return the answer, and the replicas that are there all the same: nobody asks for them any more."""
    there = [place for place in found if place.status not in (NOWHERE, MISSING)]
    left = [place for place in there if seen.decision.skip or not place.wanted]
    if not left:
        return said
    said = said.replace("It is not replicated", "Nothing replicates it", 1)
    stay = ", ".join(f"{place.region} ({place.status})" for place in left)
    return f"{said} The replicas it has stay: {stay}."


def _untouched(seen: Seen, policy: Policy) -> str:
    secret = seen.secret
    if seen.decision.skip == "replica":
        home = "another account" if secret.cross_account_replica else secret.primary_region
        return f"It is a replica: its primary in {home} decides. Ask there."
    if secret.deleted:
        return "It is not replicated: it is scheduled for deletion."
    if not seen.decision.desired.selected:
        return f"It is not replicated: it has neither the tag {policy.tag_key} nor all tags of a rule."
    if seen.decision.skip == "held":
        return f"It is left alone: it has the tag {HOLD_TAG} ({secret.tags[HOLD_TAG]})."
    if seen.decision.skip:
        return f"It is left alone: it belongs to {secret.owning_service}, and only a rule asks for it."
    return ""


def _why_nowhere(seen: Seen, policy: Policy) -> str:
    desired = seen.decision.desired
    if any(claim.region == seen.home for claim in desired.claims):
        return f"It is not replicated: it asks only for {seen.home}, which is its home Region."
    if desired.asked_by_tag:
        return "It is not replicated: its tag says all, and rules with `only` leave no allowed Region."
    return f"It is not replicated: its tag {policy.tag_key} says none, and no rule asks for a Region."


def next_steps(
    seen: Seen, settings: Settings, found: Sequence[Place], dead_letters: Sequence[str]
) -> Iterator[str]:
    """Yield what a person can do, and what the function will do. `dead_letters` are reasons."""
    secret = seen.secret
    if secret.primary_region not in ("", settings.region):
        yield f"You: replicas explain {secret.name} --region {secret.primary_region}"
        return
    yield from (f"You: {text}" for text in _for_a_person(seen, found, dead_letters))
    yield f"The function: {_for_the_function(seen, settings, dead_letters)}"


def _for_a_person(seen: Seen, found: Sequence[Place], dead_letters: Sequence[str]) -> Iterator[str]:
    for problem in seen.decision.problems:
        yield f"{problem.remedy} ({problem.text})"
    for place in found:
        parts = (part for text in dead_letters for part in text.split("; ") if place.region in part)
        said = place.message or "; ".join(parts)
        if place.wanted and (place.status == FAILED or (place.status == MISSING and said)):
            yield _remedy(place, said)
    if dead_letters and is_settled(seen, found):
        clear = "--secret" if seen.decision.plan.changes else "--fixed --secret"
        yield f"to end its dead letter and the alarm, replicas redrive {clear} {seen.secret.name}"
    elif dead_letters:
        yield f"once it is fixed, replicas redrive --secret {seen.secret.name}"
    elif seen.decision.plan.add and not seen.blocked_by:
        yield (
            f"to have it done now, replicas apply --secret {seen.secret.name}. If it has had its tags for "
            "more than some minutes, their event did not arrive: is there a CloudTrail trail that logs "
            "management events?"
        )


def is_settled(seen: Seen, found: Sequence[Place]) -> bool:
    """Tell whether the secret is where its tags ask for."""
    late = any(place.is_late for place in found)
    return not (late or seen.decision.problems or seen.decision.skip)


def _for_the_function(seen: Seen, settings: Settings, dead_letters: Sequence[str]) -> str:
    if seen.blocked_by:
        return seen.blocked_by
    if seen.decision.skip == "scheduled_for_deletion":
        return "nothing, unless the secret is restored"
    if seen.decision.skip:
        return "nothing, it does not touch this secret"
    return _what_it_does(seen.decision.plan, settings, dead_letters)


def _what_it_does(plan: Plan, settings: Settings, dead_letters: Sequence[str]) -> str:
    parts = []
    if wanted := [want.region for want in plan.add + plan.retry]:
        again = "again, and has no other answer while the cause is there, " if dead_letters else ""
        message = "" if dead_letters else "a message that waits, "
        parts.append(
            f"requests {_listed(wanted)} {again}at its next attempt: {message}an event, or the next sweep"
        )
    if plan.wait:
        waiting = _listed([have.region for have in plan.wait])
        parts.append(f"checks until {waiting} is InSync, {settings.max_attempts} times at most")
    if plan.remove:
        parts.append(f"removes {_listed(plan.remove)} at its next attempt")
    return "; ".join(parts) or "nothing, until the next sweep or a change of the secret"


def _remedy(place: Place, said: str) -> str:
    if wording.NAME_TAKEN in said:
        return (
            f"see with replicas verify whether a promoted copy stands in {place.region}; if not, delete or "
            "rename the secret of its name there, or let a rule with overwrite = true match it and turn "
            "AllowOverwrite on"
        )
    if "key" in said.casefold():
        return f"check the key {place.key} in {place.region}, named by: {place.key_from}"
    return f"fix in {place.region} what AWS names: {said or 'it gives no reason'}"


def switches(seen: Seen, settings: Settings, found: Sequence[Place]) -> Iterator[str]:
    """Yield the deployed switches that matter for this secret, with what they do to it."""
    if settings.mode == "plan":
        yield "Mode=plan: nothing is written"
    if seen.decision.desired.selected:
        yield f"AllowedRegions={','.join(settings.allowed_regions)}"
    unwanted = any(place.drift or (not place.wanted and place.status != NOWHERE) for place in found)
    if unwanted or seen.decision.plan.remove:
        yield f"PruneReplicas={str(settings.prune_replicas).lower()}: whether unwanted replicas are removed"
    taken = any(wording.NAME_TAKEN in place.message for place in found)
    if taken or any(replica.overwrite for replica in seen.decision.desired.replicas):
        yield f"AllowOverwrite={str(settings.allow_overwrite).lower()}: whether a same-named one is replaced"
    if seen.decision.plan.open_regions:
        yield f"MaxAttempts={settings.max_attempts}: attempts before it is dead-lettered"
