"""Secrets and Regions as AWS reports them, what needs attention first."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum

from replicas.aws.dead_letters import NO_SECRETS, DeadLetter, names_of, read_and_count
from replicas.aws.deployment import Deployment
from replicas.inventory import pricing, wording
from replicas.inventory.explanation import MISSING
from replicas.inventory.inventory import Reading, Seen
from replicas.terminal import Screen, count
from secret_replicator.models import FAILED, IN_SYNC
from secret_replicator.planner import best_by_region

UNWANTED = ", unwanted"
"""How the status of a replica ends that nobody wants."""

_LAST = datetime.max.replace(tzinfo=UTC)


class SecretStatus(IntEnum):
    """What is to be said of a secret: what needs attention comes first."""

    NEEDS_ATTENTION = 0
    WAITING = 1
    IN_SYNC = 2
    WANTS_NONE = 3
    LEFT_ALONE = 4
    NOT_SELECTED = 5

    def __str__(self) -> str:
        """Return it as people and programs read it."""
        return ("needs attention", "waiting", "InSync", "wants none", "left alone", "not selected")[self]


@dataclass(frozen=True, slots=True)
class Row:
    """A secret. `cells` are its Regions; a status is AWS's own word, or `missing`.

    AWS keeps no time of a status. `since` is the best that is known: when the function first received the
    message that is now a dead letter, else when the secret was last changed.
    """

    home: str
    name: str
    arn: str
    status: SecretStatus
    cells: tuple[tuple[str, str], ...]
    since: datetime | None = None
    since_what: str = ""
    why: str = ""
    dead_letters: int = 0
    drift: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    account: str = ""

    @property
    def place(self) -> tuple[object, ...]:
        """Its place in the list: what needs attention first, the oldest trouble first."""
        return self.status, not self.dead_letters, self.since or _LAST, self.name, self.home


class DeadLetters:
    """The dead letters of a Region, by the secret that they name."""

    def __init__(self, dead_letters: Iterable[DeadLetter]) -> None:
        self._by_secret: dict[str, list[DeadLetter]] = {}
        for dead_letter in dead_letters:
            if dead_letter.secret not in NO_SECRETS:
                self._by_secret.setdefault(dead_letter.secret, []).append(dead_letter)

    def about(self, arn: str) -> list[DeadLetter]:
        """Return the dead letters of the secret with this ARN, the oldest trouble first."""
        found = [dead_letter for name in names_of(arn) for dead_letter in self._by_secret.get(name, ())]
        return sorted(found, key=lambda dead_letter: dead_letter.since)


@dataclass
class Counts:
    """The secrets by status, and the dead letters."""

    by_status: Counter[SecretStatus] = field(default_factory=Counter)
    drifted: int = 0
    dead_letters: int = 0
    other_dead_letters: int = 0
    orphaned: int = 0

    def count(self, row: Row) -> None:
        """Count a secret."""
        self.by_status[row.status] += 1
        self.drifted += bool(row.drift)
        self.orphaned += sum(status.startswith(wording.ORPHANED) for _, status in row.cells)

    def add(self, other: "Counts") -> None:
        """Add another account's numbers."""
        self.by_status.update(other.by_status)
        self.drifted += other.drifted
        self.dead_letters += other.dead_letters
        self.other_dead_letters += other.other_dead_letters
        self.orphaned += other.orphaned

    @property
    def selected(self) -> int:
        """All secrets that the policy selects and the function may work on."""
        return sum(number for status, number in self.by_status.items() if status < SecretStatus.LEFT_ALONE)

    @property
    def wanting(self) -> int:
        """Those of them that want a replica."""
        return self.selected - self.by_status[SecretStatus.WANTS_NONE]

    def __str__(self) -> str:
        """Say it as a person would in a meeting."""
        number = self.by_status
        in_sync, needing = number[SecretStatus.IN_SYNC], number[SecretStatus.NEEDS_ATTENTION]
        need = "needs" if needing == 1 else "need"
        parts = [
            f"{in_sync:,} of {self.wanting:,} selected secrets are InSync in every Region",
            f"{number[SecretStatus.WAITING]:,} waiting, {needing:,} {need} attention",
        ]
        if none := number[SecretStatus.WANTS_NONE]:
            parts.append(f"{none:,} {'wants' if none == 1 else 'want'} no replica")
        if left_alone := number[SecretStatus.LEFT_ALONE]:
            parts.append(f"{left_alone:,} left alone, held or managed by a service")
        if unselected := number[SecretStatus.NOT_SELECTED]:
            parts.append(f"{unselected:,} not selected, but with a similar tag or replicas")
        if self.orphaned:
            dollars = pricing.dollars(pricing.of_replicas(self.orphaned))
            parts.append(f"{count(self.orphaned, 'orphaned replica')} ({dollars} a month)")
        if self.drifted:
            parts.append(f"{self.drifted:,} drifted")
        if self.other_dead_letters:
            dead_letters = "dead letter is" if self.other_dead_letters == 1 else "dead letters are"
            parts.append(f"{self.other_dead_letters:,} {dead_letters} about no secret that waits")
        return "; ".join(parts)


