"""A function that cannot start loses no message, and says in each dead letter why it cannot."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from secret_replicator import VERSION, app
from secret_replicator.errors import PolicyError, SettingsError
from secret_replicator.settle import Settler
from secret_replicator.unready import ATTEMPTS, Unready
from secret_replicator.work_queue import WorkQueue
from tests.support.fakes.queues import DEAD_LETTER_QUEUE_URL, QUEUE_URL, FakeQueues
from tests.support.world import HOME, Lines

ERROR = SettingsError("WRITES_PER_SECOND must be at least MAXIMUM_CONCURRENCY (3)")


@dataclass
class Broken:
    """The queues before a function that cannot start."""

    now: float = 1_000.0
    queues: FakeQueues = field(init=False)
    raised: int = 0

    def __post_init__(self) -> None:
        self.queues = FakeQueues(lambda: self.now)
        queue = WorkQueue(self.queues, QUEUE_URL, DEAD_LETTER_QUEUE_URL)  # type: ignore[arg-type]
        self.function = Unready(ERROR, HOME, Settler(queue, lambda: self.now))

    def invoke(self, records: list[dict[str, Any]]) -> Any:
        """Do as Lambda does: an error leaves the whole batch in the queue."""
        try:
            return self.function.handle_batch(records, self.now + 45)
        except SettingsError:
            self.raised += 1
            return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in records]}

    def deliver(self, times: int) -> None:
        for _ in range(times):
            self.queues.deliver(self.invoke)
            self.now += 2000


def test_a_message_waits_for_a_better_deployment_and_then_ends_with_the_reason() -> None:
    broken = Broken()
    broken.queues.send('{"secret_id": "orders/db"}')
    broken.deliver(ATTEMPTS - 1)
    assert broken.queues.messages
    assert not broken.queues.dead_letters
    assert broken.raised == ATTEMPTS - 1, "Lambda must count errors, or FunctionErrorsAlarm stays silent"
    broken.deliver(1)
    assert not broken.queues.messages
    (dead_letter,) = broken.queues.dead_letters
    assert dead_letter.body == '{"secret_id": "orders/db"}'
    assert dead_letter.attributes["ErrorType"] == "Settings"
    assert dead_letter.attributes["SecretArn"] == "orders/db"
    assert dead_letter.attributes["ErrorMessage"] == (
        f"orders/db - the function cannot start: {ERROR} - deploy again with this corrected, then redrive"
    )


def test_it_waits_longer_from_time_to_time() -> None:
    broken = Broken()
    broken.queues.send('{"secret_id": "orders/db"}')
    broken.deliver(1)
    (message,) = broken.queues.messages
    assert message.visible_at == pytest.approx(1_000 + 10, abs=2)


def test_young_messages_of_the_same_batch_stay() -> None:
    broken = Broken()
    broken.queues.send("not JSON")
    broken.deliver(ATTEMPTS - 1)
    broken.queues.send('{"sweep": {}}')
    broken.deliver(1)
    assert [message.body for message in broken.queues.messages] == ['{"sweep": {}}']
    assert [dead_letter.attributes["SecretArn"] for dead_letter in broken.queues.dead_letters] == ["unknown"]


@pytest.mark.parametrize("operation", ["SendMessage", "ChangeMessageVisibilityBatch"])
def test_what_sqs_does_not_take_stays_in_the_queue(operation: str) -> None:
    broken = Broken()
    broken.queues.failing.add(operation)
    broken.queues.send('{"secret_id": "orders/db"}')
    broken.deliver(ATTEMPTS if operation == "SendMessage" else 1)
    assert len(broken.queues.messages) == 1
    assert not broken.queues.dead_letters


def test_without_its_queues_it_only_says_why() -> None:
    with pytest.raises(SettingsError):
        Unready(ERROR, "", None).handle_one({}, 0.0, "")
    broken = Broken()
    broken.function = Unready(ERROR, "", None)
    broken.queues.send('{"secret_id": "orders/db"}')
    broken.deliver(ATTEMPTS + 1)
    assert broken.raised == ATTEMPTS + 1
    assert broken.queues.messages


@pytest.mark.parametrize(
    ("changes", "error", "queues_known"),
    [
        pytest.param(
            {"WRITES_PER_SECOND": "2", "MAXIMUM_CONCURRENCY": "3"}, SettingsError, True, id="too few writes"
        ),
        pytest.param({"PRUNE_IDLE_DAYS": "7.5"}, SettingsError, True, id="half a day"),
        pytest.param({"QUEUE_URL": ""}, SettingsError, False, id="no queue"),
        pytest.param({"POLICY_FILE": "/no/such/policy.toml"}, OSError, True, id="no policy"),
    ],
)
def test_a_cold_start_that_fails_is_no_crash(
    changes: dict[str, str], error: type[Exception], log_lines: Lines, *, queues_known: bool
) -> None:
    started = app.start({**os.environ, **changes})
    assert isinstance(started, Unready)
    assert isinstance(started.error, error)
    assert bool(started.settler) is queues_known
    (line,) = log_lines()
    assert (line["level"], line["message"], line["version"]) == ("CRITICAL", "cannot_start", VERSION)
    assert line["error"] == str(started.error)


def test_a_policy_that_is_wrong_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("[tags]\n")
    started = app.start({**os.environ, "POLICY_FILE": str(tmp_path / "policy.toml")})
    assert isinstance(started, Unready)
    assert isinstance(started.error, PolicyError)


def test_a_cold_start_says_its_version(log_lines: Lines) -> None:
    assert isinstance(app.start(os.environ), app.App)
    (line,) = log_lines()
    assert (line["level"], line["message"], line["version"]) == ("INFO", "started", VERSION)
