"""`replicas status`: whether everything is where it must be, and what needs a person first."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from local.secrets_manager.model import Fault, Outcome
from replicas.cli import app
from replicas.commands import status
from replicas.exit_codes import exit_code
from replicas.options import Scope, StatusOptions
from replicas.terminal import Screen
from secret_replicator.planner import HOLD_TAG
from tests.support.desk import Desk, at_desk
from tests.support.fakes.account import STACK
from tests.support.fakes.queues import DeadLetter
from tests.support.world import HOME, World, make_world


def a_week(world: World) -> None:
    """Let there be a secret of every kind, and the function have worked on most."""
    for name in ("ok/1", "ok/2"):
        world.add(name, "eu-west-1 us-west-2")
    world.add("late", "us-west-2")
    world.add("wrong", "eu-west-1 eu-wst-1")
    world.secrets.set_outcome("broken", "us-west-2", Outcome("Failed", "The KMS key is disabled"))
    world.add("broken", "us-west-2")
    for name in ("ok/1", "ok/2", "wrong", "broken"):
        world.send(name)
    world.deliver_until_empty()
    world.add("not selected")


def test_what_needs_a_person_comes_first_and_a_sentence_last(desk: Desk) -> None:
    a_week(desk.world)
    rows = desk.rows("status")
    assert [[row[1], row[2], *row[3:5]] for row in rows] == [
        ["broken", "needs attention", "-", "Failed"],
        ["wrong", "needs attention", "InSync", "-"],
        ["late", "waiting", "-", "missing"],
        ["ok/1", "InSync", "InSync", "InSync"],
        ["ok/2", "InSync", "InSync", "InSync"],
    ]
    result = desk.run("status")
    assert result.stdout.splitlines()[-1] == (
        "2 of 5 selected secrets are InSync in every Region; 1 waiting, 2 need attention"
    )
    assert result.exit_code == 2


def test_the_reason_and_how_long_it_is_known_stand_beside_it(desk: Desk) -> None:
    a_week(desk.world)
    by_name = {row[1]: row[5:] for row in desk.rows("status")}
    assert by_name["wrong"][0].endswith(" (dead letter)")
    assert "asks for eu-wst-1" in by_name["wrong"][1]
    assert by_name["broken"][1].startswith("AttemptsUsedUp: ")
    assert "The KMS key is disabled" in by_name["broken"][1]
    assert by_name["late"][0].endswith(" (changed)")
    assert by_name["ok/1"] == ["-", "-"]


def test_a_dead_letter_that_nobody_waits_for_is_named_and_needs_a_person(desk: Desk) -> None:
    desk.world.queues.dead_letters.append(
        DeadLetter("{}", {"ErrorType": "Malformed", "ErrorMessage": "no secret", "SecretArn": "unknown"})
    )
    result = desk.run("status")
    assert "Dead letter about unknown: Malformed: no secret" in result.stdout
    assert result.stdout.splitlines()[-1] == (
        "0 of 0 selected secrets are InSync in every Region; 0 waiting, 0 need attention; "
        "1 dead letter is about no secret that waits"
    )
    assert result.exit_code == 2


def converged(world: World) -> None:
    world.converge("a", "us-west-2")


@pytest.mark.parametrize(
    ("prepare", "exit_code"),
    [
        pytest.param(converged, 0, id="all InSync"),
        pytest.param(lambda world: world.add("a", "none"), 0, id="nothing wanted"),
        pytest.param(lambda world: world.add("a", "us-west-2"), 3, id="one waits"),
        pytest.param(lambda world: world.add("a", "eu-wst-1"), 2, id="a tag that a person must mend"),
        pytest.param(a_week, 2, id="some wait and some need attention"),
    ],
)
def test_the_exit_code_tells_a_monitor(
    desk: Desk, prepare: Callable[[World], object], exit_code: int
) -> None:
    prepare(desk.world)
    assert desk.run("status").exit_code == exit_code


@pytest.mark.parametrize(
    ("option", "exit_code"), [("--stack=nope", 1), ("--nonsense", 2), ("--interval=0", 2)]
)
def test_what_could_not_be_found_out_is_an_error(desk: Desk, option: str, exit_code: int) -> None:
    assert desk.run("status", option).exit_code == exit_code


def test_failed_shows_only_what_needs_a_person_and_counts_all(desk: Desk) -> None:
    a_week(desk.world)
    assert [row[1] for row in desk.rows("status", "--failed")] == ["broken", "wrong"]
    assert "2 of 5 selected secrets" in desk.run("status", "--failed").stdout


def test_a_replica_that_nobody_wants_is_shown_as_drift(desk: Desk) -> None:
    world = desk.world
    converged(world)
    world.secrets.secret(HOME, "a").tags["replicate-to"] = "eu-west-1"
    world.send("a")
    world.deliver_until_empty()
    (row,) = desk.rows("status")
    assert row[2:5] == ["InSync", "InSync", "InSync, unwanted"]
    assert "1 drifted" in desk.run("status").stdout


def test_a_name_that_is_taken_needs_a_person_also_without_a_dead_letter(desk: Desk) -> None:
    desk.world.secrets.add_secret("us-west-2", "a")
    desk.world.add("a", environment="prod", criticality="high")
    desk.world.send("a")
    desk.world.deliver_until_empty()
    (row,) = desk.rows("status")
    assert row[2:4] == ["needs attention", "Failed"]
    assert not desk.world.queues.dead_letters


def test_what_a_service_manages_is_left_alone_and_not_counted(desk: Desk) -> None:
    tags = {"environment": "prod", "criticality": "high"}
    desk.world.secrets.add_secret(HOME, "rds!a", tags=tags, owning_service="rds")
    (row,) = desk.rows("status")
    assert row[2] == "left alone"
    assert "only a rule asks for it, and it belongs to an AWS service - let no rule match it" in row[-1]
    result = desk.run("status")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == (
        "0 of 0 selected secrets are InSync in every Region; 0 waiting, 0 need attention; "
        "1 left alone, held or managed by a service; 1 drifted"
    )


def test_what_is_held_is_left_alone_and_says_why(desk: Desk) -> None:
    desk.world.add("a", "eu-west-1", **{HOLD_TAG: "failed over"})
    (row,) = desk.rows("status")
    assert row[2] == "left alone"
    assert "it is held by its tag secret-replicator:hold (failed over) - take the tag" in row[-1]


def test_a_tag_key_with_a_typo_is_shown_with_what_to_correct(desk: Desk) -> None:
    desk.world.add("a", Replicate_To="dr")
    desk.world.add("b", region="dr", team="shop")
    (row,) = desk.rows("status")
    assert row[1:3] == ["a", "not selected"]
    assert "one of its tag keys is nearly the policy's (Replicate_To) - take this tag off" in row[-1]
    result = desk.run("status")
    assert result.exit_code == 0
    assert "; 1 not selected, but with a similar tag or replicas; 1 drifted" in result.stdout
    assert not desk.world.calls("DescribeSecret")


def orphaned(world: World) -> None:
    """Let a secret have two replicas, and nothing that asks for them; and another be as it must be."""
    for name in ("left", "kept"):
        world.add(name, "eu-west-1 us-west-2")
        world.send(name)
    world.deliver_until_empty()
    for region in (HOME, "eu-west-1", "us-west-2"):
        del world.secrets.secret(region, "left").tags["replicate-to"]


def test_replicas_that_were_left_behind_are_shown_counted_and_costed(desk: Desk) -> None:
    orphaned(desk.world)
    kept, left = desk.rows("status")
    assert kept[1:3] == ["kept", "InSync"]
    assert left[1:5] == ["left", "not selected", "orphaned, unwanted", "orphaned, unwanted"]
    assert "us-west-2: the replica was left behind" in left[-1]
    result = desk.run("status")
    assert "2 orphaned replicas ($0.80 a month)" in result.stdout
    summary = json.loads(desk.run("status", "--json").stdout)["summary"]
    assert (summary["not_selected"], summary["orphaned_replicas"]) == (1, 2)
    assert desk.run("status", "--secret", "left").exit_code == 0
    assert [row[1] for row in desk.rows("status", "--secret", "kept")] == ["kept"]


def test_json_has_every_secret_and_the_sentence(desk: Desk) -> None:
    a_week(desk.world)
    document = json.loads(desk.run("status", "--json").stdout)
    assert [secret["name"] for secret in document["secrets"]] == ["broken", "wrong", "late", "ok/1", "ok/2"]
    assert document["secrets"][2]["regions"] == {"us-west-2": "missing"}
    assert document["secrets"][0]["dead_letter_count"] == 1
    summary = document["summary"]
    assert (summary["selected"], summary["in_sync"], summary["waiting"], summary["need_attention"]) == (
        5,
        2,
        1,
        2,
    )


def test_without_a_stack_nobody_works_on_what_waits(desk: Desk) -> None:
    desk.account.stacks.clear()
    desk.world.add("a", "us-west-2")
    result = desk.run("status", "--allowed-regions", "us-west-2")
    assert result.exit_code == 3
    assert "nothing is deployed, so nobody works on what waits" in result.stderr


def test_the_dead_letters_can_be_left_alone(desk: Desk) -> None:
    a_week(desk.world)
    assert desk.run("status", "--no-dead-letters").exit_code == 2
    assert desk.account.calls["sqs:ReceiveMessage"] == 0


NOT_DONE = {
    "by another policy": ({}, "", "another policy is deployed: deploy this one first"),
    "in plan mode": ({"mode": "plan"}, "", "nothing is written with Mode=plan"),
    "without a function": ({}, "--allowed-regions=us-west-2", "nothing is deployed here"),
}


@pytest.mark.parametrize(("settings", "option", "why"), NOT_DONE.values(), ids=NOT_DONE)
def test_what_the_function_does_not_do_is_not_promised(
    tmp_path: Path, settings: dict[str, str], option: str, why: str
) -> None:
    with at_desk(make_world(tmp_path).having(**settings)) as desk:
        desk.account.deployed_policy = b'[tag]\nkey = "another"\n'
        desk.world.add("a", "us-west-2")
        result = desk.run("status", *filter(None, [option]))
        explained = desk.run("explain", "a", *filter(None, [option]))
    assert f"not requested yet: {why}" in result.stdout
    assert f"The function: {why}" in explained.stdout
    assert "replicas apply" not in explained.stdout, "it would not help"


# On a terminal.


def terminal(width: int = 200) -> Screen:
    return Screen(
        Console(file=StringIO(), force_terminal=True, width=width, highlight=False, emoji=False),
        Console(file=StringIO(), soft_wrap=True),
    )


def scope(desk: Desk) -> Scope:
    return Scope(
        regions=[HOME], stack=STACK, endpoint_url=desk.account.url, policy=desk.world.app.settings.policy_file
    )


def printed(console: Console) -> str:
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.mark.parametrize(("everything", "shown"), [(False, 20), (True, 30)])
def test_what_is_as_it_must_be_does_not_push_the_rest_off_a_terminal(
    desk: Desk,
    everything: bool,  # noqa: FBT001
    shown: int,
) -> None:
    for number in range(30):
        desk.world.add(f"fine/{number}", "none")
    desk.world.add("wrong", "eu-wst-1")
    screen = terminal()
    assert status.run(StatusOptions(everything=everything), scope(desk), screen) == 2
    text = printed(screen.out)
    assert text.index("wrong") < text.index("fine/")
    assert text.count("fine/") == shown
    assert (
        "Nothing is to be done about 10 more secrets: --all shows them" in printed(screen.err)
    ) is not everything


def test_watch_checks_again_until_ctrl_c(desk: Desk) -> None:
    desk.world.add("a", "us-west-2")
    screen, pauses = terminal(), []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        desk.world.send("a")
        desk.world.deliver_until_empty()
        if len(pauses) == 2:
            raise KeyboardInterrupt

    asked = StatusOptions(watch=True, interval=7)
    assert exit_code(lambda: status.run(asked, scope(desk), screen, pause), screen) == 130
    text = printed(screen.out)
    assert pauses == [7, 7]
    assert text.index("0 of 1 selected secrets") < text.index("1 of 1 selected secrets")
    assert printed(screen.err).endswith("Stopped.\n")


def test_a_watch_as_json_can_be_read_while_it_waits(desk: Desk, tmp_path: Path) -> None:
    desk.world.add("a", "us-west-2")
    seen = []

    def pause(_seconds: float) -> None:
        seen.append(json.loads((tmp_path / "out").read_text("utf-8"))["summary"]["waiting"])
        raise KeyboardInterrupt

    with (tmp_path / "out").open("w", encoding="utf-8") as out:
        screen = Screen(Console(file=out), Console(file=StringIO()))
        asked = StatusOptions(watch=True, as_json=True)
        assert exit_code(lambda: status.run(asked, scope(desk), screen, pause), screen) == 130
    assert seen == [1]


def test_what_is_left_alone_is_never_hidden_in_place_of_what_is_in_sync(desk: Desk) -> None:
    for number in range(22):
        desk.world.add(f"fine/{number}", "us-west-2")
        desk.world.send(f"fine/{number}")
    desk.world.deliver_until_empty()
    tags = {"environment": "prod", "criticality": "high"}
    for number in range(3):
        desk.world.secrets.add_secret(HOME, f"rds!{number}", tags=tags, owning_service="rds")
    screen = terminal()
    status.run(StatusOptions(), scope(desk), screen)
    text = printed(screen.out)
    assert (text.count("rds!"), text.count("fine/")) == (3, 20)
    assert "Nothing is to be done about 2 more secrets" in printed(screen.err)


def stopping(*pauses: Callable[[], object]) -> Callable[[float], None]:
    """Return a sleep that does one thing after the other, and then is stopped."""
    left = list(pauses)

    def pause(_: float) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    return pause


def test_a_watch_says_what_could_not_be_read(desk: Desk) -> None:
    desk.world.add("a", "us-west-2")
    desk.account.denied.add("secretsmanager:DescribeSecret")
    screen = terminal()
    asked = StatusOptions(watch=True, interval=1)
    assert exit_code(lambda: status.run(asked, scope(desk), screen, stopping()), screen) == 130
    assert "1 secret could not be read (a)" in printed(screen.err)


def test_a_watch_outlives_an_error_once_it_has_seen_something(desk: Desk) -> None:
    desk.world.add("a", "us-west-2")
    screen = terminal()

    def fail() -> None:
        desk.account.denied.add("secretsmanager:ListSecrets")

    def recover() -> None:
        desk.account.denied.clear()

    asked = StatusOptions(watch=True, interval=1)
    pauses = stopping(fail, recover)
    assert exit_code(lambda: status.run(asked, scope(desk), screen, pauses), screen) == 130
    assert "Permission secretsmanager:ListSecrets is missing" in printed(screen.err)
    assert printed(screen.out).count("0 of 1 selected secrets") == 2
    fail()
    assert exit_code(lambda: status.run(asked, scope(desk), screen, stopping()), screen) == 1


def test_only_the_dead_letters_of_the_chosen_secrets_are_shown(desk: Desk) -> None:
    a_week(desk.world)
    result = desk.run("status", "--secret", "ok/1")
    assert "Dead letter" not in result.stdout
    assert result.exit_code == 0
    assert desk.run("status", "--secret", "wrong").exit_code == 2


def test_a_secret_that_was_fixed_says_that_its_dead_letter_stays(desk: Desk) -> None:
    a_week(desk.world)
    desk.world.secrets.secret(HOME, "wrong").tags["replicate-to"] = "eu-west-1"
    by_name = {row[1]: row for row in desk.rows("status")}
    assert by_name["wrong"][2] == "InSync"
    assert (
        "fixed; its dead letter and the alarm stay until you run: replicas redrive --fixed --secret wrong"
        in (by_name["wrong"][-1])
    )


def test_the_same_reason_of_many_sweeps_is_shown_once_with_its_number(desk: Desk) -> None:
    given = {"ErrorType": "Malformed", "ErrorMessage": "no secret", "SecretArn": "unknown"}
    desk.world.queues.dead_letters += [DeadLetter("{}", given) for _ in range(14)]
    lines = desk.run("status").stdout.splitlines()
    assert [line for line in lines if line.startswith("Dead letter")] == [
        "Dead letter about unknown (14 times): Malformed: no secret"
    ]


def test_a_secret_that_wants_no_replica_is_not_counted_as_in_sync(desk: Desk) -> None:
    converged(desk.world)
    desk.world.add("b", "none")
    result = desk.run("status")
    assert result.stdout.splitlines()[-1] == (
        "1 of 1 selected secrets are InSync in every Region; 0 waiting, 0 need attention; 1 wants no replica"
    )
    summary = json.loads(desk.run("status", "--json").stdout)["summary"]
    assert (summary["selected"], summary["in_sync"], summary["want_none"]) == (2, 1, 1)


def test_no_advice_about_the_tag_stands_where_the_tag_is_right(desk: Desk) -> None:
    converged(desk.world)
    desk.world.secrets.secret(HOME, "a").tags["replicate-to"] = "none"
    assert "tag is wrong" not in desk.rows("status")[0][-1]
    desk.world.secrets.secret(HOME, "a").tags["replicate-to"] = "eu-wst-1"
    assert "while its tag is wrong, correct that first" in desk.rows("status")[0][-1]


@pytest.mark.parametrize("command", ["status", "report", "explain"])
def test_dead_letters_that_somebody_else_reads_are_not_called_none(
    desk: Desk, tmp_path: Path, command: str
) -> None:
    desk.world.add("a", "mars")
    desk.world.send("a")
    desk.world.deliver_until_empty()
    desk.world.secrets.secret(HOME, "a").tags["replicate-to"] = "none"
    given = {"status": [], "report": ["--html", str(tmp_path / "page.html")], "explain": ["a"]}[command]
    with_it = desk.run(command, *given)
    assert "could not be read" not in with_it.stderr
    desk.account.hidden |= {dead_letter["ReceiptHandle"] for dead_letter in desk.account._dead_letters()}
    result = desk.run(command, *given)
    assert "1 dead letter could not be read: somebody else reads them" in result.stderr
    assert result.exit_code == 1
    assert desk.run(command, *given, "--no-dead-letters").exit_code == 0


def test_redrive_fixed_clears_only_what_is_in_its_place(desk: Desk) -> None:
    world = desk.world
    for name, to in (("fixed", "eu-west-1 eu-wst-1"), ("wrong", "eu-wst-1")):
        world.add(name, to)
        for _ in range(2):
            world.send(name)
            world.deliver_until_empty()
    world.secrets.secret(HOME, "fixed").tags["replicate-to"] = "eu-west-1"
    options = ["--stack", STACK, "--region", HOME, "--endpoint-url", desk.account.url]

    def redrive(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["redrive", *options, *arguments], env={"COLUMNS": "400"})

    listed = redrive("--dry-run").stdout
    assert [line.split("\t")[0] for line in listed.splitlines()[1:]] == ["fixed (2 times)", "wrong (2 times)"]
    tried = redrive("--fixed", "--dry-run")
    assert [line.split("\t")[0] for line in tried.stdout.splitlines()[1:]] == ["fixed (2 times)"]
    assert len(world.queues.dead_letters) == 4
    cleared = redrive("--fixed", "--yes")
    assert (cleared.exit_code, len(world.queues.dead_letters)) == (0, 2), cleared.output
    assert "Cleared 2 of 2 dead letters of secrets that are in their place; 2 kept." in cleared.stderr
    assert all("wrong" in dead_letter.attributes["SecretArn"] for dead_letter in world.queues.dead_letters)
    assert json.loads(redrive("--fixed", "--yes", "--json").stdout) == {
        "dead_letters": [],
        "summary": {"dead_letters": 0, "moved": 0, "cleared": 0},
    }


def test_redrive_fixed_names_what_may_not_be_seen(desk: Desk) -> None:
    desk.world.add("a", "mars")
    desk.world.send("a")
    desk.world.deliver_until_empty()
    desk.account.denied.add("secretsmanager:DescribeSecret")
    options = ["--stack", STACK, "--region", HOME, "--endpoint-url", desk.account.url]
    result = CliRunner().invoke(app, ["redrive", "--fixed", "--yes", *options])
    assert "1 secret could not be read (a): allow secretsmanager:DescribeSecret" in result.stderr
    assert (result.exit_code, len(desk.world.queues.dead_letters)) == (1, 1)


def test_a_region_without_an_answer_is_not_waited_for_where_only_replicas_are_left_behind(desk: Desk) -> None:
    """Ten attempts take minutes: who asks for the status has no time in the hour of a dead Region."""
    desk.world.add("a", "none")
    desk.world.secrets.faults = lambda call, _: (
        Fault("InternalServiceError", status=500) if call.region == "us-west-2" else None
    )
    result = desk.run("status")
    assert "us-west-2: orphaned replicas cannot be found there: " in result.stderr
    assert [call.region for call in desk.world.calls("ListSecrets")].count("us-west-2") == 2
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("name", "body"), [("sweep", '{"sweep": {"page": 3, "next_token": "t"}}'), ("unknown", "no JSON")]
)
def test_a_dead_letter_about_no_secret_is_not_about_one_that_is_called_so(
    desk: Desk, name: str, body: str
) -> None:
    desk.world.add(name, "us-west-2")
    desk.world.send(name)
    desk.world.deliver_until_empty()
    desk.world.queues.dead_letters.append(DeadLetter(body, {"ErrorType": "X", "SecretArn": name}))
    assert [row[5] for row in desk.rows("status")] == ["-"]
    options = ["--stack", STACK, "--region", HOME, "--endpoint-url", desk.account.url]
    result = CliRunner().invoke(app, ["redrive", "--fixed", "--yes", *options])
    assert "Cleared 0 of 0 dead letters of secrets that are in their place; 1 kept." in result.stderr
    assert len(desk.world.queues.dead_letters) == 1