def alike(dead_letters: Iterable[DeadLetter]) -> list[list[DeadLetter]]:
    """Return those about one secret with one reason together: every sweep writes another."""
    found: dict[tuple[str, str, str], list[DeadLetter]] = {}
    for dead_letter in dead_letters:
        key = dead_letter.name, dead_letter.error_type, dead_letter.reason
        found.setdefault(key, []).append(dead_letter)
    return [*found.values()]


def dead_letters_of(deployment: Deployment, reading: Reading, screen: Screen) -> list[DeadLetter]:
    """Return the dead letters of a Region, none where nothing is deployed; raise OperatorError.

    Those that somebody else reads are counted in `reading`.
    """
    if deployment.queues is None:
        return []
    with screen.progress("Reading the dead letters") as report:
        dead_letters, reading.hidden_dead_letters = read_and_count(deployment.queues, report)
    return dead_letters


def row(seen: Seen, dead_letters: Sequence[DeadLetter], by: Sequence[str] = ()) -> Row:
    """Return the row of a secret, with its dead letters and its values of the tags `by`."""
    secret, decision = seen.secret, seen.decision
    cells = tuple(_cells(seen)) if decision.skip in ("", "held", "not_selected") else ()
    status = _status_of(seen, cells, dead_letters)
    since, event = None, ""
    if dead_letters:
        since, event = dead_letters[0].since, "dead letter"
    elif status < SecretStatus.IN_SYNC and secret.last_changed:
        since, event = secret.last_changed.astimezone(UTC), "changed"
    return Row(
        home=seen.home,
        name=secret.name,
        arn=secret.arn,
        status=status,
        cells=cells,
        since=since,
        since_what=event,
        why="; ".join(dict.fromkeys(_reasons(seen, dead_letters, status))),
        dead_letters=len(dead_letters),
        drift=tuple(_drift(seen)),
        groups=tuple(secret.tags.get(key, "") for key in by),
        account=seen.account,
    )


def regions_of(rows: Iterable[Row]) -> list[str]:
    """Return the Regions that any of the secrets is in or must be in."""
    return sorted({region for row in rows for region, _ in row.cells})


def wanted_regions_of(rows: Iterable[Row]) -> set[str]:
    """Return the Regions that any of the secrets must be in."""
    return {region for row in rows for region, status in row.cells if not status.endswith(UNWANTED)}


def _cells(seen: Seen) -> Iterator[tuple[str, str]]:
    actual = best_by_region(seen.secret.replicas)
    desired = {want.region for want in seen.decision.desired.replicas}
    for region in sorted(desired | actual.keys()):
        status = actual[region].status if region in actual else MISSING
        yield region, status if region in desired else f"{status}{UNWANTED}"


def _reasons(seen: Seen, dead_letters: Sequence[DeadLetter], status: SecretStatus) -> Iterator[str]:
    if dead_letters and status in (SecretStatus.IN_SYNC, SecretStatus.WANTS_NONE):
        clear = "--secret" if seen.decision.plan.changes else "--fixed --secret"
        yield (
            "fixed; its dead letter and the alarm stay until you run: "
            f"replicas redrive {clear} {seen.secret.name}"
        )
    for dead_letter in dead_letters:
        yield f"{dead_letter.error_type}: {dead_letter.reason}"
    if not dead_letters:
        for problem in seen.decision.problems:
            yield f"{problem.text} - {problem.remedy}"
    if not dead_letters and seen.decision.plan.add:
        yield f"not requested yet: {seen.blocked_by or 'the function does so at its next attempt'}"
    if seen.decision.plan.wait:
        yield "under way" if seen.blocked_by else "under way: the function checks again"
    for replica in best_by_region(seen.secret.replicas).values():
        said = any(replica.message in dead_letter.reason for dead_letter in dead_letters)
        if replica.status == FAILED and replica.message and not said:
            yield f"{replica.region}: {replica.message}"
    yield from _drift(seen)


def _drift(seen: Seen) -> Iterator[str]:
    for drift in seen.decision.plan.drift:
        where = f"{drift.region}: " if drift.region else ""
        yield f"{where}{wording.of_drift(drift, seen.decision)}"


def _status_of(
    seen: Seen, cells: Sequence[tuple[str, str]], dead_letters: Sequence[DeadLetter]
) -> SecretStatus:
    if seen.decision.skip:
        unselected = seen.decision.skip == "not_selected"
        return SecretStatus.NOT_SELECTED if unselected else SecretStatus.LEFT_ALONE
    desired = {want.region for want in seen.decision.desired.replicas}
    in_sync = all(status == IN_SYNC for region, status in cells if region in desired)
    taken = any(
        replica.status == FAILED and wording.NAME_TAKEN in replica.message
        for replica in best_by_region(seen.secret.replicas).values()
        if replica.region in desired
    )
    if seen.decision.problems or (dead_letters and not in_sync) or taken:
        return SecretStatus.NEEDS_ATTENTION
    if not in_sync:
        return SecretStatus.WAITING
    return SecretStatus.IN_SYNC if desired else SecretStatus.WANTS_NONE
