"""What a queue message asks for. A message that is misread is a secret that is never replicated."""

import json
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from secret_replicator.errors import MalformedMessageError, PermanentError
from secret_replicator.messages import (
    API_EVENTS,
    SERVICE_EVENTS,
    ReconcileRequest,
    Request,
    SweepRequest,
    parse,
)
from tests.support.json_mutations import JSON, TEXTS, changed, mutations

HOME = "us-east-1"
FILES = {path.name: path for path in (Path(__file__).parents[2] / "events").glob("*.json")}
EVENTS = {name: json.loads(path.read_text("utf-8")) for name, path in FILES.items()}
ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:orders/db-AbCdEf"
MARKER = "hunter2-do-not-quote-me"

ASKED_FOR = [
    pytest.param("create-secret.json", ARN, id="a new secret"),
    pytest.param("create-secret-old-arn-key.json", ARN, id="a record from before 2024, with aRN"),
    pytest.param("create-secret-without-response.json", "orders/db", id="a record with no response, by name"),
    pytest.param("tag-resource.json", ARN, id="a tagged secret"),
    pytest.param("tag-resource-by-name.json", ARN, id="a tagged secret: the response's ARN before its name"),
    pytest.param("untag-resource.json", ARN, id="an untagged secret"),
    pytest.param("update-secret.json", ARN, id="a changed secret"),
    pytest.param("restore-secret.json", "orders/db", id="a restored secret"),
    pytest.param("put-resource-policy.json", ARN, id="a secret with another resource policy"),
    pytest.param("delete-resource-policy.json", ARN, id="a secret without its resource policy"),
    pytest.param("stop-replication-to-replica.json", ARN, id="a replica that was promoted in this Region"),
    pytest.param("tag-resource-hidden.json", ARN, id="a call whose request CloudTrail hides"),
    pytest.param("secret-label-updated.json", ARN, id="a new current value"),
    pytest.param("secret-label-updated-custom.json", ARN, id="a label of one's own that was moved"),
    pytest.param("replication-started.json", ARN, id="a replication that began"),
    pytest.param("replication-succeeded.json", ARN, id="a replication that succeeded"),
    pytest.param("replication-failed.json", ARN, id="a replication that failed"),
    pytest.param("replication-failed-in-replica-region.json", ARN, id="a replica's ARN, mapped to home"),
    pytest.param("replication-failed-by-resources.json", ARN, id="a failure that names it as a resource"),
    pytest.param("secret-id.json", "orders/db", id="a secret named by hand"),
]
ASKS_FOR_NOTHING = [
    pytest.param("create-secret-denied.json", "errorCode", id="a call that AWS refused"),
    pytest.param("delete-secret.json", "eventName", id="a deleted secret"),
    pytest.param("get-secret-value.json", "eventName", id="a value that was read"),
    pytest.param("replicate-secret-to-regions.json", "eventName", id="our own call"),
    pytest.param("remove-regions-from-replication.json", "eventName", id="a replica that a person removed"),
    pytest.param("put-secret-value.json", "eventName", id="a new value: its label has an event"),
    pytest.param("sqs-batch.json", "Records", id="a whole batch instead of one body"),
    pytest.param("own-converged.json", "source", id="what we tell others of a converged secret"),
    pytest.param("own-failed.json", "source", id="what we tell others of a dead letter"),
]


def parsed(message: object, home_region: str = HOME) -> Request:
    return parse(json.dumps(message), home_region)


def event(name: str = "create-secret.json", /, **detail: object) -> dict[str, Any]:
    """Return an event of events/ with these keys of its detail replaced."""
    return {**EVENTS[name], "detail": {**EVENTS[name]["detail"], **detail}}


@pytest.mark.parametrize(("name", "secret_id"), ASKED_FOR)
def test_an_event_asks_to_check_its_secret(name: str, secret_id: str) -> None:
    asked = parsed(EVENTS[name])
    assert (asked.secret_id, asked.event_id) == (secret_id, EVENTS[name].get("id", ""))


