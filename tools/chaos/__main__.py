"""Many secrets, every fault at once, and a summary of what became of each. `make chaos` runs it."""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from local.console import ended, make_console
from local.secrets_manager.worlds import Repeat
from tools.chaos.run import Chosen, run
from tools.chaos.summary import most_in_a_second, summarize
from tools.chaos.tables import report, writes

WORLDS: dict[str, tuple[Repeat, ...]] = {
    "accepted": ("accepted",),
    "refused": ("refused",),
    "both": ("accepted", "refused"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if everything is as it must be, 1 if something is not."""
    chosen, console = _chosen(arguments), make_console()
    return ended(console, lambda: _play(chosen, console))


def _play(chosen: Chosen, console: Console) -> int:
    worlds = " and ".join(chosen.worlds)
    console.print(
        f"Chaos with seed {chosen.seed}: {chosen.secrets} secrets where asking again for a Failed Region is "
        f"{worlds}, {chosen.max_attempts} attempts for each message.\n"
        f"The queue's time runs {chosen.factor} times as fast as on AWS; waits are whole seconds, rounded up."
    )
    finished = run(chosen, console)
    parts = {"malformed": "", **{world: world for world in chosen.worlds}}
    summaries = {
        name: summarize(finished.observed.of(part), chosen.max_attempts) for name, part in parts.items()
    }
    console.print(report(chosen, finished, summaries))
    wrong = sum(len(found) for summary in summaries.values() for found in summary.wrong.values())
    over = max(0, most_in_a_second(writes(finished)) - chosen.writes_per_second)
    console.print(
        f"Seed {chosen.seed}: {wrong} wrong, {over} writes too many in a second. {finished.seconds:.0f} s."
    )
    return 1 if wrong or over else 0


def _chosen(arguments: Sequence[str] | None) -> Chosen:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--secrets", type=int, default=500, help="secrets in each world")
    parser.add_argument("--seed", type=int, default=1, help="everything that is drawn follows from it")
    parser.add_argument(
        "--world", choices=WORLDS, default="both", help="replicating a Failed Region again is"
    )
    parser.add_argument("--factor", type=int, default=90, help="how much faster the queue's time runs")
    parser.add_argument("--attempts", type=int, default=18, help="MaxAttempts")
    asked = parser.parse_args(arguments)
    return Chosen(
        secrets=asked.secrets,
        seed=asked.seed,
        worlds=WORLDS[asked.world],
        factor=asked.factor,
        max_attempts=asked.attempts,
    )


if __name__ == "__main__":
    sys.exit(main())
