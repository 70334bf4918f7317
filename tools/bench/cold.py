"""Cold starts, from nothing to the first answer; and what each import costs."""

import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass

from local.function.emulator import lambda_packages
from tools.bench.measure import Samples, by_turns
from tools.bench.stage import HOME, Stage, batch, our_function, processor_seconds

CONTESTANTS = ("ours", "bare", "usual", "empty")
PACKAGES = (
    *("secret_replicator", "aws_lambda_powertools", "boto3", "botocore"),
    *("dateutil", "jmespath", "typing_extensions", "urllib3"),
)

_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


@dataclass(frozen=True)
class Start:
    """Milliseconds from nothing to the first answer, and of processor that this took."""

    wall: float
    processor: float


def cold_starts(stage: Stage, rounds: int) -> dict[str, tuple[Samples, Samples]]:
    """Start every contestant `rounds` times, in turns. The first message is one converged secret."""
    stage.converged("cold")
    for contestant in CONTESTANTS:
        _start(stage, contestant)  # only warms the disk
    starts = by_turns(CONTESTANTS, lambda contestant: _start(stage, contestant), rounds)
    return {
        name: (Samples([start.wall for start in taken]), Samples([start.processor for start in taken]))
        for name, taken in starts.items()
    }


def _start(stage: Stage, contestant: str) -> Start:
    with stage.running(contestant) as emulator:
        began = time.perf_counter()
        answer = emulator.invoke(batch("cold"))
        wall = time.perf_counter() - began
        assert answer.payload == {"batchItemFailures": []}, answer
        return Start(1000 * wall, 1000 * processor_seconds(emulator))


def import_costs(stage: Stage, rounds: int) -> dict[str, float]:
    """Return the milliseconds that each package adds to the import of our handler, median of `rounds`.

    `-X importtime` says it of each module without those that it imports in turn. Ours makes the clients.
    """
    taken = [_import_times(stage) for _ in range(rounds)]
    return {package: Samples([times[package] / 1000 for times in taken]).median for package in taken[0]}


def _import_times(stage: Stage) -> Counter[str]:
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{stage.folder / 'ours'}{os.pathsep}{lambda_packages(stage.folder)}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_REGION": HOME,
        **our_function().environment,
        **stage.environment,
    }
    command = [sys.executable, "-S", "-X", "importtime", "-c", "import secret_replicator.app"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    packages: Counter[str] = Counter()
    for microseconds, module in _IMPORT.findall(done.stderr):
        package = module.partition(".")[0]
        packages[package if package in PACKAGES else "Python's own"] += int(microseconds)
    return packages
