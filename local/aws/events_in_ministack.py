"""EventBridge's deliveries to queues in MiniStack's process: refused, dead-lettered and counted as on AWS.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html. MiniStack itself delivers whatever
policy and key of the queue say.
"""

from contextvars import ContextVar

from ministack.core.arn import Arn, parse_arn
from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch, eventbridge, kms, sqs

from local.aws.seam import Facts, Own, in_place_of, remembered

_EVENTBRIDGE = "events.amazonaws.com"
_NO_PERMISSIONS = "NO_PERMISSIONS", "Lack of permissions to invoke cross account target."
_NO_RESOURCE = "NO_RESOURCE", "The specified queue does not exist."
_delivery: ContextVar[tuple[Facts, Facts]] = ContextVar("_delivery")


@in_place_of(eventbridge, "_invoke_target")
def invoke_target(own: Own, target: Facts, event: Facts, rule: Facts, view: object = None) -> None:
    """Invoke the target, and remember meanwhile which rule and target it is for."""
    with remembered(_delivery, (rule, target)):
        own(target, event, rule, view)


@in_place_of(eventbridge, "_dispatch_to_sqs")
def dispatch_to_sqs(own: Own, spec: Arn, payload: str, sqs_parameters: Facts | None = None) -> None:
    """Deliver to the queue; what it refuses, to the target's dead-letter queue, without another try."""
    rule, target = _delivery.get()
    refused = _refusal(str(spec), rule["Arn"])
    if not refused:
        own(spec, payload, sqs_parameters)
        return
    _count("FailedInvocations", rule)
    dead_letters = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not dead_letters:
        return
    if _refusal(dead_letters, rule["Arn"]):
        _count("InvocationsFailedToBeSentToDlq", rule)
        return
    own(parse_arn(dead_letters), payload)
    code, text = refused
    given = {"RULE_ARN": rule["Arn"], "TARGET_ARN": str(spec), "ERROR_CODE": code, "ERROR_MESSAGE": text}
    messages = reversed(sqs._queue_by_arn(dead_letters)["messages"])  # noqa: SLF001
    written = next(message for message in messages if message["body"] is payload)
    written["message_attributes"] = {
        name: {"DataType": "String", "StringValue": value} for name, value in given.items()
    }
    _count("InvocationsSentToDlq", rule)


def _refusal(queue_arn: str, rule_arn: str) -> tuple[str, str] | None:
    """Return why EventBridge may not send to a queue, as code and text: policy and key decide."""
    queue = sqs._queue_by_arn(queue_arn)  # noqa: SLF001
    if queue is None:
        return _NO_RESOURCE
    key = queue["attributes"].get("KmsMasterKeyId")
    allowed = sqs.queue_policy_allows(queue_arn, _EVENTBRIDGE, rule_arn, get_account_id())
    return None if allowed and (not key or _key_allows(key)) else _NO_PERMISSIONS


def _key_allows(key: str) -> bool:
    """Tell whether EventBridge may use a key; the policy of a key that AWS manages never lets it.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    """
    record = find_key(get_account_id(), get_region(), key)
    if record is None or record["KeyState"] != "Enabled":
        return False
    return all(_evaluated(record, action) == "Allow" for action in ("kms:GenerateDataKey", "kms:Decrypt"))


def _evaluated(key: Facts, action: str) -> str:
    context = EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=key["Arn"],
        region=get_region(),
    )
    return str(evaluate_resource_policy(key["Policy"], context, service=_EVENTBRIDGE).decision)


def find_key(account: str, region: str, key: str) -> Facts | None:
    """Return MiniStack's record of a key in a Region, by id, ARN or alias."""
    alias = f"arn:aws:kms:{region}:{account}:{key}" if key.startswith("alias/") else key
    found = kms._aliases.get_scoped(account, region, alias) or key.rpartition("/")[2]  # noqa: SLF001
    record: Facts | None = kms._keys.get_scoped(account, region, found)  # noqa: SLF001
    return record


def _count(metric: str, rule: Facts) -> None:
    cloudwatch.record_metric("AWS/Events", metric, 1, "Count", {"RuleName": rule["Name"]})
