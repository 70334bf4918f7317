"""The relay reads every record once. One it misses is a secret that the demo never replicates."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPResponse

from local.cloudtrail.relay import PAGE, Reader, send_exact_times
from local.errors import LocalError

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@dataclass
class Trail:
    """LookupEvents as MiniStack answers it: newest first, 50 at most, no token."""

    entries: list[dict[str, Any]] = field(default_factory=list)

    def record(self, seconds: float, name: str = "CreateSecret", source: str = "secretsmanager") -> str:
        number = f"{len(self.entries)}"
        self.entries.append(
            {
                "EventId": number,
                "EventName": name,
                "EventSource": f"{source}.amazonaws.com",
                "EventTime": START + timedelta(seconds=seconds),
                "ReadOnly": "true" if name.startswith("Describe") else "false",
                "CloudTrailEvent": json.dumps({"eventID": number}),
            }
        )
        return number

    def lookup_events(
        self,
        LookupAttributes: Sequence[dict[str, str]],
        StartTime: datetime,
        MaxResults: int,
        EndTime: datetime | None = None,
    ) -> dict[str, Any]:
        wanted = {each["AttributeKey"]: each["AttributeValue"] for each in LookupAttributes}
        end = EndTime or datetime.max.replace(tzinfo=UTC)
        found = [
            entry
            for entry in reversed(self.entries)
            if wanted.items() <= entry.items() and StartTime <= entry["EventTime"] <= end
        ]
        return {"Events": found[:MaxResults]}


def reader(trail: Trail) -> Reader:
    return Reader(trail, START)


def read(of: Reader) -> list[object]:
    return [record["eventID"] for record in of.read()]


def test_each_record_is_read_once_and_in_order() -> None:
    trail, found = Trail(), []
    of = reader(trail)
    for second, name in enumerate(["CreateSecret", "TagResource", "CreateSecret"]):
        trail.record(second, name)
        found += read(of)
    assert found == ["0", "1", "2"]
    assert read(of) == []


def test_records_of_several_calls_come_in_the_order_of_their_times() -> None:
    trail = Trail()
    for second, name in enumerate(["TagResource", "CreateSecret", "TagResource"]):
        trail.record(second, name)
    assert read(reader(trail)) == ["0", "1", "2"]


def test_what_was_recorded_before_the_start_is_not_read() -> None:
    trail = Trail()
    trail.record(-1)
    trail.record(0.4)
    late = Reader(trail, START + timedelta(seconds=0.5))
    assert read(late) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        pytest.param("TagResource", "lambda", id="the same call on another service"),
        pytest.param("DescribeSecret", "secretsmanager", id="what is recorded as a read"),
        pytest.param("BatchGetSecretValue", "secretsmanager", id="a read that MiniStack takes for a write"),
    ],
)
def test_what_changes_no_secret_is_not_read(name: str, source: str) -> None:
    trail = Trail()
    trail.record(1, name, source)
    assert read(reader(trail)) == []


def test_more_than_a_page_is_read_back_to_the_last_known_record() -> None:
    trail = Trail()
    of = reader(trail)
    trail.record(0)
    assert read(of) == ["0"]
    made = [trail.record(0.1 + number / 20) for number in range(5 * PAGE)]
    assert read(of) == made


def test_more_than_a_page_in_one_second_is_read() -> None:
    trail = Trail()
    made = [trail.record(number / 1000) for number in range(3 * PAGE)]
    assert read(reader(trail)) == made


def test_more_than_a_page_at_one_instant_is_said_aloud_and_not_lost_in_silence() -> None:
    trail = Trail()
    for _ in range(PAGE + 1):
        trail.record(1)
    with pytest.raises(LocalError, match="50 or more calls at once"):
        reader(trail).read()


def test_a_full_instant_is_no_matter_if_it_is_read_in_two() -> None:
    trail = Trail()
    of = reader(trail)
    first = [trail.record(1) for _ in range(PAGE // 2)]
    assert read(of) == first
    second = [trail.record(1) for _ in range(PAGE // 2)]
    assert read(of) == second


def test_times_are_sent_with_their_fractions() -> None:
    sent: list[dict[str, Any]] = []

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        sent.append(json.loads(request.body))
        raw = HTTPResponse(io.BytesIO(b'{"Events": []}'), preload_content=False)
        return AWSResponse(request.url, 200, {}, raw)

    client = boto3.client("cloudtrail", region_name="us-east-1")
    client.meta.events.register("before-send.cloudtrail.LookupEvents", answer)
    send_exact_times(client)
    client.lookup_events(StartTime=START + timedelta(seconds=0.25), EndTime=START + timedelta(seconds=1.5))
    assert sent[0]["EndTime"] - sent[0]["StartTime"] == 1.25


@given(st.lists(st.floats(0, 0.5), max_size=4 * PAGE), st.sets(st.integers(0, 4 * PAGE)))
def test_whatever_the_times_nothing_is_lost_in_silence_and_nothing_comes_twice(
    gaps: list[float], polls: set[int]
) -> None:
    trail, found, second = Trail(), [], 0.0
    of = reader(trail)
    try:
        for number, gap in enumerate(gaps):
            second += gap
            trail.record(second)
            if number in polls:
                found += read(of)
        found += read(of)
    except LocalError:
        return
    assert found == [entry["EventId"] for entry in trail.entries]
