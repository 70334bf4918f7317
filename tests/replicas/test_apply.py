"""`replicas apply`: the planned secrets are sent, never written to, and followed until each is done."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from local.secrets_manager.model import Outcome
from replicas.aws.deployment import Where
from replicas.commands import apply, plan
from replicas.terminal import Screen
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
def desk(tmp_path: Path) -> Iterator[Desk]:
    with at_desk(make_world(tmp_path, seconds_in_progress=5)) as desk:
        yield desk


def person() -> Person:
    return Person(Console(file=StringIO(), width=400), Console(file=StringIO(), soft_wrap=True))


def applied(desk: Desk, screen: Person, *, yes: bool = False, as_json: bool = False) -> int:
    """Apply, and let the function work whenever we wait for it."""
    where = Where([HOME], STACK, endpoint_url=desk.account.url, policy=desk.world.app.settings.policy_file)

    def pause(_seconds: float) -> None:
        desk.world.clock.advance(30)
        desk.world.deliver()

    return apply.run(apply.Asked(plan.Asked(as_json=as_json), yes), where, screen, pause)


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
    assert said(screen)[-1] == "Applied: 3 secrets sent, 3 converged, 0 waiting, 0 dead letters"
    assert desk.world.status("c") == {"eu-west-1": "InSync", "us-west-2": "InSync"}
    assert "Send 3 secrets to the ReplicationQueue?" in screen.err.file.getvalue()  # type: ignore[attr-defined]


def test_what_cannot_be_done_ends_as_a_dead_letter_with_its_reason(desk: Desk) -> None:
    desk.world.secrets.set_outcome("bad", "us-west-2", Outcome("Failed", "The KMS key is disabled"))
    desk.world.add("bad", "us-west-2")
    desk.world.add("half", "us-west-2 eu-wst-1")
    screen = person()
    assert applied(desk, screen) == 2
    *_, first, second, account = said(screen)
    assert account == "Applied: 2 secrets sent, 0 converged, 0 waiting, 2 dead letters"
    assert first.startswith("half: RegionProblem: tag replicate-to asks for eu-wst-1")
    assert second.startswith("bad: AttemptsUsedUp: us-west-2 is ")
    assert "The KMS key is disabled" in second


def test_a_letter_from_before_does_not_end_the_following(desk: Desk) -> None:
    desk.world.secrets.set_outcome("a", "us-west-2", Outcome("Failed", "The KMS key is disabled"))
    desk.world.add("a", "us-west-2")
    desk.world.send("a")
    desk.world.deliver_until_empty()
    desk.world.clock.advance(60)
    assert desk.world.status("a") == {"us-west-2": "Failed"}
    desk.world.secrets.set_outcome("a", "us-west-2", Outcome())
    screen = person()
    assert applied(desk, screen) == 0
    assert said(screen)[-1] == "Applied: 1 secret sent, 1 converged, 0 waiting, 0 dead letters"


def test_what_the_function_leaves_as_drift_is_not_waited_for_for_ever(desk: Desk) -> None:
    """Only a rule asks for the Region, so a name that is taken there is no dead letter."""
    desk.world.secrets.add_secret("us-west-2", "a")
    desk.world.add("a", environment="prod", criticality="high")
    screen = person()
    assert applied(desk, screen) == 2
    assert said(screen)[-2:] == [
        "a: drifted; replicas explain says how",
        "Applied: 1 secret sent, 0 converged, 1 drifted, 0 waiting, 0 dead letters",
    ]


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
    assert json.loads("\n".join(said(screen))) == {
        "sent": 1,
        "converged": 1,
        "drifted": [],
        "dead_letters": [],
    }


def test_nobody_is_asked_where_there_is_nobody(desk: Desk) -> None:
    desk.world.add("a", "us-west-2")
    result = desk.run("apply")
    assert result.exit_code == 1
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
    assert [message.body for message in desk.world.queues.messages] == [
        json.dumps({"secret_id": desk.world.secrets.secret(HOME, "a").arn})
    ]


def test_it_writes_to_no_secret_and_needs_what_the_readme_lists(desk: Desk) -> None:
    desk.world.add("wrong", "eu-wst-1")
    desk.world.send("wrong")
    desk.world.deliver_until_empty()
    desk.world.add("a", "us-west-2")
    assert applied(desk, person(), yes=True) == 0
    assert set(desk.account.calls) == permissions()["apply"]
