"""`replicas doctor`: whether all is there that a deployed stack depends on, and what needs attention."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from replicas.aws.deployed_policy import UNREADABLE, deployed_policy
from replicas.aws.deployment import load_policy, shown
from replicas.aws.services import Services
from replicas.errors import OperatorError
from replicas.terminal import count as counted
from secret_replicator import VERSION
from secret_replicator.errors import PolicyError, SettingsError
from secret_replicator.policy import Policy, parse_policy
from secret_replicator.settings import read_settings

if TYPE_CHECKING:
    from mypy_boto3_cloudtrail import CloudTrailClient
    from mypy_boto3_cloudtrail.type_defs import AdvancedEventSelectorOutputTypeDef, TrailTypeDef

STUCK_SECONDS = 3600
"""As in the template's alarms."""

_LOOK_BACK = timedelta(minutes=30)
_DENIED = ("AccessDenied", "UnauthorizedOperation", "NotAuthorized")
_ACTIONS = {
    action.partition(":")[2]: action
    for action in (
        "account:ListRegions",
        "cloudformation:DescribeStacks",
        "cloudtrail:DescribeTrails",
        "cloudtrail:GetEventSelectors",
        "cloudtrail:GetTrailStatus",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:GetMetricStatistics",
        "events:DescribeRule",
        "events:ListTargetsByRule",
        "iam:GetRole",
        "iam:SimulatePrincipalPolicy",
        "kms:DescribeKey",
        "lambda:GetFunction",
        "lambda:GetFunctionRecursionConfig",
        "sqs:GetQueueAttributes",
    )
}
_FUNCTION = "AWS::Lambda::Function"
_GONE = ("ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
_UNKNOWN_OPERATION = ("UnknownOperationException", "InvalidAction", "404")
"""How a Region answers a call that it does not have yet."""

_MAKE_IT_AGAIN = (
    "delete the stack and deploy it again: CloudFormation makes nothing anew that was deleted by hand. "
    "The DeadLetterQueue stays"
)


class Verdict(StrEnum):
    """How a check ended."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "not checkable"


@dataclass(frozen=True)
class Finding:
    """One line of the answer: what was found and, unless it is good, what to do."""

    verdict: Verdict
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Deployed:
    """What the checks know of the stack: the physical names of its parts, and the function's environment."""

    services: Services
    names: Mapping[str, Mapping[str, str]]
    """Physical names by type and logical ID."""

    environment: Mapping[str, str]
    policy: Policy
    policy_file: Path
    stack: str

    def one(self, kind: str, logical_id: str) -> str:
        """Return a part's physical name."""
        return self.names[kind][logical_id]

    @property
    def function(self) -> str:
        """The function's name."""
        return self.one(_FUNCTION, "ReplicatorFunction")


Check = Callable[[Deployed], Iterator[Finding]]


def examine(deployed: Deployed, checks: "Sequence[Check] | None" = None) -> Iterator[Finding]:
    """Yield what each check finds. What AWS refuses is not checkable, and stops no other check."""
    for check in CHECKS if checks is None else checks:
        try:
            yield from check(deployed)
        except ClientError as error:
            yield _gone(check, error) if _is_gone(error) else _refused(_name(check), error)
        except BotoCoreError as error:
            yield _unknown(f"{_name(check)}: AWS gave no answer ({type(error).__name__})", "run it again")


def find(services: Services, stack: str, policy_file: Path) -> Deployed:
    """Return the stack's parts; raise OperatorError if there is no such stack, or it may not be read."""
    found = services.clients.cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    names: dict[str, dict[str, str]] = {}
    for resource in found:
        physical = resource.get("PhysicalResourceId", "")
        names.setdefault(resource["ResourceType"], {})[resource["LogicalResourceId"]] = physical
    if "ReplicatorFunction" not in names.get(_FUNCTION, {}):
        raise OperatorError(
            f"The stack {stack} in {services.region} is not a Secret Replicator: name it with --stack"
        )
    configuration = services.clients.functions.get_function_configuration(
        FunctionName=names[_FUNCTION]["ReplicatorFunction"]
    )
    environment = configuration.get("Environment", {}).get("Variables", {})
    return Deployed(services, names, environment, load_policy(policy_file), policy_file, stack)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 0 if all is good, 1 if something is bad, 3 if something could not be checked."""
    verdicts = {finding.verdict for finding in findings}
    if Verdict.BAD in verdicts:
        return 1
    return 3 if Verdict.UNKNOWN in verdicts else 0


# --- the checks, in the order in which things must be there


def trail_logs_management_events(deployed: Deployed) -> Iterator[Finding]:
    """Say whether a trail brings this Region's API calls to EventBridge.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
    """
    region = deployed.services.region
    here = deployed.services.cloudtrail(region)
    trails = [
        trail
        for trail in here.describe_trails(includeShadowTrails=True)["trailList"]
        if trail.get("IsMultiRegionTrail") or trail.get("HomeRegion") == region
    ]
    unreadable = []
    for trail in trails:
        home = deployed.services.cloudtrail(trail.get("HomeRegion", region))
        try:
            if _is_logging(home, trail):
                yield _good(f"The trail {trail.get('Name')} logs management events of {region}")
                return
        except ClientError as error:
            unreadable.append(_refused(f"The trail {trail.get('Name')}", error))
    if unreadable:
        yield from unreadable
        return
    found = f"{len(trails)} of this Region log none that write" if trails else "there is none of this Region"
    yield _bad(
        f"No trail logs management events: {found}. No CreateSecret arrives, only new values and sweeps",
        "make a trail with management events (write), or let the organisation's cover this account",
    )


def rules_are_enabled(deployed: Deployed) -> Iterator[Finding]:
    """Say whether the rules run, and send to the queue."""
    names = deployed.names.get("AWS::Events::Rule", {})
    wrong = [finding for rule in names.items() for finding in _rule_findings(deployed, *rule)]
    yield from wrong or [_good(f"All {len(names)} rules are enabled and have their target")]


def _rule_findings(deployed: Deployed, logical_id: str, name: str) -> Iterator[Finding]:
    events = deployed.services.events
    try:
        if events.describe_rule(Name=name)["State"] == "DISABLED":
            yield _bad(
                f"The rule {logical_id} is disabled: its events are lost",
                f"aws events enable-rule --name {name}",
            )
        if not events.list_targets_by_rule(Rule=name)["Targets"]:
            yield _bad(
                f"The rule {logical_id} has no target: its events are lost",
                "delete the stack and deploy it again: CloudFormation does not see that the target is gone",
            )
    except ClientError as error:
        if not _is_gone(error):
            raise
        yield _bad(f"The rule {logical_id} is not there any more: its events are lost", _MAKE_IT_AGAIN)


def the_function_can_start(deployed: Deployed) -> Iterator[Finding]:
    """Say whether the function's settings are such that it starts."""
    try:
        read_settings({**deployed.environment, "AWS_REGION": deployed.services.region})
    except SettingsError as error:
        yield _bad(f"The function cannot start: {error}", "deploy with other parameters, then redrive")
    else:
        yield _good("The function's settings are valid")


def versions_are_the_same(deployed: Deployed) -> Iterator[Finding]:
    """Say whether these commands and the function decide by the same code."""
    (stack,) = deployed.services.clients.cloudformation.describe_stacks(StackName=deployed.stack)["Stacks"]
    outputs = {output.get("OutputKey"): output.get("OutputValue") for output in stack.get("Outputs", [])}
    version = outputs.get("Version", f"of a version before {VERSION}")
    if version == VERSION:
        yield _good(f"The stack is {VERSION}, as these commands are")
        return
    yield _bad(
        f"The stack is {version}, these commands are {VERSION}: what they predict may not be what it does",
        "deploy the stack again, or use the commands of its version",
    )


def sweeps_are_not_taken_for_a_loop(deployed: Deployed) -> Iterator[Finding]:
    """Say whether Lambda lets the function send to its own queue, as a sweep does from page to page.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
    """
    functions = deployed.services.clients.functions
    try:
        answer = functions.get_function_recursion_config(FunctionName=deployed.function)
    except ClientError as error:
        if error.response["Error"].get("Code") not in _UNKNOWN_OPERATION:
            raise
        yield _unknown(
            f"Lambda in {deployed.services.region} does not know RecursiveLoop",
            "if RecursionStoppedAlarm fires, ask AWS Support to turn off recursive loop detection for "
            f"{deployed.function}",
        )
        return
    if answer.get("RecursiveLoop") == "Allow":
        yield _good("The function may invoke itself through its queue, as a sweep does")
        return
    yield _bad(
        "Lambda takes a sweep of more than about 1,600 secrets for an endless loop, and stops it",
        "aws lambda put-function-recursion-config --recursive-loop Allow "
        f"--function-name {deployed.function}",
    )


def queues_can_be_written_by_eventbridge(deployed: Deployed) -> Iterator[Finding]:
    """Say whether the queues' key is one that EventBridge can use: one that AWS manages is not.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    """
    sqs = deployed.services.clients.sqs
    keys: dict[str, list[str]] = {}
    for logical_id, url in deployed.names["AWS::SQS::Queue"].items():
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["KmsMasterKeyId"])
        keys.setdefault(attributes.get("Attributes", {}).get("KmsMasterKeyId", ""), []).append(logical_id)
    for key, queues in keys.items():
        yield _queue_key_finding(deployed, key, " and ".join(sorted(queues)))


