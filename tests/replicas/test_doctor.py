"""What `replicas doctor` makes of AWS's answers, where the local AWS cannot be brought to give them."""

import re
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from rich.console import Console
from typer.main import get_command
from typer.testing import CliRunner

from replicas.aws.accounts import Answer, Answers
from replicas.aws.deployment import PolicySource, policy_file
from replicas.cli import app, main
from replicas.commands.doctor import backlog, events, function, regions
from replicas.commands.doctor.command import Examined, document, examine, show
from replicas.commands.doctor.findings import Finding, Status, code_of
from replicas.commands.doctor.stack import Check, Stack
from replicas.terminal import Screen
from secret_replicator import VERSION
from secret_replicator.policy import parse_policy
from secret_replicator.settings import PACKAGED_POLICY
from tests.support.desk import environment_of
from tests.support.fakes.account import FUNCTION, STACK, FakeAccount, serving
from tests.support.fakes.stacks import describe_stacks
from tests.support.world import HOME, make_world

POLICY = """
[tag]
key = "replicate-to"
[kms_keys]
us-west-2 = "alias/secrets"
"""
NAMES = {
    "AWS::CloudWatch::Alarm": {"DeadLetterAlarm": "stack-DeadLetterAlarm"},
    "AWS::Events::Rule": {"SecretChangedRule": "stack-changed", "SweepSchedule": "stack-sweep"},
    "AWS::Lambda::Function": {"ReplicatorFunction": "stack-function"},
    "AWS::IAM::Role": {"ReplicatorFunctionRole": "role"},
    "AWS::SQS::Queue": {"ReplicationQueue": "https://sqs/1/queue", "DeadLetterQueue": "https://sqs/1/dead"},
}
ENVIRONMENT = {
    "ALLOWED_REGIONS": "us-west-2",
    "QUEUE_URL": "https://sqs/1/queue",
    "DEAD_LETTER_QUEUE_URL": "https://sqs/1/dead",
}
KEY = {"KeyMetadata": {"KeyState": "Enabled", "Arn": "arn:aws:kms:us-west-2:1:key/2"}}


def answering(**answers: Any) -> SimpleNamespace:
    """Return a client that gives these answers, or raises them; of several, one for each call."""

    def call(answer: Any) -> Any:
        several = iter(answer) if isinstance(answer, list) else repeat(answer)

        def method(**_: Any) -> Any:
            given = next(several)
            if isinstance(given, Exception):
                raise given
            return given

        return method

    return SimpleNamespace(**{name: call(answer) for name, answer in answers.items()})


def error(code: str, operation: str, service: str = "kms") -> ClientError:
    answer = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"Service": service}}
    return ClientError(answer, operation)


def deployed(**services: Any) -> Stack:
    policy = parse_policy(POLICY, "policy.toml")
    role = {"Role": {"Arn": "arn:aws:iam::1:role/role"}}
    allowed = {"EvaluationResults": [{"EvalActionName": "kms:Encrypt", "EvalDecision": "allowed"}]}
    given = {"iam": answering(get_role=role, simulate_principal_policy=allowed), **services}
    own = SimpleNamespace(region="us-east-1", session=boto3.Session(), **given)
    own.in_region = lambda _region: own
    source = PolicySource(POLICY.encode(), "policy.toml")
    return Stack(own, NAMES, ENVIRONMENT, policy, source, "the-stack")


def only(found: Stack, check: Check) -> Finding:
    (finding,) = examine(found, [check])
    return finding


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        pytest.param(KEY, Status.GOOD, "alias/secrets in us-west-2 is enabled", id="there"),
        pytest.param(
            error("NotFoundException", "DescribeKey"), Status.BAD, "There is no key alias/secrets", id="gone"
        ),
        pytest.param(
            {"KeyMetadata": {"KeyState": "PendingDeletion"}}, Status.BAD, "is PendingDeletion", id="going"
        ),
        pytest.param(
            error("AccessDeniedException", "DescribeKey"),
            Status.UNKNOWN,
            "the permission kms:DescribeKey is missing",
            id="not ours to see",
        ),
    ],
)
def test_a_key_of_the_policy(answer: Any, status: Status, text: str) -> None:
    found = only(deployed(keys=answering(describe_key=answer)), regions.keys_can_be_used)
    assert found.status is status
    assert text in found.text