@pytest.mark.parametrize("name", [row.values[0] for row in ASKED_FOR])
def test_only_what_our_own_call_may_have_caused_is_an_echo(name: str) -> None:
    asked = parsed(EVENTS[name])
    assert isinstance(asked, ReconcileRequest)
    assert asked.echo is name.startswith("replication-")
    assert math.isinf(asked.happened_at) is not asked.echo


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        pytest.param("2026-11-20T09:14:27Z", 1795166067, id="as EventBridge writes it"),
        pytest.param("2026-11-20T10:14:27+01:00", 1795166067, id="with an offset"),
        pytest.param("2026-11-20T09:14:27", 1795166067, id="without one"),
        pytest.param("yesterday", math.inf, id="not a time"),
        pytest.param(1795166067, math.inf, id="not a text"),
        pytest.param(None, math.inf, id="not there"),
    ],
)
def test_the_time_of_an_echo_is_read_if_it_can_be(written: object, seconds: float) -> None:
    asked = parsed({**EVENTS["replication-failed.json"], "time": written})
    assert isinstance(asked, ReconcileRequest)
    assert asked.happened_at == seconds


@pytest.mark.parametrize(("name", "found"), ASKS_FOR_NOTHING)
def test_an_event_that_is_not_ours_is_malformed_and_says_what_was_found(name: str, found: str) -> None:
    with pytest.raises(MalformedMessageError, match=found):
        parsed(EVENTS[name])


def test_the_sweep_event_asks_for_the_first_page() -> None:
    assert parsed(EVENTS["sweep.json"]) == SweepRequest()


def test_every_file_in_events_stands_in_these_tables() -> None:
    listed = {row.values[0] for row in ASKED_FOR + ASKS_FOR_NOTHING}
    assert listed | {"sweep.json"} == EVENTS.keys()


def test_each_body_of_the_batch_is_read_alone() -> None:
    api_call, by_hand, nonsense = (record["body"] for record in EVENTS["sqs-batch.json"]["Records"])
    assert parse(api_call, HOME) == ReconcileRequest(ARN, json.loads(api_call)["id"])
    assert parse(by_hand, HOME) == ReconcileRequest("billing/api")
    with pytest.raises(MalformedMessageError, match="not JSON"):
        parse(nonsense, HOME)


@pytest.mark.parametrize("name", sorted(API_EVENTS))
def test_every_api_event_that_we_subscribe_to_is_understood(name: str) -> None:
    assert parsed(event(eventName=name)).secret_id == ARN


@pytest.mark.parametrize("name", sorted(SERVICE_EVENTS))
def test_every_service_event_that_we_subscribe_to_is_understood(name: str) -> None:
    assert parsed(event("replication-failed.json", eventName=name)).secret_id == ARN


@pytest.mark.parametrize("key", ["arn", "aRN", "ARN"])
def test_the_response_may_spell_arn_in_every_way_that_aws_has_used(key: str) -> None:
    message = event(responseElements={key: ARN}, requestParameters=None)
    assert parsed(message).secret_id == ARN


@pytest.mark.parametrize(
    ("request_parameters", "secret_id"),
    [
        pytest.param({"name": "orders/db"}, "orders/db", id="the name of a new secret"),
        pytest.param({"secretId": "orders/db"}, "orders/db", id="a name"),
        pytest.param({"secretId": ARN}, ARN, id="an ARN"),
        pytest.param({"secretId": ARN[:-7]}, ARN[:-7], id="a partial ARN"),
        pytest.param(
            {"secretId": ARN[:-7].replace(HOME, "eu-west-1")}, ARN[:-7], id="a replica's partial ARN"
        ),
        pytest.param({"secretId": None, "name": "orders/db"}, "orders/db", id="a null beside a name"),
        pytest.param({"secretId": "db", "name": "other"}, "db", id="secretId before name"),
    ],
)
@pytest.mark.parametrize("response", [None, {}, {"arn": None}, {"name": "orders/db"}])
def test_without_an_arn_in_the_response_the_request_names_the_secret(
    request_parameters: dict[str, Any], secret_id: str, response: object
) -> None:
    message = event("tag-resource.json", requestParameters=request_parameters, responseElements=response)
    assert parsed(message).secret_id == secret_id


def test_the_keys_of_request_and_response_may_be_absent_altogether() -> None:
    message = event()
    del message["detail"]["responseElements"]
    assert parsed(message).secret_id == "orders/db"
    del message["detail"]["requestParameters"]
    with pytest.raises(MalformedMessageError, match="names no secret"):
        parsed(message)


