"""The options that several commands have."""

import re
from pathlib import Path
from typing import Annotated

import typer

_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
_EMPTY = "it is empty: a variable that is not set?"


def _region(value: str | None) -> str | None:
    """Return the Region; raise BadParameter for what cannot be one."""
    if value is not None and not _REGION.fullmatch(value):
        said = f"{value!r} is not a Region, which looks like eu-west-1" if value.strip() else _EMPTY
        raise typer.BadParameter(said)
    return value


def _regions(values: list[str] | None) -> list[str] | None:
    for value in values or ():
        _region(value)
    return values


def _not_empty(value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise typer.BadParameter(_EMPTY)
    return value


Stack = Annotated[
    str | None,
    typer.Option(
        callback=_not_empty, help="Name of the deployed stack.", show_default="stack_name in samconfig.toml"
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        callback=_region, help="Region of the stack.", show_default="that of the profile or environment"
    ),
]
Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        callback=_regions,
        help="Region of the stack and the primaries. Repeat it for several Regions.",
        show_default="that of the profile or environment",
    ),
]
Profile = Annotated[
    str | None, typer.Option(callback=_not_empty, help="Profile of your AWS configuration: which account.")
]
EndpointUrl = Annotated[
    str | None, typer.Option(help="Where AWS is, if not at AWS, for example https://127.0.0.1:4566.")
]
Local = Annotated[
    bool, typer.Option("--local", metavar="", help="Look at the running `make local`, and its policy.")
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Decide by this policy, deployed or not.",
        show_default="functions/policy.toml of this disk; local/policy.toml with --local",
    ),
]
AllowedRegions = Annotated[
    str,
    typer.Option(
        metavar="REGIONS",
        help="Before anything is deployed: decide as if AllowedRegions were these, separated by commas. "
        "No stack is looked for, and all other switches have their defaults.",
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


def tag_filters(tags: list[str] | None) -> tuple[tuple[str, str], ...]:
    """Return key and value of each --tag; raise BadParameter for one without a key."""
    pairs = [tag.partition("=") for tag in tags or ()]
    if any(not key for key, _, _ in pairs):
        raise typer.BadParameter("it must be KEY=VALUE, or KEY for any value", param_hint="--tag")
    return tuple((key, value if equals else "*") for key, equals, value in pairs)
