"""What `replicas doctor` makes of AWS's answers, where the local AWS cannot be brought to give them."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from replicas.commands import doctor
from replicas.commands.doctor import Deployed, Finding, Verdict, examine, exit_code
from secret_replicator.policy import parse_policy

POLICY = """
[tag]
key = "replicate-to"
[kms_keys]
us-west-2 = "alias/secrets"
"""
NAMES = {
    "AWS::CloudWatch::Alarm": {"DeadLetterAlarm": "stack-DeadLetterAlarm"},
    "AWS::IAM::Role": {"ReplicatorFunctionRole": "role"},
    "AWS::SQS::Queue": {"ReplicationQueue": "https://sqs/1/queue", "DeadLetterQueue": "https://sqs/1/dead"},
}
KEY = {"KeyMetadata": {"KeyState": "Enabled", "Arn": "arn:aws:kms:us-west-2:1:key/2"}}


def answering(**answers: Any) -> SimpleNamespace:
    """Return a client that gives these answers, or raises them."""

    def call(answer: Any) -> Any:
        def method(**_: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        return method

    return SimpleNamespace(**{name: call(answer) for name, answer in answers.items()})


def error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


def deployed(**services: Any) -> Deployed:
    policy = parse_policy(POLICY, "policy.toml")
    role = {"Role": {"Arn": "arn:aws:iam::1:role/role"}}
    allowed = {"EvaluationResults": [{"EvalActionName": "kms:Encrypt", "EvalDecision": "allowed"}]}
    given = {"iam": answering(get_role=role, simulate_principal_policy=allowed), **services}
    return Deployed(SimpleNamespace(region="us-east-1", **given), NAMES, {}, policy, Path("policy.toml"))


def only(found: Deployed, check: doctor.Check) -> Finding:
    (finding,) = examine(found, [check])
    return finding


@pytest.mark.parametrize(
    ("answer", "verdict", "text"),
    [
        pytest.param(KEY, Verdict.GOOD, "alias/secrets in us-west-2 is enabled", id="there"),
        pytest.param(
            error("NotFoundException", "DescribeKey"), Verdict.BAD, "There is no key alias/secrets", id="gone"
        ),
        pytest.param(
            {"KeyMetadata": {"KeyState": "PendingDeletion"}}, Verdict.BAD, "is PendingDeletion", id="going"
        ),
        pytest.param(
            error("AccessDeniedException", "DescribeKey"),
            Verdict.UNKNOWN,
            "the permission kms:DescribeKey is missing",
            id="not ours to see",
        ),
    ],
)
def test_a_key_of_the_policy(answer: Any, verdict: Verdict, text: str) -> None:
    found = only(deployed(keys=lambda _region: answering(describe_key=answer)), doctor.keys_can_be_used)
    assert found.verdict is verdict
    assert text in found.text


def test_a_key_that_the_role_may_not_use_is_to_be_named_in_kmskeyarns() -> None:
    denied = {
        "EvaluationResults": [{"EvalActionName": "kms:GenerateDataKey", "EvalDecision": "implicitDeny"}]
    }
    iam = answering(get_role={"Role": {"Arn": "role"}}, simulate_principal_policy=denied)
    found = only(deployed(keys=lambda _region: answering(describe_key=KEY), iam=iam), doctor.keys_can_be_used)
    assert found.verdict is Verdict.BAD
    assert found.remedy == "add arn:aws:kms:us-west-2:1:key/2 to KmsKeyArns"


def waiting(count: int, *oldest_seconds: float) -> Deployed:
    points = {"Datapoints": [{"Maximum": seconds} for seconds in oldest_seconds]}
    return deployed(
        clients=SimpleNamespace(
            sqs=answering(get_queue_attributes={"Attributes": {"ApproximateNumberOfMessages": str(count)}})
        ),
        cloudwatch=answering(get_metric_statistics=points),
    )


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        pytest.param(waiting(0), Verdict.GOOD, id="an empty queue"),
        pytest.param(waiting(3, 60, 120), Verdict.GOOD, id="young messages"),
        pytest.param(waiting(3, 60, 7200), Verdict.BAD, id="one for two hours"),
        pytest.param(waiting(3), Verdict.UNKNOWN, id="no metric yet"),
    ],
)
def test_a_message_that_is_stuck(state: Deployed, verdict: Verdict) -> None:
    assert only(state, doctor.nothing_is_stuck).verdict is verdict


def test_an_alarm_that_rings_is_told_with_its_own_words() -> None:
    alarm = {"AlarmName": "stack-DeadLetterAlarm", "StateValue": "ALARM", "AlarmDescription": "Do this"}
    state = deployed(
        cloudwatch=answering(describe_alarms={"MetricAlarms": [{**alarm, "AlarmActions": ["x"]}]})
    )
    assert only(state, doctor.no_alarm_rings) == Finding(
        Verdict.BAD, "DeadLetterAlarm is in alarm", "Do this"
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
    found = only(deployed(cloudtrail=lambda _region: trail), doctor.trail_logs_management_events)
    assert (found.verdict is Verdict.GOOD) is good


def test_what_aws_refuses_stops_no_other_check() -> None:
    denied = answering(get_queue_attributes=error("AccessDenied", "GetQueueAttributes"))
    found = [
        *examine(
            deployed(clients=SimpleNamespace(sqs=denied)), [doctor.no_dead_letters, doctor.nothing_is_stuck]
        )
    ]
    assert [finding.verdict for finding in found] == [Verdict.UNKNOWN, Verdict.UNKNOWN]
    assert "No dead letters: the permission sqs:GetQueueAttributes is missing" in found[0].text


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([Verdict.GOOD], 0),
        ([Verdict.GOOD, Verdict.UNKNOWN], 3),
        ([Verdict.UNKNOWN, Verdict.BAD, Verdict.GOOD], 1),
    ],
)
def test_scripts_get_an_exit_code(verdicts: list[Verdict], code: int) -> None:
    assert exit_code([Finding(verdict, "") for verdict in verdicts]) == code


def test_every_call_has_its_permission_in_the_table() -> None:
    code = Path(doctor.__file__).read_text("utf-8")
    methods = re.findall(r"\.((?:describe|get|list|simulate)_[a-z_]+)\(", code)
    methods += re.findall(r'get_paginator\("([a-z_]+)"\)', code)
    calls = {re.sub("(^|_)([a-z])", lambda found: found[2].upper(), method) for method in methods}
    asked_first = {"DescribeStackResources", "GetFunctionConfiguration"}
    offline = {"GetAvailableRegions", "GetPartitionForRegion", "GetPaginator"}
    assert calls - asked_first - offline == {*doctor._ACTIONS}
