"""What template.yaml promises, read from what SAM makes of it, for every setting of the switches."""

import io
import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from local.secrets_manager.model import Fault
from replicas.aws.dead_letters import HIDDEN_SECONDS
from secret_replicator import VERSION, app, budget, reconciler, settle
from secret_replicator.errors import SettingsError
from secret_replicator.outcome_events import CONVERGED, FAILED, SOURCE
from secret_replicator.policy import REGION_CODE
from secret_replicator.settings import Settings, read_settings
from tests.support.fakes.queues import FakeQueues
from tests.support.world import make_world
from tests.template.stack import PSEUDO, Stack, declared, deployed

KEYS = "arn:aws:kms:us-east-1:123456789012:key/1,arn:aws:kms:eu-west-1:123456789012:key/2"
SECRETS = "arn:aws:secretsmanager:us-east-1:123456789012:secret:*"
RULES = {"SecretChangedRule", "ReplicationFailedRule", "SecretLabelUpdatedRule", "SweepSchedule"}
QUEUE_KEY = "arn:aws:kms:us-east-1:123456789012:key/3"
LOG_KEY = "arn:aws:kms:us-east-1:123456789012:key/4"
BOUNDARY = "arn:aws:iam::123456789012:policy/bounds"
ROOT = Path(__file__).parents[2]
FOURTEEN_DAYS_SECONDS = 14 * 24 * 60 * 60

SWITCHES = [
    pytest.param(
        deployed(
            Mode=mode,
            AllowOverwrite=overwrite,
            PruneReplicas=prune,
            KmsKeyArns=keys,
            QueueKmsKeyArn=queue_key,
            PublishEvents=tell,
        ),
        id=f"{mode}, overwrite {overwrite}, prune {prune}, {'keys' if keys else 'no keys'}"
        f"{', queues with a key' if queue_key else ''}, tell {tell}",
    )
    for mode, overwrite, prune, keys, queue_key, tell in product(
        ["apply", "plan"],
        ["false", "true"],
        ["false", "true"],
        ["", KEYS],
        ["", QUEUE_KEY],
        ["false", "true"],
    )
]
every_setting = pytest.mark.parametrize("stack", SWITCHES)


def listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def on(stack: Stack, switch: str) -> bool:
    return stack.parameters.get(switch, "false") == "true"


# --- names other things depend on


def test_logical_ids_that_others_depend_on() -> None:
    types = {name: resource["Type"] for name, resource in deployed().resources.items()}
    assert {
        "ReplicatorFunction": "AWS::Lambda::Function",
        "ReplicationQueue": "AWS::SQS::Queue",
        "DeadLetterQueue": "AWS::SQS::Queue",
        **dict.fromkeys(RULES, "AWS::Events::Rule"),
    }.items() <= types.items()


def test_outputs_that_others_depend_on() -> None:
    outputs = {name: deployed().resolved(output["Value"]) for name, output in declared()["Outputs"].items()}
    assert outputs == {
        "ReplicatorFunctionName": "ReplicatorFunction",
        "ReplicationQueueUrl": "ReplicationQueue",
        "DeadLetterQueueUrl": "DeadLetterQueue",
        "DashboardUrl": "https://us-east-1.console.aws.amazon.com/cloudwatch/home"
        "?region=us-east-1#dashboards/dashboard/Dashboard",
        "ReplicatorFunctionRoleArn": "ReplicatorFunctionRole.Arn",
        "Version": VERSION,
    }


@pytest.mark.parametrize(
    ("partition", "host"),
    [
        ("aws", "console.aws.amazon.com"),
        ("aws-cn", "console.amazonaws.cn"),
        ("aws-us-gov", "console.amazonaws-us-gov.com"),
    ],
)
def test_the_dashboards_address_is_that_of_the_partitions_console(partition: str, host: str) -> None:
    stack = deployed(**{"AWS::Partition": partition})
    url = stack.resolved(declared()["Outputs"]["DashboardUrl"]["Value"])
    assert url == f"https://us-east-1.{host}/cloudwatch/home?region=us-east-1#dashboards/dashboard/Dashboard"


def test_the_consoles_address_stands_in_the_template_alone() -> None:
    """A second place would be the one that is wrong in China."""
    code = [path for folder in ("functions", "replicas", "local") for path in (ROOT / folder).rglob("*.py")]
    assert code
    assert not [path for path in code if re.search(r"console\.a(ws|mazonaws)", path.read_text("utf-8"))]


def test_parameters_and_their_defaults() -> None:
    assert {name: parameter.get("Default") for name, parameter in declared()["Parameters"].items()} == {
        "AllowedRegions": None,
        "Mode": "apply",
        "AllowOverwrite": "false",
        "PruneReplicas": "false",
        "PruneIdleDays": "7",
        "WritesPerSecond": "20",
        "MaximumConcurrency": "2",
        "MaxAttempts": "10",
        "SweepRate": "rate(1 day)",
        "KmsKeyArns": "",
        "PermissionsBoundaryArn": "",
        "RolePath": "/",
        "QueueKmsKeyArn": "",
        "LogKmsKeyArn": "",
        "AlarmEmail": "",
        "AlarmTopicArn": "",
        "SweepAlarmDays": "2",
        "PublishEvents": "true",
        "LogLevel": "INFO",
        "LogRetentionDays": 30,
        "Architecture": "arm64",
    }


