"""From policy.toml and a secret's tags to the replicas it must have, and what is wrong with its tags."""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TypeVar

from secret_replicator.errors import PolicyError
from secret_replicator.models import Asker, Claim, Cut, Desired, DesiredReplica, Problem

REGION_CODE = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}")

ALL, NONE = "all", "none"
YES_WORDS = frozenset({"true", "yes", "on", "enabled"})
"""What people say who do not think of Regions."""
_SEPARATORS = re.compile(r"[\s,+;:/|]+")
"""AWS's tag editors allow `:` and `/` where they allow no comma."""
_KEY_SEPARATORS = re.compile(r"[-_.:\s]+")
_KMS_KEY = re.compile(
    r"alias/[A-Za-z0-9/_-]+|(mrk-)?[0-9a-f-]{32,36}"
    r"|arn:[a-z-]+:kms:(?P<region>[a-z0-9-]+):[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]+"
)


_TYPE_NAMES: Mapping[type, str] = {str: "a string", bool: "true or false", list: "a list", dict: "a table"}
T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """One [[rules]] entry. `regions` and `only` are Region codes: groups are already spelled out."""

    name: str
    match: Mapping[str, tuple[str, ...]]
    regions: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    kms_keys: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Tell whether the secret carries every tag of `match` with one of its values."""
        return not [*self.misses(tags)]

    def misses(self, tags: Mapping[str, str]) -> Iterator[str]:
        """Yield the tag keys of `match` that the secret does not have, or has with another value."""
        for key, values in self.match.items():
            if key not in tags or not any(fnmatchcase(tags[key], value) for value in values):
                yield key


@dataclass(frozen=True)
class Policy:
    """A valid policy.toml."""

    tag_key: str
    groups: Mapping[str, tuple[str, ...]]
    kms_keys: Mapping[str, str]
    rules: tuple[Rule, ...]

    def selecting_tag_keys(self) -> tuple[str, ...]:
        """Return tag keys of which every selected secret carries at least one."""
        keys = {next(iter(rule.match)) for rule in self.rules if rule.regions}
        return tuple(sorted({self.tag_key} | keys))


def desired_replicas(
    policy: Policy, tags: Mapping[str, str], home_region: str, allowed_regions: Iterable[str]
) -> Desired:
    """Return the replicas that the policy wants for a secret with these tags."""
    allowed = frozenset(allowed_regions)
    rules = [rule for rule in policy.rules if rule.matches(tags)]
    if policy.tag_key not in tags and not any(rule.regions for rule in rules):
        return Desired(selected=False)
    words = tag_words(tags.get(policy.tag_key, NONE))
    reachable = [region for region in allowed if not _cut(region, rules, allowed)]
    asked, problems = _asked_by_tag(policy, words, reachable)
    asked += [(Asker(rule.name), rule.regions) for rule in rules]
    claims = tuple(_claims(policy, rules, allowed, asked))
    elsewhere = [claim for claim in claims if claim.region != home_region]
    problems += [_cut_problem(claim.region, claim.asked_by[0], claim.cut) for claim in elsewhere if claim.cut]
    return Desired(
        selected=True,
        asked_by_tag=words != [NONE],
        replicas=tuple(claim.replica for claim in elsewhere if not claim.cut),
        problems=tuple(sorted(problems)),
        claims=claims,
    )


def _claims(
    policy: Policy,
    rules: Sequence[Rule],
    allowed: frozenset[str],
    asked: Sequence[tuple[Asker, Sequence[str]]],
) -> Iterator[Claim]:
    """Yield a claim for each Region that anything asks for."""
    for region in sorted({region for _, regions in asked for region in regions}):
        key, key_from = _kms_key(region, policy, rules)
        replica = DesiredReplica(region, key, _may_overwrite(region, rules))
        askers = tuple(asker for asker, regions in asked if region in regions)
        yield Claim(replica, askers, _cut(region, rules, allowed), key_from)


def similar_tag_key(tags: Iterable[str], tag_key: str) -> str:
    """Return the tag key that is `tag_key` but for case and separators; empty if none is, or it is there."""
    keys = sorted(tags)
    same = (key for key in keys if plain(key) == plain(tag_key))
    return "" if tag_key in keys else next(same, "")


def plain(key: str) -> str:
    """Return what is left of a tag key, or of another word, where case and separators do not matter."""
    return _KEY_SEPARATORS.sub("", key.lower())


def tag_words(value: str) -> list[str]:
    """Return the words of the tag's value, each once."""
    return sorted({word for word in _SEPARATORS.split(value.lower()) if word})


