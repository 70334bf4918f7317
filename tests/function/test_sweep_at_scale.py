"""A sweep over a whole account: nothing is missed, nothing comes twice without a reason, memory stays flat.

SWEEP_SCALE=100000 looks at as many secrets, of which three in ten are selected (`make backfill`).
"""

import json
import os
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from tests.support.fakes.queues import QueuedMessage
from tests.support.world import HOME, World, make_world

pytestmark = pytest.mark.slow

SCALE = int(os.environ.get("SWEEP_SCALE", "10000"))
SWEEP = '{"sweep": {"id": "a sweep"}}'


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> World:
    """So many secrets; three in ten are selected, three more only carry a tag of a rule."""
    world = make_world(tmp_path_factory.mktemp("scale"))
    tags = [{"replicate-to": "dr"}] * 3 + [{"environment": "test"}] * 3 + [{}] * 4
    for number in range(SCALE):
        world.secrets.add_secret(HOME, f"{number:06}", tags=tags[number % 10])
    return world


def selected(world: World) -> Iterator[str]:
    return (world.secrets.secret(HOME, f"{number:06}").arn for number in range(SCALE) if number % 10 < 3)


@dataclass
class Swept:
    """What a sweep has enqueued, by page. Its secrets are not worked on: that is another matter."""

    world: World
    enqueued: dict[int, Counter[str]] = field(default_factory=dict)

    def _take(self, page: int) -> None:
        """Note the secrets that are in the queue now as those of this page."""
        queues = self.world.queues
        bodies = [message.body for message in queues.messages if "secret_id" in message.body]
        queues.messages = [message for message in queues.messages if "secret_id" not in message.body]
        self.enqueued.setdefault(page, Counter()).update(json.loads(body)["secret_id"] for body in bodies)
        self.world.secrets.calls.clear()

    def _next(self) -> QueuedMessage:
        return min(self.world.queues.messages, key=lambda queued: queued.visible_at)

    def next_page(self) -> int:
        return int(json.loads(self._next().body)["sweep"].get("page", 1))

    def deliver(self) -> None:
        """Let the function work on the page that is next."""
        page, message, others = self.next_page(), self._next(), self.world.queues.messages
        self.world.clock.advance(max(0, message.visible_at - self.world.clock()))
        self.world.queues.messages = [message]
        self.world.deliver()
        self._take(page)
        self.world.queues.messages += [queued for queued in others if queued is not message]

    def all(self) -> Counter[str]:
        return sum(self.enqueued.values(), Counter())


def swept(world: World) -> Swept:
    world.queues.messages.clear()
    world.queues.send(SWEEP)
    return Swept(world)


def test_no_secret_is_missed_and_none_comes_twice_and_memory_is_flat(account: World) -> None:
    sweep, peaks, kept = swept(account), [], []
    tracemalloc.start()
    try:
        while account.queues.messages:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            sweep.deliver()
            now, peak = tracemalloc.get_traced_memory()
            peaks.append(peak - before)
            kept.append(now - before)
    finally:
        tracemalloc.stop()
    assert sweep.all() == Counter(selected(account))
    assert len(sweep.enqueued) >= SCALE * 6 // 10 // 100
    assert max(peaks[-10:]) < 1.2 * max(peaks[:10]), "a page costs more memory the later it comes"
    per_page = sum(kept[10:]) / len(kept[10:])
    # A hundred secrets are noted by this test itself: about 60 bytes each for the ARN and its count.
    assert per_page < 60_000, f"{per_page:.0f} bytes stay behind with each page"


class KilledError(BaseException):
    """The process is gone."""


@contextmanager
def killed(world: World, moment: str) -> Iterator[None]:
    """Let the function end at this moment of a page."""
    send, calls = world.queues.send_message_batch, count()

    def sending(**params: Any) -> object:
        following = "next_token" in params["Entries"][0]["MessageBody"]
        if (moment == "among its secrets" and next(calls) == 3) or (
            moment == "before the next page" and following
        ):
            raise KilledError
        answer = send(**params)
        if moment == "after the next page" and following:
            raise KilledError
        return answer

    world.queues.send_message_batch = sending  # type: ignore[method-assign]
    yield
    world.queues.send_message_batch = send  # type: ignore[method-assign]


@pytest.mark.parametrize("moment", ["among its secrets", "before the next page"])
def test_killed_at_every_second_page_it_resumes_and_only_these_pages_come_twice(
    account: World, moment: str
) -> None:
    sweep, retried = swept(account), set()
    while account.queues.messages:
        page = sweep.next_page()
        if page % 2 and page not in retried:
            retried.add(page)
            with killed(account, moment):
                sweep.deliver()
        else:
            sweep.deliver()
    assert set(sweep.all()) == set(selected(account))
    for page, secrets in sweep.enqueued.items():
        assert max(secrets.values()) == (2 if page in retried and page != max(sweep.enqueued) else 1), page


@pytest.mark.parametrize("at", [1, 7])
def test_killed_after_the_next_page_was_sent_the_rest_comes_twice_and_nothing_is_missed(
    account: World, at: int
) -> None:
    sweep, killed_once = swept(account), False
    while account.queues.messages:
        if sweep.next_page() == at and not killed_once:
            killed_once = True
            with killed(account, "after the next page"):
                sweep.deliver()
        else:
            sweep.deliver()
    assert set(sweep.all()) == set(selected(account))
    for page, secrets in sweep.enqueued.items():
        assert set(secrets.values()) == {1 if page < at else 2}