@pytest.mark.parametrize("name", sorted(declared()["Parameters"]))
def test_a_parameter_is_described_and_limited(name: str) -> None:
    parameter = declared()["Parameters"][name]
    assert parameter["Description"]
    assert {"AllowedPattern", "AllowedValues"} & parameter.keys()
    if "AllowedValues" in parameter:
        assert parameter["Default"] in parameter["AllowedValues"]
    if "AllowedPattern" in parameter and "Default" in parameter:
        assert re.search(parameter["AllowedPattern"], parameter["Default"])


def test_only_the_allowed_regions_must_be_given() -> None:
    assert [name for name, item in declared()["Parameters"].items() if "Default" not in item] == [
        "AllowedRegions"
    ]


def test_the_template_and_the_function_agree_what_a_region_is() -> None:
    """What one accepts and the other refuses is a stack that deploys and never starts."""
    assert declared()["Parameters"]["AllowedRegions"]["AllowedPattern"] == f"^{REGION_CODE.pattern}$"


@pytest.mark.parametrize(
    ("keys", "accepted"),
    [
        pytest.param("arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab", True, id="a key"),
        pytest.param("arn:aws:kms:us-east-1:123456789012:key/mrk-1234abcd", True, id="a key of many Regions"),
        pytest.param("arn:aws-cn:kms:cn-north-1:123456789012:key/*", True, id="every key of an account"),
        pytest.param(
            "arn:aws:kms:us-east-1:123456789012:alias/secrets", False, id="an alias, which IAM ignores"
        ),
        pytest.param("*", False, id="everything"),
        pytest.param("arn:aws:kms:*:*:key/*", False, id="every key there is"),
        pytest.param("arn:aws:iam::123456789012:role/x", False, id="no key at all"),
    ],
)
def test_keys_are_named_by_the_arn_that_iam_compares(keys: str, *, accepted: bool) -> None:
    pattern = declared()["Parameters"]["KmsKeyArns"]["AllowedPattern"]
    assert bool(re.search(pattern, keys)) is accepted


def test_nothing_has_a_name_of_its_own() -> None:
    """Two stacks in one Region, or a replacement, would collide."""
    names = {
        "FunctionName",
        "Name",
        "QueueName",
        "RoleName",
        "TopicName",
        "AlarmName",
        "DashboardName",
        "LogGroupName",
    }
    for logical_id, resource in deployed(AlarmEmail="ops@example.com").resources.items():
        given = names & resource["Properties"].keys()
        assert not given or resource["Type"] == "AWS::Lambda::EventSourceMapping", f"{logical_id} has {given}"


@pytest.mark.parametrize(
    ("parameter", "value", "accepted"),
    [
        pytest.param("QueueKmsKeyArn", QUEUE_KEY, True, id="a key for the queues"),
        pytest.param("LogKmsKeyArn", LOG_KEY, True, id="a key for the log"),
        pytest.param(
            "QueueKmsKeyArn", "alias/aws/sqs", False, id="AWS's key for SQS: EventBridge could not deliver"
        ),
        pytest.param("LogKmsKeyArn", "1234abcd-12ab", False, id="a key id, which IAM does not compare"),
        pytest.param("PermissionsBoundaryArn", BOUNDARY, True, id="a boundary"),
        pytest.param("PermissionsBoundaryArn", "bounds", False, id="a boundary by its name"),
        pytest.param("RolePath", "/platform/security/", True, id="a path"),
        pytest.param("RolePath", "platform", False, id="a path without slashes"),
    ],
)
def test_what_an_organisation_demands_is_named_as_aws_wants_it(
    parameter: str, value: str, *, accepted: bool
) -> None:
    assert bool(re.search(declared()["Parameters"][parameter]["AllowedPattern"], value)) is accepted


# --- the function


def test_the_function_runs_on_what_it_is_built_for() -> None:
    function = deployed().properties("ReplicatorFunction")
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["arm64"]
    assert function["Handler"] == "secret_replicator.app.handler"
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert function["Role"] == "ReplicatorFunctionRole.Arn"
    assert deployed(Architecture="x86_64").properties("ReplicatorFunction")["Architectures"] == ["x86_64"]


def test_the_handler_exists() -> None:
    module, _, name = deployed().properties("ReplicatorFunction")["Handler"].rpartition(".")
    assert module == app.__name__
    assert callable(getattr(app, name))


def test_a_failed_message_stays_and_the_others_of_its_batch_do_not() -> None:
    (mapping,) = deployed(MaximumConcurrency="7").of_type("AWS::Lambda::EventSourceMapping").values()
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["EventSourceArn"] == "ReplicationQueue.Arn"
    assert mapping["FunctionName"] == "ReplicatorFunction"
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": "7"}
    assert mapping["BatchSize"] <= 10, "a batch of more needs a batching window"
    assert mapping.get("Enabled", True) is True


def test_a_message_is_hidden_six_times_as_long_as_the_function_may_run() -> None:
    stack = deployed()
    timeout = stack.properties("ReplicatorFunction")["Timeout"]
    assert stack.properties("ReplicationQueue")["VisibilityTimeout"] == 6 * timeout


