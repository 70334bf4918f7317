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

_NUMBERS = {float: (r"\d+(\.\d+)?", "a number of seconds"), int: (r"[1-9]\d*", "a whole number, from 1")}


@dataclass
class Worlds:
    """The switches; a test may turn them at any time."""

    repeat: Repeat = "accepted"
    """What replicating a Region that is listed already answers.

    Unknown: accepted, or refused as invalid.
    Here: a refusal is followed by another `DescribeSecret`; permanent only when seen twice.
    Held by: test_replicating_a_region_again_depends_on_the_world, function/test_life_of_a_message.py.
    """
    primary_region_stays: bool = False
    """Whether `PrimaryRegion` goes away with the last replica.

    Unknown: gone, or still there.
    Here: absent and equal to the home Region mean the same.
    Held by: test_the_primary_region_is_shown_on_both_sides, function/test_model.py.
    """
    old_primary_shows: Promoted = "nothing"
    """What the old primary's list has of a promoted copy.

    Unknown: nothing, `Failed`, or a stale `InSync`.
    Here: the secret in the Region is looked at before it may be overwritten.
    Held by: test_what_the_old_primary_shows_of_a_promoted_copy_is_a_switch,
      function/test_promoted_copies.py.
    """
    own_version_ids: bool = False
    """Whether a replica has the version ids of its primary.

    Unknown: the same, or its own.
    Here: `verify` says that versions cannot be compared.
    Held by: test_whether_a_replica_has_the_version_ids_of_its_primary_is_a_switch, replicas/test_verify.py.
    """
    seconds_in_progress: float = 0.0
    """How long `InProgress` lasts.

    Unknown: any time.
    Here: retries for about 50 minutes at the defaults.
    Held by: test_a_replica_is_in_progress_until_its_time_is_over, function/test_life_of_a_message.py.
    """
    seconds_to_follow: float = 0.0
    """How soon tags and resource policy reach the replicas.

    Unknown: at once, or after a moment.
    Here: a replica is never judged by its tags.
    Held by: test_tags_and_policy_reach_the_replica_after_a_moment.
    """
    primaries_overwritten: bool = True
    """Whether a primary with replicas of its own may be overwritten.

    Unknown: it may, or it stays as a taken name does.
    Here: a primary that carries the opt-in tag is never overwritten.
    Held by: test_whether_a_primary_with_replicas_may_be_overwritten_is_a_switch,
      function/test_promoted_copies.py.
    """
    secrets_on_a_page: int = 100
    """How many secrets a page of the list has.

    Unknown: as many as were asked for, or fewer.
    Here: a sweep goes on for as long as there is a token.
    Held by: test_how_many_secrets_a_page_has_is_a_switch, function/test_recursion.py.
    """
    arn_in_events: Naming = "additionalEventData"
    """Which key of a service event holds the secret's ARN.

    Unknown: `additionalEventData`, or `resources`.
    Here: any ARN of a secret in the event counts.
    Held by: test_an_event_has_the_shape_of_cloudtrails_record.
    """
    event_sent_by: Sender = "primary"
    """Which Region sends a service event.

    Unknown: the primary's, or the replica's.
    Here: the ARN is mapped to the home Region.
    Held by: test_an_event_has_the_shape_of_cloudtrails_record.
    """


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
    return found[0] if found else _number(name, value, known[name])


def _number(name: str, value: str, kind: type[int] | type[float]) -> float:
    form, meaning = _NUMBERS[kind]
    if not re.fullmatch(form, value):
        raise ValueError(f"{name}={value}: must be {meaning}")
    return kind(value)