def _asked_by_tag(
    policy: Policy, words: Sequence[str], reachable: Sequence[str]
) -> tuple[list[tuple[Asker, Sequence[str]]], list[Problem]]:
    """Return which Regions each word of the tag asks for, and what is wrong with it.

    What `all` means and is cut was not asked for by name: it means what is `reachable`.
    """
    tag = f"tag {policy.tag_key}"
    if words == [NONE]:
        return [], []
    if not words or NONE in words:
        found = "says none together with something else" if words else "is empty"
        return [], [Problem("", f"{tag} {found}", "name Regions and groups in it, or say none alone")]
    codes = {word: (word,) for word in words if REGION_CODE.fullmatch(word)}
    meanings: Mapping[str, Sequence[str]] = {**policy.groups, **codes, ALL: reachable}
    problems = [_unknown_word(tag, word) for word in words if word not in meanings]
    return [(Asker(tag, word), meanings[word]) for word in words if word in meanings], problems


def _unknown_word(tag: str, word: str) -> Problem:
    if word in YES_WORDS:
        return Problem(word, f"{tag} says {word!r}, which names no Region", "say which Regions, or all")
    return Problem(word, f"{tag} names {word!r}, which is neither a Region nor a group", "correct the tag")


def _cut(region: str, rules: Iterable[Rule], allowed: frozenset[str]) -> Cut | None:
    """Return what takes the Region away, whoever asks for it; None if nothing does."""
    forbidding = (Cut(rule.name, rule.only) for rule in rules if rule.only and region not in rule.only)
    return next(forbidding, None if region in allowed else Cut())


def _cut_problem(region: str, asker: Asker, cut: Cut) -> Problem:
    why, remedy = "is not in AllowedRegions", "correct the Region, or let the operator allow it"
    if cut.rule:
        why = f"{cut.rule} of the policy forbids (only {' '.join(cut.only)})"
        remedy = "take the Region out"
    return Problem(region, f"{asker.name} asks for {region}, which {why}", remedy)


def _kms_key(region: str, policy: Policy, rules: Iterable[Rule]) -> tuple[str, str]:
    """Return the key of a Region and where in the policy it is named; both are empty if it is not."""
    tables = (*((rule.name, rule.kms_keys) for rule in rules), ("[kms_keys]", policy.kms_keys))
    return next(((table[region], where) for where, table in tables if region in table), ("", ""))


def _may_overwrite(region: str, rules: Iterable[Rule]) -> bool:
    """Tell whether one of the rules that ask for this very Region may overwrite."""
    return any(rule.overwrite and region in rule.regions for rule in rules)


