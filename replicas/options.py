"""Every option that several commands have, and those of each command as a dataclass: see `cli.command`."""

import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import typer

from replicas.regions import unknown
from secret_replicator.models import Secret

_URL = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?")
_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
_EMPTY = "it is empty: a variable that is not set?"
_USUAL = "that of the profile or environment"

Given = str | list[str] | None

TYPER = "typer"
"""The key of what Typer needs to know of a field, in the field's metadata."""


def option(metavar: str, text: str, *names: str, default: Any = None, **more: Any) -> Any:  # noqa: ANN401
    """Declare a field that an option with a value sets: `more` is for Typer."""
    return field(default=default, metadata={TYPER: typer.Option(*names, metavar=metavar, help=text, **more)})


def several(metavar: str, text: str, *names: str, **more: Any) -> Any:  # noqa: ANN401
    """Declare a field that an option sets that can be repeated."""
    declared = typer.Option(*names, metavar=metavar, help=text, **more)
    return field(default_factory=list, metadata={TYPER: declared})


def argument(metavar: str, text: str, *, default: Any, **more: Any) -> Any:  # noqa: ANN401
    """Declare a field that an argument sets."""
    return field(default=default, metadata={TYPER: typer.Argument(metavar=metavar, help=text, **more)})


flag = partial(option, "", default=False)


def is_region(value: object) -> bool:
    """Tell whether it can be the code of a Region."""
    return isinstance(value, str) and _REGION.fullmatch(value) is not None


def _each(problem_of: Callable[[str], str]) -> Callable[[Given], Given]:
    """Return a callback that raises BadParameter for the first text with a problem."""

    def checked(given: Given) -> Given:
        for text in [given] if isinstance(given, str) else given or ():
            if problem := problem_of(text):
                raise typer.BadParameter(problem)
        return given

    return checked


@_each
def _region(text: str) -> str:
    if is_region(text):
        return ""
    return f"{text!r} is not a Region code such as eu-west-1" if text.strip() else _EMPTY


@_each
def _not_empty(text: str) -> str:
    return "" if text.strip() else _EMPTY


def _known_regions(given: Given) -> Given:
    """Raise BadParameter for all that are no Regions of AWS, with what may be meant."""
    named = [text.strip() for text in given.split(",")] if isinstance(given, str) else given
    if _not_empty(given) and (wrong := [*unknown(named or ())]):
        raise typer.BadParameter("; ".join(wrong))
    return given


@_each
def _url(text: str) -> str:
    return "" if _URL.fullmatch(text) else "it must look like https://127.0.0.1:4566"


stack_option = partial(
    option,
    "NAME",
    "Name of the deployed stack.",
    callback=_not_empty,
    show_default="stack_name in samconfig.toml",
)
profile_option = partial(
    option, "NAME", "Profile of your AWS configuration: which account.", callback=_not_empty
)
endpoint_option = partial(
    option, "URL", "AWS endpoint URL, for example https://127.0.0.1:4566.", callback=_url
)
local_flag = partial(flag, "Use the running `make local`, and its policy.", "--local")
policy_option = partial(
    option,
    "FILE",
    "Decide by this policy, deployed or not.",
    show_default="functions/policy.toml of this checkout, else the deployed one; local/policy.toml "
    "on the local AWS",
)
journal_option = partial(
    option,
    "FILE",
    "Where every step is written to before it is done.",
    show_default="failover-REGION.jsonl here",
)
writes_option = partial(
    option, "NUMBER", "AWS takes 50, shared with all that rotates.", min=1, max=50, default=20
)
json_flag = partial(flag, "Write JSON, for programs.", "--json")
no_dead_letters_flag = partial(
    flag, "Leave the DeadLetterQueue alone: needs no SQS permissions.", "--no-dead-letters"
)
yes_flag = partial(flag, "Do it without asking. For scripts.", "--yes", "-y")


@dataclass(frozen=True)
class Role:
    """A role that is assumed in another account."""

    arn: str
    external_id: str = ""


