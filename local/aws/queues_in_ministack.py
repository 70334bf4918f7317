"""What SQS refuses of a message's attributes, in MiniStack's process: MiniStack looks at the body alone.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_MessageAttributeValue.html
"""

from collections.abc import Iterator, Mapping

from ministack.services import sqs

from local.aws.seam import Facts, Own, in_place_of

MOST_ATTRIBUTES = 10
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""


@in_place_of(sqs, "_act_send_message")
def send_message(own: Own, data: Facts, qurl: str) -> Facts:
    """Send, unless SQS would refuse the attributes."""
    url = data.get("QueueUrl", qurl)
    limit = int(sqs._get_q(url)["attributes"].get("MaximumMessageSize", 1_048_576))  # noqa: SLF001
    attributes = {
        name: (
            str(given.get("DataType", "")),
            str(given.get("StringValue") or given.get("BinaryValue") or ""),
        )
        for name, given in (data.get("MessageAttributes") or {}).items()
    }
    for code, message in _problems(str(data.get("MessageBody", "")), attributes, limit):
        raise sqs._Err(code, message)  # noqa: SLF001
    answer: Facts = own(data, qurl)
    return answer


def _problems(body: str, attributes: Mapping[str, tuple[str, str]], limit: int) -> Iterator[tuple[str, str]]:
    """Yield code and message of each reason to refuse it."""
    if len(attributes) > MOST_ATTRIBUTES:
        number = f"Number of message attributes [{len(attributes)}]"
        yield "InvalidParameterValue", f"{number} exceeds the allowed maximum [{MOST_ATTRIBUTES}]."
    for name, (kind, text) in attributes.items():
        said = f"Message (user) attribute '{name}'"
        if not text:
            yield "InvalidParameterValue", f"{said} must contain a non-empty value of type '{kind}'."
        if sqs._INVALID_SQS_CHARS_RE.search(text):  # noqa: SLF001
            yield "InvalidMessageContents", f"{said} has characters outside the allowed set."
    parts = (body, *(name + kind + text for name, (kind, text) in attributes.items()))
    if sum(len(part.encode()) for part in parts) > limit:
        reason = f"Message must be shorter than {limit} bytes."
        yield "InvalidParameterValue", f"One or more parameters are invalid. Reason: {reason}"


sqs._HANDLERS["SendMessage"] = sqs._act_send_message  # noqa: SLF001  it was taken before
