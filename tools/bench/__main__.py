"""`make bench`: measure, show, and write the report."""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.bench import report
from tools.bench.results import FULL, SHORT, goals, measure

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--short", action="store_true", help="a few rounds, and no report is written")
    short = parser.parse_args().short
    console, began = Console(), time.monotonic()
    results = measure(SHORT if short else FULL, lambda step: console.print(f"{step} ..."))
    table = Table("", "Measured", "Goal", "Met")
    for goal in goals(results):
        table.add_row(goal.name, goal.measured, goal.goal, "yes" if goal.met else "NO")
    console.print(table)
    if not short:
        report.write(results, ROOT / "docs" / "explanation")
        report.write_summary(results, ROOT / "docs" / "reference" / "limits.md")
        console.print("Written: docs/explanation/benchmarks.md, .json and /*.svg, docs/reference/limits.md")
    console.print(f"{time.monotonic() - began:.0f} s")
    return 0 if all(goal.met for goal in goals(results)) else 1


if __name__ == "__main__":
    sys.exit(main())