@dataclass(frozen=True)
class Access:
    """How to reach AWS, as in the AWS CLI. None is what the environment and the profile say."""

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    local: bool = False
    role: Role | None = None

    def __post_init__(self) -> None:
        """Raise BadParameter for two answers to one question."""
        if self.endpoint_url and self.local:
            raise typer.BadParameter("--local already says where AWS is", param_hint="--endpoint-url")


@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """The options of a command that needs no stack."""

    profile: str | None = profile_option()
    local: bool = local_flag()
    endpoint_url: str | None = endpoint_option()

    def access(self, region: str) -> Access:
        """Return how to reach a Region."""
        return Access(region, self.profile, self.endpoint_url, self.local)


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """The options of a command that is about one stack."""

    stack: str | None = stack_option()
    region: str | None = option("REGION", "Region of the stack.", callback=_region, show_default=_USUAL)
    profile: str | None = profile_option()
    local: bool = local_flag()
    endpoint_url: str | None = endpoint_option()

    @property
    def access(self) -> Access:
        """How to reach the stack's Region."""
        return Access(self.region, self.profile, self.endpoint_url, self.local)

    @property
    def scope(self) -> "Scope":
        """The same as a scope."""
        regions, profiles = ([value] if value else [] for value in (self.region, self.profile))
        there = Scope(stack=self.stack, regions=regions, profiles=profiles)
        return replace(there, local=self.local, endpoint_url=self.endpoint_url)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which accounts, Regions and stacks a command is about, and by which policy it decides."""

    policy: Path | None = policy_option()
    allowed_regions: str | None = option(
        "REGIONS",
        "Before anything is deployed: decide as if AllowedRegions were these, separated by commas. "
        "No stack is read, and all other switches have their defaults.",
        callback=_known_regions,
        show_default=False,
    )
    stack: str | None = stack_option()
    regions: list[str] = several(
        "REGION",
        "Region of the stack and the primaries. Repeat it for several Regions.",
        "--region",
        callback=_region,
        show_default=_USUAL,
    )
    profiles: list[str] = several(
        "NAME",
        "Profile of your AWS configuration: which account. Some commands answer for several: repeat it.",
        "--profile",
        callback=_not_empty,
    )
    local: bool = local_flag()
    endpoint_url: str | None = endpoint_option()
    accounts: Path | None = option(
        "FILE", "Answer for all accounts that this TOML file lists.", show_default=False
    )
    role: Role | None = None
    account: str = ""
    """What one of several accounts is called."""
    read_as: dict[str, str] = field(default_factory=dict, compare=False)
    """What each account is called whose secrets were read. All accounts of a command share it."""

    @property
    def profile(self) -> str | None:
        """The one profile; raise BadParameter if there are several."""
        if self.profiles and len(self.profiles) > 1:
            raise typer.BadParameter("this command is about one account", param_hint="--profile")
        return self.profiles[0] if self.profiles else None

    def access(self, region: str | None) -> Access:
        """Return how to reach a Region."""
        return Access(region, self.profile, self.endpoint_url, self.local, self.role)

    @property
    def accesses(self) -> list[Access]:
        """How to reach each of the Regions."""
        return [self.access(region) for region in dict.fromkeys(self.regions) or [None]]


@dataclass(frozen=True, kw_only=True)
class DeployedScope(Scope):
    """The scope of a command that needs a deployed stack."""

    allowed_regions: str | None = None


@dataclass(frozen=True, kw_only=True)
class AccountScope(Scope):
    """The scope of a command about one account."""

    accounts: Path | None = None


@dataclass(frozen=True, kw_only=True)
class ApplyScope(AccountScope):
    """The scope of what the function is made to do: by its own policy."""

    policy: Path | None = None
    allowed_regions: str | None = None


@dataclass(frozen=True)
class Choice:
    """Which of the selected secrets a person wants to see: by name and by tag, with wildcards."""

    names: list[str] = several(
        "NAME", "Only secrets of this name; * is any text. Repeat it.", "--secret", callback=_not_empty
    )
    tags: list[str] = several(
        "KEY=VALUE", "Only secrets with this tag; KEY alone is any value. Repeat it.", "--tag"
    )
    taken: set[str] = field(default_factory=set, compare=False)
    """The names that a secret was found for; the empty one if any was found."""

    def __post_init__(self) -> None:
        """Raise BadParameter for a tag without a key."""
        if not all(key for key, _ in self.filters):
            raise typer.BadParameter("it must be KEY=VALUE, or KEY for any value", param_hint="--tag")

    @cached_property
    def filters(self) -> list[tuple[str, str]]:
        """Key and value of each tag."""
        pairs = [tag.partition("=") for tag in self.tags]
        return [(key, value if equals else "*") for key, equals, value in pairs]

    def takes(self, secret: Secret) -> bool:
        """Tell whether the secret is one of them, and note that it was found."""
        named = [name for name in self.names if fnmatchcase(secret.name, name) or secret.arn == name]
        if self.names and not named:
            return False
        if not all(
            key in secret.tags and fnmatchcase(secret.tags[key], value) for key, value in self.filters
        ):
            return False
        self.taken.update(named, [""])
        return True

    @property
    def missing(self) -> list[str]:
        """What was asked for and never found, each as a person wrote it: a typo, most likely."""
        tags = [f"--tag {key}={value}" for key, value in self.filters]
        names = [f"--secret {name}" for name in self.names if name not in self.taken]
        if names:
            return [" ".join([name, *tags]) for name in names]
        return [" ".join(tags)] if tags and not self.taken else []


EVERYTHING = Choice()


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What is asked of a plan."""

    choice: Choice = EVERYTHING
    replica_regions: list[str] = several(
        "REGION",
        "Only what concerns replicas in this Region. Repeat it.",
        "--replica-region",
        callback=_known_regions,
    )
    against: Path | None = option(
        "FILE",
        "Show only what changes from this policy to the other: who gains or loses which Region or key.",
    )
    detailed_exitcode: bool = flag("Exit with 2 if there is something to do.", "--detailed-exitcode")
    as_json: bool = json_flag()


