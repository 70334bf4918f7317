"""What waits, what was given up, and whether anybody is notified."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from replicas.aws.dead_letters import count_messages
from replicas.commands.doctor.findings import MAKE_IT_AGAIN, Finding, bad, good, unknown
from replicas.commands.doctor.stack import QUEUE, Stack
from replicas.terminal import count as counted

STUCK_SECONDS = 3600
"""As in the template's alarms."""

_CHECK_BACK = timedelta(minutes=30)


def no_dead_letters(stack: Stack) -> Iterator[Finding]:
    """Say whether a secret needs attention."""
    count = count_messages(stack.connection.sqs, stack.names[QUEUE]["DeadLetterQueue"])
    if count:
        text = f"{counted(count, 'dead letter')}: not all secrets are where they must be"
        yield bad(text, "replicas redrive --dry-run")
    else:
        yield good("There are no dead letters")


def nothing_is_stuck(stack: Stack) -> Iterator[Finding]:
    """Say whether a message has waited for more than an hour."""
    count = count_messages(stack.connection.sqs, stack.names[QUEUE]["ReplicationQueue"])
    if not count:
        yield good("Nothing waits in the ReplicationQueue")
        return
    oldest = _oldest_seconds(stack)
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


def no_alarm_fires(stack: Stack) -> Iterator[Finding]:
    """Say whether an alarm fires, and whether anybody would be notified."""
    by_name = {name: logical_id for logical_id, name in stack.names.get("AWS::CloudWatch::Alarm", {}).items()}
    cloudwatch = stack.connection.cloudwatch
    found = cloudwatch.describe_alarms(AlarmNames=[*by_name], MaxRecords=100)["MetricAlarms"]
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


def _oldest_seconds(stack: Stack) -> float | None:
    """Return for how long a message has waited, None if no metric says so."""
    queue = stack.names[QUEUE]["ReplicationQueue"].rpartition("/")[2]
    service = stack.environment.get("POWERTOOLS_SERVICE_NAME", "")
    namespace = stack.environment.get("POWERTOOLS_METRICS_NAMESPACE", "")
    now = datetime.now(UTC)
    found = [
        point["Maximum"]
        for space, metric, name, value in (
            ("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", queue),
            (namespace, "SecondsWaiting", "service", service),
        )
        for point in stack.connection.cloudwatch.get_metric_statistics(
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
