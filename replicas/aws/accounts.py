"""Several accounts in one answer: which they are, and each asked at the same time as the others."""

import io
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any, Generic, Protocol, Self, TypeVar

from rich.console import Console

from replicas.aws.errors import as_operator_errors
from replicas.errors import OperatorError
from replicas.interrupts import reading_threads
from replicas.options import Role, Scope, is_region
from replicas.terminal import Column, Report, Screen, Total

AT_ONCE = 8
"""AWS's limits are per account; this one is for the threads and connections of this machine."""

_KEYS = {"name": str, "profile": str, "role_arn": str, "external_id": str, "regions": list, "stack": str}
ACCOUNT = Column("Account", optional=True)
"""The first column of every table: nothing stands in it where there is one account."""

T = TypeVar("T", bound="Sum")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What an account answered, or why it could not be asked. The value says its totals as a text."""

    account: str
    value: T | None
    error: str = ""

    def __str__(self) -> str:
        """Say the account's totals in one line."""
        return f"{self.account}: {'could not be read' if self.value is None else self.value}"

    def entry(self) -> dict[str, str | None]:
        """Return the account as JSON has it."""
        text = None if self.value is None else str(self.value)
        return {"account": self.account, "error": self.error or None, "text": text}


class Sum(Protocol):
    """What accounts answer: it can be added up, and its text is one line of totals."""

    def add(self, other: Self) -> None:
        """Take in what another account answered."""


@dataclass(frozen=True)
class Answers(Generic[T]):
    """What the accounts answered, in their order, and all of it as one."""

    of: Sequence[Answer[T]]
    total: T

    @property
    def are_complete(self) -> bool:
        """Whether all could be asked."""
        return not any(answer.error for answer in self.of)

    def show(self, screen: Screen) -> None:
        """Print a line of totals for each of several."""
        for answer in self.of if len(self.of) > 1 else ():
            screen.show(str(answer))

    def entries(self) -> list[dict[str, str | None]]:
        """Return several accounts as JSON has them."""
        return [answer.entry() for answer in self.of] if len(self.of) > 1 else []

    def require_all(self) -> None:
        """Raise OperatorError if some accounts could not be asked: the rest was shown before."""
        if failed := [answer.account for answer in self.of if answer.error]:
            raise OperatorError(
                f"{len(failed)} of {len(self.of)} accounts could not be read: {', '.join(failed)}"
            )


def accounts(scope: Scope) -> list[Scope]:
    """Return the place of each account; raise OperatorError for a file that is wrong."""
    if scope.accounts:
        return _in_file(scope, scope.accounts)
    profiles = scope.profiles
    if len(profiles) < 2:  # noqa: PLR2004  one is not several
        return [scope]
    return [replace(scope, profiles=[profile], account=profile) for profile in dict.fromkeys(profiles)]


def ask_each(scope: Scope, work: Callable[[Scope, Screen], T], total: T, screen: Screen) -> Answers[T]:
    """Return each account's answer, and all of them added up to the total.

    An account that cannot be reached is a line, unless it is the only one.
    """
    places = accounts(scope)
    if len(places) == 1:
        found = [Answer(places[0].account, work(places[0], screen))]
    else:
        found = _ask_all(places, work, screen)
    for answer in found:
        if answer.value is not None:
            total.add(answer.value)
    return Answers(found, total)


def _ask_all(places: Sequence[Scope], work: Callable[[Scope, Screen], T], screen: Screen) -> list[Answer[T]]:
    found, stop = [], Event()
    with reading_threads(AT_ONCE) as pool, screen.progress("Asking the accounts", len(places)) as report:
        try:
            for answer, said in pool.map(lambda place: _ask(place, work, screen, stop), places):
                found.append(answer)
                report(len(found))
                for line in [*said.splitlines(), *([answer.error] if answer.error else [])]:
                    screen.say(f"{answer.account}: {line}")
        finally:
            stop.set()
    return found