@dataclass(frozen=True, kw_only=True)
class ApplyOptions:
    """What is asked of an apply."""

    choice: Choice = EVERYTHING
    yes: bool = yes_flag()
    as_json: bool = json_flag()


@dataclass(frozen=True, kw_only=True)
class StatusOptions:
    """What is asked of a status."""

    choice: Choice = EVERYTHING
    failed: bool = flag("Only the secrets that need attention.", "--failed")
    everything: bool = flag(
        "All secrets, also on a terminal, where else 20 that need nothing are shown.", "--all"
    )
    watch: bool = flag("Repeat until Ctrl-C.", "--watch", "-w")
    interval: float = option(
        "SECONDS", "How long --watch waits before it repeats.", min=1, max=86_400, default=10
    )
    no_dead_letters: bool = no_dead_letters_flag()
    as_json: bool = json_flag()


@dataclass(frozen=True, kw_only=True)
class ExplainOptions:
    """What is asked of an explanation: a secret, or tags that one could have."""

    secret: str = argument("SECRET", "Name or ARN of the secret.", show_default=False, default="")
    tags: str | None = option(
        "TAGS",
        "Instead of a secret, without AWS: what would happen to one with these tags, as "
        "`replicate-to=dr team=payments`. Needs --allowed-regions; exit code 1 if they ask for what "
        "is not to be had.",
    )
    no_dead_letters: bool = no_dead_letters_flag()
    as_json: bool = json_flag()

    def __post_init__(self) -> None:
        """Raise BadParameter for both, or neither."""
        if bool(self.secret) == (self.tags is not None):
            raise typer.BadParameter("give either a secret or --tags", param_hint="SECRET")


@dataclass(frozen=True, kw_only=True)
class ValidateOptions:
    """What is asked of a validation."""

    file: Path = argument("FILE", "The policy.", default=MISSING)
    as_json: bool = json_flag()