def test_a_key_that_the_role_may_not_use_is_to_be_named_in_kmskeyarns() -> None:
    denied = {
        "EvaluationResults": [{"EvalActionName": "kms:GenerateDataKey", "EvalDecision": "implicitDeny"}]
    }
    iam = answering(get_role={"Role": {"Arn": "role"}}, simulate_principal_policy=denied)
    found = only(deployed(keys=answering(describe_key=KEY), iam=iam), regions.keys_can_be_used)
    assert found.status is Status.BAD
    assert found.remedy == "add arn:aws:kms:us-west-2:1:key/2 to KmsKeyArns"


@pytest.mark.parametrize(
    ("region", "service"),
    [
        pytest.param("us-west-2", "secretsmanager.us-west-2.amazonaws.com", id="everywhere"),
        pytest.param("cn-north-1", "secretsmanager.cn-north-1.amazonaws.com.cn", id="in China"),
    ],
)
def test_the_role_is_simulated_as_secrets_manager_uses_the_key(region: str, service: str) -> None:
    asked: list[Any] = []

    def simulate(**request: Any) -> Any:
        asked.extend(request["ContextEntries"])
        return {"EvaluationResults": [{"EvalActionName": "kms:Encrypt", "EvalDecision": "allowed"}]}

    iam = answering(get_role={"Role": {"Arn": "role"}})
    iam.simulate_principal_policy = simulate
    found = deployed(keys=answering(describe_key=KEY), iam=iam)
    found = replace(found, policy=parse_policy(POLICY.replace("us-west-2", region), "policy.toml"))
    only(found, regions.keys_can_be_used)
    assert [entry["ContextKeyValues"] for entry in asked] == [[service]]


def waiting(count: int, *oldest_seconds: float) -> Stack:
    points = {"Datapoints": [{"Maximum": seconds} for seconds in oldest_seconds]}
    return deployed(
        sqs=answering(get_queue_attributes={"Attributes": {"ApproximateNumberOfMessages": str(count)}}),
        cloudwatch=answering(get_metric_statistics=points),
    )


@pytest.mark.parametrize(
    ("state", "status"),
    [
        pytest.param(waiting(0), Status.GOOD, id="an empty queue"),
        pytest.param(waiting(3, 60, 120), Status.GOOD, id="young messages"),
        pytest.param(waiting(3, 60, 7200), Status.BAD, id="one for two hours"),
        pytest.param(waiting(3), Status.UNKNOWN, id="no metric yet"),
    ],
)
def test_a_message_that_is_stuck(state: Stack, status: Status) -> None:
    assert only(state, backlog.nothing_is_stuck).status is status


def test_an_alarm_that_fires_is_reported_with_its_own_reason() -> None:
    alarm = {"AlarmName": "stack-DeadLetterAlarm", "StateValue": "ALARM", "AlarmDescription": "Do this"}
    state = deployed(
        cloudwatch=answering(describe_alarms={"MetricAlarms": [{**alarm, "AlarmActions": ["x"]}]})
    )
    assert only(state, backlog.no_alarm_fires) == Finding(
        Status.BAD, "DeadLetterAlarm is in alarm", "Do this"
    )


TRAIL = {"TrailARN": "arn", "Name": "trail", "HomeRegion": "us-east-1"}