@pytest.mark.parametrize(
    ("arn", "home_region", "primary"),
    [
        pytest.param(ARN, HOME, ARN, id="the primary's own ARN stays"),
        pytest.param(ARN, "eu-west-1", ARN.replace(HOME, "eu-west-1"), id="another Region becomes home"),
        pytest.param(
            "arn:aws-us-gov:secretsmanager:us-gov-east-1:123456789012:secret:a-AbCdEf",
            "us-gov-west-1",
            "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:a-AbCdEf",
            id="the partition stays",
        ),
        pytest.param(
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:eu-west-1/db-AbCdEf",
            HOME,
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:eu-west-1/db-AbCdEf",
            id="a name that holds a Region's code stays",
        ),
        pytest.param(
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!cluster-1a-AbCdEf",
            HOME,
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!cluster-1a-AbCdEf",
            id="a service's secret is mapped too",
        ),
        pytest.param("name-with-eu-west-1", HOME, "name-with-eu-west-1", id="a name is not mapped"),
        pytest.param(
            "arn:aws:kms:eu-west-1:123456789012:key/1",
            HOME,
            "arn:aws:kms:eu-west-1:123456789012:key/1",
            id="what is no secret's ARN is not mapped",
        ),
    ],
)
def test_a_replica_is_checked_through_its_primary(arn: str, home_region: str, primary: str) -> None:
    assert parsed({"secret_id": arn}, home_region) == ReconcileRequest(primary)


@pytest.mark.parametrize(
    "additional",
    [
        pytest.param({"SecretId": ARN}, id="under the key of the rotation events"),
        pytest.param({"arn": ARN}, id="under another key"),
        pytest.param({"a": {"b": [{"c": ARN}]}}, id="deep inside"),
        pytest.param({"key": "arn:aws:kms:us-east-1:123456789012:key/1", "s": ARN}, id="after a key's ARN"),
        pytest.param({"region": "eu-west-1", "count": 3, "flag": None, "s": ARN}, id="among other facts"),
    ],
)
@pytest.mark.parametrize("key", ["additionalEventData", "serviceEventDetails"])
def test_the_arn_of_a_service_event_is_found_wherever_aws_puts_it(additional: object, key: str) -> None:
    message = event("replication-failed.json", additionalEventData=None)
    message["detail"][key] = additional
    assert parsed(message).secret_id == ARN


@pytest.mark.parametrize(
    "additional",
    [
        pytest.param(None, id="null"),
        pytest.param({}, id="empty"),
        pytest.param({"text": f"failed for {ARN}"}, id="an ARN inside a sentence, which may be cut off"),
        pytest.param({"key": "arn:aws:kms:us-east-1:123456789012:key/1"}, id="the ARN of something else"),
        pytest.param({"SecretId": "HIDDEN_DUE_TO_SECURITY_REASONS"}, id="what CloudTrail hides"),
        pytest.param({"SecretId": "***"}, id="what no secret is called"),
        pytest.param({"name": "orders/db"}, id="a name under a key that may be of anything"),
        pytest.param({ARN: 1}, id="an ARN as a key"),
    ],
)
def test_a_service_event_that_names_no_secret_is_malformed(additional: object) -> None:
    with pytest.raises(MalformedMessageError, match="names no secret"):
        parsed(event("replication-failed.json", additionalEventData=additional))


KMS_KEY = "arn:aws:kms:us-east-1:123456789012:key/1"


@pytest.mark.parametrize("secret", [ARN, "orders/db"])
@pytest.mark.parametrize("name", ["replication-failed.json", "tag-resource.json"])
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(("detail", "additionalEventData", "SecretId"), id="as the rotation events have it"),
        pytest.param(("detail", "serviceEventDetails", "secretId"), id="in the details of a service event"),
        pytest.param(("detail", "responseElements", "arn"), id="in the response"),
        pytest.param(("detail", "requestParameters", "secretId"), id="in the request"),
        pytest.param(("detail", "resources"), id="as the only resource of the record"),
        pytest.param(("resources",), id="as the only resource of the event"),
    ],
)
def test_a_secret_is_found_by_arn_or_name_in_every_place_that_aws_has_used(
    secret: str, name: str, path: tuple[str, ...]
) -> None:
    message = event(name, additionalEventData={}, requestParameters={}, responseElements={})
    assert parsed(changed(message, path, secret)).secret_id == secret