def _queue_key_finding(deployed: Deployed, key: str, queues: str) -> Finding:
    if not key:
        return _good(f"{queues}: encrypted with SQS's own key")
    try:
        found = deployed.services.keys(deployed.services.region).describe_key(KeyId=key)["KeyMetadata"]
    except ClientError as error:
        if error.response["Error"].get("Code") != "NotFoundException":
            return _refused(f"The key {key} of {queues}", error)
        return _bad(f"The key {key} of {queues} is not there", "deploy with another QueueKmsKeyArn, or none")
    if found.get("KeyManager") == "AWS":
        return _bad(
            f"EventBridge can deliver nothing to {queues}: AWS manages the key {key}, and its policy shuts "
            "EventBridge out",
            "deploy with QueueKmsKeyArn empty, or with a customer managed key",
        )
    if found.get("KeyState") != "Enabled":
        return _bad(
            f"The key {key} of {queues} is {found.get('KeyState')}", "enable it, or deploy with another"
        )
    return _good(f"{queues}: the key {key} is enabled; its policy must let EventBridge use it")


def regions_can_be_used(deployed: Deployed) -> Iterator[Finding]:
    """Say whether the Regions of policy and AllowedRegions exist in this partition, and are enabled."""
    services = deployed.services
    partition = services.clients.session.get_partition_for_region(services.region)
    known = {*services.clients.session.get_available_regions("secretsmanager", partition)}
    wanted = _regions(deployed)
    for region in sorted(wanted - known):
        yield _bad(
            f"{region} is not a Region of the partition {partition}",
            "correct policy.toml or AllowedRegions, or update boto3 if the Region is new",
        )
    pages = services.account.get_paginator("list_regions").paginate(
        RegionOptStatusContains=["ENABLED", "ENABLED_BY_DEFAULT"]
    )
    enabled = {region.get("RegionName", "") for page in pages for region in page["Regions"]}
    for region in sorted(wanted & known - enabled):
        yield _bad(
            f"{region} is not enabled in this account", f"aws account enable-region --region-name {region}"
        )
    if usable := sorted(wanted & known & enabled):
        yield _good(f"Enabled in this account: {', '.join(usable)}")


