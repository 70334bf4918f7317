"""`replicas apply`: the planned secrets are sent, never written to, and followed until each is done."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from local.secrets_manager.model import Outcome
from replicas.aws import function_log
from replicas.aws.checkout import POLICY, in_checkout
from replicas.cli import app
from replicas.commands import apply
from replicas.exit_codes import exit_code
from replicas.options import ApplyOptions, Scope
from replicas.terminal import Report, Screen
from secret_replicator.app import logger
from tests.replicas.test_commands import permissions
from tests.support.desk import Desk, at_desk
from tests.support.fakes.account import STACK
from tests.support.world import HOME, make_world


class Person(Screen):
    """Says one thing."""

    answer = True

    def ask(self, question: str) -> bool:
        self.say(question)
        return self.answer


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    world, written = make_world(tmp_path, seconds_in_progress=5), StringIO()
    before = logger.registered_handler.setStream(written)
    # Time passes in the world only.
    defaults = (*function_log.follow.__defaults__[:-1], world.clock)  # type: ignore[index]
    monkeypatch.setattr(function_log.follow, "__defaults__", defaults)
    with at_desk(world) as desk:
        desk.account.log.lines = lambda: written.getvalue().splitlines()
        desk.account.log.clock = world.clock
        yield desk
    logger.registered_handler.setStream(before)


def person() -> Person:
    return Person(Console(file=StringIO(), width=400), Console(file=StringIO(), soft_wrap=True))


def applied(desk: Desk, screen: Person, *, yes: bool = False, as_json: bool = False) -> int:
    """Apply, and let the function work whenever we wait for it."""
    scope = Scope(
        regions=[HOME], stack=STACK, endpoint_url=desk.account.url, policy=desk.world.app.settings.policy_file
    )

    def pause(_seconds: float) -> None:
        desk.world.clock.advance(30)
        desk.world.deliver()

    asked = ApplyOptions(as_json=as_json, yes=yes)
    return exit_code(lambda: apply.run(asked, scope, screen, pause), screen)


def said(screen: Person) -> list[str]:
    text: str = screen.out.file.getvalue()  # type: ignore[attr-defined]
    return text.splitlines()


def test_what_is_planned_is_sent_and_followed_to_in_sync(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        desk.world.add(name, "eu-west-1 us-west-2")
    desk.world.add("wrong", "eu-wst-1")
    screen = person()
    assert applied(desk, screen) == 0
    assert "Plan: 6 to add in 2 Regions, 0 to retry, 0 to remove, 1 problem, 0 unchanged" in said(screen)
    assert said(screen)[-1] == "3 secrets sent: 3 converged, 0 skipped, 0 dead letters, 0 not accounted for."
    assert desk.world.status("c") == {"eu-west-1": "InSync", "us-west-2": "InSync"}
    assert "Send 3 secrets to the ReplicationQueue?" in screen.err.file.getvalue()  # type: ignore[attr-defined]


def test_the_bar_ends_with_as_many_as_were_sent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        desk.world.add(f"secret{number}", "us-west-2")
    screen, reported = person(), []

    @contextmanager
    def progress(title: str, *_totals: object, **_note: object) -> Iterator[Report]:
        yield lambda done: reported.append((title, done))

    monkeypatch.setattr(screen, "progress", progress)
    assert applied(desk, screen) == 0
    assert [done for title, done in reported if title == "Sending"] == [10, 12]


def test_what_cannot_be_done_ends_as_a_dead_letter_with_its_reason(desk: Desk) -> None:
    desk.world.secrets.set_outcome("bad", "us-west-2", Outcome("Failed", "The KMS key is disabled"))
    desk.world.add("bad", "us-west-2")
    desk.world.add("half", "us-west-2 eu-wst-1")
    screen = person()
    assert applied(desk, screen) == 2
    *_, second, first, account = said(screen)
    assert account == "2 secrets sent: 0 converged, 0 skipped, 2 dead letters, 0 not accounted for."
    assert first.startswith("half: dead letter: tag replicate-to asks for eu-wst-1")
    assert second.startswith("bad: dead letter: us-west-2 is ")
    assert "The KMS key is disabled" in second


def test_a_dead_letter_from_before_does_not_end_the_following(desk: Desk) -> None:
    desk.world.secrets.set_outcome("a", "us-west-2", Outcome("Failed", "The KMS key is disabled"))
    desk.world.add("a", "us-west-2")
    desk.world.send("a")
    desk.world.deliver_until_empty()
    desk.world.clock.advance(60)
    assert desk.world.status("a") == {"us-west-2": "Failed"}
    desk.world.secrets.set_outcome("a", "us-west-2", Outcome())
    screen = person()
    assert applied(desk, screen) == 0
    assert said(screen)[-1] == "1 secret sent: 1 converged, 0 skipped, 0 dead letters, 0 not accounted for."


def test_what_the_function_leaves_as_drift_is_not_waited_for_for_ever(desk: Desk) -> None:
    """Only a rule asks for the Region, so a name that is taken there is no dead letter."""
    desk.world.secrets.add_secret("us-west-2", "a")
    desk.world.add("a", environment="prod", criticality="high")
    screen = person()
    assert applied(desk, screen) == 2
    assert said(screen)[-1].startswith("1 secret sent: ")
    assert said(screen)[-1].endswith("0 dead letters, 0 not accounted for. Drift (1 name_taken).")


def test_a_no_sends_nothing(desk: Desk) -> None:
    desk.world.add("a", "us-west-2")
    screen = person()
    screen.answer = False
    assert applied(desk, screen) == 0
    assert said(screen)[-1] == "Nothing was sent."
    assert not desk.world.queues.messages


def test_json_is_the_account_alone(desk: Desk) -> None:
    desk.world.add("a", "us-west-2")
    screen = person()
    assert applied(desk, screen, yes=True, as_json=True) == 0
    facts = json.loads("\n".join(said(screen)))
    assert facts["sweep_id"]
    summary = facts["summary"]
    assert (summary["selected"], summary["converged"], summary["dead_letters"]) == (1, 1, 0)
    assert (facts["drift_by_kind"], facts["dead_letters"], facts["complete"]) == ({}, [], True)


def test_nobody_is_asked_where_there_is_nobody(desk: Desk) -> None:
    desk.world.add("a", "us-west-2")
    result = desk.run("apply")
    assert result.exit_code == 2
    assert "add --yes" in result.stderr
    assert not desk.account.calls


def test_a_function_that_writes_nothing_is_not_sent_anything(tmp_path: Path) -> None:
    with at_desk(make_world(tmp_path).having(mode="plan")) as desk:
        desk.world.add("a", "us-west-2")
        result = desk.run("apply", "--yes")
    assert result.exit_code == 1
    assert "Mode=plan: its function writes nothing" in result.stderr
    assert not desk.world.queues.messages


def test_stopped_by_ctrl_c_the_function_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    desk.world.add("a", "us-west-2")
    monkeypatch.setattr(apply.run, "__defaults__", (stop,))
    result = desk.run("apply", "--yes")
    assert result.exit_code == 130
    assert result.stderr.endswith("the function works on it: see replicas status.\n")
    (message,) = desk.world.queues.messages
    body = json.loads(message.body)
    assert body.pop("sweep_id")
    assert body == {"secret_id": desk.world.secrets.secret(HOME, "a").arn}


def test_it_writes_to_no_secret_and_needs_what_the_readme_lists(desk: Desk) -> None:
    desk.world.add("wrong", "eu-wst-1")
    desk.world.send("wrong")
    desk.world.deliver_until_empty()
    desk.world.add("a", "us-west-2")
    assert applied(desk, person(), yes=True) == 0
    assert set(desk.account.calls) == permissions()["apply"] - {"sqs:GetQueueAttributes"}, (
        "the queue is asked only after a minute without news"
    )


def test_it_decides_by_no_policy_that_the_function_does_not_have() -> None:
    assert "--policy" not in CliRunner().invoke(app, ["apply", "--help"]).stdout


def test_a_plan_by_a_policy_that_may_not_be_the_deployed_one_says_so(desk: Desk) -> None:
    line = "whether the function decides by this policy is not known"
    assert line in desk.run("apply", "--yes").stderr
    desk.account.deployed_policy = in_checkout(POLICY).read_bytes()
    assert line not in desk.run("apply", "--yes").stderr


def test_a_secret_that_is_left_alone_meanwhile_is_not_called_deleted(desk: Desk) -> None:
    """The function's own words: it waits for nothing that somebody has put on hold since the plan."""
    secret = desk.world.add("a", "us-west-2")
    screen = person()

    def hold(question: str) -> bool:
        secret.tags["secret-replicator:hold"] = "moving"
        return Person.ask(screen, question)

    screen.ask = hold  # type: ignore[method-assign]
    applied(desk, screen)
    assert "1 skipped (1 held)" in said(screen)[-1]
    assert "deleted" not in said(screen)[-1]


