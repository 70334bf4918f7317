"""docs/reference/alarms-and-metrics.md: every metric that the function publishes is there, and no other."""

import re
from pathlib import Path

from secret_replicator.models import Kind

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/alarms-and-metrics.md").read_text("utf-8").partition("\n## Metrics\n")[2]


def test_the_metrics_are_those_of_the_code() -> None:
    source = (ROOT / "functions/secret_replicator/metrics.py").read_text("utf-8")
    named = set(re.findall(r'(?:add_metric\(|yield |\[|, )"([A-Z]\w+)"', source))
    by_kind = {kind.title().replace("_", "") for kind in Kind} | {"DeadLettered"}
    cells = re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(cells))) == named | by_kind
