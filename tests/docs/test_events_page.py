"""docs/reference/events.md: every event that is understood and every reason to skip is there."""

import re
from pathlib import Path

from secret_replicator.messages import API_EVENTS, SERVICE_EVENTS
from tests.template.stack import deployed

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/events.md").read_text("utf-8")
SKIPPED = PAGE.partition("\n## What is skipped\n")[2].partition("\n## ")[0]


def test_every_event_and_every_rule_is_there() -> None:
    listened = PAGE.partition("\n## Where the secret")[0]
    rules = deployed().of_type("AWS::Events::Rule")
    assert {name for name in (*API_EVENTS, *SERVICE_EVENTS, *rules) if f"`{name}`" not in listened} == set()


def test_the_reasons_to_skip_are_those_of_the_code() -> None:
    sources = "\n".join(
        (ROOT / "functions/secret_replicator" / name).read_text("utf-8")
        for name in ("app.py", "planner.py", "reconciler.py")
    )
    reasons = re.findall(r'skip="(\w+)"|Kind\.SKIPPED, (?:note=|[\w.]+, )"(\w+)"', sources)
    planner = sources.partition("def _reason_to_skip")[2].partition("\ndef ")[0]
    found = {first or second for first, second in reasons} | set(re.findall(r'"([a-z_]+)"', planner))
    assert len(found) > 5
    assert set(re.findall(r"^\| `(\w+)`", SKIPPED, re.MULTILINE)) == found
