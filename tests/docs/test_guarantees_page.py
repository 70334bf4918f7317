"""docs/explanation/guarantees.md: every promise names the tests that hold it, and they exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/guarantees.md").read_text("utf-8")
PROMISES = dict(re.findall(r"^\| ([A-Z][^|]+) \| (`.*) \|$", PAGE, re.MULTILINE))
TESTS = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))


@pytest.mark.parametrize("test", TESTS)
def test_a_test_that_is_named_exists(test: str) -> None:
    path, _, name = test.partition("::")
    source = (ROOT / path).read_text("utf-8")
    assert re.search(rf"^def {re.escape(name)}\(", source, re.MULTILINE), f"{path} has no test {name}"


def test_every_promise_names_a_test() -> None:
    assert len(PROMISES) > 10
    assert [promise for promise, held_by in PROMISES.items() if "::test_" not in held_by] == []
