"""A function that feeds its own queue on the local AWS: headers are kept and counted, the chain stopped."""

import io
import json
import zipfile
from itertools import count
from typing import Any

import pytest

from local.aws.lineage import MAX_INVOCATIONS, invocations, next_header
from local.aws.ministack import ACCOUNT, LocalAws, clients

pytestmark = pytest.mark.xdist_group("model in MiniStack")

LAST = MAX_INVOCATIONS + 4
CODE = f"""
import os, boto3
queues = boto3.client("sqs")

def handler(event, context):
    for record in event["Records"]:
        number = int(record["body"])
        there = "NEXT" if number < {LAST} else "END"
        queues.send_message(QueueUrl=os.environ[there], MessageBody=str(number + 1))
"""
_numbers = count(1)


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archived:
        archived.writestr("loop.py", CODE)
    return file.getvalue()


def make_queue(aws: LocalAws, **attributes: str) -> tuple[str, str]:
    """Return the URL and the ARN of a new queue."""
    queues = clients(aws).sqs
    url = queues.create_queue(QueueName=f"loop-{next(_numbers)}", Attributes=attributes)["QueueUrl"]  # type: ignore[arg-type]
    found = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, found["Attributes"]["QueueArn"]


def run(aws: LocalAws, recursive_loop: str) -> str:
    """Begin a chain, and return what arrives where it ends."""
    home, name = clients(aws), f"loop-{next(_numbers)}"
    end, end_arn = make_queue(aws)
    redrive = json.dumps({"deadLetterTargetArn": end_arn, "maxReceiveCount": 2})
    queue, queue_arn = make_queue(aws, VisibilityTimeout="2", RedrivePolicy=redrive)
    statement = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    may = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}
    trust, policy = (json.dumps({"Version": "2012-10-17", "Statement": [each]}) for each in (statement, may))
    role = home.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    home.iam.put_role_policy(RoleName=name, PolicyName="queues", PolicyDocument=policy)
    home.functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role,
        Handler="loop.handler",
        Code={"ZipFile": archive()},
        Environment={"Variables": {"NEXT": queue, "END": end}},
    )
    home.functions.put_function_recursion_config(FunctionName=name, RecursiveLoop=recursive_loop)  # type: ignore[arg-type]
    # A cold start might take longer than the message is hidden.
    home.functions.invoke(FunctionName=name, Payload=json.dumps({"Records": []}))
    home.functions.create_event_source_mapping(FunctionName=name, EventSourceArn=queue_arn, BatchSize=1)
    home.sqs.send_message(QueueUrl=queue, MessageBody="1")
    for _ in range(5):
        answer = home.sqs.receive_message(QueueUrl=end, WaitTimeSeconds=5)
        # What SQS moves to its dead-letter queue, it moves when somebody receives.
        home.sqs.receive_message(QueueUrl=queue)
        if "Messages" in answer:
            return answer["Messages"][0]["Body"]
    return "nothing"


def test_a_chain_is_stopped_after_sixteen_invocations_and_its_message_becomes_a_dead_letter(
    strict_aws: LocalAws,
) -> None:
    assert run(strict_aws, "Terminate") == str(MAX_INVOCATIONS + 1)


def test_a_function_that_may_feed_its_own_queue_goes_on(strict_aws: LocalAws) -> None:
    assert run(strict_aws, "Allow") == str(LAST + 1)


@pytest.fixture
def as_function(monkeypatch: pytest.MonkeyPatch) -> str:
    """Let botocore take this process for a function, and return the header that it then sends."""
    header = next_header("arn", ())
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "function")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", header)
    return header


def kept(aws: LocalAws, url: str) -> list[str | None]:
    """Return the headers that the queue kept with its messages."""
    answer = clients(aws).sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["AWSTraceHeader"]
    )
    return [message.get("Attributes", {}).get("AWSTraceHeader") for message in answer["Messages"]]


def test_the_header_of_a_request_is_kept_with_each_message_of_a_batch(
    strict_aws: LocalAws, as_function: str
) -> None:
    url, _arn = make_queue(strict_aws)
    clients(strict_aws).sqs.send_message_batch(
        QueueUrl=url, Entries=[{"Id": each, "MessageBody": each} for each in "ab"]
    )
    assert kept(strict_aws, url) == [as_function] * 2


def test_a_messages_own_header_counts_more(strict_aws: LocalAws, as_function: str) -> None:
    url, _arn = make_queue(strict_aws)
    own: Any = {"AWSTraceHeader": {"StringValue": "Root=1-0-0", "DataType": "String"}}
    clients(strict_aws).sqs.send_message(QueueUrl=url, MessageBody="a", MessageSystemAttributes=own)
    assert as_function
    assert kept(strict_aws, url) == ["Root=1-0-0"]


def test_who_is_no_function_sends_no_header(strict_aws: LocalAws) -> None:
    url, _arn = make_queue(strict_aws)
    clients(strict_aws).sqs.send_message(QueueUrl=url, MessageBody="a")
    assert kept(strict_aws, url) == [None]


def test_an_invocation_counts_from_the_message_that_has_come_furthest() -> None:
    first = next_header("arn", [""])
    third = next_header("arn", [next_header("arn", [first])])
    following = next_header("arn", ["", first, third])
    assert [invocations("arn", header) for header in ("", first, third, following)] == [0, 1, 3, 4]


def test_functions_do_not_count_each_others_invocations() -> None:
    assert invocations("arn", next_header("another", [])) == 0