@pytest.mark.parametrize(
    ("logging", "selectors", "good"),
    [
        pytest.param(True, {"EventSelectors": [{"ReadWriteType": "All"}]}, True, id="everything"),
        pytest.param(True, {"EventSelectors": [{"ReadWriteType": "ReadOnly"}]}, False, id="only what reads"),
        pytest.param(
            True, {"EventSelectors": [{"IncludeManagementEvents": False}]}, False, id="only data events"
        ),
        pytest.param(
            True,
            {
                "AdvancedEventSelectors": [
                    {"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}
                ]
            },
            True,
            id="advanced selectors",
        ),
        pytest.param(False, {"EventSelectors": [{}]}, False, id="a trail that is stopped"),
    ],
)
def test_a_trail_counts_if_it_logs_calls_that_write(
    selectors: Mapping[str, Any], *, logging: bool, good: bool
) -> None:
    trail = answering(
        describe_trails={"trailList": [TRAIL]},
        get_trail_status={"IsLogging": logging},
        get_event_selectors=selectors,
    )
    found = only(deployed(cloudtrail=trail), events.trail_logs_management_events)
    assert (found.status is Status.GOOD) is good


def with_trails(*, selectors: Any, number: int = 2) -> Stack:
    """Return an account of so many trails that log, of which each answers with its own selectors."""
    trail = answering(
        describe_trails={"trailList": [TRAIL | {"Name": f"trail-{index}"} for index in range(number)]},
        get_trail_status={"IsLogging": True},
        get_event_selectors=selectors,
    )
    return deployed(cloudtrail=trail)


ALL = {"EventSelectors": [{"ReadWriteType": "All"}]}
NONE = {"EventSelectors": [{"ReadWriteType": "ReadOnly"}]}
UNREADABLE = error("AccessDeniedException", "GetEventSelectors", "cloudtrail")


@pytest.mark.parametrize(
    ("selectors", "status", "text"),
    [
        pytest.param([UNREADABLE, ALL], Status.GOOD, "trail-1 logs", id="a good one after it"),
        pytest.param(
            [UNREADABLE, NONE],
            Status.UNKNOWN,
            "trail-0: the permission cloudtrail:GetEvent",
            id="no good one",
        ),
        pytest.param(
            [error("TrailNotFoundException", "GetEventSelectors"), NONE],
            Status.UNKNOWN,
            "trail-0",
            id="one of an organisation that answers no member",
        ),
    ],
)
def test_a_trail_that_cannot_be_read_ends_the_check_before_no_other(
    selectors: list[Any], status: Status, text: str
) -> None:
    found = only(with_trails(selectors=selectors), events.trail_logs_management_events)
    assert found.status is status
    assert text in found.text


ENABLED, TARGET = {"State": "ENABLED"}, {"Targets": [{"Id": "ReplicationQueue"}]}


def with_rules(rules: list[Any], targets: Any = TARGET) -> Stack:
    return deployed(events=answering(describe_rule=rules, list_targets_by_rule=targets))


def test_a_rule_that_was_deleted_is_bad_and_the_others_are_checked() -> None:
    gone = error("ResourceNotFoundException", "DescribeRule")
    found = [*examine(with_rules([gone, {"State": "DISABLED"}]), [events.rules_are_enabled])]
    assert [finding.status for finding in found] == [Status.BAD, Status.BAD]
    assert found[0].text == "The rule SecretChangedRule is not there any more: its events are lost"
    assert "delete the stack and deploy it again" in found[0].remedy
    assert found[1].text == "The rule SweepSchedule is disabled: its events are lost"


def test_a_rule_without_a_target_is_bad() -> None:
    found = [*examine(with_rules([ENABLED, ENABLED], [{"Targets": []}, TARGET]), [events.rules_are_enabled])]
    assert [finding.text for finding in found] == [
        "The rule SecretChangedRule has no target: its events are lost"
    ]


def test_rules_that_are_there_and_enabled_are_good() -> None:
    assert only(with_rules([ENABLED, ENABLED]), events.rules_are_enabled).status is Status.GOOD


@pytest.mark.parametrize("code", ["AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"])
@pytest.mark.parametrize("check", [backlog.no_dead_letters, backlog.nothing_is_stuck])
def test_a_queue_that_was_deleted_is_bad(check: Check, code: str) -> None:
    sqs = answering(get_queue_attributes=error(code, "GetQueueAttributes"))
    found = only(deployed(sqs=sqs), check)
    assert found.status is Status.BAD
    assert "not there any more" in found.text


def test_an_alarm_that_was_deleted_is_bad() -> None:
    found = only(deployed(cloudwatch=answering(describe_alarms={"MetricAlarms": []})), backlog.no_alarm_fires)
    assert found.status is Status.BAD
    assert found.text == "The alarm DeadLetterAlarm is not there any more: nobody is notified"


def with_functions(**answers: Any) -> Stack:
    return deployed(functions=answering(**answers))


@pytest.mark.parametrize(
    ("answer", "status", "text", "remedy"),
    [
        pytest.param({"RecursiveLoop": "Allow"}, Status.GOOD, "may invoke itself", "", id="allowed"),
        pytest.param(
            {"RecursiveLoop": "Terminate"},
            Status.BAD,
            "1,600 secrets",
            "aws lambda put-function-recursion-config --recursive-loop Allow --function-name stack-function",
            id="not allowed",
        ),
        pytest.param(
            error("UnknownOperationException", "GetFunctionRecursionConfig"),
            Status.UNKNOWN,
            "does not know RecursiveLoop",
            "if RecursionStoppedAlarm fires, ask AWS Support to turn off recursive loop detection for "
            "stack-function",
            id="a Region that does not know it",
        ),
        pytest.param(
            error("AccessDeniedException", "GetFunctionRecursionConfig", "lambda"),
            Status.UNKNOWN,
            "the permission lambda:GetFunctionRecursionConfig is missing",
            "allow it for who runs this",
            id="not ours to see",
        ),
    ],
)
def test_a_sweep_may_invoke_its_function_again_and_again(
    answer: Any, status: Status, text: str, remedy: str
) -> None:
    found = only(
        with_functions(get_function_recursion_config=answer), function.sweeps_are_not_taken_for_a_loop
    )
    assert (found.status, found.remedy) == (status, remedy)
    assert text in found.text


def with_queue_key(key: str, answer: Any) -> Stack:
    attributes = {"Attributes": {"KmsMasterKeyId": key} if key else {"SqsManagedSseEnabled": "true"}}
    return deployed(
        sqs=answering(get_queue_attributes=attributes),
        keys=answering(describe_key=answer),
    )


@pytest.mark.parametrize(
    ("key", "answer", "status", "text"),
    [
        pytest.param("", None, Status.GOOD, "SQS's own key", id="no key of one's own"),
        pytest.param(
            "k",
            {"KeyMetadata": {"KeyManager": "CUSTOMER", "KeyState": "Enabled"}},
            Status.GOOD,
            "its policy must let EventBridge use it",
            id="a customer managed key",
        ),
        pytest.param(
            "alias/aws/sqs",
            {"KeyMetadata": {"KeyManager": "AWS", "KeyState": "Enabled"}},
            Status.BAD,
            "EventBridge can deliver nothing",
            id="a key that AWS manages",
        ),
        pytest.param(
            "k",
            {"KeyMetadata": {"KeyManager": "CUSTOMER", "KeyState": "PendingDeletion"}},
            Status.BAD,
            "is PendingDeletion",
            id="a key that goes",
        ),
        pytest.param(
            "k", error("NotFoundException", "DescribeKey"), Status.BAD, "is not there", id="no such key"
        ),
        pytest.param(
            "k",
            error("AccessDeniedException", "DescribeKey"),
            Status.UNKNOWN,
            "the permission kms:DescribeKey is missing",
            id="not ours to see",
        ),
    ],
)
def test_the_key_of_the_queues_is_one_that_eventbridge_can_use(
    key: str, answer: Any, status: Status, text: str
) -> None:
    found = only(with_queue_key(key, answer), events.queues_can_be_written_by_eventbridge)
    assert found.status is status
    assert text in found.text


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        pytest.param({}, Status.GOOD, "The function's settings are valid", id="as the template has them"),
        pytest.param(
            {"WRITES_PER_SECOND": "2", "MAXIMUM_CONCURRENCY": "3"},
            Status.BAD,
            "WRITES_PER_SECOND must be at least MAXIMUM_CONCURRENCY",
            id="more instances than writes",
        ),
        pytest.param({"PRUNE_IDLE_DAYS": "7.5"}, Status.BAD, "PRUNE_IDLE_DAYS", id="half a day"),
    ],
)
def test_settings_that_the_function_cannot_start_with_are_named(
    changes: dict[str, str], status: Status, text: str
) -> None:
    found = only(replace(deployed(), environment={**ENVIRONMENT, **changes}), function.the_function_can_start)
    assert found.status is status
    assert text in found.text