def test_the_functions_own_times_fit_into_its_timeout() -> None:
    timeout_seconds = deployed().properties("ReplicatorFunction")["Timeout"]
    assert settle.RESERVED_SECONDS >= budget.CALL_SECONDS, "there must be time for one more call to SQS"
    assert timeout_seconds >= settle.RESERVED_SECONDS + 2 * budget.CALL_SECONDS, (
        "a look is two calls at least"
    )


@pytest.mark.parametrize(
    "client", [app.app.reconciler.gateway.client, app.app.settler.queue.client], ids=["gateway", "queue"]
)
def test_no_call_takes_longer_than_the_function_counts_on(client: Any) -> None:
    config = client.meta.config
    assert config.retries["mode"] == "standard"
    tries = config.retries["total_max_attempts"]
    longest_seconds = tries * (config.connect_timeout + config.read_timeout) + (
        tries - 1
    )  # first backoff: up to 1 s
    assert longest_seconds <= budget.CALL_SECONDS


@every_setting
def test_the_environment_is_exactly_what_the_function_reads(stack: Stack) -> None:
    variables = stack.properties("ReplicatorFunction")["Environment"]["Variables"]
    read: set[str] = set()

    class Recorded(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            read.add(key)
            return super().get(key, default)

    settings = read_settings(Recorded(variables | {"AWS_REGION": "us-east-1"}))
    given = {name for name in variables if not name.startswith("POWERTOOLS_")}
    assert given == read - {"AWS_REGION", "POLICY_FILE"}
    assert settings == Settings(
        region="us-east-1",
        allowed_regions=("eu-west-1", "us-west-2"),
        mode=stack.parameters["Mode"],
        allow_overwrite=on(stack, "AllowOverwrite"),
        prune_replicas=on(stack, "PruneReplicas"),
        prune_idle_days=7,
        writes_per_second=20,
        maximum_concurrency=2,
        max_attempts=10,
        queue_url="ReplicationQueue",
        dead_letter_queue_url="DeadLetterQueue",
        policy_file=settings.policy_file,
        publish_events=on(stack, "PublishEvents"),
    )


WHOLE_NUMBERS = {
    "PruneIdleDays": (1, 365, "prune_idle_days"),
    "WritesPerSecond": (2, 50, "writes_per_second"),
    "MaximumConcurrency": (2, 50, "maximum_concurrency"),
    "MaxAttempts": (3, 20, "max_attempts"),
    "SweepAlarmDays": (1, 7, ""),
}


@pytest.mark.parametrize("parameter", WHOLE_NUMBERS)
def test_a_number_is_a_whole_one_within_its_range(parameter: str) -> None:
    """CloudFormation's own Number takes 7.5 and 10.0, and the function would not start."""
    least, most, _ = WHOLE_NUMBERS[parameter]
    declaration = declared()["Parameters"][parameter]
    assert declaration["Type"] == "String"
    taken = {number for number in range(1000) if re.search(declaration["AllowedPattern"], str(number))}
    assert taken == {*range(least, most + 1)}
    for text in (f"{least}.5", f"{most}.0", f"-{most}", f" {most}", f"0{least}", "1e1", ""):
        assert not re.search(declaration["AllowedPattern"], text)
    assert f"from {least} to {most}" in declaration["ConstraintDescription"]


@pytest.mark.parametrize("parameter", [name for name, (*_, field) in WHOLE_NUMBERS.items() if field])
def test_the_function_starts_with_the_ends_of_every_range(parameter: str) -> None:
    least, most, field = WHOLE_NUMBERS[parameter]
    for value in (least, most):
        others = {"MaximumConcurrency": "1"} if parameter == "WritesPerSecond" else {"WritesPerSecond": "50"}
        stack = deployed(**{**others, parameter: str(value)})
        variables = stack.properties("ReplicatorFunction")["Environment"]["Variables"]
        settings = read_settings(variables | {"AWS_REGION": "us-east-1"})
        assert getattr(settings, field) == value


def starts(writes: int, instances: int) -> bool:
    stack = deployed(WritesPerSecond=str(writes), MaximumConcurrency=str(instances))
    variables = stack.properties("ReplicatorFunction")["Environment"]["Variables"]
    try:
        return bool(read_settings(variables | {"AWS_REGION": "us-east-1"}))
    except SettingsError:
        return False


def test_the_templates_rules_refuse_nothing_that_works() -> None:
    for writes, instances in product(range(2, 51), repeat=2):
        if writes >= instances:
            stack = deployed(WritesPerSecond=str(writes), MaximumConcurrency=str(instances))
            assert not stack.refusals(), f"{instances} instances, {writes} writes"


@pytest.mark.parametrize(
    ("writes", "instances"), [(2, 3), (4, 5), (4, 10), (9, 10), (19, 20), (20, 30), (20, 50)]
)
def test_the_templates_rules_refuse_what_would_deploy_and_never_start(writes: int, instances: int) -> None:
    assert not starts(writes, instances)
    stack = deployed(WritesPerSecond=str(writes), MaximumConcurrency=str(instances))
    assert "MaximumConcurrency must be at most WritesPerSecond" in stack.refusals()


def test_a_sweep_may_invoke_the_function_again_and_again() -> None:
    """Lambda stops a function that feeds its own queue after 16 invocations: 1,600 secrets."""
    assert deployed().properties("ReplicatorFunction")["RecursiveLoop"] == "Allow"


def test_the_log_is_kept_as_long_as_asked_and_goes_with_the_stack() -> None:
    stack = deployed(LogRetentionDays="7")
    assert stack.properties("ReplicatorFunctionLogGroup") == {"RetentionInDays": "7"}
    assert stack.properties("ReplicatorFunction")["LoggingConfig"] == {
        "LogGroup": "ReplicatorFunctionLogGroup"
    }


def test_the_log_is_encrypted_with_a_key_of_ones_own_if_there_is_one() -> None:
    assert deployed(LogKmsKeyArn=LOG_KEY).properties("ReplicatorFunctionLogGroup")["KmsKeyId"] == LOG_KEY


# --- queues and rules: both failure hops


@pytest.mark.parametrize("name", ["ReplicationQueue", "DeadLetterQueue"])
def test_a_queue_is_encrypted_so_that_eventbridge_can_still_write(name: str) -> None:
    queue = deployed().properties(name)
    assert queue["SqsManagedSseEnabled"] is True
    assert "KmsMasterKeyId" not in queue
    assert "FifoQueue" not in queue
    assert queue["MessageRetentionPeriod"] == FOURTEEN_DAYS_SECONDS


@pytest.mark.parametrize("name", ["ReplicationQueue", "DeadLetterQueue"])
def test_a_queue_is_encrypted_with_a_key_of_ones_own_if_there_is_one(name: str) -> None:
    queue = deployed(QueueKmsKeyArn=QUEUE_KEY).properties(name)
    assert queue["KmsMasterKeyId"] == QUEUE_KEY
    assert "SqsManagedSseEnabled" not in queue, "SQS refuses both"


def test_dead_letters_outlive_the_stack() -> None:
    queue = deployed().resources["DeadLetterQueue"]
    assert (queue["DeletionPolicy"], queue["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_what_crashes_the_function_ends_in_the_dead_letter_queue_but_after_its_own_last_attempt() -> None:
    redrive = deployed().properties("ReplicationQueue")["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == "DeadLetterQueue.Arn"
    assert redrive["maxReceiveCount"] > WHOLE_NUMBERS["MaxAttempts"][1]
    assert redrive["maxReceiveCount"] == FakeQueues(time.time).max_receive_count


def test_the_rules_are_those_of_the_design_and_enabled() -> None:
    rules = deployed().of_type("AWS::Events::Rule")
    assert rules.keys() == RULES
    for rule in rules.values():
        assert rule.get("State", "ENABLED") == "ENABLED"
        assert "EventBusName" not in rule, "CloudTrail delivers to the default bus only"
    assert (
        deployed(SweepRate="rate(1 hour)").properties("SweepSchedule")["ScheduleExpression"] == "rate(1 hour)"
    )


@pytest.mark.parametrize("name", sorted(RULES))
def test_what_eventbridge_cannot_deliver_is_not_lost(name: str) -> None:
    (target,) = deployed().properties(name)["Targets"]
    assert target["Arn"] == "ReplicationQueue.Arn"
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
    assert target["DeadLetterConfig"] == {"Arn": "DeadLetterQueue.Arn"}


RULE_ARNS = [
    "SecretChangedRule.Arn",
    "ReplicationFailedRule.Arn",
    "SecretLabelUpdatedRule.Arn",
    "SweepSchedule.Arn",
]
ELSEWHERE = {"aws:PrincipalAccount": PSEUDO["AWS::AccountId"]}
QUEUE_STATEMENTS = {
    "RulesSend": {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Condition": {"ArnEquals": {"aws:SourceArn": RULE_ARNS}},
    },
    # EventBridge has no account: what is denied to others' accounts must not be denied to our rules.
    "NobodyElseSends": {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:SendMessage",
        "Condition": {"ArnNotEquals": {"aws:SourceArn": RULE_ARNS}, "StringNotEquals": ELSEWHERE},
    },
    "OnlyThisAccountReads": {
        "Effect": "Deny",
        "Principal": "*",
        "Action": [
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:PurgeQueue",
        ],
        "Condition": {"StringNotEquals": ELSEWHERE},
    },
    "OnlyOverTls": {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    },
}


@pytest.mark.parametrize("name", ["ReplicationQueue", "DeadLetterQueue"])
def test_the_rules_and_this_account_alone_use_a_queue_and_only_over_tls(name: str) -> None:
    (document,) = [
        policy["PolicyDocument"]
        for policy in deployed().of_type("AWS::SQS::QueuePolicy").values()
        if policy["Queues"] == [name]
    ]
    assert {item["Sid"]: statement_without_sid(item) for item in document["Statement"]} == {
        sid: statement | {"Resource": f"{name}.Arn"} for sid, statement in QUEUE_STATEMENTS.items()
    }


def statement_without_sid(statement: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in statement.items() if key != "Sid"}


# --- permissions


def statements(stack: Stack) -> list[dict[str, Any]]:
    (policy,) = stack.properties("ReplicatorFunctionRole")["Policies"]
    return policy["PolicyDocument"]["Statement"]


def granted(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return the statement that allows each action. What has two purposes has its resource beside it."""
    allowing = [statement for statement in statements(stack) if statement["Effect"] == "Allow"]
    pairs = [(action, statement) for statement in allowing for action in listed(statement["Action"])]
    named = [
        (f"{action} {statement['Resource']}" if has_two_purposes(action, statement) else action, statement)
        for action, statement in pairs
    ]
    assert len({name for name, _ in named}) == len(named), "an action is allowed twice"
    return dict(named)


def has_two_purposes(action: str, statement: Mapping[str, Any]) -> bool:
    return action == "sqs:SendMessage" or statement["Sid"] in {"UseTheQueuesKey", "LookForPromotedCopies"}


SECRETS_ANYWHERE = SECRETS.replace(":us-east-1:", ":*:")
ALWAYS = {
    "secretsmanager:DescribeSecret": SECRETS,
    "secretsmanager:ListSecrets": "*",
    "sqs:ReceiveMessage": "ReplicationQueue.Arn",
    "sqs:DeleteMessage": "ReplicationQueue.Arn",
    "sqs:GetQueueAttributes": "ReplicationQueue.Arn",
    "sqs:ChangeMessageVisibility": "ReplicationQueue.Arn",
    "sqs:SendMessage ReplicationQueue.Arn": "ReplicationQueue.Arn",
    "sqs:SendMessage DeadLetterQueue.Arn": "DeadLetterQueue.Arn",
    "logs:CreateLogStream": "ReplicatorFunctionLogGroup.Arn",
    "logs:PutLogEvents": "ReplicatorFunctionLogGroup.Arn",
    "xray:PutTraceSegments": "*",
    "xray:PutTelemetryRecords": "*",
}


@every_setting
def test_the_function_may_do_exactly_what_the_switches_say(stack: Stack) -> None:
    writes = stack.parameters["Mode"] == "apply"
    expected = dict(ALWAYS)
    if writes:
        expected["secretsmanager:ReplicateSecretToRegions"] = SECRETS
    if writes and on(stack, "AllowOverwrite"):
        expected[f"secretsmanager:DescribeSecret {SECRETS_ANYWHERE}"] = SECRETS_ANYWHERE
    if writes and on(stack, "PruneReplicas"):
        expected["secretsmanager:RemoveRegionsFromReplication"] = SECRETS
    if writes and (keys := stack.parameters["KmsKeyArns"]):
        expected |= dict.fromkeys(["kms:Decrypt", "kms:GenerateDataKey", "kms:Encrypt"], keys.split(","))
    if key := stack.parameters["QueueKmsKeyArn"]:
        expected |= {f"{action} {key}": key for action in ("kms:Decrypt", "kms:GenerateDataKey")}
    if stack.parameters["PublishEvents"] == "true":
        expected["events:PutEvents"] = "arn:aws:events:us-east-1:123456789012:event-bus/default"
    assert {action: statement["Resource"] for action, statement in granted(stack).items()} == expected


@every_setting
def test_replication_is_pinned_to_the_allowed_regions_and_to_secrets_of_this_region(stack: Stack) -> None:
    statement = granted(stack).get("secretsmanager:ReplicateSecretToRegions")
    if stack.parameters["Mode"] == "plan":
        assert statement is None
        return
    assert statement is not None
    condition = statement["Condition"]
    may_overwrite = condition["BoolIfExists"].pop("secretsmanager:ForceOverwriteReplicaSecret")
    assert {*listed(may_overwrite)} == ({"false", "true"} if on(stack, "AllowOverwrite") else {"false"})
    assert condition == {
        "ForAllValues:StringEquals": {"secretsmanager:AddReplicaRegions": ["eu-west-1", "us-west-2"]},
        "StringEqualsIfExists": {"secretsmanager:SecretPrimaryRegion": PSEUDO["AWS::Region"]},
        "BoolIfExists": {},
    }


def test_secrets_of_other_regions_are_seen_where_they_may_be_overwritten_alone() -> None:
    seen = granted(deployed(AllowOverwrite="true"))[f"secretsmanager:DescribeSecret {SECRETS_ANYWHERE}"]
    assert seen["Condition"] == {"StringEquals": {"aws:RequestedRegion": ["eu-west-1", "us-west-2"]}}


@every_setting
def test_no_secret_value_can_be_read(stack: Stack) -> None:
    denied = [statement_without_sid(item) for item in statements(stack) if item["Effect"] == "Deny"]
    assert denied == [
        {
            "Effect": "Deny",
            "Action": ["secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue"],
            "Resource": "*",
        }
    ]


@every_setting
def test_every_statement_names_its_purpose_and_its_actions(stack: Stack) -> None:
    sids = [statement["Sid"] for statement in statements(stack)]
    assert len({*sids}) == len(sids)
    for statement in statements(stack):
        assert not statement.keys() & {"NotAction", "NotResource"}
        assert not [action for action in listed(statement["Action"]) if "*" in action or "?" in action]


def test_a_key_is_used_through_the_service_that_it_is_for_only() -> None:
    allowed = granted(deployed(KmsKeyArns=KEYS, QueueKmsKeyArn=QUEUE_KEY))
    assert allowed["kms:Decrypt"]["Condition"] == {
        "StringLike": {
            "kms:ViaService": ["secretsmanager.*.amazonaws.com", "secretsmanager.*.amazonaws.com.cn"]
        }
    }
    assert allowed[f"kms:Decrypt {QUEUE_KEY}"]["Condition"] == {
        "StringEquals": {"kms:ViaService": ["sqs.us-east-1.amazonaws.com", "sqs.us-east-1.amazonaws.com.cn"]}
    }


def test_nothing_can_be_published_in_the_name_of_another_source() -> None:
    condition = granted(deployed())["events:PutEvents"]["Condition"]
    assert condition == {"StringEquals": {"events:source": SOURCE, "events:detail-type": [CONVERGED, FAILED]}}


def test_a_role_is_made_as_the_organisation_demands() -> None:
    role = deployed(PermissionsBoundaryArn=BOUNDARY, RolePath="/platform/").properties(
        "ReplicatorFunctionRole"
    )
    assert (role["PermissionsBoundary"], role["Path"]) == (BOUNDARY, "/platform/")
    plain = deployed().properties("ReplicatorFunctionRole")
    assert "PermissionsBoundary" not in plain
    assert plain["Path"] == "/"


def test_there_is_one_role_only_lambda_may_take_it_and_nothing_is_added_to_it() -> None:
    stack = deployed()
    assert stack.of_type("AWS::IAM::Role").keys() == {"ReplicatorFunctionRole"}
    assert not [
        kind for kind in ("Policy", "ManagedPolicy", "RolePolicy") if stack.of_type(f"AWS::IAM::{kind}")
    ]
    role = stack.properties("ReplicatorFunctionRole")
    assert "ManagedPolicyArns" not in role
    assert [statement_without_sid(item) for item in role["AssumeRolePolicyDocument"]["Statement"]] == [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ]


# --- alarms and the dashboard: every metric they show is one that is published

QUEUES, FUNCTIONS = {"ReplicationQueue.QueueName", "DeadLetterQueue.QueueName"}, {"ReplicatorFunction"}
AWS_METRICS = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): ("QueueName", QUEUES),
    ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible"): ("QueueName", QUEUES),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): ("QueueName", QUEUES),
    ("AWS/Lambda", "Errors"): ("FunctionName", FUNCTIONS),
    ("AWS/Lambda", "Invocations"): ("FunctionName", FUNCTIONS),
    ("AWS/Lambda", "Throttles"): ("FunctionName", FUNCTIONS),
    ("AWS/Lambda", "RecursiveInvocationsDropped"): ("FunctionName", FUNCTIONS),
    ("AWS/Events", "FailedInvocations"): ("RuleName", RULES),
    ("AWS/Events", "InvocationsFailedToBeSentToDlq"): ("RuleName", RULES),
}
"""What AWS publishes, with which dimension. For rules of the default bus it is RuleName alone.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html,
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html,
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
"""

Metric = tuple[str, str, dict[str, str]]


@cache
def published_metrics() -> list[Metric]:
    """Return what the handler prints for a day with all that can happen."""
    printed = io.StringIO()
    with TemporaryDirectory() as folder, redirect_stdout(printed):
        world = make_world(Path(folder), "refused", seconds_in_progress=100)
        for name, to in (("a", "eu-west-1"), ("wrong", "eu-wst-1"), ("taken", "us-west-2"), ("none", None)):
            world.add(name, to=to)
            world.send(name)
        world.secrets.add_secret("us-west-2", "taken")
        world.queues.send('{"sweep": {}}')
        world.secrets.fail_next("DescribeSecret", Fault("ThrottlingException"))
        world.deliver_until_empty()
        world.secrets.secret(PSEUDO["AWS::Region"], "a").tags["replicate-to"] = "none"
        world.send("a")
        world.deliver_until_empty()
    found = []
    for record in (json.loads(line) for line in printed.getvalue().splitlines() if "_aws" in line):
        (directive,) = record["_aws"]["CloudWatchMetrics"]
        (names,) = directive["Dimensions"]
        dimensions = {name: record[name] for name in names}
        found += [(directive["Namespace"], metric["Name"], dimensions) for metric in directive["Metrics"]]
    return found


def assert_published(namespace: str, metric: str, dimensions: Mapping[str, str]) -> None:
    """Fail unless AWS or the function publishes this metric with exactly these dimensions."""
    if namespace.startswith("AWS/"):
        name, values = AWS_METRICS[namespace, metric]
        assert dimensions.keys() == {name}
        assert dimensions[name] in values
        return
    own = [found for space, name, found in published_metrics() if (space, name) == (namespace, metric)]
    assert dimensions.keys() in [found.keys() for found in own], f"{metric} is not published with these"
    assert dimensions["service"] == own[0]["service"]
    if reason := dimensions.get("reason"):
        code = [path.read_text("utf-8") for path in Path(reconciler.__file__).parent.glob("*.py")]
        assert any(f'"{reason}"' in text for text in code), "nothing is skipped for this reason"


ALARMS = {
    "DeadLetterAlarm": ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "DeadLetterQueue.QueueName"),
    "BacklogAgeAlarm": ("AWS/SQS", "ApproximateAgeOfOldestMessage", "ReplicationQueue.QueueName"),
    "SecretWaitingAlarm": ("SecretReplicator", "SecondsWaiting", "secret-replicator"),
    "ReplicaFailedAlarm": ("SecretReplicator", "FailedReplicas", "secret-replicator"),
    "FunctionErrorsAlarm": ("AWS/Lambda", "Errors", "ReplicatorFunction"),
    "FunctionThrottledAlarm": ("AWS/Lambda", "Throttles", "ReplicatorFunction"),
    "CallsThrottledAlarm": ("SecretReplicator", "ThrottledCalls", "secret-replicator"),
    "SweepMissingAlarm": ("SecretReplicator", "Swept", "secret-replicator"),
    "RecursionStoppedAlarm": ("AWS/Lambda", "RecursiveInvocationsDropped", "ReplicatorFunction"),
    **{f"{rule}UndeliveredAlarm": ("AWS/Events", "FailedInvocations", rule) for rule in RULES},
    **{f"{rule}LostAlarm": ("AWS/Events", "InvocationsFailedToBeSentToDlq", rule) for rule in RULES},
}


@pytest.mark.parametrize("name", sorted(ALARMS))
def test_an_alarm_watches_a_metric_that_is_published_with_just_its_dimensions(name: str) -> None:
    properties = deployed().properties(name)
    dimensions = {item["Name"]: item["Value"] for item in properties["Dimensions"]}
    assert (properties["Namespace"], properties["MetricName"], *dimensions.values()) == ALARMS[name]
    assert_published(properties["Namespace"], properties["MetricName"], dimensions)
    assert properties.get("ActionsEnabled", True) is True


@pytest.mark.parametrize("name", sorted(ALARMS.keys() - {"SweepMissingAlarm"}))
def test_an_alarm_is_silent_while_nothing_is_published(name: str) -> None:
    properties = deployed().properties(name)
    assert properties["ComparisonOperator"] == "GreaterThanThreshold"
    assert properties["TreatMissingData"] == "notBreaching"


@pytest.mark.parametrize("name", sorted(ALARMS))
def test_an_alarm_says_what_it_means_and_what_to_do(name: str) -> None:
    description = deployed().properties(name)["AlarmDescription"]
    assert re.fullmatch(r"[^.]+\..* Do: .+\. docs/reference/alarms-and-metrics\.md", description)
    assert len(description) <= 1024, "CloudWatch takes no more"


@pytest.mark.parametrize("rule", sorted(RULES))
def test_an_event_that_is_lost_and_one_that_is_kept_have_texts_of_their_own(rule: str) -> None:
    kept = deployed().properties(f"{rule}UndeliveredAlarm")["AlarmDescription"]
    lost = deployed().properties(f"{rule}LostAlarm")["AlarmDescription"]
    assert f"The dead-letter queue has it, unless {rule}LostAlarm fires too" in kept
    assert "it is lost" in lost
    assert "`replicas sweep`" in lost, "only a sweep finds what no event says any more"


def test_every_alarm_stands_in_the_table_above() -> None:
    assert deployed().of_type("AWS::CloudWatch::Alarm").keys() == ALARMS.keys()


@pytest.mark.parametrize(
    ("name", "statistic", "threshold"),
    [
        ("DeadLetterAlarm", "Maximum", 0),
        ("FunctionErrorsAlarm", "Sum", 0),
        ("ReplicaFailedAlarm", "Sum", 0),
        ("BacklogAgeAlarm", "Maximum", 3600),
        ("SecretWaitingAlarm", "Maximum", 3600),
        ("RecursionStoppedAlarm", "Sum", 0),
        *((f"{rule}UndeliveredAlarm", "Sum", 0) for rule in sorted(RULES)),
        *((f"{rule}LostAlarm", "Sum", 0) for rule in sorted(RULES)),
    ],
)
def test_the_first_of_them_raises_an_alarm(name: str, statistic: str, threshold: int) -> None:
    properties = deployed().properties(name)
    assert (properties["Statistic"], properties["Threshold"]) == (statistic, threshold)
    assert properties.get("DatapointsToAlarm", properties["EvaluationPeriods"]) == 1


def test_reading_the_dead_letters_does_not_end_their_alarm() -> None:
    """Who reads them hides them: a minute may show none. An alarm that ends so would fire again."""
    properties = deployed().properties("DeadLetterAlarm")
    minutes_hidden = math.ceil(HIDDEN_SECONDS / properties["Period"])
    assert properties["EvaluationPeriods"] >= 2 * minutes_hidden + 1, "also if the reader was killed"
    assert "It ends five minutes after the last dead letter is gone" in properties["AlarmDescription"]


def test_a_throttle_that_passes_raises_no_alarm() -> None:
    for name in ("FunctionThrottledAlarm", "CallsThrottledAlarm"):
        properties = deployed().properties(name)
        assert (properties["Period"], properties["EvaluationPeriods"]) == (300, 3)


def test_two_days_without_a_sweep_raise_an_alarm_also_when_nothing_at_all_is_published() -> None:
    properties = deployed().properties("SweepMissingAlarm")
    assert (properties["Period"], properties["EvaluationPeriods"]) == (24 * 60 * 60, "2")
    assert (properties["ComparisonOperator"], properties["Threshold"]) == ("LessThanThreshold", 1)
    assert properties["TreatMissingData"] == "breaching"
    assert WHOLE_NUMBERS["SweepAlarmDays"][1] <= 7, "CloudWatch looks back for a week at most"


@pytest.mark.parametrize(
    ("parameters", "actions", "makes_topic"),
    [
        pytest.param({}, None, False, id="nobody hears of it"),
        pytest.param({"AlarmEmail": "ops@example.com"}, ["AlarmTopic"], True, id="an address gets a topic"),
        pytest.param(
            {"AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:ops"},
            ["arn:aws:sns:us-east-1:123456789012:ops"],
            False,
            id="a topic of one's own",
        ),
        pytest.param(
            {"AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:ops", "AlarmEmail": "ops@example.com"},
            ["arn:aws:sns:us-east-1:123456789012:ops"],
            False,
            id="both: one's own topic wins",
        ),
    ],
)
def test_who_hears_of_an_alarm(
    parameters: dict[str, str], actions: list[str] | None, *, makes_topic: bool
) -> None:
    stack = deployed(**parameters)
    for alarm in stack.of_type("AWS::CloudWatch::Alarm").values():
        assert alarm.get("AlarmActions") == actions
        assert alarm.get("OKActions") == actions
    topics = stack.of_type("AWS::SNS::Topic")
    assert bool(topics) is makes_topic
    for topic in topics.values():
        assert topic["Subscription"] == [{"Protocol": "email", "Endpoint": "ops@example.com"}]
        assert "KmsMasterKeyId" not in topic, "CloudWatch cannot use a topic with alias/aws/sns"
    for policy in stack.of_type("AWS::SNS::TopicPolicy").values():
        (statement,) = policy["PolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert (statement["Effect"], statement["Action"]) == ("Allow", "sns:Publish")
        assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": PSEUDO["AWS::AccountId"]}}


def dashboard_metrics(stack: Stack) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield namespace, name and dimensions of each metric, with the dots of the short form spelled out.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    body = json.loads(stack.properties("Dashboard")["DashboardBody"])
    for widget in body["widgets"]:
        before: list[str] = []
        for row in widget["properties"].get("metrics", []):
            if isinstance(row[0], dict):
                continue  # a search
            parts = [part for part in row if isinstance(part, str)]
            if "..." in parts:
                after = parts[parts.index("...") + 1 :]
                parts = before[: len(before) - len(after)] + after
            parts = [old if part == "." else part for part, old in zip(parts, before or parts, strict=True)]
            before = parts
            yield parts[0], parts[1], dict(zip(parts[2::2], parts[3::2], strict=True))


def test_every_metric_on_the_dashboard_is_published_with_just_these_dimensions() -> None:
    for namespace, metric, dimensions in dashboard_metrics(deployed()):
        assert_published(namespace, metric, dimensions)


def test_what_the_dashboard_searches_for_is_published_with_these_dimensions() -> None:
    (expression,) = re.findall(r"SEARCH\('(.+?)'", deployed().properties("Dashboard")["DashboardBody"])
    found = re.fullmatch(r'\{([^,]+),([^}]+)\} MetricName=\\"(\w+)\\"', expression)
    assert found
    namespace, dimensions, metric = found.groups()
    assert (namespace, metric, {*dimensions.split(",")}) in [
        (space, name, {*given}) for space, name, given in published_metrics()
    ]


def test_the_dashboard_shows_what_becomes_of_secrets_and_of_messages() -> None:
    shown = {metric for _, metric, _ in dashboard_metrics(deployed())}
    assert {"Converged", "Waiting", "Skipped", "DeadLettered", "SecondsToConverge", "ApiCalls"} <= shown
    assert {metric for _, metric in AWS_METRICS} <= shown


def test_the_dashboard_shows_all_alarms_and_the_last_failures() -> None:
    widgets = json.loads(deployed().properties("Dashboard")["DashboardBody"])["widgets"]
    (alarms,) = [widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm"]
    assert sorted(alarms) == sorted(f"{name}.Arn" for name in ALARMS)
    (log,) = [widget["properties"] for widget in widgets if widget["type"] == "log"]
    assert log["query"].startswith("SOURCE 'ReplicatorFunctionLogGroup' | ")
    said = {"secret", "reason", "attempt", "verdict"}
    assert said <= {*re.findall(r"\w+", log["query"])}
    assert "verdict = 'dead_letter'" in log["query"]


def test_the_function_publishes_under_the_names_the_dashboard_reads() -> None:
    """conftest.py gives the tests the same two names; this holds the template to them."""
    variables = deployed().properties("ReplicatorFunction")["Environment"]["Variables"]
    own = {(space, dimensions["service"]) for space, _, dimensions in published_metrics()}
    assert own == {(variables["POWERTOOLS_METRICS_NAMESPACE"], variables["POWERTOOLS_SERVICE_NAME"])}