def test_a_full_disk_is_said_of_an_apply_that_was_followed(desk: Desk) -> None:
    """Written as JSON: the plan is not shown first, so all is done before the disk is found full."""
    desk.world.add("a", "us-west-2")
    screen = person()
    with Path("/dev/full").open("w") as full:
        screen.out = Console(file=full, width=400)
        assert applied(desk, screen, yes=True, as_json=True) == 1
    text: str = screen.err.file.getvalue()  # type: ignore[attr-defined]
    assert text.splitlines()[-1].startswith("The result cannot be written (No space left on device)")
    assert desk.world.status("a") == {"us-west-2": "InSync"}


def test_a_plan_that_cannot_be_shown_is_not_applied(desk: Desk) -> None:
    desk.world.add("a", "us-west-2")
    screen = person()
    with Path("/dev/full").open("w", 1) as full:
        screen.out = Console(file=full, width=400)
        assert applied(desk, screen, yes=True) == 1
    text: str = screen.err.file.getvalue()  # type: ignore[attr-defined]
    assert text.splitlines()[-1].startswith("The result cannot be written (No space left on device)")
    assert desk.world.status("a") == {}


def test_what_may_not_be_sent_is_said_with_its_permission(desk: Desk) -> None:
    desk.world.add("a", "us-west-2")
    desk.account.denied.add("sqs:SendMessage")
    screen = person()
    assert applied(desk, screen, yes=True) == 1
    text: str = screen.err.file.getvalue()  # type: ignore[attr-defined]
    assert "Sent 0 of 1 secret: Permission sqs:SendMessage is missing: allow it" in text


def test_what_was_sent_is_said_also_where_it_cannot_be_followed(desk: Desk) -> None:
    desk.world.add("a", "us-west-2")
    desk.account.denied.add("logs:FilterLogEvents")
    screen = person()
    assert applied(desk, screen, yes=True) == 1
    text: str = screen.err.file.getvalue()  # type: ignore[attr-defined]
    sent, refused = text.splitlines()[-2:]
    assert sent.startswith("us-east-1: 1 secret sent, sweep ")
    assert "Permission logs:FilterLogEvents is missing" in refused
