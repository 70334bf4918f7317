"""The options that several commands have: one by one, and in groups that are dataclasses."""

import re
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

_URL = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?")
_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
_NO_OPTION = {"option": False}
_EMPTY = "it is empty: a variable that is not set?"


def is_region(value: object) -> bool:
    """Tell whether it can be the code of a Region."""
    return isinstance(value, str) and _REGION.fullmatch(value) is not None


def _region(value: str | None) -> str | None:
    """Return the Region; raise BadParameter for what cannot be one."""
    if value is not None and not is_region(value):
        said = f"{value!r} is not a Region code such as eu-west-1" if value.strip() else _EMPTY
        raise typer.BadParameter(said)
    return value


def _regions(values: list[str] | None) -> list[str] | None:
    for value in values or ():
        _region(value)
    return values


def _url(value: str | None) -> str | None:
    if value is not None and not _URL.fullmatch(value):
        raise typer.BadParameter("it must look like https://127.0.0.1:4566")
    return value


def _not_empty(value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise typer.BadParameter(_EMPTY)
    return value


def _not_empties(values: list[str] | None) -> list[str] | None:
    for value in values or ():
        _not_empty(value)
    return values


Stack = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        callback=_not_empty,
        help="Name of the deployed stack.",
        show_default="stack_name in samconfig.toml",
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        metavar="REGION",
        callback=_region,
        help="Region of the stack.",
        show_default="that of the profile or environment",
    ),
]
Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="REGION",
        callback=_regions,
        help="Region of the stack and the primaries. Repeat it for several Regions.",
        show_default="that of the profile or environment",
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", callback=_not_empty, help="Profile of your AWS configuration: which account."
    ),
]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        callback=_not_empties,
        help="Profile of your AWS configuration: which account. Some commands answer for several: repeat it.",
    ),
]
Accounts = Annotated[
    Path | None,
    typer.Option(
        "--accounts",
        metavar="FILE",
        help="Answer for all accounts that this TOML file lists.",
        show_default=False,
    ),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", callback=_url, help="AWS endpoint URL, for example https://127.0.0.1:4566."),
]
Local = Annotated[
    bool, typer.Option("--local", metavar="", help="Use the running `make local`, and its policy.")
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Decide by this policy, deployed or not.",
        show_default="functions/policy.toml of this checkout, else the deployed one; local/policy.toml "
        "on the local AWS",
    ),
]
AllowedRegions = Annotated[
    str,
    typer.Option(
        metavar="REGIONS",
        help="Before anything is deployed: decide as if AllowedRegions were these, separated by commas. "
        "No stack is read, and all other switches have their defaults.",
        show_default=False,
    ),
]
Journal = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Where every step is written to before it is done.",
        show_default="failover-REGION.jsonl here",
    ),
]
WritesPerSecond = Annotated[
    float, typer.Option(metavar="NUMBER", min=1, max=50, help="AWS takes 50, shared with all that rotates.")
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Write JSON, for programs.")]
NoDeadLetters = Annotated[
    bool,
    typer.Option(
        "--no-dead-letters", metavar="", help="Leave the DeadLetterQueue alone: needs no SQS permissions."
    ),
]
Secrets = Annotated[
    list[str] | None,
    typer.Option("--secret", metavar="NAME", help="Only secrets of this name; * is any text. Repeat it."),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag", metavar="KEY=VALUE", help="Only secrets with this tag; KEY alone is any value. Repeat it."
    ),
]


Yes = Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do it without asking. For scripts.")]


@dataclass(frozen=True)
class Access:
    """How to reach AWS, as in the AWS CLI. None is what the environment and the profile say."""

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    local: bool = False
    role: "Role | None" = None

    def __post_init__(self) -> None:
        """Raise BadParameter for two answers to one question."""
        if self.endpoint_url and self.local:
            raise typer.BadParameter("--local already says where AWS is", param_hint="--endpoint-url")


