"""The deployed rules' own patterns against every file of events/, matched by moto's copy of EventBridge.

moto knows no TestEventPattern, so its matching is called directly.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from moto.events.models import EventPattern

from secret_replicator.messages import ReconcileRequest, SweepRequest, parse
from tests.template.stack import deployed

FILES = {path.name: path for path in (Path(__file__).parents[2] / "events").glob("*.json")}
EVENTS = {name: json.loads(path.read_text("utf-8")) for name, path in FILES.items()}
RULES = deployed().of_type("AWS::Events::Rule")


def pattern(rule: dict[str, Any]) -> dict[str, Any]:
    """Return the rule's pattern, which may be written as a text."""
    written = rule["EventPattern"]
    return json.loads(written) if isinstance(written, str) else written


PATTERNS = {name: pattern(rule) for name, rule in RULES.items() if "EventPattern" in rule}
NONE = None

TABLE = [
    pytest.param("create-secret.json", "SecretChangedRule", id="a new secret"),
    pytest.param("create-secret-old-arn-key.json", "SecretChangedRule", id="a record from before 2024"),
    pytest.param("create-secret-without-response.json", "SecretChangedRule", id="a record with no response"),
    pytest.param("create-secret-denied.json", NONE, id="a call that AWS refused"),
    pytest.param("tag-resource.json", "SecretChangedRule", id="a tagged secret"),
    pytest.param("tag-resource-by-name.json", "SecretChangedRule", id="a secret tagged by its name"),
    pytest.param("untag-resource.json", "SecretChangedRule", id="an untagged secret"),
    pytest.param("update-secret.json", "SecretChangedRule", id="a changed secret"),
    pytest.param("restore-secret.json", "SecretChangedRule", id="a restored secret"),
    pytest.param("put-resource-policy.json", "SecretChangedRule", id="another policy, which is replicated"),
    pytest.param("delete-resource-policy.json", "SecretChangedRule", id="a policy that was taken off"),
    pytest.param("stop-replication-to-replica.json", "SecretChangedRule", id="a replica that was promoted"),
    pytest.param("tag-resource-hidden.json", "SecretChangedRule", id="a success that has errorCode: null"),
    pytest.param("put-secret-value.json", NONE, id="a new value: its label has an event of its own"),
    pytest.param("delete-secret.json", NONE, id="a deleted secret"),
    pytest.param("get-secret-value.json", NONE, id="a value that was read: thousands a second"),
    pytest.param("replicate-secret-to-regions.json", NONE, id="our own call: it would wake us for ever"),
    pytest.param("remove-regions-from-replication.json", NONE, id="what people do before they delete"),
    pytest.param("replication-started.json", NONE, id="a replication that began"),
    pytest.param("replication-succeeded.json", NONE, id="a replication that succeeded"),
    pytest.param("replication-failed.json", "ReplicationFailedRule", id="a replication that failed"),
    pytest.param(
        "replication-failed-in-replica-region.json", "ReplicationFailedRule", id="the same, said elsewhere"
    ),
    pytest.param(
        "replication-failed-by-resources.json", "ReplicationFailedRule", id="the same, with a resource"
    ),
    pytest.param("secret-label-updated.json", "SecretLabelUpdatedRule", id="a new current value"),
    pytest.param(
        "secret-label-updated-custom.json", "SecretLabelUpdatedRule", id="a label of one's own that was moved"
    ),
    pytest.param("own-converged.json", NONE, id="our own event: it would wake us for ever"),
    pytest.param("own-failed.json", NONE, id="our own event of a failure"),
    pytest.param("secret-id.json", NONE, id="no event: a message sent by hand"),
    pytest.param("sweep.json", NONE, id="no event: a sweep"),
    pytest.param("sqs-batch.json", NONE, id="no event: what the function receives"),
]


def matching_rules(event: dict[str, Any]) -> list[str]:
    return [
        name
        for name, pattern in PATTERNS.items()
        if EventPattern.load(json.dumps(pattern)).matches_event(event)
    ]


@pytest.mark.parametrize(("name", "rule"), TABLE)
def test_an_event_matches_its_rule_and_no_other(name: str, rule: str | None) -> None:
    assert matching_rules(EVENTS[name]) == ([rule] if rule else [])


def test_every_file_in_events_stands_in_the_table() -> None:
    assert {row.values[0] for row in TABLE} == EVENTS.keys()


def test_every_rule_is_matched_by_some_event() -> None:
    assert {row.values[1] for row in TABLE} - {NONE} == PATTERNS.keys()


@pytest.mark.parametrize("name", [row.values[0] for row in TABLE if row.values[1]])
def test_what_a_rule_delivers_the_function_understands(name: str) -> None:
    """A rule wider than messages.py would fill the dead-letter queue with events that are nobody's fault."""
    assert isinstance(parse(FILES[name].read_text("utf-8"), "us-east-1"), ReconcileRequest)


def test_every_event_name_of_the_rules_is_understood() -> None:
    samples = {"SecretChangedRule": "tag-resource.json", "ReplicationFailedRule": "replication-failed.json"}
    for rule, sample in samples.items():
        for event_name in PATTERNS[rule]["detail"]["eventName"]:
            event = {**EVENTS[sample], "detail": {**EVENTS[sample]["detail"], "eventName": event_name}}
            assert parse(json.dumps(event), "us-east-1")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param("create-secret.json", {"source": "my.app"}, id="an application that says the same"),
        pytest.param(
            "create-secret.json", {"detail-type": "AWS Console Sign In via CloudTrail"}, id="another type"
        ),
        pytest.param("secret-label-updated.json", {"source": "my.app"}, id="a label of an application"),
        pytest.param("replication-failed.json", {"source": "my.app"}, id="a failure of an application"),
    ],
)
def test_an_event_from_elsewhere_matches_nothing(name: str, change: dict[str, str]) -> None:
    assert matching_rules(EVENTS[name] | change) == []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param("tag-resource.json", {"eventSource": "kms.amazonaws.com"}, id="another service's tag"),
        pytest.param("tag-resource.json", {"errorCode": "ThrottlingException"}, id="a throttled call"),
        pytest.param("tag-resource.json", {"errorCode": ""}, id="a refused call without a code"),
    ],
)
def test_a_detail_that_does_not_concern_us_matches_nothing(name: str, change: dict[str, str]) -> None:
    event = EVENTS[name] | {"detail": EVENTS[name]["detail"] | change}
    assert matching_rules(event) == []


def test_the_schedule_sends_what_the_function_takes_for_a_sweep() -> None:
    (target,) = RULES["SweepSchedule"]["Targets"]
    assert parse(target["Input"], "us-east-1") == SweepRequest()
    assert json.loads(target["Input"]) == EVENTS["sweep.json"]
