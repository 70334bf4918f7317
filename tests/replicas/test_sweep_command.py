"""`replicas sweep`: one is started, and every secret that it selects is accounted for."""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from local.secrets_manager.model import DAY, Fault, Outcome
from replicas.aws import function_log
from replicas.aws.dead_letters import Queues
from replicas.commands import sweep
from replicas.exit_codes import exit_code
from replicas.options import StackOptions, SweepOptions
from replicas.terminal import Screen
from secret_replicator.app import logger
from tests.replicas.test_commands import permissions
from tests.support.desk import Desk, at_desk
from tests.support.fakes.account import STACK
from tests.support.world import HOME, World, make_world

RULED = {"environment": "prod", "criticality": "high"}
A_PAUSE_SECONDS = 30


@dataclass
class Run:
    """The command, while the function works whenever it waits."""

    desk: Desk
    screen: Screen = field(
        default_factory=lambda: Screen(
            Console(file=StringIO(), width=400), Console(file=StringIO(), soft_wrap=True)
        )
    )
    between: Callable[[int], None] = lambda _pause: None
    pauses: int = 0

    def sweep(self, **asked: Any) -> int:
        at = StackOptions(stack=STACK, region=HOME, endpoint_url=self.desk.account.url)
        options = SweepOptions(**asked)
        return exit_code(lambda: sweep.run(options, at, self.screen, self._pause), self.screen)

    def _pause(self, _seconds: float) -> None:
        self.pauses += 1
        self.between(self.pauses)
        self.desk.world.clock.advance(A_PAUSE_SECONDS)
        self.desk.world.deliver()

    @property
    def out(self) -> list[str]:
        text: str = self.screen.out.file.getvalue()  # type: ignore[attr-defined]
        return text.splitlines()

    @property
    def err(self) -> str:
        text: str = self.screen.err.file.getvalue()  # type: ignore[attr-defined]
        return text


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path, seconds_in_progress=5)


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    written = io.StringIO()
    before = logger.registered_handler.setStream(written)
    # Time passes in the world only.
    monkeypatch.setattr(
        function_log.follow, "__defaults__", (*function_log.follow.__defaults__[:-1], world.clock)
    )  # type: ignore[index]
    with at_desk(world) as desk:
        desk.account.log.lines = lambda: written.getvalue().splitlines()
        desk.account.log.clock = world.clock
        yield Run(desk)
    logger.registered_handler.setStream(before)


def test_every_selected_secret_is_accounted_for(run: Run, world: World) -> None:
    for number in range(130):
        world.clock.advance(0.001)
        world.add(f"good/{number}", "eu-west-1")
    world.add("other")
    world.secrets.add_secret(HOME, "theirs", tags=RULED, owning_service="rds")
    assert run.sweep() == 0
    assert run.out[-1] == (
        "2 pages, 131 secrets seen, 131 selected: 130 converged, 1 skipped (1 managed_by_service), "
        "0 dead letters, 0 not accounted for. Drift (1 managed_by_service)."
    )
    assert world.status("good/129") == {"eu-west-1": "InSync"}
    assert not world.queues.messages


def test_a_dead_letter_is_shown_with_its_reason(run: Run, world: World) -> None:
    world.add("good", "eu-west-1")
    world.add("wrong", "eu-west-1 eu-wst-1")
    assert run.sweep() == 2
    dead_letter, account = run.out
    assert dead_letter.startswith("wrong: dead letter: tag replicate-to asks for eu-wst-1, which is not in")
    assert account == (
        "1 page, 2 secrets seen, 2 selected: 1 converged, 0 skipped, 1 dead letter, 0 not accounted for."
    )


def test_drift_is_counted_by_its_kind(run: Run, world: World) -> None:
    for name in ("a", "b"):
        secret = world.add(name, "eu-west-1 us-west-2")
        world.send(name)
        world.deliver_until_empty()
        secret.tags["replicate-to"] = "eu-west-1"
    assert run.sweep() == 0
    assert run.out[-1].endswith("Drift (2 unwanted).")


