"""What every test needs: an environment in which the function can be imported, and no real AWS."""

import gc
import os
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
import typer.testing
from hypothesis import settings

from tests.support.quick_botocore import make_quick

make_quick()
# Thousands of clients live side by side here: the collector would take a sixth of the time.
gc.freeze()
gc.set_threshold(200_000, 20, 20)

TESTS = Path(__file__).parent

# Hypothesis takes the same examples every time, or many new ones with HYPOTHESIS_PROFILE=search.
settings.register_profile("repeatable", max_examples=60, derandomize=True, deadline=None, database=None)
settings.register_profile("search", max_examples=5_000, deadline=None, database=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# One tree of commands for all that are run in process: Typer builds all of it for each.
typer.testing._get_command = cache(typer.testing._get_command)

os.environ.update(
    {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "ALLOWED_REGIONS": "eu-west-1,us-west-2",
        "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/ReplicationQueue",
        "DEAD_LETTER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/DeadLetterQueue",
        "POWERTOOLS_SERVICE_NAME": "secret-replicator",
        "POWERTOOLS_METRICS_NAMESPACE": "SecretReplicator",
    }
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--worlds", default="", help='undocumented worlds, as "own_version_ids=true" (Worlds)')


COVERING = {"unit", "function", "contract"}
"""The folders whose tests reach every branch of the function: with the others it would take twice as long."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(TESTS).parts[0] not in COVERING:
            item.add_marker("no_cover")


SAID = "said"
"""What a test records under this name is said below the results, once."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = chain.from_iterable(terminalreporter.stats.values())
    properties = chain.from_iterable(getattr(report, "user_properties", ()) for report in reports)
    for line in dict.fromkeys(line for name, line in properties if name == SAID):
        terminalreporter.line(line)
