"""What nobody documents of the service: each switch is a world of its own, and all must do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

# Whether replicating a Region that is listed already is accepted, or refused as invalid.
Repeat = Literal["accepted", "refused"]
# What the old primary's list has of a promoted copy.
Promoted = Literal["nothing", "failed", "stale"]
# Where a service event has the secret's ARN, and the Region that sends it.
Naming = Literal["additionalEventData", "resources"]
Sender = Literal["primary", "replica"]


@dataclass
class Worlds:
    """The switches; a test may turn them at any time."""

    repeat: Repeat = "accepted"
    primary_region_stays: bool = False
    old_primary_shows: Promoted = "nothing"
    own_version_ids: bool = False
    seconds_in_progress: float = 0.0
    seconds_to_follow: float = 0.0
    arn_in_events: Naming = "additionalEventData"
    event_sent_by: Sender = "primary"


def read_worlds(text: str) -> Worlds:
    """Read what a person gives, as `repeat=refused seconds_in_progress=3`; raise ValueError for others."""
    known: Mapping[str, Any] = {each.name: each.type for each in fields(Worlds)}
    pairs = dict(word.partition("=")[::2] for word in text.split())
    return Worlds(**{name: _read(name, value, known) for name, value in pairs.items()})


def _read(name: str, value: str, known: Mapping[str, Any]) -> Any:  # noqa: ANN401  the field's own type
    if name not in known:
        raise ValueError(f"unknown world {name}; known: {', '.join(known)}")
    choices = get_args(known[name]) or ((True, False) if known[name] is bool else ())
    found = [choice for choice in choices if str(choice).lower() == value.lower()]
    if choices and not found:
        raise ValueError(f"{name}={value}: must be one of {', '.join(map(str, choices))}")
    return found[0] if found else _seconds(name, value)


def _seconds(name: str, value: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", value):
        raise ValueError(f"{name}={value}: must be a number of seconds")
    return float(value)