@dataclass
class _OwnScreen(Screen):
    """What one account says meanwhile. Its progress ends the work when a person stops the command."""

    stop: Event = field(default_factory=Event)

    @contextmanager
    def progress(
        self, title: str, total: int | Total | None = None, note: Callable[[], str] = lambda: ""
    ) -> Iterator[Report]:
        """Report as every screen does; raise OperatorError once the command is stopped."""
        with super().progress(title, total, note) as report:

            def report_or_end(done: int) -> None:
                if self.stop.is_set():
                    raise OperatorError("It was stopped")
                report(done)

            yield report_or_end


def _ask(
    place: Scope, work: Callable[[Scope, Screen], T], screen: Screen, stop: Event
) -> tuple[Answer[T], str]:
    """Return the answer, and what was said meanwhile: lines of several accounts would mingle."""
    said = io.StringIO()
    own = _OwnScreen(
        screen.out,
        Console(file=said, force_terminal=False, soft_wrap=True, highlight=False, emoji=False),
        stop=stop,
    )
    if stop.is_set():
        return Answer(place.account, None, "It was stopped"), ""
    try:
        with as_operator_errors():
            return Answer(place.account, work(place, own)), said.getvalue()
    except OperatorError as error:
        return Answer(place.account, None, str(error)), said.getvalue()


def _in_file(scope: Scope, file: Path) -> list[Scope]:
    try:
        entries = tomllib.loads(file.read_text("utf-8")).get("accounts")
    except (OSError, ValueError) as error:
        raise OperatorError(f"{file} cannot be read ({error}): name a TOML file with --accounts") from error
    if not isinstance(entries, list) or not entries:
        raise OperatorError(f"{file} names no account: write [[accounts]] with profile or role_arn, for each")
    for number, entry in enumerate(entries, start=1):
        if problem := _problem(entry):
            raise OperatorError(f"{file}, account {number}: {problem}. There are {', '.join(_KEYS)}")
    places = [_place(scope, entry) for entry in entries]
    names = [place.account for place in places]
    if twice := {name for name in names if names.count(name) > 1}:
        raise OperatorError(f"{file} names {', '.join(sorted(twice))} twice: give each a name of its own")
    _require_each_once(file, places)
    return places


def _problem(entry: object) -> str:
    """Return why an entry of the file cannot be an account, nothing if it can."""
    given = entry if isinstance(entry, dict) else {}
    wrong = [key for key in given if type(given[key]) is not _KEYS.get(key) or given[key] == ""]
    if not wrong and not all(map(is_region, given.get("regions", []))):
        wrong = ["regions"]
    if wrong:
        return f"{', '.join(wrong)} cannot be so"
    return "" if {"profile", "role_arn"} & given.keys() else "it has neither profile nor role_arn"


def _place(scope: Scope, entry: Mapping[str, Any]) -> Scope:
    role_arn, profile = entry.get("role_arn", ""), entry.get("profile", "")
    account = _account_in(role_arn)
    return replace(
        scope,
        accounts=None,
        account=entry.get("name") or (account if account != role_arn else profile),
        profiles=[profile] if "profile" in entry else scope.profiles,
        role=Role(role_arn, entry.get("external_id", "")) if "role_arn" in entry else None,
        regions=entry.get("regions") or scope.regions,
        stack=entry.get("stack") or scope.stack,
    )


def _require_each_once(file: Path, places: Sequence[Scope]) -> None:
    """Raise OperatorError for a stack that stands under two names: its secrets would count twice."""
    seen: dict[tuple[str | None, ...], str] = {}
    for place in places:
        for region in place.regions or ("",):
            profile = ":".join(place.profiles)
            by = _account_in(place.role.arn) if place.role else profile
            first = seen.setdefault((by, place.stack, region, region or profile), place.account)
            if first != place.account:
                raise OperatorError(
                    f"{file} names the same stack as {first} and as {place.account}: it would count twice, "
                    "so leave one out, or give them different regions or stacks"
                )


def _account_in(role_arn: str) -> str:
    """Return the account's id; what is no ARN as it is."""
    parts = role_arn.split(":")
    return parts[4] if len(parts) > 4 else role_arn  # noqa: PLR2004
