"""What a check found: one line of the answer, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from botocore.exceptions import ClientError

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

_DENIED = ("AccessDenied", "UnauthorizedOperation", "NotAuthorized")

_GONE = ("ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")

MAKE_IT_AGAIN = (
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


def code_of(findings: Sequence[Finding]) -> int:
    """Return 0 if all is good, 1 if something is bad, 3 if something could not be checked."""
    verdicts = {finding.verdict for finding in findings}
    if Verdict.BAD in verdicts:
        return 1
    return 3 if Verdict.UNKNOWN in verdicts else 0


def good(text: str) -> Finding:
    """Return that all is as it must be."""
    return Finding(Verdict.GOOD, text)


def bad(text: str, remedy: str) -> Finding:
    """Return what is wrong."""
    return Finding(Verdict.BAD, text, remedy)


def unknown(text: str, remedy: str) -> Finding:
    """Return what could not be checked."""
    return Finding(Verdict.UNKNOWN, text, remedy)


def refused(what: str, error: ClientError) -> Finding:
    """Return that AWS refused a call, with the permission that is missing."""
    code = error.response["Error"].get("Code", "")
    if code.startswith(_DENIED):
        missing = _ACTIONS[error.operation_name]
        return unknown(f"{what}: the permission {missing} is missing", "allow it for who runs this")
    return unknown(f"{what}: {error.operation_name} failed ({code})", "run it again")


def is_gone(error: ClientError) -> bool:
    """Tell whether AWS says that there is no such thing."""
    return error.response["Error"].get("Code") in _GONE
