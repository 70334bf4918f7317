"""`replicas explain`: why a secret is, or is not, where it is, and what happens next."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from math import inf
from typing import Any

from replicas.aws.dead_letters import DeadLetter
from replicas.aws.deployment import Deployment, deployments, shown
from replicas.errors import NoStackError, OperatorError
from replicas.exit_codes import OK
from replicas.inventory import explanation as facts
from replicas.inventory.explanation import Place
from replicas.inventory.inventory import Reading, Seen, format_calls, listed, require_all_read, seen_as
from replicas.inventory.secret_status import DeadLetters, alike, dead_letters_of
from replicas.options import ExplainOptions, Scope
from replicas.suggest import suggestion
from replicas.terminal import Column, Moment, Screen, count, counted
from secret_replicator.errors import ReplicatorError, SecretNotFoundError
from secret_replicator.models import Secret

MOST_NAMES = 10_000
"""That are compared with a name that is not there."""

_COLUMNS = (
    Column("Region"),
    Column("Wanted by", short=False, below=True),
    Column("Key, and where it is named", short=False, below=True),
    Column("Status"),
    Column("AWS says, and what else there is to know", short=False, below=True),
)


class Explanation:
    """Everything there is to say about a secret."""

    def __init__(self, seen: Seen, deployment: Deployment, dead_letters: Sequence[DeadLetter]) -> None:
        policy, settings = deployment.policy, deployment.settings
        self.seen, self.deployment, self.dead_letters = seen, deployment, dead_letters
        self.sources, self.places = facts.sources(seen, policy), facts.places(seen)
        self.answers = [*self._answers()]
        self.switches = [*facts.switches(seen, settings, self.places)]
        gave_up = [dead_letter.reason for dead_letter in dead_letters]
        self.next_steps = [*facts.next_steps(seen, settings, self.places, gave_up)]
        if seen.decision.skip == "not_selected":
            self.next_steps.insert(0, facts.how_to_select(policy, settings))

    def _answers(self) -> Iterator[str]:
        seen, policy = self.seen, self.deployment.policy
        yield facts.answer(seen, policy, self.places)
        for dead_letter in self.dead_letters[-1:]:
            settled = facts.is_settled(seen, self.places)
            before = "Its dead letter is from before" if settled else "The function gave up"
            yield f"{before}: {dead_letter.error_type}: {dead_letter.reason}."
        aws_regions = self.deployment.connection.session.get_available_regions("secretsmanager")
        for text in facts.misspelt(policy, self.deployment.settings, seen.secret, aws_regions):
            yield f"{text[0].upper()}{text[1:]}"
        if not seen.decision.desired.selected and (closest := facts.closest_rule(self.sources, policy)):
            yield f"The closest rule is {closest.name}: {closest.text}."


def run(options: ExplainOptions, scope: Scope, screen: Screen) -> int:
    """Explain the secret; return the exit code."""
    deployment, seen = _find(options.secret, scope, screen)
    reading = Reading()
    everything = [] if options.no_dead_letters else dead_letters_of(deployment, reading, screen)
    explanation = Explanation(seen, deployment, DeadLetters(everything).about(seen.secret.arn))
    if options.as_json:
        screen.write_json(_document(explanation))
    else:
        _show(options, explanation, screen)
    require_all_read([reading])
    return OK


def _find(name: str, scope: Scope, screen: Screen) -> tuple[Deployment, Seen]:
    """Return the secret, and the deployment of the first Region that has it; raise OperatorError."""
    checked_in = []
    if name.startswith("arn:") and (region := "".join(name.split(":")[3:4])):
        scope = replace(scope, regions=[region])
    for deployment in _deployments(name, scope):
        screen.say(str(deployment))
        if secret := _describe(name, deployment):
            return deployment, seen_as(deployment, secret)
        checked_in.append(deployment)
    raise OperatorError(_not_there(name, checked_in, screen))


def _deployments(name: str, scope: Scope) -> Iterator[Deployment]:
    """Yield the deployments. Where there is none, an ARN may still be that of a replica."""
    try:
        yield from deployments(scope)
    except OperatorError as error:
        if not isinstance(error.__cause__, NoStackError) or not name.startswith("arn:"):
            raise
        (thought,) = deployments(replace(scope, allowed_regions=(scope.regions or [""])[0]))
        secret = _describe(name, thought)
        if not secret or secret.primary_region in ("", thought.region):
            raise
        yield thought


def _describe(name: str, deployment: Deployment) -> Secret | None:
    with format_calls():
        try:
            return deployment.gateway.describe(name, inf)
        except SecretNotFoundError:
            return None


def _not_there(name: str, checked_in: list[Deployment], screen: Screen) -> str:
    names: set[str] = set()
    for deployment in checked_in:
        # Only a suggestion is lost where they may not be listed.
        with screen.progress(f"Looking for names like {name}") as report, suppress(ReplicatorError):
            secrets = counted(islice(listed(deployment, ()), MOST_NAMES), report)
            names.update(secret.name for secret in secrets)
    regions = ", ".join(deployment.region for deployment in checked_in)
    suggested = suggestion(name, names)
    other = "name another Region with --region, or another --profile"
    return f"There is no secret {name} in {regions}: {f'did you mean {suggested}?' if suggested else other}"


def _show(options: ExplainOptions, explanation: Explanation, screen: Screen) -> None:
    secret, deployment = explanation.seen.secret, explanation.deployment
    screen.show(f"{secret.name} in {deployment.region}", "bold")
    screen.show(secret.arn)
    _section(screen, "Answer", explanation.answers)
    _section(screen, "Tags", [f"{key} = {value}" for key, value in sorted(secret.tags.items())] or ["none"])
    policy = shown(deployment.settings.policy_file)
    _section(screen, f"What selects it (policy {policy})", map(str, explanation.sources))
    if explanation.places:
        _section(screen, "Regions", ())
        screen.table(_COLUMNS, [_line(place) for place in explanation.places])
    about_it = [replace(dead_letter, secret=secret.arn) for dead_letter in explanation.dead_letters]
    none = "none" if deployment.queues else "none: nothing is deployed"
    if deployment.queues and options.no_dead_letters:
        none = "not read"
    _section(screen, "Dead letters", [*_dead_letter_lines(about_it, screen)] or [none])
    _section(screen, "Deployed switches that matter", explanation.switches or ["none"])
    _section(screen, "What happens next", explanation.next_steps)


def _section(screen: Screen, title: str, lines: Iterable[str]) -> None:
    screen.show("")
    screen.show(title, "bold")
    for line in lines:
        screen.show(f"  {line}")


def _line(place: Place) -> tuple[str, ...]:
    said = [f"not allowed: {place.cut}"] if place.cut else []
    said += [text for text in (place.message, *place.drift) if text]
    asked_by = ", ".join(place.asked_by) or "nobody"
    return place.region, asked_by, place.named_key, place.status, "; ".join(said) or "-"


def _dead_letter_lines(dead_letters: Iterable[DeadLetter], screen: Screen) -> Iterator[str]:
    """Yield a line for each reason."""
    for oldest, *more in alike(dead_letters):
        attempts = "" if oldest.attempts is None else f" after {count(oldest.attempts, 'attempt')}"
        since = screen.when(Moment(oldest.since)) + ("" if screen.out.is_terminal else " UTC")
        often = f" ({1 + len(more)} times)" if more else ""
        yield f"{since}{attempts}{often}: {oldest.error_type}: {oldest.reason}"


def _document(explanation: Explanation) -> dict[str, Any]:
    secret, deployment = explanation.seen.secret, explanation.deployment
    return {
        "primary_region": deployment.region,
        "name": secret.name,
        "arn": secret.arn,
        "answer": explanation.answers,
        "tags": dict(secret.tags),
        "policy": shown(deployment.settings.policy_file),
        "sources": [source.entry() for source in explanation.sources],
        "replicas": [place.entry() for place in explanation.places],
        "dead_letters": [dead_letter.entry() for dead_letter in explanation.dead_letters],
        "switches": explanation.switches,
        "next": explanation.next_steps,
    }
