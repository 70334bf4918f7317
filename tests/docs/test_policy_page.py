"""The page's worked examples of the policy: an example that is wrong teaches the wrong thing."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from secret_replicator.models import DesiredReplica
from secret_replicator.policy import desired_replicas, parse_policy

PAGE = (Path(__file__).parents[2] / "docs/reference/policy.md").read_text("utf-8")
SECTION = PAGE.partition("\n## policy.toml\n")[2].partition("\n## ")[0]
POLICY = parse_policy(SECTION.partition("```toml\n")[2].partition("```")[0], "docs/reference/policy.md")
ALLOWED = SECTION.partition("AllowedRegions=")[2].partition("`")[0].split(",")
ROW = re.compile(r"^\| (`.*`) \| (.*) \| (.*)\|$", re.MULTILINE)
CODE = re.compile("`([^`]+)`")


def rows() -> Iterator[tuple[dict[str, str], str, list[str]]]:
    for tags, replicas, reported in ROW.findall(SECTION):
        pairs = (tag.partition("=") for tag in CODE.findall(tags))
        yield {key: value for key, _, value in pairs}, replicas, CODE.findall(reported)


def written(tags: dict[str, str]) -> str:
    """Return what the policy wants, as the page writes it."""
    wanted = desired_replicas(POLICY, tags, "us-east-1", ALLOWED)
    if not wanted.selected:
        return "not selected"
    return " ".join(map(written_replica, wanted.replicas)) or "none"


def written_replica(replica: DesiredReplica) -> str:
    overwrites = " (may overwrite)" if replica.overwrite else ""
    return f"`{f'{replica.region} {replica.kms_key_id}'.strip()}`{overwrites}"


@pytest.mark.parametrize(("tags", "replicas", "reported"), [*rows()], ids=[str(row[0]) for row in rows()])
def test_an_example_is_what_the_policy_says(tags: dict[str, str], replicas: str, reported: list[str]) -> None:
    wanted = desired_replicas(POLICY, tags, "us-east-1", ALLOWED)
    assert replicas == written(tags)
    assert reported == [problem.text for problem in wanted.problems]


def test_the_examples_show_every_feature() -> None:
    """Each group, rule and way to write a tag stands in some row."""
    shown = [tags for tags, _, _ in rows()]
    assert len(shown) > 20
    assert all(any(rule.matches(tags) for tags in shown) for rule in POLICY.rules)
    words = " ".join(tags.get(POLICY.tag_key, "") for tags in shown)
    assert all(word in words for word in ("dr", "all", "none", "us-east-1", ",", ";"))
    assert any(rule.overwrite for rule in POLICY.rules)
    assert any(rule.kms_keys for rule in POLICY.rules)
    assert POLICY.kms_keys


@pytest.mark.parametrize("page", ["README.md", "docs/reference/policy.md"])
def test_what_may_separate_regions_is_named_whole(page: str) -> None:
    text = (Path(__file__).parents[2] / page).read_text("utf-8")
    (said,) = re.findall(r"^.* these Regions[;.] [Ss]eparate them by (.*)$", text, re.MULTILINE)
    named = [*re.findall(r"`(.)`", said), " " * ("spaces" in said), "," * ("commas" in said)]
    assert sorted([*named, "|" * ("vertical bar" in said)]) == sorted(" ,+;:/|")