def keys_can_be_used(deployed: Deployed) -> Iterator[Finding]:
    """Say whether each key of the policy resolves in its Region, and the role's policies let it be used."""
    role = _role_arn(deployed)
    for region, key in sorted(_keys(deployed.policy)):
        yield from _key_finding(deployed, region, key, role)


def policy_is_the_deployed_one(deployed: Deployed) -> Iterator[Finding]:
    """Say whether the policy that these commands decide by was deployed."""
    if path := deployed.environment.get("POLICY_FILE"):
        yield _unknown(f"The function reads {path}, not the packaged policy", "compare it there")
        return
    try:
        packaged = deployed_policy(deployed.services.clients, deployed.function)
    except UNREADABLE as error:
        yield _unknown(f"The function's code cannot be downloaded ({type(error).__name__})", "run it again")
        return
    yield from _wrong_policy(packaged)
    if packaged == deployed.policy_file.read_bytes():
        yield _good(f"The deployed policy is {shown(deployed.policy_file)}")
    else:
        yield _bad(
            f"The deployed policy is not {shown(deployed.policy_file)}",
            "see what changes with `replicas plan`, then sam build && sam deploy",
        )


def _wrong_policy(packaged: bytes) -> Iterator[Finding]:
    """Yield why the function cannot start with the deployed policy, if it cannot."""
    try:
        parse_policy(packaged, "The deployed policy")
    except PolicyError as error:
        yield _bad(f"The function cannot start: {error}", "correct the policy, deploy it, then redrive")


