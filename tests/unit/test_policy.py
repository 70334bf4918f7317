"""What a secret's tags and policy.toml together want, and what is wrong with either."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from secret_replicator.errors import PolicyError
from secret_replicator.models import Asker, Claim, Cut, Desired, DesiredReplica, Problem
from secret_replicator.policy import Policy, desired_replicas, parse_policy, similar_tag_key
from tests.support.json_mutations import TEXTS, mutations, nested

HOME = "us-east-1"
ALLOWED = ("eu-west-1", "eu-central-1", "us-west-2")
PACKAGED = Path(__file__).parents[2] / "functions" / "policy.toml"

# The example of the design, word for word.
EXAMPLE = """
# Where tagged secrets are replicated.
[tag]
key = "replicate-to"            # value: Regions and groups, e.g. "eu-west-1 dr"; "all"; "none"

[groups]
dr     = ["us-west-2"]
europe = ["eu-west-1", "eu-central-1"]

[kms_keys]                      # replica key per Region; not named: aws/secretsmanager
us-west-2 = "alias/secrets"

[[rules]]                       # secrets that carry these tags, with or without the opt-in tag
match   = { environment = "prod", criticality = ["high", "critical"] }
regions = ["dr"]

[[rules]]                       # data residency
match = { residency = "eu" }
only  = ["europe"]

