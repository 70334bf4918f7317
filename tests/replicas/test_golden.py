"""What people see, of every command that shows a table, on terminals from 60 to 200 columns.

The files in `golden/` are what the commands printed. After a wanted change write them anew and read the diff:

    GOLDEN=write pytest tests/replicas/test_golden.py
"""

import io
import os
import re
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import boto3
import click
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from local.secrets_manager.model import Outcome
from replicas.aws import function_log
from replicas.aws.accounts import Answer, Answers
from replicas.aws.connection import Connection
from replicas.aws.function_log import SweepProgress
from replicas.cli import app
from replicas.commands import apply, smoke, sweep
from replicas.commands.doctor import command as doctor
from replicas.commands.doctor.command import Examined
from replicas.commands.doctor.findings import Finding, bad, good, refused
from replicas.failover.hold import HOLD_TAG, hold_value
from replicas.options import ApplyOptions, Scope
from replicas.terminal import Screen
from secret_replicator.app import logger
from tests.support.desk import Desk, at_desk
from tests.support.fakes.account import STACK
from tests.support.world import HOME, World, make_world

FOLDER = Path(__file__).parent / "golden"
WIDTHS = (60, 80, 100, 130, 200)
USUAL = 80
"""The width that is looked at in every run: the others take as long each."""
REGIONS = ("ap-southeast-2", "ca-central-1", "eu-central-1", "eu-west-1", "us-west-2", "sa-east-1")
LONG = "platform/payments/production/gateway/cards/provider-api-credentials"

COMMANDS = {
    "status": ["status"],
    "status-some": ["status", "--secret", "shop/*", "--secret", "mail/*"],
    "plan": ["plan"],
    "plan-against": ["plan", "--against", "{before}"],
    "explain": ["explain", LONG],
    "validate": ["validate", "{policy}"],
    "redrive": ["redrive", "--dry-run"],
    "verify": ["verify"],
    "verify-from": ["verify", "--from", "eu-west-1"],
    "promote": ["promote", "--replica-region", "eu-west-1", "--dry-run"],
    "rejoin": ["rejoin", "--replica-region", "eu-central-1", "--dry-run", "--journal", "{journal}"],
    "report": ["report", "--html", "{page}"],
    "apply": ["apply", "--yes", "--secret", "no/replicas"],
}
OF_ACCOUNTS = {
    "status-accounts": ["status", "--all"],
    "plan-accounts": ["plan"],
    "plan-against-accounts": ["plan", "--against", "{before}"],
    "verify-accounts": ["verify"],
    "report-accounts": ["report", "--html", "{page}"],
}
"""What answers for three accounts: the same fleet, a small one, and one that refuses."""
WITHOUT_POLICY = {"redrive", "validate", "promote", "rejoin", "apply"}
WITHOUT_STACK = {"validate", "promote", "rejoin"}
NAME_TAKEN = "Secret with this name already exists in this region"
MOST_WORDS = 3
"""The indent or label, and the long word, of a line that is too long."""

VERSION = "01234567-89ab-cdef-0123-456789abcdef"
BEFORE = """
[tag]
key = "replicate-to"
[[rules]]
match = { team = "shop" }
regions = ["eu-central-1", "ca-central-1"]
"""


