"""The checkout that a command runs in, if any: its stack's name, its policy, its local AWS."""

from pathlib import Path

POLICY = Path("functions", "policy.toml")
_MARKS = (POLICY, Path("samconfig.toml"))


def checkout(start: Path | None = None) -> Path | None:
    """Return the nearest checkout from this folder upwards, else the one that this file is in; or None."""
    here = start or Path.cwd()
    places = (here, *here.parents, Path(__file__).parents[2])
    return next((place for place in places if all((place / mark).is_file() for mark in _MARKS)), None)


def in_checkout(path: Path, start: Path | None = None) -> Path:
    """Return where this file of a checkout is, or would be: without a checkout, in this folder."""
    return (checkout(start) or start or Path.cwd()) / path
