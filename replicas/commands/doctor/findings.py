"""What a check found: one line of the answer, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from replicas.aws.connection import Connection
from replicas.aws.errors import action_of
from replicas.aws.region_secrets import GONE, USABLE, described_key
from replicas.exit_codes import FAILED, OK, WAITING

if TYPE_CHECKING:
    from mypy_boto3_kms.type_defs import KeyMetadataTypeDef

_DENIED = ("AccessDenied", "UnauthorizedOperation", "NotAuthorized")
_GONE = ("ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")

MAKE_IT_AGAIN = (
    "delete the stack and deploy it again: CloudFormation makes nothing anew that was deleted by hand. "
    "The DeadLetterQueue stays"
)


class Status(StrEnum):
    """How a check ended."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "not checkable"


@dataclass(frozen=True)
class Finding:
    """One line of the answer: what was found and, unless it is good, what to do."""

    status: Status
    text: str
    remedy: str = ""
    account: str = ""
    region: str = ""


def code_of(findings: Sequence[Finding]) -> int:
    """Return 0 if all is good, 1 if something is bad, 3 if something could not be checked."""
    statuses = {finding.status for finding in findings}
    if Status.BAD in statuses:
        return FAILED
    return WAITING if Status.UNKNOWN in statuses else OK


def good(text: str) -> Finding:
    """Return that all is as it must be."""
    return Finding(Status.GOOD, text)


def bad(text: str, remedy: str) -> Finding:
    """Return what is wrong."""
    return Finding(Status.BAD, text, remedy)


def unknown(text: str, remedy: str) -> Finding:
    """Return what could not be checked."""
    return Finding(Status.UNKNOWN, text, remedy)


def refused(subject: str, error: ClientError) -> Finding:
    """Return that AWS refused a call, with the permission that is missing."""
    code = error.response["Error"].get("Code", "")
    if code.startswith(_DENIED):
        return unknown(
            f"{subject}: the permission {action_of(error)} is missing", "allow it for who runs this"
        )
    return unknown(f"{subject}: {error.operation_name} failed ({code})", "run it again")


def usable_key(
    connection: Connection, key: str, place: str, gone: Finding, other: str
) -> "KeyMetadataTypeDef | Finding":
    """Return what KMS says of a key that is enabled, else why it cannot be used."""
    try:
        found = described_key(connection.keys, key)
    except ClientError as error:
        return refused(f"The key {key} {place}", error)
    if found.get("KeyState") == USABLE:
        return found
    if found.get("KeyState") == GONE:
        return gone
    return bad(f"The key {key} {place} is {found.get('KeyState')}", f"enable it, or {other}")


def is_gone(error: ClientError) -> bool:
    """Tell whether AWS says that there is no such thing."""
    return error.response["Error"].get("Code") in _GONE
