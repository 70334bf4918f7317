"""What template.yaml promises, read from what SAM makes of it, for every setting of the switches."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from secret_replicator import app, gateway
from secret_replicator.messages import ReconcileRequest
from secret_replicator.models import Drift, Kind, Outcome, Plan
from secret_replicator.policy import REGION_CODE
from secret_replicator.settings import Settings, read_settings
from tests.template.stack import PSEUDO, Stack, declared, deployed

KEYS = "arn:aws:kms:us-east-1:123456789012:key/1,arn:aws:kms:eu-west-1:123456789012:key/2"
SECRETS = "arn:aws:secretsmanager:us-east-1:123456789012:secret:*"
RULES = {"SecretChangedRule", "ReplicationFailedRule", "SecretLabelUpdatedRule", "SweepSchedule"}
QUEUE_KEY = "arn:aws:kms:us-east-1:123456789012:key/3"
LOG_KEY = "arn:aws:kms:us-east-1:123456789012:key/4"
BOUNDARY = "arn:aws:iam::123456789012:policy/bounds"
FOURTEEN_DAYS_SECONDS = 14 * 24 * 60 * 60

SWITCHES = [
    pytest.param(
        deployed(
            Mode=mode,
            AllowOverwrite=overwrite,
            PruneReplicas=prune,
            KmsKeyArns=keys,
            QueueKmsKeyArn=queue_key,
        ),
        id=f"{mode}, overwrite {overwrite}, prune {prune}, {'keys' if keys else 'no keys'}"
        f"{', queues with a key' if queue_key else ''}",
    )
    for mode, overwrite, prune, keys, queue_key in product(
        ["apply", "plan"], ["false", "true"], ["false", "true"], ["", KEYS], ["", QUEUE_KEY]
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
    }


def test_parameters_and_their_defaults() -> None:
    assert {name: parameter.get("Default") for name, parameter in declared()["Parameters"].items()} == {
        "AllowedRegions": None,
        "Mode": "apply",
        "AllowOverwrite": "false",
        "PruneReplicas": "false",
        "PruneIdleDays": 7,
        "WritesPerSecond": 20,
        "MaximumConcurrency": 2,
        "MaxAttempts": 10,
        "SweepRate": "rate(1 day)",
        "KmsKeyArns": "",
        "PermissionsBoundaryArn": "",
        "RolePath": "/",
        "QueueKmsKeyArn": "",
        "LogKmsKeyArn": "",
        "AlarmEmail": "",
        "AlarmTopicArn": "",
        "LogLevel": "INFO",
        "LogRetentionDays": 30,
        "Architecture": "arm64",
    }


@pytest.mark.parametrize("name", sorted(declared()["Parameters"]))
def test_a_parameter_is_described_and_limited(name: str) -> None:
    parameter = declared()["Parameters"][name]
    assert parameter["Description"]
    limits = (
        {"AllowedPattern", "AllowedValues"}
        if parameter["Type"] != "Number"
        else {"MinValue", "AllowedValues"}
    )
    assert limits & parameter.keys()
    if "MinValue" in parameter:
        assert parameter["MinValue"] <= parameter["Default"] <= parameter["MaxValue"]
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
    assert app.RESERVED_SECONDS >= gateway.CALL_SECONDS, "there must be time for one more call to SQS"
    assert timeout_seconds >= app.RESERVED_SECONDS + 2 * gateway.CALL_SECONDS, "a look is two calls at least"


@pytest.mark.parametrize(
    "client", [app.app.reconciler.gateway.client, app.app.queue.client], ids=["gateway", "queue"]
)
def test_no_call_takes_longer_than_the_function_counts_on(client: Any) -> None:
    config = client.meta.config
    assert config.retries["mode"] == "standard"
    tries = config.retries["total_max_attempts"]
    longest_seconds = tries * (config.connect_timeout + config.read_timeout) + (
        tries - 1
    )  # first backoff: up to 1 s
    assert longest_seconds <= gateway.CALL_SECONDS


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
    )


@pytest.mark.parametrize(
    ("parameter", "field"),
    [
        ("PruneIdleDays", "prune_idle_days"),
        ("WritesPerSecond", "writes_per_second"),
        ("MaximumConcurrency", "maximum_concurrency"),
        ("MaxAttempts", "max_attempts"),
    ],
)
def test_the_function_starts_with_the_ends_of_every_range(parameter: str, field: str) -> None:
    declaration = declared()["Parameters"][parameter]
    wide = {"WritesPerSecond": str(declared()["Parameters"]["WritesPerSecond"]["MaxValue"])}
    for value in (declaration["MinValue"], declaration["MaxValue"]):
        others = {"MaximumConcurrency": "1"} if parameter == "WritesPerSecond" else wide
        stack = deployed(**{**others, parameter: str(value)})
        variables = stack.properties("ReplicatorFunction")["Environment"]["Variables"]
        settings = read_settings(variables | {"AWS_REGION": "us-east-1"})
        assert getattr(settings, field) == value


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
    assert redrive["maxReceiveCount"] > declared()["Parameters"]["MaxAttempts"]["MaxValue"]


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
    return action == "sqs:SendMessage" or statement["Sid"] == "UseTheQueuesKey"


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
    if writes and on(stack, "PruneReplicas"):
        expected["secretsmanager:RemoveRegionsFromReplication"] = SECRETS
    if writes and (keys := stack.parameters["KmsKeyArns"]):
        expected |= dict.fromkeys(["kms:Decrypt", "kms:GenerateDataKey", "kms:Encrypt"], keys.split(","))
    if key := stack.parameters["QueueKmsKeyArn"]:
        expected |= {f"{action} {key}": key for action in ("kms:Decrypt", "kms:GenerateDataKey")}
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

AWS_METRICS = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): ("QueueName", {"ReplicationQueue", "DeadLetterQueue"}),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): ("QueueName", {"ReplicationQueue", "DeadLetterQueue"}),
    ("AWS/Lambda", "Errors"): ("FunctionName", {"ReplicatorFunction"}),
    ("AWS/Lambda", "Throttles"): ("FunctionName", {"ReplicatorFunction"}),
    ("AWS/Lambda", "Duration"): ("FunctionName", {"ReplicatorFunction"}),
}


def assert_published_by_aws(namespace: str, metric: str, dimensions: Mapping[str, str]) -> None:
    name, resources = AWS_METRICS[namespace, metric]
    values = {f"{item}.QueueName" if name == "QueueName" else item for item in resources}
    assert dimensions.keys() == {name}
    assert dimensions[name] in values


@pytest.mark.parametrize(
    ("alarm", "metric", "watched"),
    [
        ("DeadLetterAlarm", "ApproximateNumberOfMessagesVisible", "DeadLetterQueue.QueueName"),
        ("BacklogAgeAlarm", "ApproximateAgeOfOldestMessage", "ReplicationQueue.QueueName"),
        ("FunctionErrorsAlarm", "Errors", "ReplicatorFunction"),
    ],
)
def test_an_alarm_watches_a_metric_that_exists(alarm: str, metric: str, watched: str) -> None:
    properties = deployed().properties(alarm)
    dimensions = {item["Name"]: item["Value"] for item in properties["Dimensions"]}
    assert properties["MetricName"] == metric
    assert [*dimensions.values()] == [watched]
    assert_published_by_aws(properties["Namespace"], metric, dimensions)
    assert properties["ComparisonOperator"] == "GreaterThanThreshold"
    assert properties["TreatMissingData"] == "notBreaching"
    assert properties.get("ActionsEnabled", True) is True
    assert "README" in properties["AlarmDescription"]


def test_the_first_dead_letter_and_the_first_crash_raise_an_alarm() -> None:
    stack = deployed()
    for alarm, statistic in (("DeadLetterAlarm", "Maximum"), ("FunctionErrorsAlarm", "Sum")):
        properties = stack.properties(alarm)
        assert (properties["Threshold"], properties["EvaluationPeriods"]) == (0, 1)
        assert properties["Statistic"] == statistic


def test_every_alarm_stands_in_the_table_above() -> None:
    alarms = deployed().of_type("AWS::CloudWatch::Alarm")
    assert alarms.keys() == {"DeadLetterAlarm", "BacklogAgeAlarm", "FunctionErrorsAlarm"}


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


def dashboard_metrics(stack: Stack) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield namespace, name and dimensions of each metric, with the dots of the short form spelled out.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    body = json.loads(stack.properties("Dashboard")["DashboardBody"])
    for widget in body["widgets"]:
        before: list[str] = []
        for row in widget["properties"]["metrics"]:
            parts = [part for part in row if isinstance(part, str)]
            if "..." in parts:
                after = parts[parts.index("...") + 1 :]
                parts = before[: len(before) - len(after)] + after
            parts = [old if part == "." else part for part, old in zip(parts, before or parts, strict=True)]
            before = parts
            yield parts[0], parts[1], dict(zip(parts[2::2], parts[3::2], strict=True))


def published_metrics() -> list[tuple[str, str, dict[str, str]]]:
    """Return what the function publishes, read from the records it prints."""
    request = ReconcileRequest("a")
    message = SimpleNamespace(attempt=2, message_id="1", sent_at=0)
    drifting = Plan(drift=(Drift("eu-west-1", "unwanted"),))
    app.metrics.clear_metrics()
    for kind in Kind:
        outcome = Outcome(kind, "a", plan=drifting)
        what = app.verdict(outcome, 10, 10)
        app._report(outcome, request, message, what)
    app._report(Outcome(Kind.WAITING, "a"), request, message, app.verdict(Outcome(Kind.WAITING), 1, 10))
    record = app.metrics.serialize_metric_set()
    app.metrics.clear_metrics()
    (directive,) = record["_aws"]["CloudWatchMetrics"]
    (names,) = directive["Dimensions"]
    return [
        (directive["Namespace"], metric["Name"], {name: record[name] for name in names})
        for metric in directive["Metrics"]
    ]


def test_every_metric_on_the_dashboard_is_published_with_just_these_dimensions() -> None:
    published = published_metrics()
    for namespace, metric, dimensions in dashboard_metrics(deployed()):
        if namespace.startswith("AWS/"):
            assert_published_by_aws(namespace, metric, dimensions)
        else:
            assert (namespace, metric, dimensions) in published


def test_the_dashboard_shows_what_becomes_of_secrets_and_of_messages() -> None:
    shown = {metric for _, metric, _ in dashboard_metrics(deployed())}
    assert {"Converged", "Waiting", "Skipped", "DeadLettered", "SecondsToConverge"} <= shown
    assert {metric for _, metric in AWS_METRICS if metric.startswith("Approximate")} <= shown


def test_the_function_publishes_under_the_names_the_dashboard_reads() -> None:
    """conftest.py gives the tests the same two names; this holds the template to them."""
    variables = deployed().properties("ReplicatorFunction")["Environment"]["Variables"]
    own = {(space, dimensions["service"]) for space, _, dimensions in published_metrics()}
    assert own == {(variables["POWERTOOLS_METRICS_NAMESPACE"], variables["POWERTOOLS_SERVICE_NAME"])}