@dataclass(frozen=True, kw_only=True)
class RedriveOptions:
    """What is asked of a redrive."""

    secrets: list[str] = several(
        "NAME_OR_ARN",
        "Only the dead letters of this secret. Repeat it for several secrets.",
        "--secret",
        callback=_not_empty,
    )
    error_types: list[str] = several(
        "TYPE",
        "Only dead letters with this error type, as --dry-run shows it. Repeat it for several.",
        "--error-type",
        callback=_not_empty,
    )
    dry_run: bool = flag("Show the dead letters, and leave all where they are.", "--dry-run")
    fixed: bool = flag(
        "Delete the dead letters of secrets that AWS reports InSync in every Region now; move none.",
        "--fixed",
    )
    yes: bool = yes_flag()
    as_json: bool = flag("Write dead letters and result as JSON. Needs --yes or --dry-run.", "--json")


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """What is asked of a sweep."""

    no_follow: bool = flag("Only start it; its id is in the function's log.", "--no-follow")
    as_json: bool = json_flag()


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What is asked of a report."""

    html: Path | None = option(
        "FILE", "Where the page goes to.", show_default="replicas-report.html; with --json no page"
    )
    csv: Path | None = option("FILE", "Write the same as CSV, too.")
    by: list[str] = several(
        "TAG",
        "Also show the coverage by the values of this tag, as team. Repeat it.",
        callback=_not_empty,
    )
    title: str = option("TEXT", "Title of the page.", default="Secret replicas")
    choice: Choice = EVERYTHING
    no_dead_letters: bool = no_dead_letters_flag()
    as_json: bool = json_flag()


@dataclass(frozen=True, kw_only=True)
class SmokeOptions:
    """What is asked of a trial with one secret."""

    to: list[str] = several(
        "REGION",
        "Replicate to this Region. Repeat it.",
        callback=_region,
        show_default="all AllowedRegions",
    )
    timeout: float = option("SECONDS", "How long to wait for InSync.", min=1, default=300)
    observe: bool = flag("Also say what was seen that AWS does not document.", "--observe")
    as_json: bool = json_flag()
    policy: Path | None = policy_option()


@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """What is asked of the doctor."""

    as_json: bool = json_flag()


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """What is asked of a verification."""

    choice: Choice = EVERYTHING
    from_region: str | None = option(
        "REGION",
        "Ask this Region alone what it holds: for the hour when the primary Region does not answer.",
        "--from",
        show_default=False,
        callback=_region,
    )
    as_json: bool = json_flag()


@dataclass(frozen=True, kw_only=True)
class PromoteOptions:
    """What is asked of a promotion."""

    replica_region: str = option("REGION", "Where the replicas are promoted.", default=MISSING)
    primary_region: str | None = option(
        "REGION", "Only replicas of this Region.", show_default="of any", callback=_region
    )
    choice: Choice = EVERYTHING
    reason: str = option(
        "TEXT", "Why: it becomes part of the hold tag.", default="the primary Region does not answer"
    )
    journal: Path | None = journal_option()
    writes_per_second: float = writes_option()
    dry_run: bool = flag("Show it all, and write nothing: the rehearsal.", "--dry-run")
    yes: bool = yes_flag()
    as_json: bool = json_flag()


@dataclass(frozen=True, kw_only=True)
class RejoinOptions:
    """What is asked of a rejoin."""

    replica_region: str = option("REGION", "Where the replicas were promoted.", default=MISSING)
    choice: Choice = EVERYTHING
    primary: str | None = option(
        "REGION",
        "Turn the relation round for what changed there: the same Region, it is the primary then.",
        show_default=False,
        callback=_not_empty,
    )
    accept_home: bool = flag("Also rejoin what changed at home and not there.", "--accept-home")
    discard: list[str] = several(
        "NAME",
        "Lose what the overwritten side of this secret has, for good. Repeat it.",
        callback=_not_empty,
    )
    journal: Path | None = journal_option()
    writes_per_second: float = writes_option()
    dry_run: bool = flag("Compare both sides, and write nothing.", "--dry-run")
    yes: bool = yes_flag()
    as_json: bool = json_flag()

    def __post_init__(self) -> None:
        """Raise BadParameter for a primary elsewhere."""
        if self.primary not in (None, self.replica_region):
            raise typer.BadParameter("it must be the --replica-region", param_hint="--primary")
