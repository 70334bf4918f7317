"""The strict Secrets Manager in MiniStack's process. Only what is named in_ministack knows its inside.

MiniStack keeps TLS, signatures and IAM. Its own Secrets Manager is not asked any more: a secret that
CloudFormation makes is not here. Rotation is not, either. CloudTrail's records get what MiniStack leaves out:
that a call was refused, and the service events.
"""

import json
import os
import time
from collections import Counter, deque
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any

from ministack.core import iam_actions
from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudtrail, secretsmanager

from local.aws.events_in_ministack import find_key
from local.aws.in_ministack import app, switched_off
from local.aws.ministack import WORLDS
from local.aws.seam import Answer, Own, in_place_of
from local.secrets_manager.events import service_events
from local.secrets_manager.model import AwsError, Params, Secret
from local.secrets_manager.replication import Keys
from local.secrets_manager.service import StrictSecretsManager
from local.secrets_manager.transport import reply
from local.secrets_manager.worlds import read_worlds

__all__ = ["app"]

_NOT_SENT = frozenset({"AWSPENDING", "AWSPREVIOUS"})
_WORLDS = os.environ.pop(WORLDS)
_refusal: ContextVar[AwsError | None] = ContextVar("_refusal", default=None)
_changes_recorded: Counter[tuple[str, str]] = Counter()


class LocalKeys(Keys):
    """The keys of an account in MiniStack's KMS."""

    def __init__(self, account: str) -> None:
        self._account = account

    def __missing__(self, place: tuple[str, str]) -> str:
        record = find_key(self._account, *place)
        return str(record["KeyState"]) if record else super().__missing__(place)


@cache
def model_of(account: str) -> StrictSecretsManager:
    """Return the secrets of an account: MiniStack takes an access key of 12 digits for one."""
    model = StrictSecretsManager(account=account, worlds=read_worlds(_WORLDS))
    model.values_readable = True
    model.suffixes["orders/db"] = "AbCdEf"  # the ARN in the files of events/
    model.replication.keys = LocalKeys(account)
    return model


@in_place_of(secretsmanager, "handle_request")
async def handle_request(
    own: Own, method: str, path: str, headers: Mapping[str, str], body: bytes, *request: object
) -> Answer:
    """Answer every operation but the one that has nothing to do with secrets."""
    _refusal.set(None)
    target = headers.get("x-amz-target", "")
    if target.endswith(".GetRandomPassword"):
        answer: Answer = await own(method, path, headers, body, *request)
        return answer
    return reply(_handle, target, headers.get("authorization", ""), body)


def _handle(operation: str, region: str, params: Params) -> Params:
    model = model_of(get_account_id())
    _switch(model)
    secret = _find(str(params.get("SecretId")))
    before = _labels(secret) if secret else {}
    try:
        answer = model.handle(operation, region, params)
    except AwsError as refusal:
        _refusal.set(refusal)
        raise
    if secret:
        _tell_of_labels(secret, before)
    return answer


def _switch(model: StrictSecretsManager) -> None:
    """Let nothing be replicated to or from a Region that is off."""
    now, before = switched_off(), {*model.replication.switched_off}
    for region in now - before:
        model.switch_off(region)
    for region in before - now:
        model.switch_on(region)


def _tell_of_labels(secret: Secret, before: Mapping[str, str]) -> None:
    """Send `Secret Label Updated` for each label that has moved."""
    named = {"Name": secret.name, "ARN": secret.arn}
    for label, version in _labels(secret).items():
        if before.get(label) != version and label not in _NOT_SENT:
            secretsmanager._emit_secret_label_updated(named, label, version)  # noqa: SLF001


def _labels(secret: Secret) -> dict[str, str]:
    return {label: key for key, version in secret.versions.items() for label in version.stages}


def _find(secret_id: str) -> Secret | None:
    return model_of(get_account_id()).find(get_region(), secret_id)


@in_place_of(secretsmanager, "_resolve")
def resolve(
    _own: Own, secret_id: str, *, use_arn_scope: bool = False
) -> tuple[str | None, dict[str, Any] | None]:
    """Tell IAM which ARN a name is."""
    region = secret_id.split(":")[3] if use_arn_scope and secret_id.count(":") > 5 else get_region()
    secret = model_of(get_account_id()).find(region, secret_id) if secret_id else None
    return (secret.name, {"ARN": secret.arn, "Name": secret.name, "Versions": {}}) if secret else (None, None)


@in_place_of(secretsmanager, "secret_policy_for_arn")
def secret_policy_for_arn(_own: Own, arn: str) -> tuple[str, str] | None:
    """Return a secret's resource policy and the account that owns it."""
    secret = _find(arn)
    return (secret.policy or "", get_account_id()) if secret else None


@in_place_of(iam_actions, "request_tag_context")
def condition_keys(own: Own, service: str, iam_action: str, body: bytes, params: Params) -> dict[str, Any]:
    """Return the condition keys of a request: MiniStack's own, and those of Secrets Manager.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html
    """
    found: dict[str, Any] = own(service, iam_action, body, params)
    return found | _replication_keys(json.loads(body or b"{}")) if service == "secretsmanager" else found


def _replication_keys(asked: Params) -> dict[str, Any]:
    secret = _find(str(asked.get("SecretId")))
    keys = {
        "AddReplicaRegions": [entry.get("Region") for entry in asked.get("AddReplicaRegions", ())] or None,
        "ForceOverwriteReplicaSecret": asked.get("ForceOverwriteReplicaSecret"),
        "SecretPrimaryRegion": secret and secret.primary_region,
    }
    return {f"secretsmanager:{name}": value for name, value in keys.items() if value is not None}


@in_place_of(cloudtrail, "record_event")
def record_event(own: Own, service: str, **call: Any) -> None:  # noqa: ANN401  as MiniStack has it
    """Record a call as MiniStack does, and, which it does not, that it was refused."""
    own(service=service, **call)
    refusal = _refusal.get()
    if service == "secretsmanager" and refusal:
        last = cloudtrail._get_event_queue()[-1]  # noqa: SLF001
        refused = {"errorCode": refusal.code, "errorMessage": str(refusal)}
        last["CloudTrailEvent"] = json.dumps(json.loads(last["CloudTrailEvent"]) | refused)


@in_place_of(cloudtrail, "_get_event_queue")
def event_queue(own: Own) -> "deque[dict[str, Any]]":
    """Return CloudTrail's records of this Region, the service events of replication among them."""
    records: deque[dict[str, Any]] = own()
    account, region = get_account_id(), get_region()
    model = model_of(account)
    history, begin = model.history, _changes_recorded[account, region]
    _changes_recorded[account, region] = len(history)
    events = [event["detail"] for event in service_events(history, model.worlds, begin)]
    records.extend(_looked_up(detail) for detail in events if detail["awsRegion"] == region)
    return records


def _looked_up(detail: Params) -> dict[str, Any]:
    return {
        "EventId": detail["eventID"],
        "EventName": detail["eventName"],
        "EventSource": detail["eventSource"],
        "EventTime": time.time(),
        "ReadOnly": "false",
        "Resources": [],
        "CloudTrailEvent": json.dumps(detail),
    }
