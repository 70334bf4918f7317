"""What became of every secret and every message, and whether it is right. It knows nothing of the product.

Three counts must be zero:

- lost: a message that is neither in a queue nor justified, and of which the function said nothing; one that
  never leaves the queue; a secret that could have all it wants, has not, and has no dead letter that says so.
- falsely converged: a message of which the function said `converged` or `skipped` when it was not so.
- falsely dead-lettered: a dead letter about a secret that can have all it wants, or is to be left alone; or
  one that names another reason, or other Regions, than those that were scripted for the secret.

No secret may be written to that is to be left alone.

A dead letter is also right if it was written after all attempts, and the last of them met a fault that was
drawn: then AWS's answer could not be known.

What tells of a Region that failed may be left to another message, that ended rightly at a moment which is
later than the failure, or to a dead letter about the secret that is later.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from local.secrets_manager.model import Call
from local.secrets_manager.service import METERED
from tests.support.model.oracle import Snapshot
from tools.chaos.aws import BY_A_FAULT, Moment
from tools.chaos.cases import Case, Fate, Message

REASON = {
    Fate.FAILED_FOR_GOOD: ("AttemptsUsedUp", "no hope in {region}"),
    Fate.TAKEN: ("AttemptsUsedUp", "Secret with this name already exists in this region"),
    Fate.REFUSED: ("Refused", "{region}: AWS refuses ReplicateSecretToRegions"),
    Fate.DENIED: ("AccessDenied", "{region}: AWS denies secretsmanager:ReplicateSecretToRegions on {arn}"),
}
"""What the dead letter must say of a Region that cannot be had."""
WORDS_OF_FAULTS = (*BY_A_FAULT, "got no answer")
FOLLOWED = "followed_by_another_message"
ATTEMPT_SECONDS = 30
"""No attempt at a message takes longer."""


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter, and when it was written."""

    body: str
    reasons: Mapping[str, str]
    at: float


@dataclass(frozen=True)
class Said:
    """What the function said of a message at the end of an attempt, and when."""

    outcome: str
    verdict: str
    reason: str = ""
    at: float = 0


@dataclass(frozen=True)
class Observed:
    """All that can be seen from outside, when nothing is left to do."""

    cases: Mapping[str, Case]
    messages: Mapping[str, Message]
    """By the id that SQS gave it."""
    dead_letters: Sequence[DeadLetter]
    left: int
    """Messages that are still in the ReplicationQueue."""
    said: Mapping[str, Sequence[Said]]
    moments: Mapping[str, Sequence[Moment]]
    final: Mapping[str, Snapshot | None]
    calls: Sequence[Call]

    def name_of_body(self, body: str) -> str | None:
        """Return the secret that a body tells of, empty for none. A body that nobody sent gives None."""
        return next((message.name for message in self.messages.values() if message.body == body), None)

    def of(self, world: str) -> "Observed":
        """Return what concerns one world; the empty one has the messages that name no secret."""
        messages = {key: message for key, message in self.messages.items() if message.world == world}
        worlds = {message.body: message.world for message in self.messages.values()}
        dead_letters = [
            dead_letter for dead_letter in self.dead_letters if worlds.get(dead_letter.body, "") == world
        ]
        cases = {name: case for name, case in self.cases.items() if name.startswith(f"{world}/")}
        return replace(self, cases=cases, messages=messages, dead_letters=dead_letters)


@dataclass
class Summary:
    """Every secret and every message, under what became of it; and a sentence for each that is wrong."""

    secrets: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    falsely_converged: list[str] = field(default_factory=list)
    falsely_dead_lettered: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> Mapping[str, Sequence[str]]:
        """Return what must be empty, by the name it is shown under."""
        return {
            "lost": self.lost,
            "falsely converged": self.falsely_converged,
            "falsely dead-lettered": self.falsely_dead_lettered,
            "touched, though to be left alone": self.touched,
        }


def summarize(observed: Observed, max_attempts: int) -> Summary:
    """Account for everything."""
    result = Summary()
    _account_for_secrets(result, observed, max_attempts)
    _account_for_dead_letters(result, observed, max_attempts)
    _account_for_messages(result, observed)
    if observed.left:
        result.lost.append(f"{observed.left} messages never left the queue")
    return result


# Secrets


