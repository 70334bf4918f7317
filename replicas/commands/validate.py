"""`replicas validate` and `replicas explain --tags`: what a policy says, without AWS."""

from collections.abc import Mapping

from replicas.aws.deployment import load_policy, policy_file, shown
from replicas.errors import OperatorError
from replicas.exit_codes import FAILED, OK
from replicas.inventory import explanation as facts
from replicas.inventory.explanation import Place
from replicas.inventory.inventory import Seen
from replicas.options import ExplainOptions, Scope, ValidateOptions
from replicas.regions import known_regions, unknown_in
from replicas.terminal import Column, Screen
from secret_replicator.errors import PolicyError
from secret_replicator.models import Secret
from secret_replicator.planner import decision
from secret_replicator.policy import Policy, parse_policy
from secret_replicator.settings import read_settings

_COLUMNS = (
    Column("Region"),
    Column("Replica"),
    Column("Wanted by", short=False, below=True),
    Column("Key, and where it is named", short=False, below=True),
)


def run(options: ValidateOptions, screen: Screen) -> int:
    """Say everything that is wrong with a policy; return the exit code."""
    try:
        content = options.file.read_bytes()
    except OSError as error:
        raise OperatorError(f"{options.file} cannot be read ({error}): name a policy") from error
    errors, warnings = list[str](), list[str]()
    try:
        warnings = [*unknown_in(parse_policy(content, shown(options.file)))]
    except PolicyError as error:
        errors = [f"{shown(options.file)}: {problem}" for problem in error.reasons]
    if options.as_json:
        screen.write_json({"valid": not errors, "errors": errors, "warnings": warnings})
    else:
        for line in errors or [f"{shown(options.file)} is valid"]:
            screen.show(line, "bold red" if errors else "")
        for line in warnings:
            screen.show(f"Warning: {line}", "yellow")
    return FAILED if errors else OK


def foretell(options: ExplainOptions, scope: Scope, screen: Screen) -> int:
    """Say what would happen to a secret with these tags; return the exit code."""
    file = policy_file(scope.policy, local=scope.local)
    policy, tags = load_policy(file), tags_of(options.tags or "")
    seen, problems = _decided(tags, policy, scope)
    answer, sources, places = _answer(seen, policy), facts.sources(seen, policy), facts.places(seen)
    if options.as_json:
        document = {
            "tags": tags,
            "policy": shown(file),
            "answer": [answer],
            "problems": problems,
            "sources": [source.entry() for source in sources],
            "replicas": [{**place.entry(), "status": None} for place in places],
        }
        screen.write_json(document)
    else:
        sentences = [
            f"{text[0].upper()}{text[1:]}" + ("" if text.endswith("?") else ".") for text in problems
        ]
        selects = f"What selects it (policy {shown(file)}, AllowedRegions={scope.allowed_regions})"
        for line in (answer, *sentences, "", selects, *(f"  {source}" for source in sources)):
            screen.show(line)
        if places:
            screen.table(_COLUMNS, [_row(place) for place in places])
    return FAILED if problems else OK


def tags_of(text: str) -> dict[str, str]:
    """Return the tags of `key=value key=value`; a word without `=` belongs to the value before it."""
    tags: dict[str, str] = {}
    key = ""
    for word in text.split():
        before, equals, value = word.partition("=")
        if equals and before:
            key, tags[before] = before, value
        elif key and not equals:
            tags[key] = f"{tags[key]} {word}".strip()
        else:
            raise OperatorError(f"--tags must be key=value, several separated by spaces; {word!r} is not")
    return tags


def _decided(tags: Mapping[str, str], policy: Policy, scope: Scope) -> tuple[Seen, list[str]]:
    """Return what the function would do, decided with its own code, and what is wrong with the tags."""
    home = scope.regions[0] if scope.regions else "the home Region"
    nothing = {"QUEUE_URL": "not deployed", "DEAD_LETTER_QUEUE_URL": "not deployed"}
    settings = read_settings({"AWS_REGION": home, "ALLOWED_REGIONS": scope.allowed_regions or "", **nothing})
    secret = Secret(arn="", name="a secret with these tags", tags=tags)
    found = decision(secret, policy, settings, 0)
    problems = [f"{problem.text} - {problem.remedy}" for problem in found.problems]
    problems += facts.misspelt(policy, settings, secret, known_regions())
    return Seen(home, secret, found), problems


def _answer(seen: Seen, policy: Policy) -> str:
    if not seen.decision.desired.selected:
        return f"It would not be replicated: it has neither the tag {policy.tag_key} nor all tags of a rule."
    regions = ", ".join(want.region for want in seen.decision.desired.replicas)
    return f"It would be replicated to {regions}." if regions else "It would be replicated nowhere."


def _row(place: Place) -> tuple[str, ...]:
    replica = "yes" if place.wanted else f"no: {place.cut}"
    return place.region, replica, ", ".join(place.asked_by), place.named_key