[[rules]]
match     = { team = "payments" }
regions   = ["dr"]
kms_keys  = { us-west-2 = "alias/payments" }
overwrite = true                # in these regions; needs AllowOverwrite
"""
ONLY_TAG = '[tag]\nkey = "replicate-to"\n'
NOT_SELECTED = Desired(selected=False)


def desired(
    tag: str | None = None,
    tags: Mapping[str, str] | None = None,
    *,
    policy: str = EXAMPLE,
    allowed: Iterable[str] = ALLOWED,
    home: str = HOME,
) -> Desired:
    """Return what the policy wants for a secret with this opt-in tag and these other tags."""
    opt_in = {} if tag is None else {"replicate-to": tag}
    return desired_replicas(parse_policy(policy), {**opt_in, **(tags or {})}, home, allowed)


def regions(of: Desired) -> str:
    return " ".join(replica.region for replica in of.replicas)


def rule(text: str) -> str:
    """Return a policy with the opt-in tag and one rule."""
    return f"{ONLY_TAG}\n[[rules]]\n{text}\n"


# --- the opt-in tag


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        pytest.param("eu-west-1", "eu-west-1", id="one Region"),
        pytest.param("eu-west-1 us-west-2", "eu-west-1 us-west-2", id="two Regions"),
        pytest.param("eu-west-1,us-west-2", "eu-west-1 us-west-2", id="commas separate"),
        pytest.param("eu-west-1+us-west-2", "eu-west-1 us-west-2", id="a plus separates"),
        pytest.param("eu-west-1;us-west-2", "eu-west-1 us-west-2", id="a semicolon separates"),
        pytest.param(" ,eu-west-1 ,;+\tus-west-2\n", "eu-west-1 us-west-2", id="separators mix and repeat"),
        pytest.param("us-west-2 eu-west-1", "eu-west-1 us-west-2", id="order does not matter"),
        pytest.param("EU-West-1", "eu-west-1", id="case does not matter"),
        pytest.param("eu-west-1 eu-west-1 EU-WEST-1", "eu-west-1", id="repeats do not matter"),
        pytest.param("dr", "us-west-2", id="a group"),
        pytest.param("Europe", "eu-central-1 eu-west-1", id="a group in other letters"),
        pytest.param("europe dr", "eu-central-1 eu-west-1 us-west-2", id="two groups"),
        pytest.param("europe eu-west-1", "eu-central-1 eu-west-1", id="a group and a Region of it"),
        pytest.param("all", "eu-central-1 eu-west-1 us-west-2", id="all is every allowed Region"),
        pytest.param("ALL", "eu-central-1 eu-west-1 us-west-2", id="all in capitals"),
        pytest.param("all dr", "eu-central-1 eu-west-1 us-west-2", id="all and something it contains"),
        pytest.param("none", "", id="none is no replicas"),
        pytest.param("None none, NONE", "", id="none, repeated"),
        pytest.param("us-east-1", "", id="the home Region needs no replica"),
        pytest.param("us-east-1 eu-west-1", "eu-west-1", id="the home Region beside another"),
    ],
)
def test_the_tag_selects_the_secret_and_names_its_regions(tag: str, expected: str) -> None:
    wanted = desired(tag)
    assert (wanted.selected, regions(wanted), wanted.problems) == (True, expected, ())


@pytest.mark.parametrize(
    ("tag", "expected", "problem_regions"),
    [
        pytest.param("eu-west-9", "", ["eu-west-9"], id="a Region that is not allowed"),
        pytest.param("ap-south-1 us-west-2", "us-west-2", ["ap-south-1"], id="the good Region is still done"),
        pytest.param("all ap-south-1", "eu-central-1 eu-west-1 us-west-2", ["ap-south-1"], id="beside all"),
        pytest.param("eu-west dr", "us-west-2", ["eu-west"], id="neither a Region nor a group"),
        pytest.param("x y dr", "us-west-2", ["x", "y"], id="every wrong word is a problem of its own"),
        pytest.param("eu-west-1.us-west-2", "", ["eu-west-1.us-west-2"], id="a dot does not separate"),
        pytest.param("*", "", ["*"], id="a wildcard is no way to say all"),
        pytest.param("", "", [""], id="an empty tag"),
        pytest.param(" ,; ", "", [""], id="a tag of separators alone"),
        pytest.param("none dr", "", [""], id="none together with a group"),
        pytest.param("none all", "", [""], id="none together with all"),
    ],
)
def test_what_is_wrong_with_the_tag_is_reported_and_the_rest_is_done(
    tag: str, expected: str, problem_regions: list[str]
) -> None:
    wanted = desired(tag)
    assert wanted.selected
    assert regions(wanted) == expected
    assert [problem.region for problem in wanted.problems] == problem_regions
    for problem in wanted.problems:
        assert problem.region in problem.text
        assert "replicate-to" in problem.text, "a person must know which tag to mend"
        assert problem.remedy


def test_a_region_that_a_group_brings_and_that_is_not_allowed_is_named() -> None:
    wanted = desired("europe", allowed=["eu-west-1"])
    assert regions(wanted) == "eu-west-1"
    assert wanted.problems == (
        Problem(
            "eu-central-1",
            "tag replicate-to asks for eu-central-1, which is not in AllowedRegions",
            "correct the Region, or let the operator allow it",
        ),
    )


def test_all_leaves_out_the_home_region_even_if_it_is_allowed() -> None:
    assert regions(desired("all", allowed=[*ALLOWED, HOME])) == "eu-central-1 eu-west-1 us-west-2"


@pytest.mark.parametrize(
    ("tag", "by_tag"),
    [
        pytest.param(None, False, id="a rule alone does not"),
        pytest.param("none", False, id="none does not ask for anything"),
        pytest.param("dr", True, id="a group asks"),
        pytest.param("all", True, id="all asks"),
        pytest.param("us-east-1", True, id="even the home Region asks"),
        pytest.param("oops", True, id="a wrong word asks"),
        pytest.param("", True, id="an empty tag asks for something that cannot be read"),
    ],
)
def test_whether_the_tag_itself_asked(tag: str | None, *, by_tag: bool) -> None:
    assert desired(tag, {"environment": "prod", "criticality": "high"}).asked_by_tag is by_tag


# --- selection


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param({}, id="no tags at all"),
        pytest.param({"environment": "prod"}, id="one of a rule's two keys"),
        pytest.param({"environment": "prod", "criticality": "low"}, id="a value that is no alternative"),
        pytest.param({"environment": "PROD", "criticality": "high"}, id="a value in other letters"),
        pytest.param({"residency": "eu"}, id="a rule that only limits selects nothing"),
        pytest.param({"Replicate-To": "dr"}, id="the tag key in other letters is another tag"),
        pytest.param({"replicate-to-x": "dr"}, id="a longer key is another tag"),
    ],
)
def test_a_secret_that_nothing_selects_is_not_selected(tags: dict[str, str]) -> None:
    assert desired(tags=tags) == NOT_SELECTED


def test_a_rule_that_only_names_keys_selects_nothing() -> None:
    policy = rule('match = { team = "payments" }\nkms_keys = { us-west-2 = "alias/payments" }')
    assert desired(tags={"team": "payments"}, policy=policy) == NOT_SELECTED


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        pytest.param({"Replicate-To": "dr"}, "Replicate-To", id="another case"),
        pytest.param({"replicate_to": "dr"}, "replicate_to", id="another separator"),
        pytest.param({" replicate.to:": "dr"}, " replicate.to:", id="separators more"),
        pytest.param({"replicateTo": "dr", "Replicate To": "dr"}, "Replicate To", id="two of them"),
        pytest.param({"replicate-to": "dr", "Replicate-To": "dr"}, "", id="the right one is there as well"),
        pytest.param({"replicate-too": "dr", "team": "a"}, "", id="another key"),
        pytest.param({}, "", id="no tag"),
    ],
)
def test_a_tag_key_that_differs_in_case_and_separators_is_a_typo(tags: dict[str, str], found: str) -> None:
    assert similar_tag_key(tags, "replicate-to") == found


def test_selected_with_no_regions_is_not_the_same_as_not_selected() -> None:
    assert desired("none") == Desired(selected=True)
    assert desired("none") != NOT_SELECTED


def test_the_policy_that_is_deployed_selects_nothing_without_the_tag() -> None:
    policy = parse_policy(PACKAGED.read_text("utf-8"))
    tags = {"environment": "prod", "criticality": "high", "residency": "eu", "team": "payments"}
    assert desired_replicas(policy, tags, HOME, ALLOWED) == NOT_SELECTED
    assert regions(desired_replicas(policy, {"replicate-to": "eu-west-1"}, HOME, ALLOWED)) == "eu-west-1"


def test_what_the_deployed_policy_shows_in_comments_is_the_example_of_the_design() -> None:
    shown = re.sub(r"^# (?=\[|[a-z0-9_-]+ +=)", "", PACKAGED.read_text("utf-8"), flags=re.MULTILINE)
    assert parse_policy(shown) == parse_policy(EXAMPLE)


def test_a_rule_selects_a_secret_that_has_no_tag() -> None:
    wanted = desired(tags={"environment": "prod", "criticality": "critical"})
    replica = DesiredReplica("us-west-2", "alias/secrets")
    assert wanted == Desired(
        selected=True,
        replicas=(replica,),
        claims=(Claim(replica, (Asker("rule 1"),), key_from="[kms_keys]"),),
    )


@pytest.mark.parametrize(
    ("tag", "rules_alone"),
    [
        pytest.param("eu-west-1", {"us-west-2"}, id="the tag names another Region"),
        pytest.param("none", {"us-west-2"}, id="the tag says none"),
        pytest.param("us-west-2", set(), id="the tag names the same Region"),
        pytest.param("dr", set(), id="the tag names its group"),
        pytest.param("all", set(), id="the tag says all"),
    ],
)
def test_what_a_tag_asks_for_is_not_asked_by_rules_alone(tag: str, rules_alone: set[str]) -> None:
    wanted = desired(tag, {"environment": "prod", "criticality": "high"})
    found = {want.region for want in wanted.replicas if wanted.is_asked_by_rules_alone(want.region)}
    assert found == rules_alone


def test_each_region_says_what_asks_for_it_what_cuts_it_and_where_its_key_is_named() -> None:
    """`replicas explain` shows just this: nobody else evaluates the policy."""
    tags = {"environment": "prod", "criticality": "high", "residency": "eu"}
    by_tag, by_rule = "tag replicate-to", Asker("rule 1")
    only_europe = Cut("rule 2", ("eu-central-1", "eu-west-1"))
    oregon = DesiredReplica("us-west-2", "alias/secrets")
    assert desired("all DR eu-west-1 us-east-1", tags).claims == (
        Claim(DesiredReplica("eu-central-1"), (Asker(by_tag, "all"),)),
        Claim(DesiredReplica("eu-west-1"), (Asker(by_tag, "all"), Asker(by_tag, "eu-west-1"))),
        Claim(DesiredReplica("us-east-1"), (Asker(by_tag, "us-east-1"),), only_europe),
        Claim(oregon, (Asker(by_tag, "dr"), by_rule), only_europe, "[kms_keys]"),
    )
    assert desired("sa-east-1").claims == (
        Claim(DesiredReplica("sa-east-1"), (Asker(by_tag, "sa-east-1"),), Cut()),
    )
    payments = DesiredReplica("us-west-2", "alias/payments", overwrite=True)
    assert desired("us-west-2", {"team": "payments"}).claims == (
        Claim(payments, (Asker(by_tag, "us-west-2"), Asker("rule 3")), key_from="rule 3"),
    )


def test_tag_and_rules_add_up() -> None:
    assert (
        regions(desired("eu-west-1", {"environment": "prod", "criticality": "high"})) == "eu-west-1 us-west-2"
    )


def test_none_does_not_take_away_what_a_rule_wants() -> None:
    assert regions(desired("none", {"environment": "prod", "criticality": "high"})) == "us-west-2"


def test_a_wrong_tag_does_not_take_away_what_a_rule_wants() -> None:
    wanted = desired("oops", {"environment": "prod", "criticality": "high"})
    assert regions(wanted) == "us-west-2"
    assert [problem.region for problem in wanted.problems] == ["oops"]


@pytest.mark.parametrize(
    ("match", "tags", "matches"),
    [
        pytest.param('{ a = "x" }', {"a": "x"}, True, id="an equal value"),
        pytest.param('{ a = "x" }', {"a": "xx"}, False, id="a longer value"),
        pytest.param('{ a = "x" }', {"A": "x"}, False, id="a key in other letters"),
        pytest.param('{ a = "*" }', {"a": ""}, True, id="a star takes an empty value"),
        pytest.param('{ a = "*" }', {"a": "line\nline"}, True, id="a star takes more than a line"),
        pytest.param('{ a = "*" }', {"b": "x"}, False, id="a star needs the tag to be there"),
        pytest.param('{ a = "prod-*" }', {"a": "prod-eu"}, True, id="a star at the end"),
        pytest.param('{ a = "prod-*" }', {"a": "preprod-eu"}, False, id="a star at the end only"),
        pytest.param('{ a = "v?" }', {"a": "v1"}, True, id="a question mark is one character"),
        pytest.param('{ a = "v?" }', {"a": "v"}, False, id="a question mark is not none"),
        pytest.param('{ a = "v[12]" }', {"a": "v2"}, True, id="a set of characters"),
        pytest.param('{ a = "v[!12]" }', {"a": "v2"}, False, id="all but a set of characters"),
        pytest.param('{ a = "V*" }', {"a": "v1"}, False, id="wildcards mind the case"),
        pytest.param('{ a = "" }', {"a": ""}, True, id="an empty value can be asked for"),
        pytest.param('{ a = "" }', {}, False, id="an empty value is not an absent tag"),
        pytest.param('{ a = ["x", "y*"] }', {"a": "yes"}, True, id="an alternative with a wildcard"),
        pytest.param('{ a = ["x", "y*"] }', {"a": "z"}, False, id="no alternative"),
        pytest.param('{ a = "x", b = "*" }', {"a": "x"}, False, id="every key is needed"),
        pytest.param('{ a = "x", b = "*" }', {"a": "x", "b": "1", "c": "2"}, True, id="others do no harm"),
    ],
)
def test_match_needs_every_key_and_one_of_its_values(
    match: str, tags: dict[str, str], *, matches: bool
) -> None:
    wanted = desired(tags=tags, policy=rule(f'match = {match}\nregions = ["us-west-2"]'))
    assert wanted.selected is matches
    assert regions(wanted) == ("us-west-2" if matches else "")


@pytest.mark.parametrize("separator", [" ", ",", "+", ";", ":", "/", "|", " / ", ", "])
def test_whatever_a_tag_editor_allows_may_separate(separator: str) -> None:
    assert regions(desired(separator.join(["dr", "eu-west-1"]))) == "eu-west-1 us-west-2"


@pytest.mark.parametrize("word", ["true", "Yes", "ON", "enabled"])
def test_a_yes_is_asked_to_say_which_regions(word: str) -> None:
    (problem,) = desired(word).problems
    assert problem.text == f"tag replicate-to says {word.lower()!r}, which names no Region"
    assert problem.remedy == "say which Regions, or all"


def test_a_group_may_be_called_yes() -> None:
    assert regions(desired("on", policy=f'{ONLY_TAG}[groups]\non = ["eu-west-1"]')) == "eu-west-1"


# --- only, AllowedRegions, keys, overwrite


def test_only_cuts_what_the_tag_asks_for_and_names_the_rule() -> None:
    wanted = desired("dr eu-west-1", {"residency": "eu"})
    assert regions(wanted) == "eu-west-1"
    (problem,) = wanted.problems
    assert problem.region == "us-west-2"
    assert problem.text == (
        "tag replicate-to asks for us-west-2, "
        "which rule 2 of the policy forbids (only eu-central-1 eu-west-1)"
    )


def test_only_cuts_what_another_rule_asks_for_and_names_both_rules() -> None:
    wanted = desired(tags={"environment": "prod", "criticality": "high", "residency": "eu"})
    assert wanted.replicas == ()
    (problem,) = wanted.problems
    assert problem.text.startswith("rule 1 asks for us-west-2, which rule 2 of the policy forbids")


def test_only_cuts_all_silently_because_nothing_was_named() -> None:
    wanted = desired("all", {"residency": "eu"})
    assert (regions(wanted), wanted.problems) == ("eu-central-1 eu-west-1", ())


def test_of_two_rules_that_limit_both_count() -> None:
    policy = rule('match = { a = "1" }\nonly = ["eu-west-1", "us-west-2"]') + (
        '[[rules]]\nmatch = { b = "1" }\nonly = ["us-west-2", "eu-central-1"]'
    )
    assert regions(desired("all", {"a": "1", "b": "1"}, policy=policy)) == "us-west-2"


def test_a_limit_that_does_not_match_does_not_cut() -> None:
    assert regions(desired("dr", {"residency": "us"})) == "us-west-2"


def test_a_rule_cannot_reach_beyond_the_allowed_regions() -> None:
    wanted = desired(tags={"environment": "prod", "criticality": "high"}, allowed=["eu-west-1"])
    assert wanted.replicas == ()
    assert [problem.text for problem in wanted.problems] == [
        "rule 1 asks for us-west-2, which is not in AllowedRegions"
    ]


@pytest.mark.parametrize(
    ("tags", "key"),
    [
        pytest.param({}, "alias/secrets", id="the Region's key"),
        pytest.param({"team": "payments"}, "alias/payments", id="a matching rule's key comes first"),
        pytest.param({"team": "other"}, "alias/secrets", id="a rule that does not match does not count"),
    ],
)
def test_the_key_of_a_region(tags: dict[str, str], key: str) -> None:
    (replica,) = desired("dr", tags).replicas
    assert (replica.region, replica.kms_key_id) == ("us-west-2", key)


def test_a_region_with_no_key_named_gets_the_default_key() -> None:
    wanted = desired("eu-west-1", {"team": "payments"})
    assert DesiredReplica("eu-west-1", "") in wanted.replicas


def test_the_first_matching_rule_that_names_a_key_for_the_region_wins() -> None:
    policy = "".join(
        [
            rule('match = { a = "1" }\nkms_keys = { eu-west-1 = "alias/one" }'),
            '[[rules]]\nmatch = { a = "1" }\nkms_keys = { us-west-2 = "alias/two" }\n',
            '[[rules]]\nmatch = { a = "1" }\nkms_keys = { us-west-2 = "alias/three" }\n',
        ]
    )
    wanted = desired("us-west-2 eu-west-1", {"a": "1"}, policy=policy)
    assert wanted.replicas == (
        DesiredReplica("eu-west-1", "alias/one"),
        DesiredReplica("us-west-2", "alias/two"),
    )


def test_the_case_of_a_region_in_kms_keys_does_not_matter() -> None:
    """A key that is silently not used cannot be changed afterwards."""
    policy = f'{ONLY_TAG}[kms_keys]\nUS-West-2 = "alias/secrets"\n'
    assert desired("us-west-2", policy=policy).replicas == (DesiredReplica("us-west-2", "alias/secrets"),)


def test_a_rule_may_be_written_in_capitals() -> None:
    policy = rule('match = { a = "1" }\nregions = ["DR", "EU-WEST-1"]\n[groups]\nDr = ["US-WEST-2"]')
    assert regions(desired(tags={"a": "1"}, policy=policy)) == "eu-west-1 us-west-2"


@pytest.mark.parametrize(
    ("tags", "overwrite"), [({}, False), ({"team": "payments"}, True), ({"team": "other"}, False)]
)
def test_only_a_matching_rule_may_overwrite(tags: dict[str, str], *, overwrite: bool) -> None:
    assert [replica.overwrite for replica in desired("dr", tags).replicas] == [overwrite]


def test_a_rule_may_overwrite_in_no_region_but_those_it_names() -> None:
    """Another team's secret of the same name would be gone, in a Region that only the tag asks for."""
    policy = "".join(
        [
            rule('match = { a = "1" }\nregions = ["us-west-2"]\noverwrite = true'),
            '[[rules]]\nmatch = { a = "1" }\nregions = ["eu-west-1"]\n',
        ]
    )
    wanted = desired("eu-central-1 us-west-2", {"a": "1"}, policy=policy)
    assert {replica.region: replica.overwrite for replica in wanted.replicas} == {
        "eu-central-1": False,
        "eu-west-1": False,
        "us-west-2": True,
    }