@pytest.mark.parametrize(
    ("outputs", "status", "text"),
    [
        pytest.param([{"OutputKey": "Version", "OutputValue": VERSION}], Status.GOOD, VERSION, id="the same"),
        pytest.param(
            [{"OutputKey": "Version", "OutputValue": "0.1.9"}], Status.BAD, "0.1.9", id="an older stack"
        ),
        pytest.param(
            [{"OutputKey": "DashboardUrl", "OutputValue": "u"}],
            Status.BAD,
            "before 0.2.0",
            id="a stack that does not say",
        ),
        pytest.param([], Status.BAD, "is CREATE_FAILED, without outputs", id="a stack that is not whole"),
    ],
)
def test_a_stack_of_another_version_than_these_commands_is_named(
    outputs: list[Any], status: Status, text: str
) -> None:
    stacks = answering(describe_stacks={"Stacks": [{"Outputs": outputs, "StackStatus": "CREATE_FAILED"}]})
    stacks.meta = SimpleNamespace(region_name=HOME)
    found = only(deployed(cloudformation=stacks), function.versions_are_the_same)
    assert found.status is status
    assert text in found.text


def test_what_aws_refuses_stops_no_other_check() -> None:
    denied = answering(get_queue_attributes=error("AccessDenied", "GetQueueAttributes", "sqs"))
    found = [
        *examine(
            deployed(sqs=denied),
            [backlog.no_dead_letters, backlog.nothing_is_stuck],
        )
    ]
    assert [finding.status for finding in found] == [Status.UNKNOWN, Status.UNKNOWN]
    assert "No dead letters: the permission sqs:GetQueueAttributes is missing" in found[0].text


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([Status.GOOD], 0),
        ([Status.GOOD, Status.UNKNOWN], 3),
        ([Status.UNKNOWN, Status.BAD, Status.GOOD], 1),
    ],
)
def test_scripts_get_an_exit_code(statuses: list[Status], code: int) -> None:
    assert code_of([Finding(status, "") for status in statuses]) == code


