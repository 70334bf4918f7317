"""`replicas promote`: let replicas stand alone, with nothing but their own Region reachable."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from replicas.aws.held import Held
from replicas.aws.region_secrets import RegionSecrets
from replicas.commands.failover import session
from replicas.commands.failover.session import (
    REAL,
    Surroundings,
    Wording,
    carry_out,
    end,
    journal_file,
    journal_of,
)
from replicas.errors import DeniedError, OperatorError
from replicas.exit_codes import OK
from replicas.failover import journal
from replicas.failover.hold import HOLD_TAG, hold_value, is_held
from replicas.failover.journal import Journal
from replicas.failover.states import short
from replicas.inventory.inventory import require_some
from replicas.options import Access, PromoteOptions
from replicas.terminal import Cell, Column, Moment, Report, Screen, count, counted

SHOWN = 20
MEANING = """\
What it means: a promoted copy follows nobody. Writes and rotation work in {region} from then on, and the old
primary must not be written to: what is written there does not arrive here. There is no call that undoes it;
`replicas rejoin --replica-region {region}` is the way back, and never overwrites a changed value unasked."""


_COLUMNS = (Column("Secret", short=False), Column("Primary"), Column("Version"), Column("Changed (UTC)"))


@dataclass(frozen=True)
class _Promotion:
    """What is to be done, and what is done already."""

    replicas: list[Held]
    not_held: list[Held]
    done: int


@dataclass(frozen=True)
class Result(session.Result):
    """The same, and whether at least it was promoted."""

    promoted: bool = True


def run(options: PromoteOptions, access: Access, screen: Screen, around: Surroundings = REAL) -> int:
    """Promote what is asked for; return the exit code."""
    screen.stopped = (
        "Stopped. What is done is in the journal "
        f"{journal_file(options)}: run it again, and it goes on where it stopped."
    )
    there = around.regions(access, options.writes_per_second)
    log = journal_of(options, around)
    with screen.progress(f"Listing {there.region}") as report:
        promotion = _promotion(options, there, log, report)
    shows = f"`replicas verify --from {options.replica_region}` shows what is there"
    require_some(options.choice, f"replica in {options.replica_region}", shows)
    if not options.as_json:
        _show(options, promotion, screen)
    work = [*promotion.replicas, *promotion.not_held]
    do = partial(_promote, there, log, partial(hold_value, options.reason, now=around.now()))
    wording = Wording(_question(options, promotion), "Nothing was promoted.", "Promoting")
    results = carry_out(options, work, do, wording, screen, around)
    return OK if results is None else _end(options, promotion, results, screen)


def _promotion(options: PromoteOptions, there: RegionSecrets, log: Journal, report: Report) -> _Promotion:
    replicas, not_held, done, promoted = list[Held](), list[Held](), 0, log.promoted()
    for held in counted(there.listed(), report):
        mine = held.is_replica and options.primary_region in (None, held.primary_region)
        known = not held.is_replica and (is_held(held.tags) or held.identity in promoted)
        if not (mine or known) or not options.choice.takes(held):
            continue
        if held.is_replica:
            replicas.append(held)
        elif is_held(held.tags):
            done += 1
        else:
            not_held.append(held)
    return _Promotion(sorted(replicas, key=lambda held: held.name), not_held, done)


def _promote(there: RegionSecrets, log: Journal, tag_value: Callable[[str], str], held: Held) -> Result:
    """Let it stand alone and hold it; every step is in the journal before it is done."""
    known = log.promotion(held.identity)
    home = held.primary_region if held.is_replica or not known else known.primary_region
    try:
        if held.is_replica and known:
            # The list is late, or it follows again since then: it may not be what the journal says.
            with suppress(DeniedError):
                held = there.describe(held.arn) or held
        if held.is_replica:
            with log.step(journal.PROMOTE, held):
                there.promote(held.arn)
    except OperatorError as error:
        log.note(journal.PROMOTE, held, str(error))
        return Result(held.name, str(error), promoted=False)
    return _hold(there, log, held, home, tag_value(home))


def _hold(there: RegionSecrets, log: Journal, held: Held, home: str, value: str) -> Result:
    if is_held(held.tags):
        return Result(held.name)
    try:
        with log.step(journal.HOLD, held, home):
            there.tag(held.arn, HOLD_TAG, value)
    except OperatorError as error:
        log.note(journal.HOLD, held, str(error), primary_region=home)
        return Result(held.name, f"promoted, but not held: {error}")
    return Result(held.name)


def _question(options: PromoteOptions, promotion: _Promotion) -> str:
    hold = f", and hold {len(promotion.not_held):,} promoted before" if promotion.not_held else ""
    return f"Promote {count(len(promotion.replicas), 'replica')} in {options.replica_region}{hold}?"


def _show(options: PromoteOptions, promotion: _Promotion, screen: Screen) -> None:
    shown = promotion.replicas[:SHOWN] if screen.out.is_terminal else promotion.replicas
    if shown:
        screen.table(_COLUMNS, [_line(held) for held in shown])
    if len(shown) < len(promotion.replicas):
        screen.say(f"... and {len(promotion.replicas) - len(shown):,} more.")
    if promotion.replicas:
        seconds = len(promotion.replicas) / options.writes_per_second
        screen.show(
            f"{count(len(promotion.replicas), 'replica')} to promote in {options.replica_region}, "
            f"about {max(1, round(seconds)):,} s at {options.writes_per_second:g} writes a second"
        )
        screen.say(MEANING.format(region=options.replica_region))
    if promotion.not_held:
        secrets = count(len(promotion.not_held), "secret")
        screen.show(f"{secrets} promoted before and not held: to get the tag")
    if promotion.done:
        screen.show(f"{count(promotion.done, 'secret')} standalone and held already")


def _line(held: Held) -> tuple[Cell, ...]:
    return held.name, held.primary_region, short(held.current), Moment(held.last_changed)


def _end(options: PromoteOptions, promotion: _Promotion, results: list[Result], screen: Screen) -> int:
    ended = {result.name: result for result in results}
    secrets = [_entry(held, ended.get(held.name)) for held in [*promotion.replicas, *promotion.not_held]]
    summary = {
        "to_promote": len(promotion.replicas),
        "promoted": sum(result.promoted for result in results),
        "promoted_before": promotion.done,
    }
    return end(options, results, secrets, summary, _account(options, promotion, results), screen)


def _account(options: PromoteOptions, promotion: _Promotion, results: list[Result]) -> str:
    if options.dry_run:
        return f"Dry run: {count(len(promotion.replicas), 'replica')} would be promoted, nothing was written"
    promoted = sum(result.promoted for result in results)
    problems = [result for result in results if result.problem]
    text = f"Promoted: {promoted:,}, {promotion.done:,} before, {len(problems):,} with a problem"
    if not_held := sum(result.promoted for result in problems):
        text += f" ({not_held:,} promoted, but not held: run it again)"
    return text


def _entry(held: Held, result: Result | None) -> dict[str, Any]:
    """Return the secret as JSON has it; without a result it is not promoted yet."""
    return {
        "primary_region": held.primary_region or None,
        "name": held.name,
        "arn": held.arn,
        "status": "promoted" if result and result.promoted else "not promoted",
        "why": result.problem or None if result else None,
    }