def test_no_tag_of_a_secret_can_ask_to_overwrite() -> None:
    tags = {"overwrite": "true", "AllowOverwrite": "true"}
    assert not any(replica.overwrite for replica in desired("dr overwrite", tags).replicas)


def test_a_sweep_looks_for_the_tag_and_one_key_of_each_rule_that_selects() -> None:
    assert parse_policy(EXAMPLE).selecting_tag_keys() == ("environment", "replicate-to", "team")
    assert parse_policy(ONLY_TAG).selecting_tag_keys() == ("replicate-to",)


# --- validation


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        pytest.param("", "[tag]", "must be a table", id="an empty file"),
        pytest.param('tag = "x"', "[tag]", "must be a table", id="tag that is no table"),
        pytest.param("[tag]", "[tag] key", "must", id="a tag without a key"),
        pytest.param('[tag]\nkey = ""', "[tag] key", "must name a tag", id="a tag with an empty key"),
        pytest.param("[tag]\nkey = 1", "[tag] key", "must be a string", id="a tag whose key is a number"),
        pytest.param(f'{ONLY_TAG}keys = "x"', "[tag] keys", "key", id="an unknown key of tag"),
        pytest.param(f"{ONLY_TAG}[group]\nx = 1", "top level group", "groups", id="an unknown section"),
        pytest.param(
            f'groups = "x"\n{ONLY_TAG}', "[groups]", "must be a table", id="groups that are no table"
        ),
        pytest.param(f'{ONLY_TAG}[groups]\ndr = "us-west-2"', "[groups] dr", "must be a list", id="no list"),
        pytest.param(f"{ONLY_TAG}[groups]\ndr = []", "[groups] dr", "must not be empty", id="an empty group"),
        pytest.param(
            f'{ONLY_TAG}[groups]\ndr = ["us-west-2", 5]',
            "[groups] dr item 2",
            "must be a string",
            id="a number",
        ),
        pytest.param(
            f'{ONLY_TAG}[groups]\ndr = ["us-west"]', "[groups] dr item 1", "not a Region code", id="no Region"
        ),
        pytest.param(
            f'{ONLY_TAG}[groups]\na = ["us-west-2"]\nb = ["a"]',
            "[groups] b item 1",
            "not a Region code",
            id="a group in a group",
        ),
        pytest.param(
            f'{ONLY_TAG}[groups]\nall = ["us-west-2"]', "[groups] all", "cannot be the name", id="called all"
        ),
        pytest.param(
            f'{ONLY_TAG}[groups]\nNone = ["us-west-2"]',
            "[groups] None",
            "cannot be the name",
            id="called none",
        ),
        pytest.param(
            f'{ONLY_TAG}[groups]\nus-west-1 = ["us-west-2"]',
            "[groups] us-west-1",
            "cannot be the name",
            id="called like a Region",
        ),
        pytest.param(
            f'{ONLY_TAG}[groups]\n"d r" = ["us-west-2"]',
            "[groups] d r",
            "cannot be the name",
            id="with a separator in its name",
        ),
        pytest.param(
            f'{ONLY_TAG}[groups]\n"" = ["us-west-2"]', "[groups] ", "cannot be the name", id="with no name"
        ),
        pytest.param(
            f'{ONLY_TAG}[groups]\ndr = ["us-west-2"]\nDR = ["us-west-1"]', "[groups] DR", "twice", id="twice"
        ),
        pytest.param(
            f"{ONLY_TAG}[kms_keys]\nus-west-2 = 1", "[kms_keys] us-west-2", "string", id="a number as key"
        ),
        pytest.param(
            f'{ONLY_TAG}[kms_keys]\ndr = "alias/x"',
            "[kms_keys] dr",
            "not a Region code",
            id="a key for a group",
        ),
        pytest.param(
            f'{ONLY_TAG}[kms_keys]\nus-west-2 = ""',
            "[kms_keys] us-west-2",
            "must be an alias",
            id="empty key",
        ),
        pytest.param(
            f'{ONLY_TAG}[kms_keys]\nus-west-2 = "secrets"',
            "[kms_keys] us-west-2",
            "alias",
            id="no alias/ before",
        ),
        pytest.param(
            f'{ONLY_TAG}[kms_keys]\nus-west-2 = "arn:aws:kms:eu-west-1:123456789012:key/1"',
            "[kms_keys] us-west-2",
            "is the ARN of a key in eu-west-1",
            id="the key of another Region",
        ),
        pytest.param(
            f'{ONLY_TAG}[kms_keys]\nus-west-2 = "alias/x"\nUS-WEST-2 = "alias/y"',
            "[kms_keys] US-WEST-2",
            "twice",
            id="two keys for one Region",
        ),
        pytest.param(f'rules = "x"\n{ONLY_TAG}', "[[rules]]", "must be a list", id="rules that are no list"),
        pytest.param(
            f'{ONLY_TAG}[rules]\nmatch = {{ a = "1" }}',
            "[[rules]]",
            "must be a list",
            id="one bracket too few",
        ),
        pytest.param(
            f"rules = [1]\n{ONLY_TAG}", "[[rules]] rule 1", "must be a table", id="no table in rules"
        ),
        pytest.param(
            rule('regions = ["us-west-2"]'), "[[rules]] rule 1 match", "must", id="a rule for every secret"
        ),
        pytest.param(
            rule('match = {}\nregions = ["us-west-2"]'),
            "[[rules]] rule 1 match",
            "at least one",
            id="empty match",
        ),
        pytest.param(
            rule('match = "a"\nregions = ["us-west-2"]'),
            "[[rules]] rule 1 match",
            "table",
            id="a text to match",
        ),
        pytest.param(
            rule('match = { a = 1 }\nregions = ["us-west-2"]'),
            "[[rules]] rule 1 match.a",
            "must be a list",
            id="a number to match",
        ),
        pytest.param(
            rule('match = { a = [] }\nregions = ["us-west-2"]'),
            "[[rules]] rule 1 match.a",
            "must not be empty",
            id="no alternatives",
        ),
        pytest.param(
            rule('match = { a = ["x", true] }\nregions = ["us-west-2"]'),
            "[[rules]] rule 1 match.a item 2",
            "must be a string",
            id="a truth among the alternatives",
        ),
        pytest.param(
            rule('match = { a = "1" }'), "[[rules]] rule 1", "does nothing", id="a rule with no effect"
        ),
        pytest.param(
            rule('match = { a = "1" }\nregion = ["us-west-2"]'),
            "[[rules]] rule 1 region",
            "regions",
            id="a misspelled effect",
        ),
        pytest.param(
            rule('match = { a = "1" }\nregions = "us-west-2"'),
            "[[rules]] rule 1 regions",
            "must be a list",
            id="regions that are a text",
        ),
        pytest.param(
            rule('match = { a = "1" }\nregions = []'),
            "[[rules]] rule 1 regions",
            "empty",
            id="no regions in a rule",
        ),
        pytest.param(
            rule('match = { a = "1" }\nregions = ["us-west-2", "dr"]'),
            "[[rules]] rule 1 regions item 2",
            "'dr' is neither a Region code nor a group",
            id="an unknown group in a rule",
        ),
        pytest.param(
            rule('match = { a = "1" }\nregions = ["all"]'),
            "[[rules]] rule 1 regions item 1",
            "neither",
            id="all is for tags",
        ),
        pytest.param(
            rule('match = { a = "1" }\nonly = []'), "[[rules]] rule 1 only", "empty", id="a limit to nothing"
        ),
        pytest.param(
            rule('match = { a = "1" }\nonly = [["us-west-2"]]'),
            "[[rules]] rule 1 only item 1",
            "must be a string",
            id="a list in a limit",
        ),
        pytest.param(
            rule('match = { a = "1" }\nkms_keys = "alias/x"'),
            "[[rules]] rule 1 kms_keys",
            "must be a table",
            id="one key for all Regions",
        ),
        pytest.param(
            rule('match = { a = "1" }\nkms_keys = { us-west-2 = "x" }'),
            "[[rules]] rule 1 kms_keys us-west-2",
            "alias",
            id="a wrong key in a rule",
        ),
        pytest.param(
            rule('match = { a = "1" }\noverwrite = "true"'),
            "[[rules]] rule 1 overwrite",
            "must be true or false",
            id="a text for overwrite",
        ),
        pytest.param(
            rule('match = { a = "1" }\noverwrite = 1'),
            "[[rules]] rule 1 overwrite",
            "must be true or false",
            id="a number for overwrite",
        ),
        pytest.param(
            rule('match = { a = "1" }\noverwrite = true\nkms_keys = { us-west-2 = "alias/x" }'),
            "[[rules]] rule 1 overwrite",
            "needs regions beside it: it holds for these, and no others",
            id="overwrite without regions",
        ),
    ],
)
def test_a_wrong_policy_says_where_and_why(text: str, place: str, why: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "my.toml")
    (reason,) = [reason for reason in caught.value.reasons if reason.startswith(f"{place}: ")]
    assert why in reason
    assert str(caught.value).startswith("my.toml is wrong:\n")
    assert reason in str(caught.value)


