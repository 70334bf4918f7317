"""The README's cost table is what is computed, for the alarms and metrics that there are."""

from replicas.inventory import running_cost
from tests.docs.test_readme_permissions import README
from tests.template.stack import deployed
from tests.template.test_template import dashboard_metrics, published_metrics

SECTION = README.partition("\n## Cost and limits\n")[2].partition("\n## ")[0]


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
    table = [line for line in SECTION.splitlines() if line.startswith("| ")][1:]
    assert table == [*running_cost.rows(alarms, own_metrics())]