def _account_for_secrets(result: Summary, observed: Observed, max_attempts: int) -> None:
    """In the end each has what it can have. One bad Region has stopped no other."""
    struck = {
        dead_letter.body
        for dead_letter in observed.dead_letters
        if _struck(dead_letter, observed, max_attempts)
    }
    for name, case in observed.cases.items():
        snapshot = observed.final[name]
        result.secrets[end_of(case, snapshot)] += 1
        missing = sorted(_to_be_had(case, snapshot) - _in_sync(snapshot))
        reported = [
            message.body
            for message in observed.messages.values()
            if message.name == name and message.failed_at is None
        ]
        if missing and not struck.issuperset(reported):
            result.lost.append(f"{name} ({case.story}) is not InSync in {', '.join(missing)}: {snapshot}")
        if not (snapshot and snapshot.ours):
            result.touched += [
                f"{name} ({case.story}): {call}"
                for call in observed.calls
                if call.secret == name and call.operation in METERED
            ]


def end_of(case: Case, snapshot: Snapshot | None) -> str:
    """Return how a secret must end."""
    if snapshot is None or not snapshot.ours:
        return "skipped"
    return "dead-lettered" if _not_to_be_had(case, snapshot) else "converged"


def _to_be_had(case: Case, snapshot: Snapshot | None) -> set[str]:
    return set(snapshot.wish.regions) - _hopeless(case).keys() if snapshot and snapshot.ours else set()


def _in_sync(snapshot: Snapshot | None) -> set[str]:
    statuses = snapshot.statuses if snapshot else {}
    return {region for region, status in statuses.items() if status == "InSync"}


def _hopeless(case: Case) -> Mapping[str, Fate]:
    return {region: fate for region, fate in case.fates.items() if fate in REASON}


def _not_to_be_had(case: Case, snapshot: Snapshot) -> set[str]:
    """Return the Regions, or words of the tag, that nothing can bring."""
    return {*_hopeless(case), *snapshot.wish.wrong}


# Dead letters


def _account_for_dead_letters(result: Summary, observed: Observed, max_attempts: int) -> None:
    for dead_letter in observed.dead_letters:
        kind = dead_letter.reasons.get("ErrorType", "none")
        name = observed.name_of_body(dead_letter.body)
        wrong = _what_is_wrong(dead_letter, name, observed)
        if wrong and _struck(dead_letter, observed, max_attempts):
            kind, wrong = f"{kind}, by faults alone", ""
        result.dead_letters[kind] += 1
        if wrong:
            result.falsely_dead_lettered.append(
                f"{name}: {wrong}: {dead_letter.body} {dict(dead_letter.reasons)}"
            )


def _struck(dead_letter: DeadLetter, observed: Observed, max_attempts: int) -> bool:
    """Tell whether faults that were drawn used up the attempts: AWS did not answer the last attempt."""
    reasons = dead_letter.reasons
    name = observed.name_of_body(dead_letter.body)
    return (
        reasons.get("ErrorType") == "AttemptsUsedUp"
        and int(reasons.get("Attempts", 0)) >= max_attempts
        and any(words in reasons.get("ErrorMessage", "") for words in WORDS_OF_FAULTS)
        and any(
            call.secret == name
            and call.error in BY_A_FAULT
            and 0 <= dead_letter.at - call.time <= ATTEMPT_SECONDS
            for call in observed.calls
        )
    )


def _what_is_wrong(dead_letter: DeadLetter, name: str | None, observed: Observed) -> str:
    reasons = dead_letter.reasons
    if name is None:
        return "nobody sent such a message"
    if not name:
        fine = (reasons.get("ErrorType"), reasons.get("SecretArn")) == ("MalformedMessage", "unknown")
        return "" if fine else "it names no secret"
    case, snapshot = observed.cases[name], observed.final[name]
    if snapshot is None or end_of(case, snapshot) != "dead-lettered":
        return f"must be {end_of(case, snapshot)}"
    asked_again = {
        region
        for moment in observed.moments.get(name, ())
        for region, status in moment.snapshot.statuses.items()
        if status == "InProgress" and 0 <= dead_letter.at - moment.at <= ATTEMPT_SECONDS
    }
    return "; ".join(_wrong_reasons(reasons, case, snapshot, asked_again))