@dataclass(frozen=True)
class Role:
    """A role that is assumed in another account."""

    arn: str
    external_id: str = ""


@dataclass(frozen=True, kw_only=True)
class OneAccount:
    """The options of a command that needs no stack."""

    profile: Profile = None
    local: Local = False
    endpoint_url: EndpointUrl = None

    def access(self, region: str) -> Access:
        """Return how to reach a Region."""
        return Access(region, self.profile, self.endpoint_url, self.local)


@dataclass(frozen=True, kw_only=True)
class OneStack:
    """The options of a command that is about one stack."""

    stack: Stack = None
    region: Region = None
    profile: Profile = None
    local: Local = False
    endpoint_url: EndpointUrl = None

    @property
    def access(self) -> Access:
        """How to reach the stack's Region."""
        return Access(self.region, self.profile, self.endpoint_url, self.local)


@dataclass(frozen=True, kw_only=True)
class Stacks:
    """The options of a command that is about stacks in several Regions."""

    stack: Stack = None
    regions: Regions = None
    profiles: Profiles = None
    local: Local = False
    endpoint_url: EndpointUrl = None
    role: Role | None = field(default=None, metadata=_NO_OPTION)
    account: str = field(default="", metadata=_NO_OPTION)
    """What one of several accounts is called."""

    def __post_init__(self) -> None:
        """Raise BadParameter as the access does."""
        Access(endpoint_url=self.endpoint_url, local=self.local)

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
        return [self.access(region) for region in dict.fromkeys(self.regions or ()) or [None]]


@dataclass(frozen=True, kw_only=True)
class PolicyOptions:
    """The options that say what is decided by."""

    policy: PolicyFile = None
    allowed_regions: AllowedRegions = ""


@dataclass(frozen=True, kw_only=True)
class Where(Stacks, PolicyOptions):
    """The options of a command that decides as the function does: where, and by what."""

    accounts: Path | None = field(default=None, metadata=_NO_OPTION)


@dataclass(frozen=True, kw_only=True)
class Everywhere(Where):
    """The same, in several accounts."""

    accounts: Accounts = None


@dataclass(frozen=True, kw_only=True)
class EveryStack(Everywhere):
    """The options of a command that is about what is deployed, in several accounts."""

    allowed_regions: str = field(default="", metadata=_NO_OPTION)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The options that choose secrets."""

    names: Secrets = None
    tags: Tags = None

    @property
    def filters(self) -> tuple[tuple[str, str], ...]:
        """Key and value of each --tag; raise BadParameter for one without a key."""
        pairs = [tag.partition("=") for tag in self.tags or ()]
        if any(not key for key, _, _ in pairs):
            raise typer.BadParameter("it must be KEY=VALUE, or KEY for any value", param_hint="--tag")
        return tuple((key, value if equals else "*") for key, equals, value in pairs)


def flattened(command: Callable[..., int]) -> Callable[..., None]:
    """Return the command for Typer: an option for each field of a dataclass, its result the exit code."""
    given = signature(command).parameters.values()
    groups = {parameter.name: parameter.annotation for parameter in given if _is_group(parameter)}

    @wraps(command)
    def run(**values: Any) -> None:  # noqa: ANN401  as Typer read them
        for name, group in groups.items():
            values[name] = group(**{option.name: values.pop(option.name) for option in _option_fields(group)})
        raise typer.Exit(command(**values))

    options = [option for parameter in given for option in _options(parameter)]
    run.__signature__ = Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    return run


def _options(parameter: Parameter) -> Sequence[Parameter]:
    """Return the parameter itself, or one for each of its fields."""
    if not _is_group(parameter):
        return [parameter]
    return [
        Parameter(option.name, Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type)
        for option in _option_fields(parameter.annotation)
    ]


def _option_fields(group: type) -> "list[Field[Any]]":
    return [option for option in fields(group) if not option.metadata]


def _is_group(parameter: Parameter) -> bool:
    return is_dataclass(parameter.annotation)
