"""What others are told through EventBridge, and that telling them can spoil nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoRegionError

from local.secrets_manager.model import THROTTLED
from local.secrets_manager.service import StrictSecretsManager
from secret_replicator.echo_filter import MAX_SECRETS
from secret_replicator.models import Kind, Outcome
from secret_replicator.outcome_events import CALL_SECONDS, Notifier
from secret_replicator.settle import RESERVED_SECONDS
from tests.support.world import Lines, World

EVENTS = Path(__file__).parents[2] / "events"


@dataclass
class FakeBus:
    """Takes events, or answers as told."""

    entries: list[Mapping[str, Any]] = field(default_factory=list)
    error: Exception | None = None
    refuses: int = 0
    calls: int = 0

    def put_events(self, Entries: list[Mapping[str, Any]]) -> dict[str, Any]:
        self.calls += 1
        if self.error:
            raise self.error
        assert len(Entries) <= 10, "PutEvents takes no more"
        self.entries += Entries
        return {"FailedEntryCount": self.refuses, "Entries": []}

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        return [(entry["DetailType"], json.loads(entry["Detail"])) for entry in self.entries]


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
def telling(world: World, bus: FakeBus) -> World:
    return replace(world, app=replace(world.app, notifier=Notifier(lambda: bus)))


def test_a_secret_that_converged_is_published_with_its_regions_and_seconds(
    telling: World, bus: FakeBus
) -> None:
    telling.secrets.worlds.seconds_in_progress = 5
    secret = telling.add("orders/db", to="eu-west-1 us-west-2")
    telling.send("orders/db")
    telling.deliver()
    assert bus.told() == [], "it is not there yet"
    telling.deliver_until_empty()
    ((kind, detail),) = bus.told()
    assert kind == "Secret Replication Converged"
    assert detail.pop("seconds") >= 5
    assert detail == {"secret": secret.arn, "regions": ["eu-west-1", "us-west-2"]}
    assert bus.entries[0]["Source"] == "secret-replicator"


def test_a_sweep_over_converged_secrets_tells_nothing(telling: World, bus: FakeBus) -> None:
    telling.converge("orders/db", "eu-west-1")
    bus.entries.clear()
    telling.send("orders/db")
    telling.deliver_until_empty()
    assert bus.told() == []


def test_a_converged_secret_whose_first_attempt_was_throttled_tells_nothing(
    telling: World, bus: FakeBus, capsys: pytest.CaptureFixture[str]
) -> None:
    telling.converge("orders/db", "eu-west-1")
    bus.entries.clear()
    capsys.readouterr()
    telling.secrets.fail_next("DescribeSecret", THROTTLED)
    telling.send("orders/db")
    telling.deliver_until_empty()
    assert bus.told() == []
    assert "SecondsToConverge" not in capsys.readouterr().out


def test_a_secret_that_is_brought_there_after_throttling_is_published(telling: World, bus: FakeBus) -> None:
    telling.secrets.replication.seconds_in_progress = 5
    telling.add("orders/db", to="eu-west-1")
    telling.secrets.fail_next("DescribeSecret", THROTTLED)
    telling.send("orders/db")
    telling.deliver_until_empty()
    assert [kind for kind, _ in bus.told()] == ["Secret Replication Converged"]


def test_what_was_seen_is_forgotten_in_the_end(telling: World) -> None:
    unseen = telling.app.unseen
    for number in range(MAX_SECRETS + 1):
        unseen.note(f"message-{number}", 1, Outcome(Kind.WAITING))
    assert unseen.note("message-0", 2, Outcome(Kind.CONVERGED))
    assert not unseen.note("message-1", 2, Outcome(Kind.CONVERGED))


def test_a_dead_letter_is_published_with_its_reason(telling: World, bus: FakeBus) -> None:
    secret = telling.add("orders/db", to="eu-wst-1")
    telling.send("orders/db")
    telling.deliver_until_empty()
    ((kind, detail),) = bus.told()
    assert kind == "Secret Replication Failed"
    assert (detail["secret"], detail["regions"]) == (secret.arn, ["eu-wst-1"])
    assert "eu-wst-1, which is not in AllowedRegions" in detail["reason"]


def test_what_is_published_has_the_shape_of_the_files_in_events(telling: World, bus: FakeBus) -> None:
    telling.add("orders/db", to="eu-west-1 eu-wst-1")
    telling.add("orders/api", to="eu-west-1")
    telling.send("orders/db")
    telling.send("orders/api")
    telling.deliver_until_empty()
    shapes = {kind: detail.keys() for kind, detail in bus.told()}
    files = [json.loads((EVENTS / f"own-{name}.json").read_text("utf-8")) for name in ("converged", "failed")]
    assert shapes == {event["detail-type"]: event["detail"].keys() for event in files}
    assert {event["source"] for event in files} == {bus.entries[0]["Source"]}


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"error": ConnectTimeoutError(endpoint_url="https://events")}, id="no answer"),
        pytest.param(
            {"error": ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutEvents")}, id="denied"
        ),
        pytest.param({"refuses": 1}, id="not taken"),
    ],
)
def test_what_cannot_be_published_loses_no_message_and_repeats_none(
    telling: World, bus: FakeBus, log_lines: Lines, broken: dict[str, Any]
) -> None:
    for name, value in broken.items():
        setattr(bus, name, value)
    telling.add("orders/db", to="eu-west-1")
    telling.add("orders/api", to="eu-wst-1")
    telling.send("orders/db")
    telling.send("orders/api")
    telling.deliver_until_empty()
    assert telling.status("orders/db") == {"eu-west-1": "InSync"}
    assert len(telling.queues.dead_letters) == 1
    lost = [line for line in log_lines() if line["message"] == "events_not_sent"]
    assert lost
    assert lost[0]["level"] == "WARNING"


def test_a_client_that_cannot_be_made_loses_no_message(telling: World, log_lines: Lines) -> None:
    def make_client() -> FakeBus:
        raise NoRegionError

    telling = replace(telling, app=replace(telling.app, notifier=Notifier(make_client)))
    telling.queues.send("not JSON")
    telling.deliver()
    assert len(telling.queues.dead_letters) == 1
    assert [line["level"] for line in log_lines() if line["message"] == "events_not_sent"] == ["WARNING"]


def test_a_client_is_made_once_and_only_if_there_is_something_to_tell(telling: World) -> None:
    made = []

    def make_client() -> FakeBus:
        made.append(FakeBus())
        return made[-1]

    telling = replace(telling, app=replace(telling.app, notifier=Notifier(make_client)))
    telling.add("orders/untagged")
    telling.send("orders/untagged")
    telling.deliver_until_empty()
    assert not made
    telling.queues.send("not JSON")
    telling.deliver()
    telling.queues.send("not JSON")
    telling.deliver()
    (bus,) = made
    assert bus.calls == 2


def test_it_is_published_after_the_dead_letter_is_written(telling: World) -> None:
    seen = []

    class Looking(FakeBus):
        def put_events(self, Entries: list[Mapping[str, Any]]) -> dict[str, Any]:
            seen.append(len(telling.queues.dead_letters))
            return super().put_events(Entries)

    telling = replace(telling, app=replace(telling.app, notifier=Notifier(Looking)))
    telling.add("orders/db", to="eu-wst-1")
    telling.send("orders/db")
    telling.deliver_until_empty()
    assert seen == [1]


def test_a_dead_letter_that_could_not_be_written_is_not_published(telling: World, bus: FakeBus) -> None:
    telling.add("orders/db", to="eu-wst-1")
    telling.send("orders/db")
    telling.queues.failing.add("SendMessage")
    telling.deliver()
    assert bus.told() == []


def test_it_is_not_begun_when_the_functions_time_is_up(
    telling: World, bus: FakeBus, log_lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = telling.queues.send_message

    def slowly(**sent: Any) -> dict[str, Any]:
        telling.clock.advance(RESERVED_SECONDS - 2 * CALL_SECONDS + 1)
        return send(**sent)

    monkeypatch.setattr(telling.queues, "send_message", slowly)
    telling.queues.send("not JSON")
    telling.deliver(seconds=0)
    assert bus.calls == 0
    assert [line["error"] for line in log_lines() if line["message"] == "events_not_sent"] == [
        "the function's time is up"
    ]
    assert len(telling.queues.dead_letters) == 1


def test_no_value_is_published(telling: World, bus: FakeBus, world: World) -> None:
    assert isinstance(world.secrets, StrictSecretsManager)
    telling.add("orders/db", to="eu-west-1 eu-wst-1", password="hidden")
    telling.send("orders/db")
    telling.deliver_until_empty()
    assert bus.entries
    assert "hidden" not in str(bus.entries), "not even a tag's"