def a_fleet(world: World) -> None:
    """Let there be a secret of every kind, with a dead letter that is twelve minutes old."""
    now, secrets = world.clock(), world.secrets
    world.clock.advance(-12 * 60 - 30)
    for region, message in (("us-west-2", "The KMS key is disabled"), ("eu-west-1", NAME_TAKEN)):
        secrets.set_outcome(LONG, region, Outcome("Failed", message))
    six = " ".join(REGIONS)
    for name, to in ((LONG, six), ("shop/db", "eu-west-1 us-west-2"), ("shop/api", six)):
        world.add(name, to, team="shop")
    world.add("mail/smtp", "eu-west-1 eu-wst-1")
    world.add("no/replicas", "none")
    for name in (LONG, "shop/db", "shop/api", "mail/smtp"):
        world.send(name)
    world.deliver_until_empty()
    world.clock.advance(now - 12 * 60 - 30 - world.clock())
    secrets.secret(HOME, "shop/db").tags["replicate-to"] = "us-west-2"
    world.add("late", "eu-west-1")
    for dead_letter in world.queues.dead_letters:
        dead_letter.attributes["Attempts"] = "10"
        dead_letter.attributes["FirstReceived"] = datetime.fromtimestamp(world.clock(), UTC).isoformat()
    held = {HOLD_TAG: hold_value("the primary Region does not answer", HOME, "2026-01-01T00:00Z")}
    for name in (f"{LONG}-of-last-year", "no/replicas"):
        secrets.add_secret("eu-central-1", name, tags=held)
    for region in (HOME, *REGIONS):
        for name in secrets.names(region):
            secrets.secret(region, name).last_changed = world.clock()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    written = io.StringIO()
    before = logger.registered_handler.setStream(written)
    folder = tmp_path_factory.mktemp("golden") / "here"
    folder.mkdir()
    (folder / "before.toml").write_text(BEFORE)
    world = make_world(folder).having(allowed_regions=REGIONS)
    a_fleet(world)
    with at_desk(world) as desk:
        yield desk
    logger.registered_handler.setStream(before)


