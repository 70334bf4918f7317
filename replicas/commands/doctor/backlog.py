"""What waits, what was given up, and whether anybody is notified."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from replicas.commands.doctor.deployed import Deployed
from replicas.commands.doctor.findings import MAKE_IT_AGAIN, Finding, bad, good, unknown
from replicas.terminal import count as counted

STUCK_SECONDS = 3600
"""As in the template's alarms."""

_CHECK_BACK = timedelta(minutes=30)


def no_dead_letters(deployed: Deployed) -> Iterator[Finding]:
    """Say whether a secret needs attention."""
    count = _messages(deployed, "DeadLetterQueue")
    if count:
        yield bad(
            f"{counted(count, 'dead letter')}: not all secrets are where they must be",
            "replicas redrive --dry-run",
        )
    else:
        yield good("There are no dead letters")


def nothing_is_stuck(deployed: Deployed) -> Iterator[Finding]:
    """Say whether a message has waited for more than an hour."""
    count = _messages(deployed, "ReplicationQueue")
    if not count:
        yield good("Nothing waits in the ReplicationQueue")
        return
    oldest = _oldest_seconds(deployed)
    if oldest is None:
        yield unknown(
            f"{counted(count, 'message')} in the queue, and CloudWatch does not show yet for how long",
            "run it again",
        )
    elif oldest > STUCK_SECONDS:
        yield bad(
            f"A message has waited for {oldest / 3600:.1f} hours",
            "read the last lines of the function's log: `replicas status` names the secrets",
        )
    else:
        yield good(
            f"{counted(count, 'message')} in the queue, none for longer than {oldest / 60:.0f} minutes"
        )


def no_alarm_fires(deployed: Deployed) -> Iterator[Finding]:
    """Say whether an alarm fires, and whether anybody would be notified."""
    names = [*deployed.names.get("AWS::CloudWatch::Alarm", {}).values()]
    found = deployed.connection.cloudwatch.describe_alarms(AlarmNames=names, MaxRecords=100)["MetricAlarms"]
    by_name = {name: logical_id for logical_id, name in deployed.names["AWS::CloudWatch::Alarm"].items()}
    there = {alarm.get("AlarmName") for alarm in found}
    gone = [logical_id for name, logical_id in by_name.items() if name not in there]
    for logical_id in gone:
        yield bad(f"The alarm {logical_id} is not there any more: nobody is notified", MAKE_IT_AGAIN)
    firing = [alarm for alarm in found if alarm.get("StateValue") == "ALARM"]
    for alarm in firing:
        yield bad(f"{by_name[alarm['AlarmName']]} is in alarm", alarm.get("AlarmDescription", ""))
    if not firing and not gone:
        yield good(f"None of {len(found)} alarms is in alarm")
    if any(not alarm.get("AlarmActions") for alarm in found):
        yield bad("Nobody hears of an alarm", "deploy with AlarmEmail or AlarmTopicArn")


def _messages(deployed: Deployed, logical_id: str) -> int:
    attributes = deployed.connection.sqs.get_queue_attributes(
        QueueUrl=deployed.one("AWS::SQS::Queue", logical_id),
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    )["Attributes"]
    return sum(int(count) for count in attributes.values())


def _oldest_seconds(deployed: Deployed) -> float | None:
    """Return for how long a message has waited, None if no metric says so."""
    queue = deployed.one("AWS::SQS::Queue", "ReplicationQueue").rpartition("/")[2]
    service = deployed.environment.get("POWERTOOLS_SERVICE_NAME", "")
    namespace = deployed.environment.get("POWERTOOLS_METRICS_NAMESPACE", "")
    now = datetime.now(UTC)
    found = [
        point["Maximum"]
        for space, metric, name, value in (
            ("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", queue),
            (namespace, "SecondsWaiting", "service", service),
        )
        for point in deployed.connection.cloudwatch.get_metric_statistics(
            Namespace=space,
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value}],
            StartTime=now - _CHECK_BACK,
            EndTime=now,
            Period=300,
            Statistics=["Maximum"],
        )["Datapoints"]
    ]
    return max(found, default=None)