def _wrong_reasons(
    reasons: Mapping[str, str], case: Case, snapshot: Snapshot, asked_again: Collection[str]
) -> Iterator[str]:
    """Yield what the dead letter should say, and does not.

    A Region that was asked for again by another message was InProgress at that moment: then it may say that.
    """
    text = reasons.get("ErrorMessage", "")
    hopeless = _hopeless(case)
    kinds = {REASON[fate][0] for fate in hopeless.values()} or {"RegionProblem"}
    if reasons.get("ErrorType") not in kinds:
        yield f"ErrorType is not {' or '.join(kinds)}"
    if reasons.get("SecretArn") != snapshot.arn:
        yield f"SecretArn is not {snapshot.arn}"
    regions = ",".join(sorted(_not_to_be_had(case, snapshot)))
    if reasons.get("FailedRegions") != regions:
        yield f"FailedRegions are not {regions}"
    words = {
        REASON[fate][1].format(region=region, arn=snapshot.arn)
        for region, fate in hopeless.items()
        if not (region in asked_again and f"{region} is InProgress" in text)
    }
    for word in sorted(words | snapshot.wish.wrong if snapshot.ours else {"it belongs to rds"}):
        if word not in text:
            yield f"ErrorMessage does not say {word}"


# Messages


def _account_for_messages(result: Summary, observed: Observed) -> None:
    dead_letters = Counter(dead_letter.body for dead_letter in observed.dead_letters)
    sent = Counter(message.body for message in observed.messages.values())
    twice = sum(dead_letters[body] - count for body, count in sent.items() if dead_letters[body] > count)
    result.messages["dead-lettered once more: killed before the deletion"] += twice
    for message_id, message in observed.messages.items():
        if dead_letters[message.body]:
            dead_letters[message.body] -= 1
            result.messages["dead-lettered"] += 1
            continue
        last = _last(observed.said.get(message_id, ()))
        if _was_left_to_another(message, last, observed):
            result.messages["deleted: left to another message"] += 1
        elif _was_right(message, last, observed):
            result.messages[f"deleted: {last.outcome}" if last else "deleted"] += 1
        elif last and last.verdict == "done":
            result.messages["deleted"] += 1
            result.falsely_converged.append(_wrongly_gone(message, last, observed))
        elif not observed.left:
            result.messages["deleted"] += 1
            result.lost.append(_wrongly_gone(message, last, observed))


def _last(said: Sequence[Said]) -> Said | None:
    """Return what the function said last. A message that comes twice has two ends; `delete` is the last."""
    ends = [line for line in said if line.verdict == "done"]
    return (ends or [*said] or [None])[-1]


def _was_right(message: Message, last: Said | None, observed: Observed, after: float = 0) -> bool:
    """Tell whether its secret was as wanted, or rightly skipped, when the message left the queue.

    As wanted it must have been at a moment `after` some other.
    """
    if not message.name or last is None or last.verdict != "done":
        return False
    case, snapshot = observed.cases[message.name], observed.final[message.name]
    if end_of(case, snapshot) == "skipped":
        return last.outcome == "skipped" and last.reason != FOLLOWED
    return last.outcome == "converged" and any(
        after < moment.at
        and 0 <= last.at - moment.at <= ATTEMPT_SECONDS
        and moment.snapshot.converged(prune=False)
        for moment in observed.moments.get(message.name, ())
    )


def _was_left_to_another(message: Message, last: Said | None, observed: Observed) -> bool:
    """Return whether its event was seen by a message that may call, or is in a dead letter."""
    if message.failed_at is None or last is None or (last.verdict, last.reason) != ("done", FOLLOWED):
        return False
    others = {
        message_id: other
        for message_id, other in observed.messages.items()
        if other.name == message.name and other.failed_at is None
    }
    ends = [(other, _last(observed.said.get(message_id, ()))) for message_id, other in others.items()]
    dead_letters = (
        dead_letter
        for dead_letter in observed.dead_letters
        if observed.name_of_body(dead_letter.body) == message.name
    )
    return any(dead_letter.at > message.failed_at for dead_letter in dead_letters) or any(
        _was_right(other, end, observed, message.failed_at) for other, end in ends
    )


def _wrongly_gone(message: Message, last: Said | None, observed: Observed) -> str:
    return f"{message.body} is gone; {last}; {observed.final.get(message.name)}"


# Writes


def most_in_a_second(times: Iterable[float]) -> int:
    """Return the most writes that any second saw."""
    ordered = sorted(times)
    most, first = 0, 0
    for last, time in enumerate(ordered):
        while time - ordered[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most
