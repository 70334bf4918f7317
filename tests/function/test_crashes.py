"""Real processes, killed at the worst moments: nothing is lost, each dead letter is written at least once."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from threading import Barrier

import pytest

from local.secrets_manager import transport
from local.secrets_manager.model import ConnectionCutError, ManualClock, Params
from local.secrets_manager.service import StrictSecretsManager
from local.secrets_manager.worlds import Worlds
from tests.support.fakes.instance import Instance, KilledError, running_instance
from tests.support.fakes.queues import VISIBILITY_TIMEOUT, FakeQueues
from tests.support.model.oracle import HOME, POLICY_FILE

pytestmark = pytest.mark.slow

Strike = Callable[[], None]


@dataclass
class Around:
    """What is around instances: the fake and the queues over HTTP, and what strikes at a call."""

    secrets: StrictSecretsManager
    queues: FakeQueues
    clock: ManualClock
    stack: ExitStack

    def __post_init__(self) -> None:
        self.before: dict[str, Strike] = {}
        self.after: dict[str, Strike] = {}
        self.secrets_manager = self.stack.enter_context(transport.serve(self._struck(self.secrets.handle)))
        self.sqs = self.stack.enter_context(transport.serve(self._struck(self.queues.handle)))
        self.successor = self.instance()

    def instance(self, **settings: object) -> Instance:
        with_policy = {"POLICY_FILE": POLICY_FILE, **settings}
        return self.stack.enter_context(running_instance(self.secrets_manager, self.sqs, **with_policy))

    def add(self, name: str, to: str) -> None:
        self.secrets.add_secret(HOME, name, tags={"replicate-to": to})
        self.queues.send(json.dumps({"secret_id": name}))

    def deliver_to_one_that_dies(self, instance: Instance) -> None:
        with pytest.raises(KilledError):
            self.queues.deliver(instance.handle)

    def deliver_until_empty(self) -> None:
        """Let the killed instance's messages come back, and another instance work until none is left."""
        self.before.clear()
        self.after.clear()
        for _ in range(20):
            if not self.queues.messages:
                return
            self.clock.advance(VISIBILITY_TIMEOUT)
            self.queues.deliver(self.successor.handle)
        raise AssertionError(f"still in the queue: {self.queues.messages}")

    def statuses(self, name: str) -> dict[str, str]:
        replicas = self.secrets.secret(HOME, name).replicas
        return {region: replica.status for region, replica in replicas.items()}

    def _struck(self, handle: transport.Handle) -> transport.Handle:
        def struck(operation: str, region: str, params: Params) -> Params:
            if strike := self.before.get(operation):
                strike()
            answer = handle(operation, region, params)
            if strike := self.after.get(operation):
                strike()
            return answer

        return struck


BOTH_WORLDS = pytest.mark.parametrize("around", ["accepted", "refused"], indirect=True)


@pytest.fixture
def around(request: pytest.FixtureRequest) -> Iterator[Around]:
    clock = ManualClock(time.time())
    secrets = StrictSecretsManager(clock=clock, worlds=Worlds(getattr(request, "param", "accepted")))
    with ExitStack() as stack:
        yield Around(secrets, FakeQueues(clock), clock, stack)


def kill(instance: Instance) -> Strike:
    """Return what ends the instance in the middle of its call: there is nobody to answer."""

    def strike() -> None:
        instance.kill()
        raise ConnectionCutError

    return strike


@BOTH_WORLDS
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_around_its_call_a_message_comes_back_and_its_secret_converges(
    around: Around, moment: str
) -> None:
    around.add("orders/db", to="eu-west-1 us-west-2")
    instance = around.instance()
    getattr(around, moment)["ReplicateSecretToRegions"] = kill(instance)
    around.deliver_to_one_that_dies(instance)
    assert [message.receives for message in around.queues.messages] == [1], "a message was lost"
    around.deliver_until_empty()
    assert around.statuses("orders/db") == {"eu-west-1": "InSync", "us-west-2": "InSync"}
    assert not around.queues.dead_letters


