"""How to fix a dead letter: those shown are those that are written, and what the page says fixes them."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from rich.console import Console

from local.secrets_manager.model import Call, Fault
from replicas.aws.dead_letters import NO_REASON, Queues, read_dead_letters
from replicas.commands.redrive import show_dead_letters
from replicas.terminal import Screen
from secret_replicator import errors
from secret_replicator.disposition import error_type
from secret_replicator.errors import ReplicatorError
from secret_replicator.models import Problem
from tests.support.fakes.queues import DeadLetter
from tests.support.world import HOME, World, make_world

PAGES = Path(__file__).parents[2] / "docs"
SECTION = "\n".join(
    (PAGES / page).read_text("utf-8")
    for page in ("how-to/fix-a-dead-letter.md", "reference/dead-letters.md", "reference/drift.md")
)
WIDTH = 130
DENIAL = (
    "User: arn:aws:sts::123456789012:assumed-role/replicator/replicator is not authorized to perform: "
    "secretsmanager:ReplicateSecretToRegions on resource: {arn} "
    "with an explicit deny in a resource-based policy"
)
"""https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"""
EXPIRED_PAGE = '{"sweep": {"id": "nightly", "page": 2, "next_token": "expired", "restarted": true}}'


@dataclass
class Aws:
    """The world, and what a person can change in it with the page's commands."""

    world: World
    denied: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.world.secrets.faults = lambda call, _random: self._denial(call)

    def add(self, name: str, to: str, **fields: object) -> None:
        self.world.secrets.add_secret(HOME, name, tags={"replicate-to": to}, **fields)
        self.world.send(name)

    def tag(self, name: str, to: str) -> None:
        self.world.secrets.secret(HOME, name).tags["replicate-to"] = to

    def call(self, operation: str, region: str, **params: object) -> None:
        self.world.secrets.handle(operation, region, params)

    def _denial(self, call: Call) -> Fault | None:
        if call.operation != "ReplicateSecretToRegions" or call.secret not in self.denied:
            return None
        arn = self.world.secrets.secret(HOME, call.secret).arn
        return Fault("AccessDeniedException", DENIAL.format(arn=arn))


@dataclass(frozen=True)
class Trouble:
    """What leads to a dead letter, the command that fixes it, and what that does, if there is one."""

    kind: str
    begin: Callable[[Aws], None]
    command: str = ""
    mend: Callable[[Aws], object] = lambda _aws: None


def begin_taken(aws: Aws) -> None:
    aws.world.secrets.add_secret("us-west-2", "legal/archive")
    aws.add("legal/archive", "eu-west-1 us-west-2")


def begin_denied(aws: Aws) -> None:
    aws.denied.add("hr/payroll")
    aws.add("hr/payroll", "eu-west-1")


TROUBLES = (
    Trouble(
        "RegionProblem",
        lambda aws: aws.add("mail/smtp", "eu-west-1 eu-wst-1"),
        "aws secretsmanager tag-resource --secret-id mail/smtp --tags Key=replicate-to,Value=eu-west-1",
        lambda aws: aws.tag("mail/smtp", "eu-west-1"),
    ),
    Trouble(
        "AttemptsUsedUp",
        begin_taken,
        "aws secretsmanager delete-secret --region us-west-2 --secret-id legal/archive"
        " --force-delete-without-recovery",
        lambda aws: aws.call(
            "DeleteSecret", "us-west-2", SecretId="legal/archive", ForceDeleteWithoutRecovery=True
        ),
    ),
    Trouble(
        "Refused",
        lambda aws: aws.add("shop/api", "eu-west-1 eu-south-1"),
        "aws account enable-region --region-name eu-south-1",
        lambda aws: aws.world.secrets.regions.add("eu-south-1"),
    ),
    Trouble(
        "AccessDenied",
        begin_denied,
        "aws secretsmanager delete-resource-policy --secret-id hr/payroll",
        lambda aws: aws.denied.clear(),
    ),
    Trouble(
        "Refused",
        lambda aws: aws.add("rds!cluster-7c2620", "eu-west-1", owning_service="rds"),
        "aws secretsmanager untag-resource --secret-id 'rds!cluster-7c2620' --tag-keys replicate-to",
        lambda aws: aws.world.secrets.secret(HOME, "rds!cluster-7c2620").tags.clear(),
    ),
    Trouble("MalformedMessage", lambda aws: aws.world.queues.send("orders/db, please")),
    Trouble("Refused", lambda aws: aws.world.queues.send(EXPIRED_PAGE)),
    Trouble(NO_REASON, lambda aws: crash(aws.world, "search/token")),
)


def crash(world: World, name: str) -> None:
    """Stand for SQS, which moves what was received 25 times: there is no reason then."""
    world.add(name, to="eu-west-1")
    world.queues.dead_letters.append(DeadLetter(f'{{"secret_id": "{name}"}}', {}))