def test_one_mistake_is_one_line() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(f'{ONLY_TAG}[groups]\ndr = ["us-west"]')
    assert caught.value.reasons == ["[groups] dr item 1: 'us-west' is not a Region code"]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    text = """
    [tag]
    key = 5
    colour = "red"
    [groups]
    dr = ["us-west"]
    all = ["us-west-2"]
    [kms_keys]
    us-west-2 = "x"
    [[rules]]
    match = {}
    regions = ["nowhere"]
    [[rules]]
    match = { a = "1" }
    [surprise]
    """
    with pytest.raises(PolicyError) as caught:
        parse_policy(text)
    assert {reason.partition(": ")[0] for reason in caught.value.reasons} == {
        "top level surprise",
        "[tag] key",
        "[tag] colour",
        "[groups] dr item 1",
        "[groups] all",
        "[kms_keys] us-west-2",
        "[[rules]] rule 1 match",
        "[[rules]] rule 1 regions item 1",
        "[[rules]] rule 2",
    }
    assert str(caught.value).count("\n") == len(caught.value.reasons)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("key =", id="no value"),
        pytest.param('[tag]\nkey = "a"\nkey = "b"', id="a key twice"),
        pytest.param("\x00", id="NUL"),
        pytest.param("x = 2026-13-45", id="no date"),
        pytest.param("x = " + "1" * 5_000, id="a number of 5,000 digits"),
        pytest.param("x = " + "[" * 5_000, id="5,000 open lists"),
        pytest.param("x = " + "[" * 5_000 + "]" * 5_000, id="5,000 nested lists"),
        pytest.param("x = " + "{a=" * 5_000, id="5,000 open tables"),
    ],
)
def test_a_file_that_is_not_toml_is_a_wrong_policy(text: str) -> None:
    with pytest.raises(PolicyError, match="not TOML"):
        parse_policy(text)


