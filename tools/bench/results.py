"""All measurements of one run, and which goals they meet."""

import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tools.bench import cold, cost, refused, warm
from tools.bench.measure import Samples
from tools.bench.size import size
from tools.bench.stage import Stage, our_function, stage

Say = Callable[[str], None]


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int
    events: int
    backfill: int
    sweeps: tuple[int, ...]
    checks: int


FULL = Scale(rounds=15, events=100, backfill=2000, sweeps=(1_000, 10_000, 100_000), checks=1_000)
SHORT = Scale(rounds=2, events=10, backfill=100, sweeps=(100, 200), checks=100)


@dataclass(frozen=True)
class Goal:
    """One promise of the benchmarks."""

    name: str
    measured: str
    goal: str
    met: bool
    counted: bool = False
    """Whether every run says the same of it, however busy the machine."""


def measure(scale: Scale, say: Say) -> dict[str, Any]:
    """Take all measurements, in one run; return them as they are written to the file."""
    results: dict[str, Any] = {
        "machine": {
            "python": platform.python_version(),
            "deployed_python": "3.13",
            "processor": platform.machine(),
            "system": sys.platform,
        },
        "scale": asdict(scale),
        "size": asdict(size()),
    }
    say("Cold starts")
    with _fresh() as fresh:
        results["cold"] = {
            name: {"wall_ms": _facts(wall), "processor_ms": _facts(processor)}
            for name, (wall, processor) in cold.cold_starts(fresh, scale.rounds).items()
        }
        say("Imports")
        results["imports_ms"] = cold.import_costs(fresh, min(5, scale.rounds))
    say("One warm event")
    with _fresh() as fresh:
        taken = warm.processor_per_event(fresh, scale.events, 5)
        results["warm_processor_ms"] = {name: _facts(samples) for name, samples in taken.items()}
    say("Batches")
    with _fresh() as fresh:
        taken = warm.batch_milliseconds(fresh, scale.rounds)
        results["batch_ms"] = {name: _facts(samples) for name, samples in taken.items()}
    say("Calls per secret")
    with _fresh() as fresh:
        results["calls"] = warm.calls_per_secret(fresh)
    results["backfill"] = {}
    for contestant in ("ours", "obvious_at_once"):
        say(f"Backfill of {scale.backfill:,} secrets: {contestant}")
        with _fresh() as fresh:
            found = warm.backfill(fresh, contestant, scale.backfill)
            results["backfill"][contestant] = asdict(found) | {"budget_share": found.budget_share}
    say("A hundred secrets in ten Regions, three of them refused")
    results["refused"] = refused.runs()
    results["sweep"] = []
    for secrets in scale.sweeps:
        say(f"Sweep of {secrets:,} secrets")
        with _fresh() as fresh:
            results["sweep"].append(asdict(warm.sweep(fresh, secrets, scale.checks)))
    at_sizes = cost.costs(results["warm_processor_ms"]["ours"]["median"])
    results["cost"] = [asdict(each) for each in at_sizes]
    most = max(each["resident_megabytes"] for each in results["sweep"])
    results["recommended_megabytes"] = cost.recommended(at_sizes, most).megabytes
    results["template_megabytes"] = our_function().memory_megabytes
    return results


@contextmanager
def _fresh() -> Iterator[Stage]:
    with TemporaryDirectory(prefix="secret-replicator-") as folder, stage(Path(folder)) as fresh:
        yield fresh


def _facts(samples: Samples) -> dict[str, Any]:
    return {"median": samples.median, "p90": samples.p90, "values": list(samples.values)}


def ratios(results: dict[str, Any]) -> dict[str, float]:
    """Return what the report begins with: ours against the others, of medians taken in turns."""
    wall = {name: each["wall_ms"]["median"] for name, each in results["cold"].items()}
    batches = {name: each["median"] for name, each in results["batch_ms"].items()}
    small, large = results["sweep"][0], results["sweep"][-1]
    none, three = results["refused"]["0"], results["refused"]["3"]
    return {
        "refused_time": three["seconds"] / none["seconds"],
        "refused_writes": three["writes"] / none["writes"],
        "cold_to_bare": wall["ours"] / wall["bare"],
        "cold_to_usual": wall["ours"] / wall["usual"],
        "ten_to_one": batches["ours, 10"] / batches["ours, 1"],
        "obvious_to_ours": batches["obvious, 10"] / batches["ours, 10"],
        "memory_growth": large["resident_megabytes"] / small["resident_megabytes"],
        "page_growth": (large["list_seconds"] / large["secrets"])
        / (small["list_seconds"] / small["secrets"]),
    }


def goals(results: dict[str, Any]) -> list[Goal]:
    """Return every goal with what was measured."""
    to, calls, fill = ratios(results), results["calls"], results["backfill"]["ours"]
    beyond = results["warm_processor_ms"]["ours"]["median"] - results["warm_processor_ms"]["calls"]["median"]
    most = max(each["resident_megabytes"] for each in results["sweep"])
    zipped, unpacked = (results["size"][name] / 1_000_000 for name in ("zipped_bytes", "unpacked_bytes"))
    created, converged = (sum(calls[name].values()) for name in ("created", "converged"))
    swept = [(each["secrets"], each["checked"], each["calls"]) for each in results["sweep"]]
    exact = all(
        found == {"ListSecrets": -(-secrets // 100), "DescribeSecret": checked}
        for secrets, checked, found in swept
    )
    return [
        _below("Cold start, ours / bare boto3 handler", to["cold_to_bare"], 1.15, "x"),
        _below("Cold start, ours / usual Powertools handler", to["cold_to_usual"], 0.8, "x"),
        _below("One warm event, processor beyond its two API calls", beyond, 3, " ms"),
        _below("Batch of 10 / batch of 1, 50 ms per API call", to["ten_to_one"], 2.5, "x"),
        _above("Batch of 10, sequential handler / ours", to["obvious_to_ours"], 4, "x"),
        _above("Backfill, share of the write budget used", 100 * fill["budget_share"], 90, " %"),
        _below(
            "Three of ten Regions refused, time until the others are InSync / with none refused",
            to["refused_time"],
            1.5,
            "x",
            counted=True,
        ),
        _below("The same, writes", to["refused_writes"], 2, "x", counted=True),
        _below("Backfill, throttled calls", fill["throttles"], 0, "", counted=True),
        _below("API calls for a new secret", created, 4, "", counted=True),
        _below("API calls for a converged secret", converged, 1, "", counted=True),
        Goal(
            "API calls of a sweep",
            "1 + 1/100 each" if exact else str(swept),
            "1 + 1/100",
            exact,
            counted=True,
        ),
        _below("Sweep, time per page, largest / smallest account", to["page_growth"], 1.2, "x"),
        _below("Sweep, memory, largest / smallest account", to["memory_growth"], 1.1, "x"),
        _below("Sweep, most memory resident", most, 110, " MB"),
        _below("Artifact, zipped", zipped, 1.5, " MB", counted=True),
        _below("Artifact, unpacked", unpacked, 6, " MB", counted=True),
    ]


def _below(name: str, measured: float, limit: float, unit: str, *, counted: bool = False) -> Goal:
    return Goal(name, f"{_written(measured)}{unit}", f"at most {limit:g}{unit}", measured <= limit, counted)


def _above(name: str, measured: float, limit: float, unit: str) -> Goal:
    return Goal(name, f"{_written(measured)}{unit}", f"at least {limit:g}{unit}", measured >= limit)


def _written(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:.2f}"