def test_every_call_has_its_permission_on_the_page() -> None:
    code = "".join(file.read_text("utf-8") for file in Path(backlog.__file__).parent.glob("*.py"))
    methods = re.findall(r"\.((?:describe|get|list|simulate)_[a-z_]+)\(", code)
    methods += re.findall(r'get_paginator\("([a-z_]+)"\)', code)
    calls = {re.sub("(^|_)([a-z])", lambda found: found[2].upper(), method) for method in methods}
    elsewhere = {
        "DescribeKey",
        "DescribeStacks",
        "GetFunction",
        "GetFunctionConfiguration",
        "GetQueueAttributes",
    }
    offline = {"GetAvailableRegions", "GetPartitionForRegion", "GetPaginator"}
    page = (Path(__file__).parents[2] / "docs/reference/permissions.md").read_text("utf-8")
    (row,) = re.findall(r"^\| `doctor` \|.*", page, re.MULTILINE)
    assert calls - offline | elsewhere == {*re.findall(r"`[a-z]+:(\w+)`", row)}


def test_doctor_and_smoke_decide_by_the_policy_that_is_named() -> None:
    assert policy_file(Path("other.toml"), local=False) == Path("other.toml")
    assert policy_file(None, local=False) == PACKAGED_POLICY
    assert policy_file(Path("other.toml"), local=True) == Path("other.toml")


@pytest.mark.parametrize("command", ["doctor", "smoke"])
def test_doctor_and_smoke_take_a_policy(command: str) -> None:
    options = {option for parameter in get_command(app).commands[command].params for option in parameter.opts}
    assert {"--policy", "--local"} <= options


GOOD, BAD = Finding(Status.GOOD, "All is well"), Finding(Status.BAD, "It is not", "do this")
UNKNOWN = Finding(Status.UNKNOWN, "Who knows", "ask")


def of_stacks(*answers: Answer[Examined]) -> Answers[Examined]:
    total = Examined()
    for answer in answers:
        total.add(answer.value or Examined())
    return Answers(answers, total)


def of_one(account: str, region: str, *findings: Finding) -> Answer[Examined]:
    found = [replace(finding, account=account, region=region) for finding in findings]
    return Answer(account, Examined(found))


def shown(answers: Answers[Examined]) -> list[str]:
    out = Console(file=StringIO(), width=200)
    show(answers, Screen(out, out))
    return out.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_of_one_stack_every_check_is_a_line() -> None:
    assert shown(of_stacks(of_one("", "us-east-1", GOOD, BAD))) == [
        "good           All is well",
        "bad            It is not. To do: do this",
    ]


def test_of_several_stacks_the_good_is_counted_and_the_rest_names_its_place() -> None:
    several = of_stacks(
        of_one("blue", "us-east-1", GOOD, BAD),
        of_one("green", "eu-west-1", GOOD, GOOD, UNKNOWN),
        Answer("grey", None, "not allowed"),
    )
    assert shown(several) == [
        "bad            blue us-east-1: It is not. To do: do this",
        "not checkable  green eu-west-1: Who knows. To do: ask",
        "blue: 1 good, 1 bad, 0 not checkable",
        "green: 2 good, 0 bad, 1 not checkable",
        "grey: could not be read",
        "Checked 2 stacks: 3 good, 1 bad, 1 not checkable",
    ]


