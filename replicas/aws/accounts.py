"""Several accounts in one answer: which they are, and each asked at the same time as the others."""

import io
import tomllib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Console

from replicas.aws.errors import as_operator_errors
from replicas.errors import OperatorError
from replicas.options import Role, Where
from replicas.terminal import Screen

AT_ONCE = 8
"""AWS's limits are per account; this one is for the threads and connections of this machine."""

_KEYS = {"name": str, "profile": str, "role_arn": str, "external_id": str, "regions": list, "stack": str}
T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What an account answered, or why it could not be asked."""

    account: str
    value: T | None
    error: str = ""


def accounts(where: Where) -> list[Where]:
    """Return where to look, account by account; raise OperatorError for a file that is wrong."""
    if where.accounts:
        return [_from_file(where, entry) for entry in _entries(where.accounts)]
    profiles = where.profiles or ()
    if len(profiles) < 2:  # noqa: PLR2004  one is not several
        return [where]
    return [replace(where, profiles=[profile], account=profile) for profile in dict.fromkeys(profiles)]


def ask_each(where: Where, work: Callable[[Where, Screen], T], screen: Screen) -> list[Answer[T]]:
    """Return each account's answer. One that cannot be reached is a line, unless it is the only one."""
    places = accounts(where)
    if len(places) == 1:
        return [Answer(places[0].account, work(places[0], screen))]
    found = []
    with ThreadPoolExecutor(AT_ONCE) as pool, screen.progress("Asking the accounts", len(places)) as report:
        for answer, said in pool.map(lambda place: _ask(place, work, screen), places):
            found.append(answer)
            report(len(found))
            for line in [*said.splitlines(), *([answer.error] if answer.error else [])]:
                screen.say(f"{answer.account}: {line}")
    return found


def require_all(answers: list[Answer[T]]) -> None:
    """Raise OperatorError if some accounts could not be asked: the rest was shown before."""
    if failed := [answer.account for answer in answers if answer.error]:
        raise OperatorError(
            f"{len(failed)} of {len(answers)} accounts could not be read: {', '.join(failed)}"
        )


def _ask(place: Where, work: Callable[[Where, Screen], T], screen: Screen) -> tuple[Answer[T], str]:
    """Return the answer, and what was said meanwhile: lines of several accounts would mingle."""
    said = io.StringIO()
    own = Screen(screen.out, Console(file=said, soft_wrap=True, highlight=False, emoji=False))
    try:
        with as_operator_errors():
            return Answer(place.account, work(place, own)), said.getvalue()
    except OperatorError as error:
        return Answer(place.account, None, str(error)), said.getvalue()


def _entries(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        entries = tomllib.loads(file.read_text("utf-8")).get("accounts")
    except (OSError, ValueError) as error:
        raise OperatorError(f"{file} cannot be read ({error}): name a TOML file with --accounts") from error
    if not isinstance(entries, list) or not entries:
        raise OperatorError(f"{file} names no account: write [[accounts]] with profile or role_arn, for each")
    names = [_checked(file, number, entry) for number, entry in enumerate(entries, start=1)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise OperatorError(f"{file} names {', '.join(sorted(twice))} twice: give each a name of its own")
    yield from entries


def _checked(file: Path, number: int, entry: Any) -> str:  # noqa: ANN401  whatever the file has
    """Return the account's name; raise OperatorError for what cannot be one."""
    wrong = isinstance(entry, dict) and [key for key in entry if type(entry[key]) is not _KEYS.get(key)]
    if wrong or not isinstance(entry, dict) or not {"profile", "role_arn"} & entry.keys():
        said = f"{', '.join(wrong)} cannot be so" if wrong else "it has neither profile nor role_arn"
        raise OperatorError(f"{file}, account {number}: {said}. There are {', '.join(_KEYS)}")
    return _name(entry)


def _name(entry: Mapping[str, Any]) -> str:
    by_role = entry.get("role_arn", "").split(":")
    return str(entry.get("name") or (by_role[4] if len(by_role) > 4 else entry.get("profile", "")))  # noqa: PLR2004


def _from_file(where: Where, entry: Mapping[str, Any]) -> Where:
    role = Role(entry["role_arn"], entry.get("external_id", "")) if "role_arn" in entry else None
    return replace(
        where,
        accounts=None,
        account=_name(entry),
        profiles=[entry["profile"]] if "profile" in entry else where.profiles,
        role=role,
        regions=entry.get("regions") or where.regions,
        stack=entry.get("stack") or where.stack,
    )
