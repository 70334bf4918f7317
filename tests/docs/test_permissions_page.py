"""docs/reference/permissions.md says what the transformed template's statements say, and no more."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from botocore.session import Session

from local.function.template import parse
from replicas.cli import app
from secret_replicator.outcome_events import CONVERGED, FAILED, SOURCE
from tests.template.stack import Stack, declared
from tests.template.test_template import every_setting, granted, listed

PAGE = (Path(__file__).parents[2] / "docs/reference/permissions.md").read_text("utf-8")
AUDITOR = Path(__file__).parents[2] / "docs/how-to/auditor-role.yaml"
SECTION = PAGE.partition("\n## The function\n")[2].partition("\n## ")[0]
ALWAYS = "always"

SECRETS = {
    "Fn::Sub": "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:*",
}
RESOURCES = {
    "every secret of this account and Region": SECRETS,
    "every secret of this account": {
        "Fn::Sub": "arn:${AWS::Partition}:secretsmanager:*:${AWS::AccountId}:secret:*"
    },
    "everything": "*",
    "the keys in `KmsKeyArns`": {"Ref": "KmsKeyArns"},
    "the key `QueueKmsKeyArn`": {"Ref": "QueueKmsKeyArn"},
    "ReplicationQueue": {"Fn::GetAtt": ["ReplicationQueue", "Arn"]},
    "DeadLetterQueue": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]},
    "the default bus": {
        "Fn::Sub": "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/default"
    },
    "the function's log": {"Fn::GetAtt": ["ReplicatorFunctionLogGroup", "Arn"]},
}
ACCOUNT = {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}
RULES = {
    "aws:SourceArn": [
        {"Fn::GetAtt": [rule, "Arn"]}
        for rule in ("SecretChangedRule", "ReplicationFailedRule", "SecretLabelUpdatedRule", "SweepSchedule")
    ]
}
CONDITIONS = {
    "": {},
    "every Region asked for is in `AllowedRegions`; the primary is in this Region; "
    "a same-named secret is replaced with `AllowOverwrite=true` alone": {
        "ForAllValues:StringEquals": {"secretsmanager:AddReplicaRegions": {"Ref": "AllowedRegions"}},
        "StringEqualsIfExists": {"secretsmanager:SecretPrimaryRegion": {"Ref": "AWS::Region"}},
        "BoolIfExists": {
            "secretsmanager:ForceOverwriteReplicaSecret": [
                "false",
                {"Fn::If": ["MayOverwrite", "true", "false"]},
            ]
        },
    },
    "in a Region of `AllowedRegions`": {"StringEquals": {"aws:RequestedRegion": {"Ref": "AllowedRegions"}}},
    "Secrets Manager uses them for it": {
        "StringLike": {
            "kms:ViaService": ["secretsmanager.*.amazonaws.com", "secretsmanager.*.amazonaws.com.cn"]
        }
    },
    "SQS of this Region uses it for it": {
        "StringEquals": {
            "kms:ViaService": [
                {"Fn::Sub": "sqs.${AWS::Region}.amazonaws.com"},
                {"Fn::Sub": "sqs.${AWS::Region}.amazonaws.com.cn"},
            ]
        }
    },
    "as `secret-replicator`, of these two kinds": {
        "StringEquals": {"events:source": SOURCE, "events:detail-type": [CONVERGED, FAILED]}
    },
    "for one of this stack's rules": {"ArnEquals": RULES},
    "neither for one of these rules nor from this account": {
        "ArnNotEquals": RULES,
        "StringNotEquals": ACCOUNT,
    },
    "from another account": {"StringNotEquals": ACCOUNT},
    "without TLS": {"Bool": {"aws:SecureTransport": "false"}},
}
SWITCHES = {
    "MayWrite": "`Mode=apply`",
    "MayOverwrite": "`Mode=apply`, `AllowOverwrite=true`",
    "MayRemove": "`Mode=apply`, `PruneReplicas=true`",
    "MayUseKmsKeys": "`Mode=apply`, `KmsKeyArns`",
    "MayTell": "`PublishEvents=true`",
    "HasQueueKey": "`QueueKmsKeyArn`",
}


def words(table: Mapping[str, object], value: object) -> str:
    """Return what the page calls the value."""
    found = [text for text, meaning in table.items() if meaning == value]
    assert found, f"no words for {json.dumps(value)}: describe it here and on the page"
    return found[0]


def with_switches(statements: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each statement with the switches that put it there."""
    for item in statements:
        if "Fn::If" not in item:
            yield ALWAYS, item
            continue
        condition, statement, otherwise = item["Fn::If"]
        assert otherwise == {"Ref": "AWS::NoValue"}
        yield SWITCHES[condition], statement


def row(switch: str, statement: Mapping[str, Any]) -> str:
    assert not statement.keys() - {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}
    cells = [
        f"`{statement['Sid']}`",
        {"Allow": "may", "Deny": "never"}[statement["Effect"]],
        ", ".join(f"`{action}`" for action in listed(statement["Action"])),
        words(RESOURCES, statement["Resource"]),
        words(CONDITIONS, statement.get("Condition", {})),
        switch,
    ]
    return f"| {' | '.join(cells)} |"