@pytest.mark.parametrize(("moment", "dead_letters"), [("before", 1), ("after", 2)])
def test_killed_around_its_dead_letter_a_message_has_one_at_least(
    around: Around, moment: str, dead_letters: int
) -> None:
    around.add("orders/db", to="eu-wst-1")
    instance = around.instance()
    getattr(around, moment)["SendMessage"] = kill(instance)
    around.deliver_to_one_that_dies(instance)
    assert around.queues.messages, "a message was lost between its dead letter and its deletion"
    around.deliver_until_empty()
    assert [dead_letter.body for dead_letter in around.queues.dead_letters] == [
        '{"secret_id": "orders/db"}'
    ] * dead_letters
    assert {dead_letter.attributes["ErrorType"] for dead_letter in around.queues.dead_letters} == {
        "RegionProblem"
    }


@BOTH_WORLDS
def test_killed_in_the_middle_of_a_batch_every_message_of_it_comes_back(around: Around) -> None:
    names = [f"orders/{number}" for number in range(9)]
    for name in names:
        around.add(name, to="eu-west-1")
    around.queues.send("not JSON")
    instance = around.instance()
    calls, end = count(), kill(instance)
    around.after["ReplicateSecretToRegions"] = lambda: end() if next(calls) == 4 else None
    around.deliver_to_one_that_dies(instance)
    assert len(around.queues.messages) == 10
    around.deliver_until_empty()
    assert [around.statuses(name) for name in names] == [{"eu-west-1": "InSync"}] * 9
    assert {dead_letter.body for dead_letter in around.queues.dead_letters} == {"not JSON"}


def test_when_time_ends_in_the_middle_of_a_batch_the_rest_goes_back_at_once(around: Around) -> None:
    names = [f"orders/{number}" for number in range(6)]
    for name in names:
        around.add(name, to="eu-west-1")
    # One write each second. The time is 15 s kept, 15 s for the last call, and 2.5 s to begin.
    slow = around.instance(WRITES_PER_SECOND=2, MAXIMUM_CONCURRENCY=2)
    around.queues.deliver(lambda records: slow.handle(records, seconds=32.5))
    begun = [name for name in names if around.statuses(name)]
    back = [message for message in around.queues.messages if message.visible_at <= around.clock()]
    assert len(begun) <= 3
    assert len(back) == len(names) - len(begun)
    assert {message.receives for message in back} == {1}
    around.deliver_until_empty()
    assert [around.statuses(name) for name in names] == [{"eu-west-1": "InSync"}] * 6
    assert len(around.secrets.calls_of("ReplicateSecretToRegions")) == 6
    assert not around.queues.dead_letters


@BOTH_WORLDS
def test_two_processes_that_see_the_same_gap_at_the_same_moment_make_no_dead_letter(around: Around) -> None:
    around.secrets.worlds.seconds_in_progress = 30
    for _ in range(2):
        around.queues.send('{"secret_id": "orders/db"}')
    around.secrets.add_secret(HOME, "orders/db", tags={"replicate-to": "eu-west-1 us-west-2"})
    calls, both = count(), Barrier(2, timeout=20)
    around.before["ReplicateSecretToRegions"] = lambda: both.wait() if next(calls) < 2 else None
    instances = [around.successor, around.instance()]
    for _throttled_before in range(2):  # from the second look on, a refusal could be the end
        batch = around.queues.take([*around.queues.messages])
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda one, message: one.handle([message.record()]), instances, batch)
    for message, answer in zip(batch, answers, strict=True):
        around.queues.settle([message], answer)
    assert around.queues.messages == batch, "a message whose replicas are InProgress was deleted"
    around.deliver_until_empty()
    assert around.statuses("orders/db") == {"eu-west-1": "InSync", "us-west-2": "InSync"}
    assert not around.queues.dead_letters
