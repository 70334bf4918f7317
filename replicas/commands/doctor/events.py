"""Whether the events arrive: a trail, the rules, and a queue that EventBridge can write to."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from replicas.commands.doctor.findings import MAKE_IT_AGAIN, Finding, bad, good, is_gone, refused, usable_key
from replicas.commands.doctor.stack import QUEUE, Stack

if TYPE_CHECKING:
    from mypy_boto3_cloudtrail import CloudTrailClient
    from mypy_boto3_cloudtrail.type_defs import AdvancedEventSelectorOutputTypeDef, TrailTypeDef


def trail_logs_management_events(stack: Stack) -> Iterator[Finding]:
    """Say whether a trail brings this Region's API calls to EventBridge.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
    """
    region = stack.connection.region
    here = stack.connection.cloudtrail
    trails = [
        trail
        for trail in here.describe_trails(includeShadowTrails=True)["trailList"]
        if trail.get("IsMultiRegionTrail") or trail.get("HomeRegion") == region
    ]
    unreadable = []
    for trail in trails:
        home = stack.connection.in_region(trail.get("HomeRegion", region)).cloudtrail
        try:
            if _is_logging(home, trail):
                yield good(f"The trail {trail.get('Name')} logs management events of {region}")
                return
        except ClientError as error:
            unreadable.append(refused(f"The trail {trail.get('Name')}", error))
    if unreadable:
        yield from unreadable
        return
    found = f"{len(trails)} of this Region log none that write" if trails else "there is none of this Region"
    yield bad(
        f"No trail logs management events: {found}. No CreateSecret arrives, only new values and sweeps",
        "make a trail with management events (write), or let the organisation's cover this account",
    )


def rules_are_enabled(stack: Stack) -> Iterator[Finding]:
    """Say whether the rules run, and send to the queue."""
    names = stack.names.get("AWS::Events::Rule", {})
    wrong = [finding for rule in names.items() for finding in _rule_findings(stack, *rule)]
    yield from wrong or [good(f"All {len(names)} rules are enabled and have their target")]


def queues_can_be_written_by_eventbridge(stack: Stack) -> Iterator[Finding]:
    """Say whether the queues' key is one that EventBridge can use: one that AWS manages is not.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    """
    sqs = stack.connection.sqs
    keys: dict[str, list[str]] = {}
    for logical_id, url in stack.names[QUEUE].items():
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["KmsMasterKeyId"])
        keys.setdefault(attributes.get("Attributes", {}).get("KmsMasterKeyId", ""), []).append(logical_id)
    for key, queues in keys.items():
        yield _queue_key_finding(stack, key, " and ".join(sorted(queues)))


def _is_logging(client: "CloudTrailClient", trail: "TrailTypeDef") -> bool:
    arn = trail.get("TrailARN", "")
    if not client.get_trail_status(Name=arn)["IsLogging"]:
        return False
    selectors = client.get_event_selectors(TrailName=arn)
    return any(
        selector.get("IncludeManagementEvents", True) and selector.get("ReadWriteType", "All") != "ReadOnly"
        for selector in selectors.get("EventSelectors", [])
    ) or any(map(_takes_writes, selectors.get("AdvancedEventSelectors", [])))


def _takes_writes(selector: "AdvancedEventSelectorOutputTypeDef") -> bool:
    fields = {field["Field"]: field.get("Equals", []) for field in selector["FieldSelectors"]}
    return fields.get("eventCategory") == ["Management"] and "true" not in fields.get("readOnly", [])


def _rule_findings(stack: Stack, logical_id: str, name: str) -> Iterator[Finding]:
    events = stack.connection.events
    try:
        if events.describe_rule(Name=name)["State"] == "DISABLED":
            yield bad(
                f"The rule {logical_id} is disabled: its events are lost",
                f"aws events enable-rule --name {name}",
            )
        if not events.list_targets_by_rule(Rule=name)["Targets"]:
            yield bad(
                f"The rule {logical_id} has no target: its events are lost",
                "delete the stack and deploy it again: CloudFormation does not see that the target is gone",
            )
    except ClientError as error:
        if not is_gone(error):
            raise
        yield bad(f"The rule {logical_id} is not there any more: its events are lost", MAKE_IT_AGAIN)


def _queue_key_finding(stack: Stack, key: str, queues: str) -> Finding:
    if not key:
        return good(f"{queues}: encrypted with SQS's own key")
    gone = bad(f"The key {key} of {queues} is not there", "deploy with another QueueKmsKeyArn, or none")
    found = usable_key(stack.connection, key, f"of {queues}", gone, "deploy with another")
    if isinstance(found, Finding):
        return found
    if found.get("KeyManager") == "AWS":
        return bad(
            f"EventBridge can deliver nothing to {queues}: AWS manages the key {key}, and its policy shuts "
            "EventBridge out",
            "deploy with QueueKmsKeyArn empty, or with a customer managed key",
        )
    return good(f"{queues}: the key {key} is enabled; its policy must let EventBridge use it")
