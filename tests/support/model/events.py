"""Bodies of queue messages about one secret, in every shape that the function understands, and in none."""

import json
from collections.abc import Callable

from local.secrets_manager.model import Params

MARK = "v4lu3-that-nobody-may-read"
"""Part of every secret value, and of every field in which an event might hold one."""


ECHO = '"ReplicationFailed"'
"""Stands in each event that one of the function's own calls may have caused."""


def _envelope(number: int, detail_type: str, detail: Params, **fields: object) -> str:
    event = {"id": f"event-{number}", "source": "aws.secretsmanager", "detail-type": detail_type}
    return json.dumps({**event, **fields, "detail": detail})


def _api_call(number: int, **detail: object) -> str:
    sender = {"eventSource": "secretsmanager.amazonaws.com", "eventName": "TagResource"}
    return _envelope(number, "AWS API Call via CloudTrail", {**sender, **detail})


def _api_call_with_answer(number: int, name: str, arn: str) -> str:
    request = {"secretId": name, "secretString": MARK}
    return _api_call(number, requestParameters=request, responseElements={"arn": arn})


def _api_call_without_answer(number: int, name: str, _arn: str) -> str:
    return _api_call(number, requestParameters={"secretId": name}, responseElements=None)


def replication_failed(number: int, arn: str, **fields: object) -> str:
    """Return the event of a replication that failed, for the ARN of a primary or of a replica."""
    detail = {
        "eventSource": "secretsmanager.amazonaws.com",
        "eventName": "ReplicationFailed",
        "additionalEventData": {"SecretId": arn},
    }
    return _envelope(number, "AWS Service Event via CloudTrail", detail, **fields)


def _replication_failed(number: int, _name: str, arn: str) -> str:
    return replication_failed(number, arn.replace(":us-east-1:", ":eu-west-1:"))


def _label_updated(number: int, name: str, arn: str) -> str:
    detail = {"name": name, "labelUpdated": "AWSCURRENT"}
    return _envelope(number, "Secret Label Updated", detail, resources=[arn])


def _plain(number: int, name: str, _arn: str) -> str:
    return json.dumps({"secret_id": name, "number": number})


SHAPES: dict[str, Callable[[int, str, str], str]] = {
    "a call with its answer": _api_call_with_answer,
    "a call without answer": _api_call_without_answer,
    "replication failed, from the replica's Region": _replication_failed,
    "a label was updated": _label_updated,
    "a name": _plain,
}
"""By what happened: (a number of its own, the secret's name, its ARN at home) → the body."""

MALFORMED = [
    f'{{"secret_string": "{MARK}"}}',
    f"{MARK}, please",
    _api_call(0, errorCode="AccessDenied", requestParameters={"name": "a", "secretString": MARK}),
    json.dumps({"secret_id": [MARK]}),
]


def names_the_name(body: str) -> bool:
    """Tell whether the body knows its secret only by name."""
    return "arn:aws" not in body
