"""The report: docs/explanation/benchmarks.md with its plots, and the raw numbers as JSON."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

from tools.bench.results import goals

NAMES = {
    "ours": "ours",
    "bare": "bare boto3 handler",
    "usual": "usual Powertools handler",
    "empty": "empty handler",
    "obvious_at_once": "obvious handler",
}
WHY_MISSED = {
    "Cold start, ours / bare boto3 handler": (
        "`/var/task` cannot be written to, so Powertools, `typing_extensions` (Powertools takes one "
        "decorator of it) and our own files are compiled in every cold start. The bare handler has nothing "
        "like it. Compiled beforehand, ours would be level with it. What was tried is in "
        "[decisions.md](decisions.md)."
    ),
}
"""What is known of goals that are hard to meet. Written only while they are missed."""

BY_TIME = "It differs from run to run, most on a busy machine: look at another run."
BY_COUNT = "It was counted, so that another run says the same: a change made it so, and must be mended."

BEGIN, END = "<!-- benchmarks: written by make bench -->", "<!-- end of benchmarks -->"


def write(results: dict[str, Any], docs: Path) -> None:
    """Write all files of the report into `docs`."""
    (docs / "benchmarks").mkdir(exist_ok=True)
    (docs / "benchmarks.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    (docs / "benchmarks.md").write_text(markdown(results), "utf-8")
    mpl.rcParams.update({"svg.hashsalt": "benchmarks", "figure.figsize": (7, 3), "axes.spines.top": False})
    _cold_plot(results, docs / "benchmarks/cold.svg")
    _sweep_plot(results, docs / "benchmarks/sweep.svg")
    _cost_plot(results, docs / "benchmarks/cost.svg")


def write_summary(results: dict[str, Any], page: Path) -> None:
    """Put what docs/reference/limits.md says of the results between its two marks."""
    text = page.read_text("utf-8")
    before, rest = text.split(BEGIN)
    _old, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n{summary(results)}\n{END}{after}", "utf-8")


def goal_table(results: dict[str, Any]) -> str:
    """Return the table of all goals."""
    rows = [(goal.name, goal.measured, goal.goal, "yes" if goal.met else "NO") for goal in goals(results)]
    return _table(("", "Measured", "Goal", "Met"), rows)


def summary(results: dict[str, Any]) -> str:
    """Return what docs/reference/limits.md says: all goals, and what ours takes."""
    cold = results["cold"]["ours"]["wall_ms"]
    (at,) = (each for each in results["cost"] if each["megabytes"] == results["recommended_megabytes"])
    most = max(each["resident_megabytes"] for each in results["sweep"])
    return (
        f"{goal_table(results)}\n\n"
        f"In milliseconds of the machine that measured it: a cold start took {cold['median']:,.0f} (p90 "
        f"{cold['p90']:,.0f}). The first attempt for a new secret takes "
        f"{at['event_milliseconds']:.0f} ms with {at['megabytes']} MB, "
        "computed from the measured processor time. That size is recommended, and set "
        f"in template.yaml: at most {most:.0f} MB were resident."
    )


def missed(results: dict[str, Any]) -> list[str]:
    """Return a line for each goal that is missed: why, as far as that is known."""
    return [
        f"**{goal.name}: {goal.measured}, not {goal.goal}.** "
        + WHY_MISSED.get(goal.name, BY_COUNT if goal.counted else BY_TIME)
        for goal in goals(results)
        if not goal.met
    ]


def markdown(results: dict[str, Any]) -> str:
    """Return docs/explanation/benchmarks.md."""
    return "\n\n".join(_sections(results)) + "\n"


def _sections(results: dict[str, Any]) -> Iterator[str]:
    machine, scale = results["machine"], results["scale"]
    yield "# Benchmarks"
    yield (
        "Written by `make bench`; do not edit. The raw numbers are in [benchmarks.json](benchmarks.json). "
        "Contestants were measured in turns, in one run, each in Lambda's runtime emulator, against a strict "
        f"fake of AWS on the same machine ({machine['processor']}, Python {machine['python']}; deployed is "
        f"{machine['deployed_python']} on arm64). Trust the ratios; the milliseconds are this machine's."
    )
    yield goal_table(results)
    if lines := missed(results):
        yield "## Goals that were missed"
        yield from lines
    yield "## Cold start"
    yield (
        f"From nothing to the answer about one converged secret: {scale['rounds']} starts each. The bare "
        "handler makes the same clients and the same call. boto3 is compiled before, as in Lambda; "
        "our code is not. What was done about it, and what was tried and not taken, is in "
        "[decisions.md](decisions.md)."
    )
    yield _table(
        ("", "Median", "p90", "Ours / it", "Processor", "Ours / it"),
        [_cold_row(results, name) for name in results["cold"]],
    )
    yield "![Cold starts](benchmarks/cold.svg)"
    yield "What each package adds to the import of our handler, which makes the clients (`-X importtime`):"
    total = sum(results["imports_ms"].values())
    yield _table(
        ("Package", "Milliseconds", "Share"),
        [
            (name, f"{taken:.0f}", f"{taken / total:.0%}")
            for name, taken in sorted(results["imports_ms"].items(), key=lambda item: -item[1])
        ],
    )
    yield "## Warm"
    warm, batch = results["warm_processor_ms"], results["batch_ms"]
    yield (
        f"One new secret takes {warm['ours']['median']:.1f} ms of processor; its two API calls alone "
        f"{warm['calls']['median']:.1f} ms. With 50 ms per API call:"
    )
    yield _table(
        ("Converged secrets", "Median", "p90"),
        [(name, f"{each['median']:.0f} ms", f"{each['p90']:.0f} ms") for name, each in batch.items()],
    )
    yield "## Backfill"
    yield (
        f"{scale['backfill']:,} secrets without a replica, two Regions each, two functions at the same time, "
        "and AWS's bucket of 50 writes per second. The obvious handler has as many threads, and no limit."
    )
    yield _table(
        ("", "Writes", "Throttled calls", "Seconds", "Share of 50/s"),
        [
            (
                NAMES[name],
                f"{each['writes']:,}",
                f"{each['throttles']:,}",
                f"{each['seconds']:.1f}",
                f"{each['budget_share']:.0%}",
            )
            for name, each in results["backfill"].items()
        ],
    )
    yield "## Refused Regions"
    yield (
        "A hundred new secrets in ten Regions, two functions at the default budget, 50 ms per API call, on "
        "virtual time: until all Regions that can be had are InSync. The others end as dead letters."
    )
    yield _table(
        ("Refused", "Seconds", "Writes until then", "Dead letters"),
        [
            (number, f"{each['seconds']:.1f}", f"{each['writes']:,}", f"{each['dead_letters']:,}")
            for number, each in results["refused"].items()
        ],
    )
    yield "## Sweep"
    yield (
        f"All pages are listed and enqueued. Of the secrets found, {scale['checks']:,} "
        "are then checked: one DescribeSecret each. Time is for listing."
    )
    yield _table(
        (
            "Secrets",
            "ListSecrets",
            "Seconds",
            "Milliseconds per page",
            "Checked",
            "DescribeSecret",
            "Resident",
        ),
        [
            (
                f"{each['secrets']:,}",
                f"{each['calls']['ListSecrets']:,}",
                f"{each['list_seconds']:.1f}",
                f"{1000 * each['list_seconds'] / each['calls']['ListSecrets']:.0f}",
                f"{each['checked']:,}",
                f"{each['calls']['DescribeSecret']:,}",
                f"{each['resident_megabytes']:.0f} MB",
            )
            for each in results["sweep"]
        ],
    )
    yield "![Sweeps](benchmarks/sweep.svg)"
    yield "## Size"
    size = results["size"]
    yield (
        f"{size['zipped_bytes'] / 1_000_000:.2f} MB zipped, "
        f"{size['unpacked_bytes'] / 1_000_000:.2f} MB unpacked, {size['lines']:,} lines of our own."
    )
    yield "## Cost"
    yield (
        "Computed, not measured at each size: from the processor time above (a smaller "
        "size has a smaller share of a processor, and takes as much longer), 50 ms of waiting per "
        "API call, and list prices (us-east-1, arm64). A million "
        "events are as many new secrets: two attempts, four Secrets Manager calls ($20.00), five of SQS "
        "($2.00), log, traces and outcome events ($3.50). A month of nightly sweeps is for 1,000 converged "
        "secrets. "
        "Each message is in a batch of its own, which is the most that it can cost. docs/reference/cost.md "
        "has the same with 0.25 s for each invocation."
    )
    yield _table(
        ("Memory", "First attempt", "Million events", "Nightly sweeps, a month"),
        [
            (
                f"{each['megabytes']} MB",
                f"{each['event_milliseconds']:.0f} ms",
                f"${each['million_events_dollars']:.2f}",
                f"${each['nightly_dollars']:.2f}",
            )
            for each in results["cost"]
        ],
    )
    yield "![Cost](benchmarks/cost.svg)"
    yield (
        f"Recommended: {results['recommended_megabytes']} MB, the cheapest size with room for three times "
        "what was resident in the largest sweep. "
        f"template.yaml has {results['template_megabytes']} MB."
    )


def _cold_row(results: dict[str, Any], name: str) -> tuple[str, ...]:
    each, ours = results["cold"][name], results["cold"]["ours"]
    cells = [NAMES[name]]
    for kind in ("wall_ms", "processor_ms"):
        cells.append(f"{each[kind]['median']:.0f} ms")
        if kind == "wall_ms":
            cells.append(f"{each[kind]['p90']:.0f} ms")
        cells.append(f"{ours[kind]['median'] / each[kind]['median']:.2f}")
    return tuple(cells)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["--:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _cold_plot(results: dict[str, Any], file: Path) -> None:
    figure, axes = plt.subplots()
    names = list(results["cold"])
    wall = [results["cold"][name]["wall_ms"] for name in names]
    beyond = [each["p90"] - each["median"] for each in wall]
    axes.barh(
        [NAMES[name] for name in names],
        [each["median"] for each in wall],
        xerr=[[0] * len(names), beyond],
        color=["C0", "C7", "C7", "C7"],
    )
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds from nothing to the first answer (median, line to p90)")
    _save(figure, file)


def _sweep_plot(results: dict[str, Any], file: Path) -> None:
    figure, (time, memory) = plt.subplots(1, 2)
    secrets = [each["secrets"] for each in results["sweep"]]
    time.loglog(secrets, [each["list_seconds"] for each in results["sweep"]], "o-")
    time.set_xlabel("secrets")
    time.set_ylabel("seconds to list all")
    memory.semilogx(secrets, [each["resident_megabytes"] for each in results["sweep"]], "o-")
    memory.axhline(110, color="C3", linestyle=":")
    memory.set_ylim(0, 130)
    memory.set_xlabel("secrets")
    memory.set_ylabel("MB resident (goal dotted)")
    _save(figure, file)


def _cost_plot(results: dict[str, Any], file: Path) -> None:
    figure, axes = plt.subplots()
    sizes = [str(each["megabytes"]) for each in results["cost"]]
    axes.bar(sizes, [each["million_events_dollars"] for each in results["cost"]], color="C0")
    axes.set_xlabel("MB of memory")
    axes.set_ylabel("dollars per million events")
    _save(figure, file)


def _save(figure: Any, file: Path) -> None:
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