def no_dead_letters(deployed: Deployed) -> Iterator[Finding]:
    """Say whether a secret needs attention."""
    count = _messages(deployed, "DeadLetterQueue")
    if count:
        yield _bad(
            f"{counted(count, 'dead letter')}: not all secrets are where they must be",
            "replicas redrive --dry-run",
        )
    else:
        yield _good("There are no dead letters")


def nothing_is_stuck(deployed: Deployed) -> Iterator[Finding]:
    """Say whether a message has waited for more than an hour."""
    count = _messages(deployed, "ReplicationQueue")
    if not count:
        yield _good("Nothing waits in the ReplicationQueue")
        return
    oldest = _oldest_seconds(deployed)
    if oldest is None:
        yield _unknown(
            f"{counted(count, 'message')} in the queue, and CloudWatch does not show yet for how long",
            "run it again",
        )
    elif oldest > STUCK_SECONDS:
        yield _bad(
            f"A message has waited for {oldest / 3600:.1f} hours",
            "read the last lines of the function's log: `replicas status` names the secrets",
        )
    else:
        yield _good(
            f"{counted(count, 'message')} in the queue, none for longer than {oldest / 60:.0f} minutes"
        )


def no_alarm_fires(deployed: Deployed) -> Iterator[Finding]:
    """Say whether an alarm fires, and whether anybody would be notified."""
    names = [*deployed.names.get("AWS::CloudWatch::Alarm", {}).values()]
    found = deployed.services.cloudwatch.describe_alarms(AlarmNames=names, MaxRecords=100)["MetricAlarms"]
    by_name = {name: logical_id for logical_id, name in deployed.names["AWS::CloudWatch::Alarm"].items()}
    there = {alarm.get("AlarmName") for alarm in found}
    gone = [logical_id for name, logical_id in by_name.items() if name not in there]
    for logical_id in gone:
        yield _bad(f"The alarm {logical_id} is not there any more: nobody is notified", _MAKE_IT_AGAIN)
    firing = [alarm for alarm in found if alarm.get("StateValue") == "ALARM"]
    for alarm in firing:
        yield _bad(f"{by_name[alarm['AlarmName']]} is in alarm", alarm.get("AlarmDescription", ""))
    if not firing and not gone:
        yield _good(f"None of {len(found)} alarms is in alarm")
    if any(not alarm.get("AlarmActions") for alarm in found):
        yield _bad("Nobody hears of an alarm", "deploy with AlarmEmail or AlarmTopicArn")


CHECKS: tuple[Check, ...] = (
    the_function_can_start,
    versions_are_the_same,
    trail_logs_management_events,
    rules_are_enabled,
    queues_can_be_written_by_eventbridge,
    sweeps_are_not_taken_for_a_loop,
    regions_can_be_used,
    keys_can_be_used,
    policy_is_the_deployed_one,
    no_dead_letters,
    nothing_is_stuck,
    no_alarm_fires,
)


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


