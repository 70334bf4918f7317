"""What SQS refuses to send: asked of the local AWS, and the size of the fake queues too."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.ministack import LocalAws, clients
from tests.support.fakes.queues import DEAD_LETTER_QUEUE_URL, FakeQueues

pytestmark = pytest.mark.xdist_group("model in MiniStack")

LIMIT = 2048
Send = Callable[[str, dict[str, str]], Any]


def typed(attributes: dict[str, str]) -> Any:
    return {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()}


@pytest.fixture
def local(strict_aws: LocalAws) -> Send:
    """A queue of the local AWS that takes so many bytes."""
    queues = clients(strict_aws).sqs
    url = queues.create_queue(QueueName="small", Attributes={"MaximumMessageSize": str(LIMIT)})["QueueUrl"]
    return lambda body, attributes: queues.send_message(
        QueueUrl=url, MessageBody=body, MessageAttributes=typed(attributes)
    )


@pytest.fixture
def fake() -> Send:
    """The fake of the DeadLetterQueue with the same limit."""
    queues = FakeQueues(lambda: 0.0, maximum_message_size=LIMIT)
    return lambda body, attributes: queues.send_message(
        QueueUrl=DEAD_LETTER_QUEUE_URL, MessageBody=body, MessageAttributes=typed(attributes)
    )


@pytest.fixture(params=["local", "fake"])
def send(request: pytest.FixtureRequest) -> Send:
    return request.getfixturevalue(request.param)


def refusal(send: Send, body: str, attributes: dict[str, str]) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        send(body, attributes)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


ROOM = LIMIT - len("NameString")


def test_names_types_and_values_of_attributes_count_with_the_body(send: Send) -> None:
    assert send("b" * (ROOM - 1), {"Name": "v"})
    code, message = refusal(send, "b" * ROOM, {"Name": "v"})
    assert code == "InvalidParameterValue"
    assert f"Message must be shorter than {LIMIT} bytes" in message


def test_bytes_count_not_characters(send: Send) -> None:
    assert refusal(send, "b", {"Name": "€" * (LIMIT // 2)})[0] == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("attributes", "code", "said"),
    [
        pytest.param(
            {f"Name{number}": "v" for number in range(11)},
            *("InvalidParameterValue", "Number of message attributes [11] exceeds the allowed maximum [10]."),
            id="more than ten",
        ),
        pytest.param({"Name": ""}, "InvalidParameterValue", "must contain a non-empty value", id="empty"),
        pytest.param({"Name": "\x01"}, "InvalidMessageContents", "outside the allowed set", id="characters"),
    ],
)
def test_the_local_queue_refuses_attributes(
    local: Send, attributes: dict[str, str], code: str, said: str
) -> None:
    found, message = refusal(local, "body", attributes)
    assert found == code
    assert said in message