def parse_policy(text: str | bytes, source: str = "policy.toml") -> Policy:
    """Return the policy of a text, or a file's bytes; raise PolicyError with everything that is wrong."""
    try:
        document = tomllib.loads(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise PolicyError(source, [f"not UTF-8, at byte {error.start}: save it as UTF-8"]) from error
    except (ValueError, RecursionError) as error:
        raise PolicyError(source, [f"not TOML: {error}"]) from error
    reader = _Reader()
    policy = reader.policy(document)
    if reader.errors:
        raise PolicyError(source, [f"{where}: {problem}" for where, problem in reader.errors.items()])
    return policy


class _Reader:
    """Reads a parsed policy.toml and notes every error with its section and key."""

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}
        self.groups: dict[str, tuple[str, ...]] = {}

    def policy(self, document: Mapping[str, object]) -> Policy:
        self._known_keys("top level", document, {"tag", "groups", "kms_keys", "rules"})
        tag = self._table("[tag]", document.get("tag"))
        self._known_keys("[tag]", tag, {"key"})
        tag_key = self._text("[tag] key", tag.get("key"))
        if not tag_key:
            self._error("[tag] key", "must name a tag")
        self.groups = self._groups(self._table("[groups]", document.get("groups", {})))
        return Policy(
            tag_key=tag_key,
            groups=self.groups,
            kms_keys=self._kms_keys("[kms_keys]", document.get("kms_keys", {})),
            rules=self._rules(document.get("rules", [])),
        )

    def _groups(self, table: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
        groups: dict[str, tuple[str, ...]] = {}
        for written, members in table.items():
            where, name = f"[groups] {written}", written.lower()
            if name in (ALL, NONE) or REGION_CODE.fullmatch(name) or _SEPARATORS.search(name) or not name:
                self._error(where, "cannot be the name of a group: it means something else in a tag")
            if name in groups:
                self._error(where, "is there twice (case does not matter)")
            groups[name] = self._each(where, members, self._region)
        return groups

    def _rules(self, value: object) -> tuple[Rule, ...]:
        tables = self._typed("[[rules]]", value, list, [])
        return tuple(self._rule(f"rule {number}", table) for number, table in enumerate(tables, start=1))

    def _rule(self, name: str, value: object) -> Rule:
        where = f"[[rules]] {name}"
        table = self._table(where, value)
        effects = {"regions", "only", "kms_keys", "overwrite"}
        self._known_keys(where, table, {"match"} | effects)
        if not effects & table.keys():
            self._error(where, "does nothing: give it regions, only, kms_keys or overwrite")
        if table.get("overwrite") is True and "regions" not in table:
            self._error(f"{where} overwrite", "needs regions beside it: it holds for these, and no others")
        return Rule(
            name=name,
            match=self._match(f"{where} match", table.get("match")),
            regions=self._places(f"{where} regions", table["regions"]) if "regions" in table else (),
            only=self._places(f"{where} only", table["only"]) if "only" in table else (),
            kms_keys=self._kms_keys(f"{where} kms_keys", table.get("kms_keys", {})),
            overwrite=self._typed(f"{where} overwrite", table.get("overwrite", False), bool, default=False),
        )

    def _match(self, where: str, value: object) -> dict[str, tuple[str, ...]]:
        table = self._table(where, value)
        if not table:
            self._error(where, "must name at least one tag")
        return {
            key: (wanted,) if isinstance(wanted, str) else self._each(f"{where}.{key}", wanted, self._text)
            for key, wanted in table.items()
        }

    def _places(self, where: str, value: object) -> tuple[str, ...]:
        """Return the Regions of a list of Regions and groups."""
        words = self._each(where, value, self._place)
        return tuple(sorted({region for word in words for region in self.groups.get(word, (word,))}))

    def _place(self, where: str, value: object) -> str:
        word = self._text(where, value).lower()
        if word not in self.groups and not REGION_CODE.fullmatch(word):
            self._error(where, f"{word!r} is neither a Region code nor a group")
        return word

    def _kms_keys(self, where: str, value: object) -> dict[str, str]:
        keys: dict[str, str] = {}
        for written, key in self._table(where, value).items():
            place = f"{where} {written}"
            region = self._region(place, written)
            found = _KMS_KEY.fullmatch(self._text(place, key))
            if not found:
                self._error(place, "must be an alias (alias/...), a key id or a key ARN")
            elif found["region"] not in (None, region):
                self._error(place, f"is the ARN of a key in {found['region']}")
            elif region in keys:
                self._error(place, "is there twice (case does not matter)")
            else:
                keys[region] = found.group()
        return keys

    def _region(self, where: str, value: object) -> str:
        word = self._text(where, value).lower()
        if not REGION_CODE.fullmatch(word):
            self._error(where, f"{word!r} is not a Region code")
        return word

    def _text(self, where: str, value: object) -> str:
        return self._typed(where, value, str, "")

    def _each(self, where: str, value: object, read: Callable[[str, object], str]) -> tuple[str, ...]:
        items = self._typed(where, value, list, [])
        if isinstance(value, list) and not items:
            self._error(where, "must not be empty")
        return tuple(read(f"{where} item {number}", item) for number, item in enumerate(items, start=1))

    def _table(self, where: str, value: object) -> dict[str, object]:
        return self._typed(where, value, dict, {})

    def _typed(self, where: str, value: object, kind: type[T], default: T) -> T:
        if isinstance(value, kind):
            return value
        self._error(where, f"must be {_TYPE_NAMES[kind]}")
        return default

    def _known_keys(self, where: str, table: Mapping[str, object], known: set[str]) -> None:
        for key in sorted(table.keys() - known):
            self._error(f"{where} {key}", f"unknown key; allowed keys: {', '.join(sorted(known))}")

    def _error(self, where: str, problem: str) -> None:
        """Note an error, the first of each place: those after it often follow from it."""
        self.errors.setdefault(where, problem)