@pytest.fixture
def aws(tmp_path: Path) -> Aws:
    world = make_world(tmp_path)
    return Aws(world.having(allowed_regions=("eu-west-1", "us-west-2", "eu-south-1")))


def shown(world: World) -> str:
    """Return what `replicas redrive --dry-run` shows of the dead letters on a terminal."""
    written = io.StringIO()
    console = Console(file=written, width=WIDTH, force_terminal=True, color_system=None, highlight=False)
    with mock_aws():
        sqs = boto3.client("sqs", region_name=HOME)
        urls = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("replication", "dead-letters")]
        for dead_letter in world.queues.dead_letters:
            said = {
                name: {"DataType": "String", "StringValue": it} for name, it in dead_letter.attributes.items()
            }
            sqs.send_message(QueueUrl=urls[1], MessageBody=dead_letter.body, MessageAttributes=said)
        dead_letters = read_dead_letters(Queues(sqs, urls[0], urls[1], wait_seconds=0), lambda _done: None)
    show_dead_letters(Screen(out=console), dead_letters)
    return written.getvalue()


def without_times(text: str) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\d", "yyyy-mm-dd", text)
    return "\n".join(line.rstrip() for line in re.sub(r"\b\d\d:\d\d\b", "hh:mm", text).strip().splitlines())


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_the_dead_letters_that_the_readme_shows_are_those_that_are_written(aws: Aws) -> None:
    for trouble in TROUBLES:
        trouble.begin(aws)
        aws.world.deliver_until_empty()
        aws.world.clock.advance(60)
    text = shown(aws.world)
    block = SECTION.partition("$ replicas redrive --dry-run\n")[2].partition("```")[0]
    assert without_times(block) == without_times(text), text


def test_the_readme_explains_every_kind_and_has_every_command() -> None:
    for trouble in TROUBLES:
        assert f"\n## {trouble.kind}\n" in SECTION
        assert trouble.command in SECTION


NEVER_THE_LAST = (
    ReplicatorError,
    errors.TransientError,
    errors.SecretNotFoundError,
    errors.KeyRefusedError,
    errors.DeadlineExceededError,
    errors.PermanentError,
)
"""What is tried again until the attempts are used up, or has a more exact kind."""


def kinds_in_the_code() -> set[str]:
    """Return every `ErrorType` that the function writes, and what a dead letter without one is shown as."""
    classes = [it for it in vars(errors).values() if isinstance(it, type) and issubclass(it, Exception)]
    named = {error_type(it.__new__(it)) for it in classes if it not in NEVER_THE_LAST}
    return named | {Problem("", "", "").error_type, "AttemptsUsedUp", NO_REASON}


def test_every_kind_that_the_code_writes_has_a_heading_of_its_own() -> None:
    page = (PAGES / "how-to/fix-a-dead-letter.md").read_text("utf-8")
    others = {"An error code of EventBridge", "Delete a dead letter", "Redrive"}
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) - others == kinds_in_the_code()


def dead_letters_of(aws: Aws, trouble: Trouble) -> list[str]:
    trouble.begin(aws)
    aws.world.deliver_until_empty()
    return [
        dead_letter.attributes.get("ErrorType", NO_REASON) for dead_letter in aws.world.queues.dead_letters
    ]


@pytest.mark.parametrize("trouble", [pytest.param(each, id=each.kind) for each in TROUBLES if each.command])
def test_the_command_fixes_it_and_nothing_else_would(aws: Aws, trouble: Trouble) -> None:
    assert dead_letters_of(aws, trouble) == [trouble.kind]
    aws.world.queues.redrive()
    aws.world.deliver_until_empty()
    assert len(aws.world.queues.dead_letters) == 1, "it was redriven unmended, and did not come back"
    trouble.mend(aws)
    aws.world.queues.redrive()
    aws.world.deliver_until_empty()
    assert not aws.world.queues.dead_letters, "the page's command does not fix it"


@pytest.mark.parametrize("number", [5, 6], ids=["a malformed message", "a sweep's page"])
def test_what_cannot_be_fixed_comes_back_and_so_is_to_be_deleted(aws: Aws, number: int) -> None:
    trouble = TROUBLES[number]
    assert dead_letters_of(aws, trouble) == [trouble.kind]
    aws.world.queues.redrive()
    aws.world.deliver_until_empty()
    assert len(aws.world.queues.dead_letters) == 1


def test_what_has_no_reason_needs_only_to_be_redriven(aws: Aws) -> None:
    assert dead_letters_of(aws, TROUBLES[7]) == [NO_REASON]
    aws.world.queues.redrive()
    aws.world.deliver_until_empty()
    assert not aws.world.queues.dead_letters
    assert aws.world.status("search/token") == {"eu-west-1": "InSync"}
