"""What a person may have meant: the nearest of some words."""

from collections.abc import Iterable
from difflib import get_close_matches

from secret_replicator.policy import plain

_ALIKE = 0.75
"""How alike two words must be. `eu-wst-1` and `eu-west-1` are, at 0.94; `owner` and `team` are not."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the known word that is most like this one, an equal one first; empty if none is near."""
    by_plain: dict[str, str] = {}
    for candidate in known:
        by_plain.setdefault(plain(candidate), candidate)
    found = get_close_matches(plain(word), by_plain, n=1, cutoff=_ALIKE)
    return by_plain[found[0]] if found else ""