@pytest.mark.parametrize("top", [True, False], ids=["of the event", "of the record"])
@pytest.mark.parametrize(
    "resources",
    [
        pytest.param([ARN], id="a text"),
        pytest.param([{"ARN": ARN, "accountId": "123456789012"}], id="an object"),
        pytest.param([{"ARN": KMS_KEY, "type": "AWS::KMS::Key"}, {"ARN": ARN}], id="after a key"),
        pytest.param([KMS_KEY, 5, None, [ARN], ARN], id="among what is none"),
    ],
)
@pytest.mark.parametrize("name", ["replication-failed.json", "tag-resource.json"])
def test_a_secret_is_found_among_the_resources(name: str, resources: list[object], *, top: bool) -> None:
    message = event(name, additionalEventData=None, requestParameters=None, responseElements=None)
    where = ("resources",) if top else ("detail", "resources")
    assert parsed(changed(message, where, resources)).secret_id == ARN


def test_an_arn_says_more_than_a_name() -> None:
    message = event(
        "replication-failed.json", additionalEventData={"SecretId": "db"}, resources=[{"ARN": ARN}]
    )
    assert parsed(message).secret_id == ARN


@pytest.mark.parametrize("name", ["tag-resource.json", "create-secret.json"])
def test_a_secret_that_a_tag_or_a_text_of_the_call_names_is_not_the_one(name: str) -> None:
    tags = [{"key": "copy-of", "value": ARN.replace("orders", "other")}]
    message = event(name, requestParameters={"tags": tags}, responseElements=None)
    with pytest.raises(MalformedMessageError, match="names no secret"):
        parsed(message)


@pytest.mark.parametrize("home_region", ["us-east-1", "eu-west-1"])
def test_a_promoted_copy_leads_to_the_secret_of_the_stacks_own_region(home_region: str) -> None:
    """AWS sends it in the copy's Region; forwarded to the primary's, it is news of the primary."""
    assert parsed(EVENTS["stop-replication-to-replica.json"], home_region).secret_id == ARN.replace(
        HOME, home_region
    )


HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
PASSED_OVER: list[tuple[str, str, tuple[str, ...], object]] = [
    ("a request that CloudTrail hides", "tag-resource.json", ("detail", "requestParameters"), HIDDEN),
    (
        "a name that CloudTrail hides",
        "tag-resource.json",
        ("detail", "requestParameters", "secretId"),
        HIDDEN,
    ),
    ("a response that CloudTrail hides", "tag-resource.json", ("detail", "responseElements"), HIDDEN),
    ("an ARN that CloudTrail hides", "tag-resource.json", ("detail", "responseElements", "arn"), HIDDEN),
    ("null in place of the errorCode", "tag-resource.json", ("detail", "errorCode"), None),
    ("a number in place of the id", "tag-resource.json", ("id",), 7),
    ("a list in place of the response", "tag-resource.json", ("detail", "responseElements"), []),
    ("false in place of the response", "tag-resource.json", ("detail", "responseElements"), False),
    ("a number in place of the arn", "tag-resource.json", ("detail", "responseElements", "arn"), 5),
    ("an ARN that is too long", "tag-resource.json", ("detail", "responseElements", "arn"), ARN + "a" * 2000),
    ("a list in place of the request", "tag-resource.json", ("detail", "requestParameters"), []),
    ("a number among the facts", "replication-failed.json", ("detail", "requestParameters"), 1),
    ("no detail beside a resource", "secret-label-updated.json", ("detail",), None),
    ("no resources beside a name", "secret-label-updated.json", ("resources",), 5),
]


@pytest.mark.parametrize(
    ("name", "path", "wrong"), [pytest.param(*row, id=sentence) for sentence, *row in PASSED_OVER]
)
def test_whatever_part_names_the_secret_is_enough(name: str, path: tuple[str, ...], wrong: object) -> None:
    assert parsed(changed(EVENTS[name], path, wrong)).secret_id in (ARN, "orders/db")


def test_a_label_event_without_resources_is_read_by_its_name() -> None:
    message = {**EVENTS["secret-label-updated.json"], "resources": []}
    assert parsed(message).secret_id == "orders/db"