def role_rows() -> list[str]:
    (policy,) = declared()["Resources"]["ReplicatorFunctionRole"]["Properties"]["Policies"]
    return [
        row(switch, statement) for switch, statement in with_switches(policy["PolicyDocument"]["Statement"])
    ]


def queue_rows(name: str) -> list[str]:
    document = declared()["Resources"][f"{name}Policy"]["Properties"]["PolicyDocument"]
    who = {"*": "anybody", "events.amazonaws.com": "EventBridge"}
    rows = []
    for statement in document["Statement"]:
        principal = statement["Principal"]
        assert words(RESOURCES, statement["Resource"]) == name
        cells = [
            f"`{statement['Sid']}`",
            who[principal if isinstance(principal, str) else principal["Service"]],
            {"Allow": "may", "Deny": "never"}[statement["Effect"]],
            ", ".join(f"`{action}`" for action in listed(statement["Action"])),
            words(CONDITIONS, statement.get("Condition", {})),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def table(header: str) -> list[str]:
    """Return the rows of the section's table with this header."""
    _, found, after = SECTION.partition(f"{header}\n")
    assert found, f"the page has no table {header}"
    lines = after.splitlines()[1:]
    return lines[: next((number for number, line in enumerate(lines) if not line.startswith("|")), None)]


def test_what_the_function_may_do_is_what_the_readme_says() -> None:
    assert table("| Statement | It | Actions | On | Only if | Where |") == role_rows()


@pytest.mark.parametrize("name", ["ReplicationQueue", "DeadLetterQueue"])
def test_who_may_use_the_queues_is_what_the_readme_says(name: str) -> None:
    assert table("| Statement | Who | | Actions | If |") == queue_rows(name)


def cannot(stack: Stack) -> Iterator[str]:
    """Yield the actions that the page says the function cannot do in this stack."""
    for line in table("| It cannot … | Action | But with |"):
        _, actions, but = line.strip("| ").split(" | ")
        switches = dict(switch.split("=") for switch in re.findall(r"`([^`]+)`", but))
        assert switches or but == "nothing"
        if not switches or any(stack.parameters[name] != value for name, value in switches.items()):
            yield from re.findall(r"`([^`]+)`", actions)


@every_setting
def test_what_the_readme_says_it_cannot_do_no_statement_allows(stack: Stack) -> None:
    assert not granted(stack).keys() & {*cannot(stack)}


def test_every_call_of_secrets_manager_is_one_that_the_readme_says_it_can_or_cannot_make() -> None:
    calls = {
        f"secretsmanager:{call}" for call in Session().get_service_model("secretsmanager").operation_names
    }
    reads_no_secret = {
        f"secretsmanager:{call}"
        for call in (
            "GetRandomPassword",
            "GetResourcePolicy",
            "ListSecretVersionIds",
            "ValidateResourcePolicy",
        )
    }
    assert calls - reads_no_secret == {*re.findall(r"`(secretsmanager:\w+)`", SECTION)}


def key_statements() -> list[dict[str, Any]]:
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", SECTION, re.DOTALL)]


def test_the_key_policies_let_eventbridge_deliver_and_logs_be_written() -> None:
    """They are AWS's own, and the log's is narrowed to the account.

    For queues no condition is documented that EventBridge meets, and for SNS topics AWS says that none is:
    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html and
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html.
    """
    for_queues, for_log = key_statements()
    assert for_queues == {
        "Sid": "EventBridgeDelivers",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
        "Resource": "*",
    }
    log_arns = for_log["Condition"]["ArnLike"].pop("kms:EncryptionContext:aws:logs:arn")
    assert log_arns == "arn:aws:logs:us-east-1:123456789012:log-group:*"
    assert for_log == {
        "Sid": "LogsAreWritten",
        "Effect": "Allow",
        "Principal": {"Service": "logs.us-east-1.amazonaws.com"},
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
        "Resource": "*",
        "Condition": {"ArnLike": {}},
    }


def test_every_command_has_a_row() -> None:
    section = PAGE.partition("\n## Permissions of the commands\n")[2].partition("\n## ")[0]
    first = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    assert sorted(name for cell in first for name in re.findall(r"`([a-z]+)`", cell)) == sorted(
        typer.main.get_command(app).commands  # type: ignore[attr-defined]
    )


def test_the_auditor_role_may_do_what_the_commands_for_many_accounts_need_and_no_more() -> None:
    """A role that lacks one of them makes an account a line of `could not be read`."""
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (.*) \|$", PAGE, re.MULTILINE)
    needed = {
        action
        for commands, actions in rows
        if {"`plan`", "`status`", "`report`", "`verify`", "`doctor`"} & {*commands.split(", ")}
        for action in re.findall(r"`([a-z]+:\w+)`", actions)
    }
    role = parse(AUDITOR.read_text("utf-8"))["Resources"]["AuditorRole"]["Properties"]
    (policy,) = role["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    allowed = [
        action for each in statements if each["Effect"] == "Allow" for action in listed(each["Action"])
    ]
    assert sorted(allowed) == sorted(needed)
    (denied,) = [each["Action"] for each in statements if each["Effect"] == "Deny"]
    assert denied == ["secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue"]
