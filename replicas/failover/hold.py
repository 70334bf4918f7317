"""The tag that makes the function leave a secret alone, as `promote` and `rejoin` set it."""

import re
from collections.abc import Mapping

from secret_replicator.planner import HOLD_TAG

__all__ = ["HOLD_TAG", "hold_value", "is_held", "is_held_by_us"]

OURS = "failover "
"""How its value begins where it is set here. Any other was set by a person, and stays."""

_MAX_VALUE = 256
_NOT_IN_A_TAG = re.compile(r"[^A-Za-z0-9 +=._:/@-]")


def hold_value(reason: str, home: str, now: str) -> str:
    """Return the tag's value: what AWS takes in a tag, and no more."""
    return _NOT_IN_A_TAG.sub(" ", f"{OURS}{now} from {home}: {reason}")[:_MAX_VALUE].strip()


def is_held(tags: Mapping[str, str]) -> bool:
    """Tell whether the function leaves it alone."""
    return HOLD_TAG in tags


def is_held_by_us(tags: Mapping[str, str]) -> bool:
    """Tell whether it is held because of a failover."""
    return tags.get(HOLD_TAG, "").startswith(OURS)