def test_an_event_without_an_id_is_understood() -> None:
    message = EVENTS["create-secret.json"].copy()
    del message["id"]
    assert parsed(message) == ReconcileRequest(ARN)


API = "create-secret.json"
REQUEST = ("detail", "requestParameters")
WRONG_TYPES: list[tuple[str, str, tuple[str, ...], object]] = [
    ("an object in place of the source", API, ("source",), {}),
    ("a list in place of the detail-type", API, ("detail-type",), ["x"]),
    ("null in place of the detail", API, ("detail",), None),
    ("a list in place of the detail", API, ("detail",), []),
    ("text in place of the detail", API, ("detail",), "{}"),
    ("an object in place of the eventName", API, ("detail", "eventName"), {}),
    ("a list in place of the eventName", API, ("detail", "eventName"), ["CreateSecret"]),
    ("a number in place of the eventSource", API, ("detail", "eventSource"), 1),
    ("an object in place of the name", "create-secret-without-response.json", (*REQUEST, "name"), {}),
    ("a number in place of the secretId", "restore-secret.json", (*REQUEST, "secretId"), 0),
    ("a number in place of the facts", "replication-failed.json", ("detail", "additionalEventData"), 1),
    ("a number in place of a secret_id", "secret-id.json", ("secret_id",), 1),
    ("null in place of a secret_id", "secret-id.json", ("secret_id",), None),
    ("a list in place of a secret_id", "secret-id.json", ("secret_id",), ["orders/db"]),
    ("null in place of a sweep", "sweep.json", ("sweep",), None),
    ("true in place of a sweep", "sweep.json", ("sweep",), True),
    ("a number in place of the token", "sweep.json", ("sweep", "next_token"), 1),
    ("an object in place of the token", "sweep.json", ("sweep", "next_token"), {}),
]


@pytest.mark.parametrize(
    ("name", "path", "wrong"), [pytest.param(*row, id=sentence) for sentence, *row in WRONG_TYPES]
)
def test_a_wrong_type_is_malformed(name: str, path: tuple[str, ...], wrong: object) -> None:
    with pytest.raises(MalformedMessageError):
        parsed(changed(EVENTS[name], path, wrong))


def test_a_label_event_with_neither_arn_nor_name_is_malformed() -> None:
    message = event("secret-label-updated.json", name=None) | {"resources": None}
    with pytest.raises(MalformedMessageError, match="name"):
        parsed(message)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        pytest.param({"source": "aws.ec2"}, "another source", id="another AWS service"),
        pytest.param({"source": "my.app"}, "another source", id="somebody's own bus"),
        pytest.param({"source": None}, "without a source", id="no source"),
        pytest.param({"detail-type": "AWS Console Sign In"}, "detail-type", id="another detail-type"),
        pytest.param({"detail-type": None}, "detail-type", id="no detail-type"),
    ],
)
def test_an_event_from_elsewhere_is_malformed(change: dict[str, Any], found: str) -> None:
    with pytest.raises(MalformedMessageError, match=found):
        parsed(EVENTS["create-secret.json"] | change)


@pytest.mark.parametrize("name", ["create-secret.json", "replication-failed.json"])
@pytest.mark.parametrize(
    ("key", "value"),
    [("eventSource", "kms.amazonaws.com"), ("eventName", "DeleteSecret"), ("eventName", None)],
)
def test_an_event_of_another_service_or_name_is_malformed(name: str, key: str, value: object) -> None:
    with pytest.raises(MalformedMessageError, match=key):
        parsed(event(name, **{key: value}))


def test_a_service_event_name_does_not_count_as_an_api_call_nor_the_other_way_round() -> None:
    with pytest.raises(MalformedMessageError, match="eventName"):
        parsed(event("create-secret.json", eventName="ReplicationFailed"))
    with pytest.raises(MalformedMessageError, match="eventName"):
        parsed(event("replication-failed.json", eventName="CreateSecret"))


