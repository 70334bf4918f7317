"""The page for 3 a.m.: its policy is what the commands need, its states are those of the code."""

import json
import re
from pathlib import Path

from replicas.failover.compare import Action, Change, action
from replicas.options import RejoinOptions
from tests.replicas.test_commands import permissions

PAGE = (Path(__file__).parents[2] / "docs/how-to/fail-over.md").read_text("utf-8")
(POLICY,) = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
STATEMENTS = {statement["Sid"]: statement for statement in POLICY["Statement"]}


def test_the_policy_allows_what_the_commands_need_and_no_more() -> None:
    allowed = {item for each in STATEMENTS.values() if each["Effect"] == "Allow" for item in each["Action"]}
    assert allowed == permissions()["promote"] | permissions()["rejoin"] | {"kms:DescribeKey"}
    assert permissions()["promote"] <= {*STATEMENTS["SeeAndPromote"]["Action"]}


def test_no_value_can_be_read_with_it() -> None:
    assert STATEMENTS["NeverReadValues"]["Effect"] == "Deny"


def test_every_state_that_is_left_to_decide_is_on_the_page() -> None:
    options = RejoinOptions(replica_region="us-west-2")
    left = {str(found) for found in Change if action(found, "name", options) is Action.LEAVE}
    rows = set(re.findall(r"^\| ([a-z ]+) \| left", PAGE, re.MULTILINE))
    assert rows == left