def _regions(deployed: Deployed) -> set[str]:
    policy = deployed.policy
    named = [*policy.groups.values(), *(rule.regions + rule.only for rule in policy.rules)]
    keyed = [policy.kms_keys, *(rule.kms_keys for rule in policy.rules)]
    allowed = deployed.environment.get("ALLOWED_REGIONS", "").split(",")
    return ({region for group in named for region in group} | {*allowed}).union(*keyed) - {""}


def _keys(policy: Policy) -> set[tuple[str, str]]:
    tables = (policy.kms_keys, *(rule.kms_keys for rule in policy.rules))
    return {(region, key) for table in tables for region, key in table.items()}


def _key_finding(deployed: Deployed, region: str, key: str, role: str) -> Iterator[Finding]:
    try:
        found = deployed.services.keys(region).describe_key(KeyId=key)["KeyMetadata"]
    except ClientError as error:
        if error.response["Error"].get("Code") != "NotFoundException":
            yield _refused(f"The key {key} in {region}", error)
            return
        yield _bad(
            f"There is no key {key} in {region}", "make it there, or correct [kms_keys] in policy.toml"
        )
        return
    if found.get("KeyState") != "Enabled":
        yield _bad(f"The key {key} in {region} is {found.get('KeyState')}", "enable it, or name another one")
        return
    yield from _permission_finding(deployed, region, key, found.get("Arn", ""), role)


def _permission_finding(deployed: Deployed, region: str, key: str, arn: str, role: str) -> Iterator[Finding]:
    answer = deployed.services.iam.simulate_principal_policy(
        PolicySourceArn=role,
        ActionNames=["kms:GenerateDataKey", "kms:Encrypt"],
        ResourceArns=[arn],
        ContextEntries=[
            {
                "ContextKeyName": "kms:ViaService",
                "ContextKeyValues": [f"secretsmanager.{region}.amazonaws.com"],
                "ContextKeyType": "string",
            }
        ],
    )
    denied = [
        result["EvalActionName"]
        for result in answer["EvaluationResults"]
        if result["EvalDecision"] != "allowed"
    ]
    if denied:
        yield _bad(
            f"The role may not use {key} in {region} ({', '.join(denied)})", f"add {arn} to KmsKeyArns"
        )
    else:
        yield _good(
            f"{key} in {region} is enabled, and the role's policies allow it. The key's own must, too"
        )


def _role_arn(deployed: Deployed) -> str:
    name = deployed.one("AWS::IAM::Role", "ReplicatorFunctionRole")
    return deployed.services.iam.get_role(RoleName=name)["Role"]["Arn"]


def _messages(deployed: Deployed, logical_id: str) -> int:
    attributes = deployed.services.clients.sqs.get_queue_attributes(
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
        for point in deployed.services.cloudwatch.get_metric_statistics(
            Namespace=space,
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value}],
            StartTime=now - _LOOK_BACK,
            EndTime=now,
            Period=300,
            Statistics=["Maximum"],
        )["Datapoints"]
    ]
    return max(found, default=None)


def _is_gone(error: ClientError) -> bool:
    return error.response["Error"].get("Code") in _GONE


def _gone(check: Check, error: ClientError) -> Finding:
    """Return what it means that a part of the stack was deleted by hand."""
    return _bad(f"{_name(check)}? {error.operation_name}: it is not there any more", _MAKE_IT_AGAIN)


def _name(check: Check) -> str:
    return check.__name__.replace("_", " ").capitalize()


def _refused(what: str, error: ClientError) -> Finding:
    code = error.response["Error"].get("Code", "")
    if code.startswith(_DENIED):
        missing = _ACTIONS[error.operation_name]
        return _unknown(f"{what}: the permission {missing} is missing", "allow it for who runs this")
    return _unknown(f"{what}: {error.operation_name} failed ({code})", "run it again")


def _good(text: str) -> Finding:
    return Finding(Verdict.GOOD, text)


def _bad(text: str, remedy: str) -> Finding:
    return Finding(Verdict.BAD, text, remedy)


def _unknown(text: str, remedy: str) -> Finding:
    return Finding(Verdict.UNKNOWN, text, remedy)