@pytest.mark.parametrize("code", ["AccessDenied", "", 5])
def test_a_refused_call_is_malformed_whatever_its_error_code(code: object) -> None:
    with pytest.raises(MalformedMessageError, match="refused"):
        parsed(event(errorCode=code))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="nothing"),
        pytest.param("orders/db, please", id="prose"),
        pytest.param('{"secret_id": "orders/db"', id="a body that was cut off"),
        pytest.param('\ufeff{"secret_id": "orders/db"}', id="a byte order mark"),
        pytest.param("\x00", id="NUL"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param("1" * 5_000, id="a number of 5,000 digits"),
        pytest.param('{"secret_id": ' + "9" * 5_000 + "}", id="a number of 5,000 digits inside"),
        pytest.param("[" * 100_000, id="100,000 open lists"),
        pytest.param('{"detail":' * 100_000, id="100,000 open objects"),
        pytest.param("[" * 100_000 + "]" * 100_000, id="100,000 nested lists"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="a list"),
        pytest.param('"orders/db"', id="a JSON text"),
        pytest.param("1e999", id="infinity"),
        pytest.param("{}", id="an empty object"),
        pytest.param('{"Secret_Id": "orders/db"}', id="a key in other letters"),
        pytest.param('{"secret_id": ""}', id="an empty secret_id"),
        pytest.param('{"secret_id": "  "}', id="a blank secret_id"),
        pytest.param('{"secret_id": "orders\\u0000db"}', id="NUL in a secret_id"),
        pytest.param('{"secret_id": "orders\\ndb"}', id="a line end in a secret_id"),
        pytest.param('{"secret_id": "\\ud800"}', id="a lone surrogate in a secret_id"),
        pytest.param('{"secret_id": "\\u00f6rders"}', id="a letter that no secret's name has"),
        pytest.param(json.dumps({"secret_id": "a" * 2049}), id="a secret_id longer than AWS allows"),
    ],
)
def test_a_body_that_asks_for_nothing_is_permanent_and_says_what_was_expected(body: str) -> None:
    with pytest.raises(PermanentError, match="was expected to be an EventBridge event") as caught:
        parse(body, HOME)
    assert isinstance(caught.value, MalformedMessageError)
    assert caught.value.remedy


def test_a_secret_id_may_be_as_long_as_aws_allows() -> None:
    assert parsed({"secret_id": "a" * 2048}) == ReconcileRequest("a" * 2048)


@pytest.mark.parametrize("token", ["abc==", pytest.param("t" * 4096, id="as long as AWS allows")])
def test_a_sweep_carries_its_token(token: str) -> None:
    assert parsed({"sweep": {"next_token": token}}) == SweepRequest(next_token=token)


def test_a_page_of_a_sweep_is_read_as_it_was_written() -> None:
    page = SweepRequest("a sweep", page=3, next_token="abc==", restarted=True)
    assert parse(page.body(), HOME) == page
    assert parse(SweepRequest().body(), HOME) == SweepRequest()


@pytest.mark.parametrize("sweep_id", ["", "a sweep"])
def test_a_secret_of_a_sweep_is_read_as_it_was_written(sweep_id: str) -> None:
    request = ReconcileRequest(ARN, sweep_id=sweep_id)
    assert parse(request.body(), HOME) == request


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"page": 0}, "page"),
        ({"page": True}, "page"),
        ({"page": "2"}, "page"),
        ({"page": 1.5}, "page"),
        ({"page": None}, "page"),
        ({"restarted": "yes"}, "restarted"),
        ({"restarted": None}, "restarted"),
        ({"id": 7}, "id"),
        ({"id": " "}, "id"),
        ({"next_token": ["abc"]}, "next_token"),
    ],
)
def test_a_page_of_another_shape_is_malformed(fields: dict[str, object], found: str) -> None:
    with pytest.raises(MalformedMessageError, match=found):
        parsed({"sweep": fields})


def test_a_secret_whose_sweep_has_no_text_for_an_id_is_checked_all_the_same() -> None:
    assert parsed({"secret_id": ARN, "sweep_id": 7}) == ReconcileRequest(ARN)


def test_the_schedules_own_event_gives_its_sweep_an_id() -> None:
    given = {"source": "aws.events", "id": "an event", "detail": {}}
    assert parsed(given) == SweepRequest("an event", event_id="an event")


def test_a_sweep_says_sweep_where_a_secret_would_stand() -> None:
    assert SweepRequest().secret_id == "sweep"