def test_json_is_the_account_alone(run: Run, world: World) -> None:
    arn = world.add("wrong", "eu-wst-1").arn
    assert run.sweep(as_json=True) == 2
    facts = json.loads("\n".join(run.out))
    assert facts.pop("sweep_id") in run.err
    (dead_letter,) = facts["dead_letters"]
    assert (dead_letter["name"], dead_letter["arn"]) == ("wrong", arn)
    assert dead_letter["reason"].startswith("tag replicate-to asks for eu-wst-1")
    assert (facts["complete"], facts["restarted"]) == (True, False)
    summary = facts["summary"]
    assert {name: number for name, number in summary.items() if number} == {
        **dict.fromkeys(("pages", "seen", "selected", "dead_letters"), 1),
        "text": summary["text"],
    }


def test_where_there_is_no_terminal_lines_say_how_far_it_is(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr("replicas.terminal.time.monotonic", lambda: next(ticks) * 10)
    for number in range(30):
        world.add(f"good/{number}", "eu-west-1")
    run.sweep()
    lines = [line for line in run.err.splitlines() if line.startswith("Following")]
    assert lines[0] == ("Following: 0: page 0, 0 seen, 0 selected, 0 converged, 0 waiting, 0 dead letters")
    assert re.fullmatch(
        r"Following: [0-9]+ of 30: page 1 of 1, 30 seen, 30 selected, [0-9]+ converged, [0-9]+ waiting, "
        r"0 dead letters",
        lines[-1],
    )


def test_on_a_terminal_a_bar_says_it(run: Run, world: World) -> None:
    terminal = StringIO()
    run.screen.err = Console(file=terminal, force_terminal=True, width=200)
    world.add("good", "eu-west-1")
    assert run.sweep() == 0
    assert "page 1 of 1, 1 seen, 1 selected" in terminal.getvalue()
    assert "\x1b" not in "\n".join(run.out)


def test_an_account_without_selected_secrets_is_done_at_once(run: Run, world: World) -> None:
    world.add("other")
    assert run.sweep() == 0
    assert run.out[-1].startswith("1 page, 0 secrets seen, 0 selected: 0 converged")


def test_in_plan_mode_every_secret_is_skipped(run: Run, world: World) -> None:
    run.desk.world = world.having(mode="plan")
    world.add("good", "eu-west-1")
    assert run.sweep() == 0
    assert "1 skipped (1 plan_mode)" in run.out[-1]
    assert world.status("good") == {}


@pytest.mark.slow
def test_a_sweep_that_begins_anew_says_so(run: Run, world: World) -> None:
    for number in range(130):
        world.clock.advance(0.001)
        world.add(f"good/{number}", "eu-west-1")

    def expire(pause: int) -> None:
        if pause == 2:
            world.secrets.listing.expire_tokens()

    run.between = expire
    assert run.sweep() == 0
    assert run.out[-1].startswith("2 pages, 130 secrets seen, 130 selected: 130 converged, 0 skipped")
    assert run.out[-1].endswith("It began anew once: AWS no longer took the token of a page.")


def test_lines_that_are_shown_late_are_not_lost(run: Run, world: World) -> None:
    for number in range(15):
        world.add(f"good/{number}", "eu-west-1")

    def later(pause: int) -> None:
        run.desk.account.log.late = 7 if pause < 6 else 0

    run.between = later
    assert run.sweep() == 0


def test_a_message_without_a_line_is_not_waited_for_for_ever(run: Run, world: World) -> None:
    """The function crashed on it each time, until SQS moved it."""
    world.add("good", "eu-west-1")
    world.add("lost", "eu-west-1")

    def lose(_pause: int) -> None:
        world.queues.messages = [
            message for message in world.queues.messages if "secret:lost-" not in message.body
        ]

    run.between = lose
    assert run.sweep() == 1
    assert "1 converged" in run.out[-1]
    assert "1 not accounted for" in run.out[-1]
    assert "Not all is accounted for" in run.err


def test_what_waits_long_is_waited_for_and_said(run: Run, world: World) -> None:
    world.secrets.set_outcome("slow", "eu-west-1", Outcome(seconds=1800))
    world.add("slow", "eu-west-1")
    assert run.sweep() == 0
    assert run.err.count("Nothing new for a minute") == 1


def test_a_page_that_cannot_be_read_ends_it(run: Run, world: World) -> None:
    world.add("good", "eu-west-1")
    refusal = Fault("InvalidParameterException", "no such filter")
    world.secrets.fail_next("ListSecrets", refusal, refusal)
    assert run.sweep() == 1
    assert run.out[0].startswith("A page could not be read: page 1: AWS refuses ListSecrets")
    assert run.out[-1].startswith("0 pages")


def test_stopped_by_ctrl_c_the_sweep_goes_on(run: Run, world: World) -> None:
    world.add("good", "eu-west-1")

    def stop(_pause: int) -> None:
        raise KeyboardInterrupt

    run.between = stop
    assert run.sweep() == 130
    assert run.err.splitlines()[-1].startswith("Stopped following. A sweep that was started goes on;")
    world.deliver_until_empty()
    assert world.status("good") == {"eu-west-1": "InSync"}


@pytest.mark.parametrize("as_json", [False, True])
def test_a_full_disk_is_said_of_a_sweep_that_was_followed(run: Run, world: World, *, as_json: bool) -> None:
    world.add("a", "us-west-2")
    with Path("/dev/full").open("w") as full:
        run.screen.out = Console(file=full, width=400)
        assert run.sweep(as_json=as_json) == 1
    assert run.err.splitlines()[-1].startswith("The result cannot be written (No space left on device)")
    assert world.status("a") == {"us-west-2": "InSync"}


def test_not_followed_it_is_only_started(run: Run, world: World) -> None:
    world.add("good", "eu-west-1")
    assert run.sweep(no_follow=True) == 0
    (message,) = world.queues.messages
    sweep_id = json.loads(message.body)["sweep"]["id"]
    assert run.err == f"{HOME}: stack {STACK}, sweep {sweep_id}\n"
    assert not run.desk.account.calls["logs:FilterLogEvents"]


def test_a_function_that_logs_too_little_is_not_followed(run: Run, world: World) -> None:
    account = run.desk.account
    account.environment = {**account.environment, "POWERTOOLS_LOG_LEVEL": "WARNING"}
    assert run.sweep() == 1
    assert "LogLevel=WARNING" in run.err
    assert "--no-follow" in run.err
    assert not world.queues.messages, "it was started all the same"


@pytest.mark.parametrize(
    "action", ["sqs:SendMessage", "logs:FilterLogEvents", "lambda:GetFunctionConfiguration"]
)
def test_a_missing_permission_is_named(run: Run, action: str) -> None:
    run.desk.account.denied = {action}
    assert run.sweep() == 1
    assert f"Permission {action} is missing" in run.err


def test_it_needs_what_the_readme_lists(run: Run, world: World) -> None:
    world.secrets.set_outcome("slow", "eu-west-1", Outcome(seconds=1800))
    world.add("slow", "eu-west-1")
    run.sweep()
    assert set(run.desk.account.calls) == permissions()["sweep"]


def test_a_replica_that_was_read_lately_is_counted_as_drift(run: Run, world: World) -> None:
    secret = world.add("a", "eu-west-1 us-west-2")
    world.send("a")
    world.deliver_until_empty()
    secret.tags["replicate-to"] = "eu-west-1"
    secret.replicas["us-west-2"].last_accessed = world.clock() // DAY * DAY
    run.desk.world = world.having(prune_replicas=True)
    assert run.sweep() == 0
    assert run.out[-1].endswith("Drift (1 recently_read).")


class LateLog:
    """A log that shows its first line only after the younger one has been read."""

    def __init__(self) -> None:
        self.events = [
            {
                "logStreamName": "one",
                "timestamp": at,
                "message": json.dumps(
                    {
                        "message": "secret_reconciled",
                        "secret": arn,
                        "verdict": "done",
                        "outcome": "converged",
                    }
                ),
            }
            for arn, at in (("slow", 1_000), ("good", 100_000))
        ]
        self.asked = 0

    def get_paginator(self, _name: str) -> "LateLog":
        return self

    def paginate(self, *, startTime: int, **_: str) -> list[dict[str, Any]]:
        self.asked += 1
        shown = self.events if self.asked > 1 else self.events[1:]
        return [{"events": [event for event in shown if event["timestamp"] >= startTime]}]  # type: ignore[operator]


def test_a_line_that_cloudwatch_shows_late_is_read_before_giving_up() -> None:
    account = function_log.SweepProgress(frozenset({"slow", "good"}))
    log: Any = LateLog()
    empty: Any = SimpleNamespace(get_queue_attributes=lambda **_: {"Attributes": {}})
    queues = Queues(empty, "queue", "dead")
    follower = function_log.Follower(function_log.LogReader(log, "group", "id", 0), account)
    screen = Screen(Console(file=StringIO()), Console(file=StringIO()))
    times = iter(range(0, 10_000, 40))
    function_log.follow(follower, queues, screen, lambda _: None, lambda: float(next(times)))
    assert account.open() == []


def test_a_secret_on_two_pages_is_counted_once() -> None:
    """A page begins anew where the last ended; a secret that moves meanwhile is listed twice."""
    account = function_log.SweepProgress()
    page = {"message": "page_swept", "listed": 1, "selected": 1, "restarted": False}
    account.note(page | {"page": 1, "last": False}, 1)
    account.note(page | {"page": 2, "last": True}, 2)
    ended = {"message": "secret_reconciled", "secret": "a", "verdict": "done", "outcome": "converged"}
    account.note(ended | {"message_id": "one"}, 3)
    assert not account.complete
    account.note(ended | {"message_id": "two"}, 4)
    assert account.complete
    assert str(account) == (
        "2 pages, 2 secrets seen, 1 selected: 1 converged, 0 skipped, 0 dead letters, 0 not accounted for."
    )


def test_a_redriven_message_is_no_second_secret() -> None:
    account = function_log.SweepProgress()
    page = {"message": "page_swept", "page": 1, "listed": 2, "selected": 2, "restarted": False, "last": True}
    account.note(page, 1)
    line = {"message": "secret_reconciled", "secret": "a", "verdict": "dead_letter", "outcome": "failed"}
    account.note(line | {"message_id": "one"}, 2)
    account.note(line | {"message_id": "redriven"}, 3)
    assert account.unaccounted == 1


@pytest.mark.parametrize("verdict", ["done", "delete"])
def test_a_message_that_is_done_ends_also_in_the_words_of_older_versions(verdict: str) -> None:
    account = function_log.SweepProgress(frozenset({"a"}))
    account.note(
        {"message": "secret_reconciled", "secret": "a", "verdict": verdict, "outcome": "converged"}, 1
    )
    assert account.complete


@pytest.mark.parametrize(
    "line",
    [
        {"message": "secret_reconciled", "secret": "a", "outcome": "converged"},
        {"message": "secret_reconciled"},
        {"message": "page_swept"},
        {"message": "page_not_swept", "verdict": "dead_letter"},
        {"message": "drift_found"},
        {},
    ],
    ids=str,
)
def test_a_line_that_lacks_something_settles_nothing(line: dict[str, Any]) -> None:
    account = function_log.SweepProgress(frozenset({"a"}))
    account.note(line, 1)
    assert account.open() == ["a"]


def test_a_line_that_is_cut_off_is_passed_over() -> None:
    log: Any = LateLog()
    log.events[0]["message"] = log.events[0]["message"][:-2]
    account = function_log.SweepProgress(frozenset({"slow", "good"}))
    follower = function_log.Follower(function_log.LogReader(log, "group", "id", 0), account)
    follower.check()
    follower.log.rewind()
    follower.check()
    assert account.open() == ["slow"]