@pytest.mark.parametrize(
    "key",
    [
        "alias/secrets",
        "alias/team/secrets_1",
        "alias/aws/secretsmanager",
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "mrk-1234abcd12ab34cd56ef1234567890ab",
        "arn:aws:kms:us-west-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:kms:us-west-2:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab",
        "arn:aws:kms:us-west-2:123456789012:alias/secrets",
    ],
)
def test_a_key_may_be_named_in_every_way_that_aws_knows(key: str) -> None:
    policy = f'{ONLY_TAG}[kms_keys]\nus-west-2 = "{key}"'
    assert desired("us-west-2", policy=policy).replicas == (DesiredReplica("us-west-2", key),)


@pytest.mark.parametrize(
    "code", ["us-gov-west-1", "eu-isoe-west-1", "cn-north-1", "mx-central-1", "ap-southeast-7"]
)
def test_region_codes_of_every_partition_are_known(code: str) -> None:
    assert regions(desired(code, allowed=[code])) == code


# --- properties

POOL = [HOME, *ALLOWED, "ap-south-1", "sa-east-1"]
GROUPS = ["dr", "europe", "Edge"]
PLACES = st.sampled_from([*POOL, *GROUPS])
TAG_NAMES, TAG_VALUES = st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "2"])
RULES = st.fixed_dictionaries(
    {"match": st.dictionaries(TAG_NAMES, TAG_VALUES | st.just("*"), min_size=1, max_size=2)},
    optional={
        "regions": st.lists(PLACES, min_size=1, max_size=3),
        "only": st.lists(PLACES, min_size=1, max_size=4),
        "kms_keys": st.dictionaries(
            st.sampled_from(POOL), st.sampled_from(["alias/x", "alias/y"]), max_size=2
        ),
        "overwrite": st.booleans(),
    },
).filter(lambda rule: len(rule) > 1 and (not rule.get("overwrite") or "regions" in rule))
DOCUMENTS = st.fixed_dictionaries(
    {
        "tag": st.just({"key": "replicate-to"}),
        "groups": st.fixed_dictionaries(
            {name: st.lists(st.sampled_from(POOL), min_size=1, max_size=3) for name in GROUPS}
        ),
        "rules": st.lists(RULES, max_size=3),
    }
)
WORDS = st.lists(st.sampled_from([*POOL, *GROUPS, "all", "none", "oops"]), max_size=4)
OPT_INS = st.none() | WORDS
OTHER_TAGS = st.dictionaries(TAG_NAMES, TAG_VALUES)
ALLOWED_REGIONS = st.lists(st.sampled_from(POOL), min_size=1, max_size=4)


