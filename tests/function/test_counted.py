"""What `make bench` counts never gets worse; report and docs say what was measured."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tools.bench import cost, refused, report, running_cost, warm
from tools.bench.results import FULL, goals
from tools.bench.size import size
from tools.bench.stage import Stage, our_function, stage

ROOT = Path(__file__).parents[2]
GROWTH = 1.02
"""How much larger than in the report the artifact and our code may be, until the next `make bench`."""


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def reported() -> dict[str, Any]:
    return json.loads((ROOT / "docs/explanation/benchmarks.json").read_text("utf-8"))


def test_a_new_secret_takes_four_calls_and_a_converged_one_takes_one(empty: Stage) -> None:
    assert warm.calls_per_secret(empty) == {
        "created": {"DescribeSecret": 3, "ReplicateSecretToRegions": 1},
        "converged": {"DescribeSecret": 1},
    }


def test_a_new_secret_is_published_once_and_a_converged_one_never(empty: Stage) -> None:
    warm.calls_per_secret(empty)
    (published,) = empty.outcome_events
    assert ":secret:calls/created-" in published["Detail"]


def test_a_sweep_takes_one_call_per_secret_and_one_per_hundred(empty: Stage) -> None:
    swept = warm.sweep(empty, secrets=250, checks=250)
    assert swept.calls == {"ListSecrets": 3, "DescribeSecret": 250}


@pytest.mark.slow
def test_refused_regions_cost_what_the_report_says(reported: dict[str, Any]) -> None:
    """On virtual time, so every run says the same, but for chance in the delays."""
    now, then = asdict(refused.run(3)), reported["refused"]["3"]
    assert now["dead_letters"] == then["dead_letters"] == 100
    assert now["writes"] <= 1.2 * then["writes"]


@pytest.mark.slow
def test_a_backfill_is_never_throttled(empty: Stage) -> None:
    empty.queues.patient = False
    found = warm.backfill(empty, "ours", 60)
    assert (found.writes, found.throttles) == (60, 0)


def test_the_artifact_stays_small(reported: dict[str, Any]) -> None:
    now, then = size(), reported["size"]
    assert now.zipped_bytes < 1_500_000
    assert now.unpacked_bytes < 6_000_000
    for name in ("zipped_bytes", "unpacked_bytes", "lines"):
        grown = getattr(now, name) / then[name]
        assert grown <= GROWTH, f"{name}: {grown:.2f} of what the report has: why? Then run make bench"


def test_the_report_is_of_a_whole_run(reported: dict[str, Any]) -> None:
    assert reported["scale"] == json.loads(json.dumps(asdict(FULL)))


@pytest.mark.parametrize(("seconds", "share"), [(39, 1.0), (43.444, 0.9), (79, 0.5)])
def test_a_backfill_uses_all_of_the_budget_at_most(seconds: float, share: float) -> None:
    """Two thousand writes, fifty in each second: the last fifty come 39 seconds after the first."""
    assert warm.Backfill(2000, 0, seconds).budget_share == pytest.approx(share, abs=0.001)


def test_the_report_is_what_the_numbers_say(reported: dict[str, Any]) -> None:
    assert (ROOT / "docs/explanation/benchmarks.md").read_text("utf-8") == report.markdown(reported)


def test_the_page_has_the_reports_numbers(reported: dict[str, Any]) -> None:
    page = (ROOT / "docs/reference/limits.md").read_text("utf-8")
    assert f"{report.BEGIN}\n{report.summary(reported)}\n{report.END}" in page


def test_the_report_says_why_a_goal_is_missed_and_nothing_of_one_that_is_met(
    reported: dict[str, Any],
) -> None:
    def missed(bare_ms: float) -> list[str]:
        cold = {name: {"wall_ms": {"median": bare_ms}} for name in ("ours", "bare", "usual", "empty")}
        cold["ours"] = {"wall_ms": {"median": 1000}}
        return [line for line in report.missed(reported | {"cold": cold}) if "bare" in line]

    (line,) = missed(bare_ms=500)
    assert line.startswith("**Cold start, ours / bare boto3 handler: 2.00x, not at most 1.15x.** `/var/task`")
    assert missed(bare_ms=900) == []


def test_only_a_goal_that_is_not_counted_sends_to_another_run(reported: dict[str, Any]) -> None:
    fill = reported["backfill"]["ours"] | {"budget_share": 0.5, "throttles": 7}
    lines = report.missed(reported | {"backfill": {"ours": fill}})
    (share,) = (line for line in lines if "share of the write budget" in line)
    (throttled,) = (line for line in lines if "throttled calls" in line)
    assert share.endswith(report.BY_TIME)
    assert throttled.endswith(report.BY_COUNT)


def test_every_reason_is_of_a_goal_that_there_is(reported: dict[str, Any]) -> None:
    assert report.WHY_MISSED.keys() <= {goal.name for goal in goals(reported)}


def test_the_template_has_the_memory_that_is_recommended(reported: dict[str, Any]) -> None:
    assert our_function().memory_megabytes == reported["recommended_megabytes"]


def test_more_memory_costs_more_and_takes_no_longer() -> None:
    at_sizes = cost.costs(processor_milliseconds=10)
    assert [each.megabytes for each in at_sizes] == list(cost.MEMORY_MEGABYTES)
    assert sorted(at_sizes, key=lambda each: -each.event_milliseconds) == at_sizes
    assert sorted(at_sizes, key=lambda each: each.million_events_dollars) == at_sizes


def test_the_page_promises_no_less_than_was_measured(reported: dict[str, Any]) -> None:
    (ours,) = (each for each in reported["cost"] if each["megabytes"] == reported["template_megabytes"])
    assert ours["million_events_dollars"] <= running_cost.events()
    assert ours["nightly_dollars"] <= running_cost.sweeps()
