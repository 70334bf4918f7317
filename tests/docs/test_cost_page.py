"""docs/reference/cost.md: the table is what is computed, for the alarms and metrics that there are."""

from pathlib import Path

from tests.template.stack import deployed
from tests.template.test_template import dashboard_metrics, published_metrics
from tools.bench import running_cost

PAGE = (Path(__file__).parents[2] / "docs/reference/cost.md").read_text("utf-8")


def own_metrics() -> int:
    """Return how many metrics the function publishes, Regions and statuses of replicas aside."""
    shown = {
        (name, *sorted(dimensions.items()))
        for space, name, dimensions in [*published_metrics(), *dashboard_metrics(deployed())]
        if not space.startswith("AWS/") and name != "Replicas"
    }
    return len(shown)


def test_the_table_is_what_is_computed() -> None:
    alarms = len(deployed().of_type("AWS::CloudWatch::Alarm"))
    table = [line for line in PAGE.splitlines() if line.startswith("| ")][1:]
    assert table == [*running_cost.rows(alarms, own_metrics())]
