"""Each rule of the strict model says how it is known, and which test holds it."""

from dataclasses import fields

import pytest

from local.secrets_manager.worlds import Worlds
from tools.rules import read, rules


def test_every_switch_is_a_rule_that_nobody_documents() -> None:
    switches = {rule.switch for rule in rules() if rule.source == "Unknown"}
    assert switches >= {each.name for each in fields(Worlds)}


def test_what_is_documented_or_seen_says_where() -> None:
    known = [rule for rule in rules() if rule.source != "Unknown"]
    assert known
    assert [rule.what for rule in known if not rule.evidence.startswith("https://")] == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("A rule.\n\nHere: x.\nHeld by: its_names.", id="no source"),
        pytest.param("A rule.\n\nSeen: x.\nUnknown: y.\nHeld by: its_names.", id="two sources"),
        pytest.param("A rule.\n\nSeen: x.", id="no test"),
        pytest.param("A rule.\n\nSeen: x.\nHeld by: its_names, test_that_is_gone.", id="a test that is gone"),
    ],
)
def test_a_rule_has_one_source_and_tests_that_are_there(text: str) -> None:
    with pytest.raises(ValueError, match="one source"):
        read(text)
