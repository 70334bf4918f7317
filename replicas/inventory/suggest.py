"""What a person may have meant: the nearest of some words."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_NEAR = 0.75
"""How alike two words must be. `eu-wst-1` and `eu-west-1` are, at 0.94; `owner` and `team` are not."""

_NO_MATTER = re.compile(r"[\s_.:/-]+")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is most like this one, an equal one first; empty if none is near."""
    plain: dict[str, str] = {}
    for candidate in known:
        plain.setdefault(_plain(candidate), candidate)
    found = get_close_matches(_plain(word), plain, n=1, cutoff=_NEAR)
    return plain[found[0]] if found else ""


def _plain(word: str) -> str:
    """Return what is left of a word when case and separators do not matter."""
    return _NO_MATTER.sub("", word.casefold())