def test_json_names_the_stack_of_each_check() -> None:
    found = document(of_stacks(of_one("blue", "us-east-1", GOOD), Answer("grey", None, "not allowed")))
    assert found["findings"] == [
        {
            "account": "blue",
            "primary_region": "us-east-1",
            "status": "good",
            "text": "All is well",
            "remedy": None,
        }
    ]
    assert [account["error"] for account in found["accounts"]] == [None, "not allowed"]
    assert found["summary"]["bad"] == 0


RESOURCES = {
    logical: f"<member><LogicalResourceId>{logical}</LogicalResourceId><ResourceType>{kind}</ResourceType>"
    f"<PhysicalResourceId>{FUNCTION if physical == 'stack-function' else physical}</PhysicalResourceId>"
    "</member>"
    for kind, names in NAMES.items()
    for logical, physical in names.items()
}


class OnlyTheStack(FakeAccount):
    """Shows the stack's resources and its function, and refuses every other call."""

    without = ""

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: str) -> tuple[int, str]:
        if "Action=DescribeStackResources" in body and "StackName=nope" in body:
            return describe_stacks(self.stacks, "nope")
        if "Action=DescribeStackResources" in body:
            shown = (text for logical, text in RESOURCES.items() if logical != self.without)
            result = f"<StackResources>{''.join(shown)}</StackResources>"
            name = "DescribeStackResources"
            return 200, f"<{name}Response><{name}Result>{result}</{name}Result></{name}Response>"
        if path.startswith("/2015-03-31/functions/"):
            return super().answer(method, path, headers, body)
        if "Action=" in body:
            return 403, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
        return 403, '{"__type": "AccessDeniedException"}'


@pytest.mark.parametrize(
    "part", ["ReplicatorFunction", "ReplicatorFunctionRole", "ReplicationQueue", "DeadLetterQueue"]
)
def test_a_stack_that_lacks_a_part_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    world = make_world(tmp_path)
    account = OnlyTheStack(world.secrets, world.queues, environment_of(world.app.settings))
    account.without = part
    with serving(account):
        monkeypatch.setenv("AWS_ENDPOINT_URL", account.url)
        result = CliRunner().invoke(app, ["doctor", "--stack", STACK, "--region", HOME])
    assert result.exit_code == 1
    assert f"or not whole: it has no {part}. Name it with --stack, or deploy it again" in result.stderr


@pytest.mark.parametrize("command", ["doctor", "smoke"])
def test_a_stack_that_is_not_there_is_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    world = make_world(tmp_path)
    account = OnlyTheStack(world.secrets, world.queues, environment_of(world.app.settings))
    with serving(account):
        monkeypatch.setenv("AWS_ENDPOINT_URL", account.url)
        result = CliRunner().invoke(app, [command, "--stack", "nope", "--region", HOME])
    assert result.exit_code == 1
    assert "There is no stack nope in us-east-1: name the deployed one with --stack" in result.stderr


def test_nothing_is_tried_where_the_function_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path).having(mode="plan")
    account = OnlyTheStack(world.secrets, world.queues, environment_of(world.app.settings))
    with serving(account):
        monkeypatch.setenv("AWS_ENDPOINT_URL", account.url)
        result = CliRunner().invoke(app, ["smoke", "--stack", STACK, "--region", HOME])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is deployed with Mode=plan: its function writes nothing" in result.stderr


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["as lines", "as JSON"])
def test_a_full_disk_is_said_of_a_stack_that_was_checked(
    tmp_path: Path, options: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    account = OnlyTheStack(world.secrets, world.queues, environment_of(world.app.settings))
    words = ["--stack", STACK, "--region", HOME, "--policy", str(world.app.settings.policy_file), *options]
    monkeypatch.setattr(sys, "argv", ["replicas", "doctor", *words])
    with serving(account):
        monkeypatch.setenv("AWS_ENDPOINT_URL", account.url)
        with Path("/dev/full").open("w") as full, redirect_stdout(full), pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 1
    *_, said = capfd.readouterr().err.splitlines()
    assert said == "The result cannot be written (No space left on device): make room, or write it elsewhere"