@pytest.fixture(scope="module")
def accounts(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return an AWS configuration with a profile for each of three accounts; the third refuses."""
    folder = tmp_path_factory.mktemp("accounts")
    small = make_world(folder).having(allowed_regions=REGIONS)
    small.add(f"{LONG}-2", "eu-west-1")  # another ARN: the fakes are all one account
    small.send(f"{LONG}-2")
    small.deliver_until_empty()
    small.add("ledger", "us-west-2")
    small.clock.advance(-12 * 60 - 30)
    for region in (HOME, *REGIONS):
        for name in small.secrets.names(region):
            small.secrets.secret(region, name).last_changed = small.clock()
    with at_desk(small) as other, at_desk(make_world(folder)) as refusing:
        other.account.environment = {**other.account.environment, "QUEUE_URL": "another account's"}
        refusing.account.denied.add("cloudformation:DescribeStacks")
        desks = {"shop": desk, "payments-production": other, "legacy": refusing}
        config = folder / "config"
        keys = "aws_access_key_id = a\naws_secret_access_key = b\n"
        profiles = (
            f"[profile {name}]\n{keys}endpoint_url = {at.account.url}\n" for name, at in desks.items()
        )
        config.write_text("".join(profiles), "utf-8")
        yield config


@pytest.fixture
def sent(tmp_path: Path) -> Iterator[Desk]:
    """Return a desk at which `apply` has something to send, of which one secret ends as a dead letter."""
    written = io.StringIO()
    before = logger.registered_handler.setStream(written)
    world = make_world(tmp_path).having(allowed_regions=REGIONS)
    world.secrets.set_outcome(LONG, "us-west-2", Outcome("Failed", "The KMS key is disabled"))
    for name, to in (
        (LONG, " ".join(REGIONS)),
        ("shop/db", "eu-west-1 us-west-2"),
        ("mail/smtp", "eu-west-1 eu-wst-1"),
        ("no/replicas", "none"),
    ):
        world.add(name, to)
    with at_desk(world) as desk:
        desk.account.log.lines = lambda: written.getvalue().splitlines()
        desk.account.log.clock = world.clock
        yield desk
    logger.registered_handler.setStream(before)


@pytest.mark.parametrize(
    "width", [pytest.param(width, marks=[pytest.mark.slow] if width != USUAL else []) for width in WIDTHS]
)
def test_an_apply_that_sends_looks_as_it_did(sent: Desk, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world, written = sent.world, io.StringIO()
    console = Console(
        file=written, width=width, force_terminal=True, color_system=None, highlight=False, emoji=False
    )
    # Time passes in the world only.
    defaults = (*function_log.follow.__defaults__[:-1], world.clock)  # type: ignore[index]
    monkeypatch.setattr(function_log.follow, "__defaults__", defaults)

    def pause(_seconds: float) -> None:
        world.clock.advance(30)
        world.deliver()

    scope = Scope(
        regions=[HOME], stack=STACK, endpoint_url=sent.account.url, policy=world.app.settings.policy_file
    )
    code = apply.run(ApplyOptions(yes=True), scope, Screen(console, Console(file=io.StringIO())), pause)
    assert code == 2
    file, text = FOLDER / f"apply-sent-{width}.txt", plain(written.getvalue())
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")


def shown(desk: Desk, command: str, width: int, config: Path | None = None) -> str:
    """Return what the command prints on a terminal of this width, without what differs from run to run."""
    folder = desk.world.app.settings.policy_file.parent
    policy = Path(folder.name) / "policy.toml"  # as long everywhere
    name, *arguments = (
        argument.format(
            policy=policy,
            before=policy.with_name("before.toml"),
            page=policy.with_name("report.html"),
            journal=policy.with_name("failover.jsonl"),
        )
        for argument in (COMMANDS | OF_ACCOUNTS)[command]
    )
    env: dict[str, str | None] = {
        "COLUMNS": str(width),
        "TTY_COMPATIBLE": "1",
        "NO_COLOR": "1",
        "TERM": "xterm",
    }
    if config:
        options = ["--profile=shop", "--profile=payments-production", "--profile=legacy"]
        env |= {"AWS_CONFIG_FILE": str(config), "AWS_ENDPOINT_URL": None, "AWS_PROFILE": None}
    else:
        options = ["--endpoint-url", desk.account.url] if name != "validate" else []
    options += ["--region", HOME] if name not in WITHOUT_STACK else []
    options += ["--stack", STACK] if name not in WITHOUT_STACK else []
    options += ["--policy", str(policy)] if name not in WITHOUT_POLICY else []
    with chdir(folder.parent):
        result = CliRunner().invoke(app, [name, *options, *arguments], env=env)
    assert result.exit_code in ({1} if config else {0, 2, 3}), result.output
    return plain(click.unstyle(result.stdout))


def plain(text: str) -> str:
    """Return what was printed without what differs from run to run."""
    text = re.sub(r"(arn:aws:secretsmanager:\S+-)[A-Za-z0-9]{6}\b", r"\1AbCdEf", text)
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", VERSION, text)
    text = re.sub(r"\b[0-9a-f]{8}\b", VERSION[:8], text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "width", [pytest.param(width, marks=[pytest.mark.slow] if width != USUAL else []) for width in WIDTHS]
)
def test_it_looks_as_it_did(desk: Desk, command: str, width: int) -> None:
    file, text = FOLDER / f"{command}-{width}.txt", shown(desk, command, width)
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")


@pytest.mark.parametrize("command", OF_ACCOUNTS)
@pytest.mark.parametrize(
    "width", [pytest.param(width, marks=[pytest.mark.slow] if width != USUAL else []) for width in WIDTHS]
)
def test_of_accounts_it_looks_as_it_did(desk: Desk, accounts: Path, command: str, width: int) -> None:
    file, text = FOLDER / f"{command}-{width}.txt", shown(desk, command, width, accounts)
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")


def a_sweep(screen: Screen) -> None:
    """Show a sweep of which two secrets ended as dead letters, and one never came to an end."""
    account, arn = SweepProgress(), f"arn:aws:secretsmanager:{HOME}:123456789012:secret:"
    page = {
        "message": "page_swept",
        "page": 1,
        "listed": 100,
        "selected": 5,
        "last": True,
        "restarted": False,
    }
    account.note(page, 1)
    for name, outcome, verdict, reason in (
        (
            LONG,
            "failed",
            "dead_letter",
            f"us-west-2 is Failed (The KMS key is disabled); eu-west-1: {NAME_TAKEN}",
        ),
        (
            "mail/smtp",
            "failed",
            "dead_letter",
            "tag replicate-to asks for eu-wst-1, which is not in AllowedRegions",
        ),
        ("shop/db", "converged", "done", ""),
        ("shop/api", "skipped", "done", "held"),
        ("late", "waiting", "retry_later", ""),
    ):
        line = {"message": "secret_reconciled", "outcome": outcome, "verdict": verdict, "reason": reason}
        account.note({**line, "secret": f"{arn}{name}-AbCdEf"}, 1)
    account.note({"message": "drift_found", "secret": "shop/api", "kind": "held"}, 1)
    sweep.show(account, screen)


def what_is_found() -> list[Finding]:
    """Return findings of a stack: good, bad and closed."""
    denied = ClientError(
        {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"Service": "iam"}}, "SimulatePrincipalPolicy"
    )
    return [
        good(f"Enabled in this account: {', '.join(REGIONS)}"),
        bad(
            "No trail logs management events: there is none of this Region. No CreateSecret arrives, only "
            "new values and sweeps",
            "make a trail with management events (write), or let the organisation's cover this account",
        ),
        bad("There is no key alias/secrets in us-west-2", f"aws lambda put-function-recursion-config {LONG}"),
        refused(f"The key alias/{LONG} in us-west-2", denied),
    ]


def examined_of(account: str) -> Examined:
    return Examined([replace(finding, account=account, region=HOME) for finding in what_is_found()])


def a_check(screen: Screen) -> None:
    """Show what doctor finds of one stack."""
    examined = examined_of("")
    doctor.show(Answers([Answer("", examined)], examined), screen)


def a_check_of_accounts(screen: Screen) -> None:
    """Show what doctor finds in three accounts, of which one refuses."""
    names = ("shop", "payments-production")
    found = [Answer(name, examined_of(name)) for name in names]
    total = Examined()
    for answer in found:
        if answer.value:
            total.add(answer.value)
    doctor.show(Answers([*found, Answer("legacy", None, "not allowed")], total), screen)


def a_try(screen: Screen) -> None:
    """Show what smoke says of six Regions that never answer."""
    connection = Connection(boto3.Session(region_name=HOME), None, None, Config())
    trial = smoke.Trial(connection, REGIONS, "replicate-to", "all", screen.show, name=smoke.PREFIX + "0")
    trial.say(f"Create {trial.name} with the tag {trial.tag_key}={trial.tag_value}")
    smoke._give_up(trial)
    smoke._say_what_is_left(trial)


SHOWN = {"sweep": a_sweep, "doctor": a_check, "doctor-accounts": a_check_of_accounts, "smoke": a_try}
"""What commands show that need more of AWS than is served here."""


@pytest.mark.parametrize("command", SHOWN)
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_shown_as_it_was(command: str, width: int) -> None:
    written = io.StringIO()
    console = Console(
        file=written, width=width, force_terminal=True, color_system=None, highlight=False, emoji=False
    )
    SHOWN[command](Screen(console, console))
    file, text = FOLDER / f"{command}-{width}.txt", plain(written.getvalue())
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")


@pytest.mark.parametrize("command", [*COMMANDS, *OF_ACCOUNTS, *SHOWN, "apply-sent"])
@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_broken_in_a_word(command: str, width: int) -> None:
    """A line that is too long has no break that would help; what fits is no wider than the terminal."""
    for line in (FOLDER / f"{command}-{width}.txt").read_text("utf-8").splitlines():
        assert cell_len(line) <= width or len(line.split()) <= MOST_WORDS, line


def test_a_versions_first_letters_may_all_be_letters() -> None:
    assert plain("abcdefab\n") == f"{VERSION[:8]}\n"