def test_a_long_list_does_not_use_up_the_functions_time() -> None:
    """A message of SQS's largest size, made to be slow, would cost the whole batch its time."""
    body = json.dumps(event("replication-failed.json", additionalEventData=[1] * 300_000))
    begun = time.process_time()
    with pytest.raises(MalformedMessageError):
        parse(body, HOME)
    assert time.process_time() - begun < 1


@given(st.sampled_from(["tag-resource.json", "create-secret.json", "untag-resource.json"]), JSON)
def test_tags_in_an_event_never_matter(name: str, tags: object) -> None:
    message = changed(EVENTS[name], ("detail", "requestParameters", "tags"), tags)
    assert parsed(message) == parsed(EVENTS[name])


def _leaves_marked(value: object) -> object:
    """Return the document with a marker in every text that nothing is decided by, and in new keys."""
    decisive = {"aws.secretsmanager", "secretsmanager.amazonaws.com", *API_EVENTS, *SERVICE_EVENTS}
    if isinstance(value, dict):
        fields = {key: item if key == "detail-type" else _leaves_marked(item) for key, item in value.items()}
        return {**fields, MARKER: MARKER}
    if isinstance(value, list):
        return [_leaves_marked(item) for item in value]
    return f"{MARKER}\n{value}" if isinstance(value, str) and value not in decisive else value


@pytest.mark.parametrize("name", sorted(EVENTS.keys() - {"sweep.json"}))
def test_an_error_never_quotes_the_event(name: str) -> None:
    """A tag, a description or a wrong field may hold a password: it must not reach logs and dead letters."""
    with pytest.raises(MalformedMessageError) as caught:
        parsed(_leaves_marked(EVENTS[name]))
    assert MARKER not in f"{caught.value!r} {caught.value.problem} {caught.value.remedy}"


@given(
    mutations([*EVENTS.values()], st.sampled_from([MARKER, [MARKER], {MARKER: MARKER}, f"{MARKER}\n"])),
)
@example({"sweep": MARKER})
@example({"secret_id": [MARKER]})
@example({**EVENTS["create-secret.json"], "detail": MARKER})
@example(event(responseElements=MARKER))
@example(event(errorCode=MARKER))
@example(event(eventName=MARKER))
@example(event(eventSource=MARKER))
def test_an_error_never_quotes_what_is_wrong(message: object) -> None:
    try:
        parsed(message)
    except MalformedMessageError as error:
        error_text = str(error)
    else:
        error_text = ""
    assert MARKER not in error_text


def test_text_that_is_not_json_is_not_quoted_either() -> None:
    with pytest.raises(MalformedMessageError) as caught:
        parse(f'{{"password": "{MARKER}"', HOME)
    assert MARKER not in str(caught.value)
    assert caught.value.__suppress_context__, "the traceback of json would carry the document into the log"


def assert_a_request_or_malformed(body: str) -> None:
    try:
        request = parse(body, HOME)
    except MalformedMessageError:
        return
    assert isinstance(request, ReconcileRequest | SweepRequest)
    for text in (request.secret_id, request.event_id, getattr(request, "next_token", "")):
        assert text.isascii()
        assert text.isprintable() or not text
    assert 0 < len(request.secret_id) <= 2048


@given(TEXTS)
def test_any_text_is_a_request_or_malformed(body: str) -> None:
    assert_a_request_or_malformed(body)


@given(JSON)
@example({"secret_id": "a" * 3000})
@example({"sweep": {"next_token": "\ud800"}})
def test_any_json_is_a_request_or_malformed(message: object) -> None:
    assert_a_request_or_malformed(json.dumps(message))


@given(mutations([*EVENTS.values()]), st.sampled_from([json.dumps, partial(json.dumps, ensure_ascii=False)]))
def test_a_real_event_with_anything_replaced_is_a_request_or_malformed(
    message: object, dump: Callable[[object], str]
) -> None:
    assert_a_request_or_malformed(dump(message))


@given(st.integers(1, 1_200), st.sampled_from(["list", "object"]))
@example(1_200, "list")
@example(1_200, "object")
def test_an_event_nested_to_any_depth_is_a_request_or_malformed(depth: int, kind: str) -> None:
    left, right = ("[", "]") if kind == "list" else ('{"a":', "}")
    body = json.dumps(event("replication-failed.json", additionalEventData="HERE"))
    assert_a_request_or_malformed(body.replace('"HERE"', left * depth + "1" + right * depth))