def toml(value: object) -> str:
    """Return the value as an inline TOML value."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def toml_file(document: Mapping[str, object]) -> str:
    return "\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in document.items())


def spelled_out(places: Iterable[str], document: Mapping[str, Any]) -> set[str]:
    groups = {name.lower(): members for name, members in document["groups"].items()}
    return {region for place in places for region in groups.get(place.lower(), [place])}


@given(DOCUMENTS, OPT_INS, OTHER_TAGS, ALLOWED_REGIONS)
def test_desired_regions_obey_every_limit_and_what_is_cut_is_named(
    document: dict[str, Any], words: list[str] | None, tags: dict[str, str], allowed: list[str]
) -> None:
    matching = [
        (f"rule {number}", rule)
        for number, rule in enumerate(document["rules"], start=1)
        if all(
            tags.get(key) is not None and value in ("*", tags[key]) for key, value in rule["match"].items()
        )
    ]
    wanted = desired(
        None if words is None else " ".join(words), tags, policy=toml_file(document), allowed=allowed
    )
    found = {replica.region for replica in wanted.replicas}

    assert HOME not in found
    assert found <= set(allowed)
    for _, rule in matching:
        assert "only" not in rule or found <= spelled_out(rule["only"], document)

    selecting = [rule for _, rule in matching if "regions" in rule]
    assert wanted.selected == (words is not None or bool(selecting))
    readable = words and "none" not in words
    by_name = {word for word in words or [] if word not in ("all", "none", "oops")} if readable else set()
    asked = spelled_out([*by_name, *(place for rule in selecting for place in rule["regions"])], document)
    problems = {problem.region: problem for problem in wanted.problems if problem.region in POOL}
    assert asked - {HOME} - found == problems.keys(), "asked for by name, not done, and nobody was told"
    for region, problem in problems.items():
        limits = [
            name for name, rule in matching if region not in spelled_out(rule.get("only", [region]), document)
        ]
        assert region in problem.text
        assert (
            any(f"{name} " in problem.text for name in limits) if limits else "AllowedRegions" in problem.text
        )

    assert not found - asked or "all" in (words or []), "nobody asked for it"
    overwriting = [place for _, rule in matching if rule.get("overwrite") for place in rule["regions"]]
    replaced = {replica.region for replica in wanted.replicas if replica.overwrite}
    assert replaced == found & spelled_out(overwriting, document)


@given(DOCUMENTS, WORDS, OTHER_TAGS, ALLOWED_REGIONS, st.data())
def test_how_a_tag_is_written_does_not_matter(
    document: dict[str, Any], words: list[str], tags: dict[str, str], allowed: list[str], data: st.DataObject
) -> None:
    separators = st.text(" \t\n,+;:/|", min_size=1, max_size=3)
    again = data.draw(
        st.permutations(words + data.draw(st.lists(st.sampled_from(words)) if words else st.just([])))
    )
    cases = st.sampled_from([str.upper, str.lower, str.title])
    written = "".join(data.draw(cases)(word) + data.draw(separators) for word in again)
    policy = toml_file(document)
    assert desired(written, tags, policy=policy, allowed=allowed) == desired(
        " ".join(words), tags, policy=policy, allowed=allowed[::-1]
    )


@given(TEXTS, OTHER_TAGS)
@example("\ud800", {})
def test_any_tag_value_gives_an_answer_within_the_limits(tag: str, tags: dict[str, str]) -> None:
    wanted = desired(tag, tags)
    assert wanted.selected
    assert {replica.region for replica in wanted.replicas} <= {*ALLOWED}


def assert_a_policy_or_policy_error(text: str) -> None:
    try:
        policy = parse_policy(text)
    except PolicyError:
        return
    assert isinstance(policy, Policy)
    assert policy.tag_key
    assert desired_replicas(policy, {}, HOME, ALLOWED) == NOT_SELECTED


TOML_VALUES = nested(st.booleans() | st.integers() | st.floats() | TEXTS | PLACES)


@given(mutations([tomllib.loads(EXAMPLE)], TOML_VALUES))
def test_the_example_with_anything_replaced_is_a_policy_or_a_policy_error(document: object) -> None:
    assert_a_policy_or_policy_error(toml_file(document) if isinstance(document, dict) else toml(document))


@given(TEXTS | st.text("[]{}=.,'\"#\n ax1-:", max_size=60))
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    assert_a_policy_or_policy_error(text)


@given(TEXTS, st.integers(0, len(EXAMPLE)), st.integers(0, 30))
def test_the_example_with_a_piece_cut_out_or_put_in_is_a_policy_or_a_policy_error(
    put_in: str, at: int, cut_out: int
) -> None:
    assert_a_policy_or_policy_error(EXAMPLE[:at] + put_in + EXAMPLE[at + cut_out :])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_policy_file_is_read_as_it_is_on_disk(encoding: str) -> None:
    text = '[tag]\nkey = "r\N{LATIN SMALL LETTER E WITH ACUTE}gions"\n'
    assert parse_policy(text.encode(encoding)) == parse_policy(text)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_policy_file_that_is_not_utf_8_says_so(encoding: str) -> None:
    text = '[tag]\nkey = "r\N{LATIN SMALL LETTER E WITH ACUTE}gions"\n'
    with pytest.raises(PolicyError, match=r"policy\.toml is wrong:\n  not UTF-8, .* save it as UTF-8"):
        parse_policy(text.encode(encoding))
