"""`replicas apply`: send the planned secrets to the queue, and follow them until each is done."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from math import inf
from typing import TYPE_CHECKING

from replicas.aws.connection import errors_in_words
from replicas.aws.dead_letters import Letter, Queues, names_of, read_letters
from replicas.aws.deployment import Deployment, Where, deployments
from replicas.commands import plan
from replicas.commands.plan import Planned, Totals
from replicas.errors import OperatorError
from replicas.exit_codes import CHANGES, OK, exit_code
from replicas.inventory.inventory import WORKERS, calls_in_words, patiently, seen_as
from replicas.inventory.secret_status import Letters
from replicas.terminal import Screen, count
from secret_replicator.errors import SecretNotFoundError, TransientError
from secret_replicator.work_queue import WorkQueue

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import QueueAttributeNameType

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 15.0
"""Between two looks. The function itself looks again after 10 seconds and more."""

LOOKS_AT_EMPTY_QUEUE = 3
"""SQS counts approximately: one look at an empty queue says little."""

_WAITING: "tuple[QueueAttributeNameType, ...]" = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
)

_DOES = frozenset({"add", "retry", "remove"})


@dataclass(frozen=True)
class Asked:
    """What the command line asks of an apply."""

    plan: plan.Asked
    yes: bool = False


@dataclass
class Account:
    """What became of the secrets that were sent."""

    sent: int = 0
    converged: int = 0
    gone: int = 0
    given_up: list[str] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)

    @property
    def done(self) -> int:
        """The secrets that nothing more will happen to."""
        return self.converged + self.gone + len(self.given_up) + len(self.letters)

    def __str__(self) -> str:
        """Say it in one line."""
        gone = f"{self.gone:,} deleted meanwhile, " if self.gone else ""
        gone += f"{len(self.given_up):,} drifted, " if self.given_up else ""
        return (
            f"Applied: {count(self.sent, 'secret')} sent, {self.converged:,} converged, {gone}"
            f"{self.sent - self.done:,} waiting, {count(len(self.letters), 'dead letter')}"
        )


@dataclass
class Following:
    """The secrets of one Region that are not yet done with, and the letters that were there before."""

    deployment: Deployment
    queues: Queues
    arns: set[str]
    known_letters: set[str]
    looks_at_empty_queue: int = 0


def run(asked: Asked, where: Where, screen: Screen, sleep: Callable[[float], None] = time.sleep) -> int:
    """Send and follow the planned secrets; return the exit code."""
    stopped = "Stopped. What was sent stays in the queue, and the function works on it: see replicas status."
    return exit_code(lambda: _run(asked, where, screen, sleep), screen, stopped)


def _run(asked: Asked, where: Where, screen: Screen, sleep: Callable[[float], None]) -> int:
    totals, regions = Totals(), []
    for deployment in deployments(where):
        screen.say(str(deployment))
        _require_function(deployment)
        regions.append(plan.make(deployment, asked.plan, totals, screen))
    if not asked.plan.as_json:
        plan.show(regions, totals, screen)
    account = Account()
    if totals.changing and (
        asked.yes or screen.ask(f"Send {count(totals.changing, 'secret')} to the ReplicationQueue?")
    ):
        following = [_send(region, account, screen) for region in regions]
        _follow(following, account, screen, sleep)
    _report(asked, account, screen)
    plan.require_all_read(regions)
    return CHANGES if account.letters or account.given_up else OK


def _require_function(deployment: Deployment) -> None:
    if deployment.settings.mode == "plan":
        raise OperatorError(
            f"{deployment.region} is deployed with Mode=plan: its function writes nothing. "
            "Deploy Mode=apply first"
        )


def _send(region: plan.Region, account: Account, screen: Screen) -> Following:
    """Enqueue the secrets that something would be done about; return what is to be followed."""
    deployment, queues = region.deployment, region.deployment.queues
    assert queues is not None, "without a stack there is no apply"  # noqa: S101
    arns = [secret.arn for secret in region.planned if _is_to_do(secret)]
    with errors_in_words("sqs"):
        known = {letter.message_id for letter in read_letters(queues, lambda _: None)}
    queue = WorkQueue(queues.client, queues.queue_url, queues.dead_letter_queue_url)
    with errors_in_words("sqs"), screen.progress("Sending", len(arns)) as report:
        for start in range(0, len(arns), 10):
            try:
                queue.enqueue([json.dumps({"secret_id": arn}) for arn in arns[start : start + 10]])
            except TransientError as error:
                raise OperatorError(
                    f"Sent {start} of {count(len(arns), 'secret')}: {error.problem}. Run it again: what "
                    "comes twice does no harm"
                ) from error
            report(start + 10)
    account.sent += len(arns)
    return Following(deployment, queues, set(arns), known)


def _is_to_do(secret: Planned) -> bool:
    return any(step.what in _DOES for step in secret.steps)


def _follow(
    following: Sequence[Following], account: Account, screen: Screen, sleep: Callable[[float], None]
) -> None:
    """Look again and again until every secret is InSync or has a letter, as each does in the end."""
    pause = FIRST_PAUSE_SECONDS
    with screen.progress("Following", account.sent, lambda: f" ({account.converged:,} InSync)") as report:
        while any(one.arns for one in following):
            sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, pause * 1.5)
            for one in following:
                _look(one, account)
            report(account.done)


def _look(one: Following, account: Account) -> None:
    converged, gone = _settled(one.deployment, one.arns)
    account.converged += len(converged)
    account.gone += len(gone)
    one.arns -= converged | gone
    if one.arns:
        with errors_in_words("sqs"):
            letters = read_letters(one.queues, lambda _: None)
        new = Letters.of(letter for letter in letters if letter.message_id not in one.known_letters)
        for arn in sorted(one.arns):
            if about := new.about(arn):
                account.letters.append(about[-1])
                one.arns.discard(arn)
    one.looks_at_empty_queue = one.looks_at_empty_queue + 1 if _is_empty(one.queues) else 0
    if one.looks_at_empty_queue == LOOKS_AT_EMPTY_QUEUE:
        # Drift that nobody's tag asked for has no letter: the function has said it in its log, and left it.
        account.given_up += sorted(one.arns)
        one.arns.clear()


def _is_empty(queues: Queues) -> bool:
    with errors_in_words("sqs"):
        answer = queues.client.get_queue_attributes(QueueUrl=queues.queue_url, AttributeNames=[*_WAITING])
    return not any(int(answer["Attributes"][name]) for name in _WAITING)


def _settled(deployment: Deployment, arns: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the secrets that nothing is left to do about, and those that are no longer there."""
    with calls_in_words(), ThreadPoolExecutor(WORKERS) as pool:
        states = dict(zip(arns, pool.map(lambda arn: _state(deployment, arn), arns), strict=True))
    return (
        {arn for arn, state in states.items() if state == "converged"},
        {arn for arn, state in states.items() if state == "gone"},
    )


def _state(deployment: Deployment, arn: str) -> str:
    try:
        secret = patiently(deployment, lambda: deployment.gateway.describe(arn, inf))
    except SecretNotFoundError:
        return "gone"
    what = seen_as(deployment, secret).intent
    if what.skip:
        return "gone"
    # One with a problem ends with a letter, which says what it is.
    return "waiting" if what.plan.open_regions or what.problems else "converged"


def _report(asked: Asked, account: Account, screen: Screen) -> None:
    if asked.plan.as_json:
        letters = [asdict(letter) | {"since": letter.since.isoformat()} for letter in account.letters]
        facts = {
            "sent": account.sent,
            "converged": account.converged,
            "drifted": account.given_up,
            "dead_letters": letters,
        }
        screen.write(json.dumps(facts, indent=2) + "\n")
        return
    for arn in account.given_up:
        screen.show(f"{names_of(arn)[-1]}: drifted; replicas explain says how")
    for letter in account.letters:
        screen.show(f"{letter.name}: {letter.error_type}: {letter.reason}")
    screen.show(str(account) if account.sent else "Nothing was sent.", "bold")
