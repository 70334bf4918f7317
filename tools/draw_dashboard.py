"""Draws .aws-sam/dashboard.png: the deployed dashboard's widgets, from what a run on the local AWS published.

`make preview` runs it. What only AWS publishes (the numbers of Lambda and EventBridge, the queue's age) is
not there; the queues' depths are those that SQS itself gave during the run. The x axis is seconds.
"""

import json
import re
import time
from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import matplotlib as mpl

from local.aws import observe
from local.aws.ministack import clients
from local.cloudtrail.relay import Relay
from local.stack import Stack, Variant, local_stack
from replicas.aws.dead_letters import count_messages

mpl.use("Agg")
from matplotlib import pyplot as plt

SECONDS = 60
TAGS = ("eu-west-1", "eu-west-1 us-west-2", "europe", None, "eu-central-1", "eu-wst-1", "all", "none")
QUEUE_METRICS = {
    "ApproximateNumberOfMessagesVisible": "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible": "ApproximateNumberOfMessagesNotVisible",
}
Series = dict[tuple[str, ...], list[tuple[float, float]]]


def live(stack: Stack, points: Series) -> None:
    """Let secrets come and go for a while, and note the queues' depths."""
    began, number = time.time(), 0
    clients(stack.aws, "us-west-2").secrets.create_secret(Name="preview/2", SecretString="other")
    while time.time() < began + SECONDS:
        to = TAGS[number % len(TAGS)]
        tags = [{"Key": "replicate-to", "Value": to}] if to else []
        stack.clients.secrets.create_secret(Name=f"preview/{number}", SecretString="hidden", Tags=tags)  # type: ignore[arg-type]
        number += 1
        if number % 20 == 0:
            stack.clients.sqs.send_message(QueueUrl=stack.queue_url, MessageBody='{"sweep": {}}')
        for url in (stack.queue_url, stack.dead_letter_queue_url):
            found = stack.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            for metric, attribute in QUEUE_METRICS.items():
                name = url.rpartition("/")[2]
                points["AWS/SQS", metric, "QueueName", name].append((time.time(), float(found[attribute])))
        time.sleep(0.5)
    observe.until(lambda: not count_messages(stack.clients.sqs, stack.queue_url), 60)


def published(stack: Stack, points: Series) -> list[list[str]]:
    """Add the function's own metrics out of its log; return the rows of its last failures."""
    rows = []
    pages = stack.clients.logs.get_paginator("filter_log_events").paginate(logGroupName=stack.log_group)
    for entry in (entry for page in pages for entry in page["events"]):
        try:
            record: dict[str, Any] = json.loads(entry["message"])
        except ValueError:
            continue
        if record.get("verdict") == "dead_letter":
            rows.append(
                [
                    record["timestamp"][:19],
                    record["secret"].rpartition(":")[2],
                    record["reason"][:110],
                    str(record["attempt"]),
                ]
            )
        for directive in record.get("_aws", {}).get("CloudWatchMetrics", []):
            (names,) = directive["Dimensions"]
            dimensions = [part for name in names for part in (name, record[name])]
            for metric in directive["Metrics"]:
                key = (directive["Namespace"], metric["Name"], *dimensions)
                points[key] += [(entry["timestamp"] / 1000, value) for value in record[metric["Name"]]]
    return rows[-5:]


def lines(widget: dict[str, Any], points: Series) -> dict[str, list[tuple[float, float]]]:
    """Return the widget's lines that have points, by their labels."""
    found: dict[str, list[tuple[float, float]]] = {}
    before: list[str] = []
    for row in widget["properties"]["metrics"]:
        if isinstance(row[0], dict):
            for key, values in points.items():
                if key[1] == "Replicas":
                    found[" ".join(key[5::2])] = values
            continue
        parts = [part for part in row if isinstance(part, str)]
        if "..." in parts:
            after = parts[parts.index("...") + 1 :]
            parts = before[: len(before) - len(after)] + after
        parts = [old if part == "." else part for part, old in zip(parts, before or parts, strict=True)]
        before = parts
        options = row[-1] if isinstance(row[-1], dict) else {}
        label = options.get("label") or " ".join(
            filter(None, [parts[1] if len(parts) == 4 else parts[-1], options.get("stat")])
        )
        if values := points.get(tuple(parts)):
            found[label] = values
    return found


def draw(body: dict[str, Any], points: Series, failures: list[list[str]], alarms: list[str]) -> None:
    """Draw every widget at its place."""
    rows = max(widget["y"] + widget["height"] for widget in body["widgets"])
    figure = plt.figure(figsize=(18, rows * 0.62), layout="constrained")
    grid = figure.add_gridspec(rows, 24)
    start = min(moment for values in points.values() for moment, _ in values)
    for widget in body["widgets"]:
        axes = figure.add_subplot(
            grid[widget["y"] : widget["y"] + widget["height"], widget["x"] : widget["x"] + widget["width"]]
        )
        axes.set_title(widget["properties"]["title"], loc="left", fontsize=10, fontweight="bold")
        if widget["type"] == "metric":
            draw_metric(axes, widget, points, start)
        else:
            axes.axis("off")
            cells = (
                failures
                if widget["type"] == "log"
                else [alarms[start : start + 4] for start in range(0, len(alarms), 4)]
            )
            titles = ["@timestamp", "secret", "reason", "attempt"] if widget["type"] == "log" else None
            table = axes.table(cells, colLabels=titles, loc="center", cellLoc="left")
            table.auto_set_font_size(value=False)
            table.set_fontsize(8)
            if titles:
                table.auto_set_column_width([0, 1, 2, 3])
    figure.savefig(Path(__file__).parents[1] / ".aws-sam" / "dashboard.png", dpi=70)


def draw_metric(axes: Any, widget: dict[str, Any], points: Series, start: float) -> None:
    """Draw lines as CloudWatch does: a sum, a maximum or a percentile of each period. Here it is 5 s."""
    stat = widget["properties"].get("stat", "")
    found = lines(widget, points)
    for label, values in found.items():
        periods: dict[int, list[float]] = defaultdict(list)
        for moment, value in values:
            periods[int((moment - start) // 5) * 5].append(value)
        numbers = {
            at: sum(group) if stat == "Sum" else sorted(group)[-1 if "p50" not in label else len(group) // 2]
            for at, group in sorted(periods.items())
        }
        axes.plot([*numbers], [*numbers.values()], marker="o", markersize=3, label=label)
    if found:
        axes.legend(fontsize=7, loc="upper right")
    else:
        axes.text(0.5, 0.5, "nothing published in this run", ha="center", va="center", color="grey")
    axes.tick_params(labelsize=7)
    axes.set_ylim(bottom=0)


def main() -> None:
    """Run the system, let secrets come and go, draw."""
    points: Series = defaultdict(list)
    with local_stack(lambda _text: nullcontext(), variant=Variant({"MaxAttempts": "3"})) as stack:
        with Relay(stack.clients, lambda _delivery: None).running():
            live(stack, points)
        failures = published(stack, points)
        cloudwatch = stack.clients.cloudwatch
        (name,) = [entry["DashboardName"] for entry in cloudwatch.list_dashboards()["DashboardEntries"]]
        body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
        states = [
            f"{re.split('-', alarm['AlarmName'])[-2]}: {alarm['StateValue']}"
            for alarm in cloudwatch.describe_alarms()["MetricAlarms"]
        ]
    draw(body, points, failures, sorted(states))


if __name__ == "__main__":
    main()
