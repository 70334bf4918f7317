"""`replicas redrive`: what is asked, what is shown, what is answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from replicas.aws.connection import connect, default_stack, find_parts
from replicas.aws.dead_letters import (
    HIDDEN_SECONDS,
    DeadLetter,
    Queues,
    choose,
    clear,
    format_hidden,
    read_and_count,
    redrive,
)
from replicas.aws.deployment import Deployment, deployments
from replicas.errors import OperatorError
from replicas.exit_codes import FAILED, OK, exit_code
from replicas.inventory.inventory import format_calls, patiently, seen_as
from replicas.inventory.secret_status import SecretStatus, row
from replicas.options import Access, Where
from replicas.terminal import Cell, Column, Moment, Screen, count
from secret_replicator.errors import AccessDeniedError, RefusedError, SecretNotFoundError

_COLUMNS = (
    Column("Secret", short=False),
    Column("Error type"),
    Column("Attempts", right=True, labelled=True),
    Column("Since (UTC)", labelled=True),
    Column("Reason", short=False, below=True),
)


@dataclass(frozen=True)
class Options:
    """What the command line asks of a redrive."""

    secrets: Sequence[str] = ()
    error_types: Sequence[str] = ()
    yes: bool = False
    dry_run: bool = False
    as_json: bool = False
    fixed: bool = False


def run(options: Options, stack: str | None, access: Access, screen: Screen) -> int:
    """Redrive what is asked for; return the exit code."""
    stopped = "Stopped. Nothing is lost: --dry-run shows the dead letters that are still there."
    work = _clear_fixed if options.fixed else _run
    return exit_code(lambda: work(options, stack, access, screen), screen, stopped)


def _run(options: Options, stack: str | None, access: Access, screen: Screen) -> int:
    connection = connect(access)
    return redrive_as_asked(options, find_parts(connection, stack or default_stack()).queues, screen)


def _clear_fixed(options: Options, stack: str | None, access: Access, screen: Screen) -> int:
    """Delete the dead letters of secrets that are in their place now; return the exit code."""
    regions, profiles = ([value] if value else None for value in (access.region, access.profile))
    where = Where(
        stack=stack,
        regions=regions,
        profiles=profiles,
        local=access.local,
        endpoint_url=access.endpoint_url,
    )
    (deployment,) = deployments(where, deployed_first=True)
    if not (queues := deployment.queues):
        raise OperatorError("Nothing is deployed there, so there are no dead letters: name the stack")
    found, unread = _read(options, queues, screen)
    dead_letters = choose(found, options.secrets, options.error_types)
    secrets = {dead_letter.secret for dead_letter in dead_letters}
    fixed = {secret for secret in secrets if _is_fixed(deployment, secret)}
    chosen = [dead_letter for dead_letter in dead_letters if dead_letter.secret in fixed]
    if chosen and not options.as_json:
        show_dead_letters(screen, chosen)
    wished = bool(chosen) and not options.dry_run
    if wished and not options.yes:
        wished = screen.ask(f"Delete {_dead_letters(len(chosen))} of secrets that are in their place?")
    cleared = clear(queues, chosen, lambda _: None) if wished else 0
    if options.as_json:
        _print_json(chosen, 0, screen, cleared=cleared)
    left = len(dead_letters) - len(chosen)
    screen.say(
        f"Cleared {cleared} of {_dead_letters(len(chosen))} of secrets that are in their place; {left} kept."
    )
    return _with_unread(unread, FAILED if wished and cleared < len(chosen) else OK, screen)


def _is_fixed(deployment: Deployment, name: str) -> bool:
    """Tell whether AWS, asked now, reports the secret InSync in every Region it must be in."""
    with format_calls():
        try:
            secret = patiently(deployment, lambda: deployment.gateway.describe(name, inf))
        except (SecretNotFoundError, AccessDeniedError, RefusedError):
            return False
    seen = seen_as(deployment, secret)
    todo = seen.decision.plan
    return row(seen, []).status in (SecretStatus.IN_SYNC, SecretStatus.WANTS_NONE) and not todo.changes


def redrive_as_asked(options: Options, queues: Queues, screen: Screen) -> int:
    """Show the dead letters, move them if that is wished, return the exit code. Raise as `redrive` does."""
    dead_letters, unread = _read(options, queues, screen)
    chosen = choose(dead_letters, options.secrets, options.error_types)
    if not dead_letters and not unread:
        screen.say("There are no dead letters.")
    if chosen and not options.as_json:
        show_dead_letters(screen, chosen)
    moved = _move(options, queues, chosen, screen) if _is_wished(options, chosen, screen) else None
    if options.as_json:
        _print_json(chosen, moved or 0, screen)
    code = OK if moved is None else _report(moved, len(chosen), screen)
    return _with_unread(unread, code, screen)


def _read(options: Options, queues: Queues, screen: Screen) -> tuple[list[DeadLetter], int]:
    """Return the dead letters, and how many somebody else reads; raise OperatorError for a typo."""
    with screen.progress("Reading the dead letters") as report:
        found, unread = read_and_count(queues, report)
    if not unread:
        _require_chosen(options, found)
    return found, unread


def _with_unread(unread: int, code: int, screen: Screen) -> int:
    """Say how many dead letters somebody else reads; return the exit code."""
    if not unread:
        return code
    screen.say(format_hidden(unread))
    return FAILED


def _require_chosen(options: Options, dead_letters: Sequence[DeadLetter]) -> None:
    """Raise OperatorError for what was named and is not there: a success of nothing hides a typo."""
    missing = [name for name in options.secrets if not choose(dead_letters, [name], options.error_types)]
    if missing:
        of_type = f" with the error type {' or '.join(options.error_types)}" if options.error_types else ""
        there = (
            f"`replicas redrive --dry-run` shows all {len(dead_letters)}"
            if dead_letters
            else "there is none at all"
        )
        raise OperatorError(
            f"No dead letter{of_type} is about {' or '.join(missing)}, and nothing was done: {there}"
        )
    if options.error_types and dead_letters and not choose(dead_letters, (), options.error_types):
        types = ", ".join(sorted({dead_letter.error_type for dead_letter in dead_letters}))
        raise OperatorError(
            f"No dead letter has the error type {' or '.join(options.error_types)}, and nothing was done: "
            f"there are {types}"
        )


def _is_wished(options: Options, chosen: Sequence[DeadLetter], screen: Screen) -> bool:
    if not chosen or options.dry_run:
        return False
    if options.yes or screen.ask(f"Move {_dead_letters(len(chosen))} into the ReplicationQueue?"):
        return True
    screen.say("Nothing was moved.")
    return False


def _move(options: Options, queues: Queues, chosen: Sequence[DeadLetter], screen: Screen) -> int:
    everything = not (options.secrets or options.error_types)
    done, finished = 0, False
    try:
        with screen.progress("Moving", len(chosen)) as report:

            def note(moved: int) -> None:
                nonlocal done
                done = moved
                report(moved)

            done = redrive(queues, chosen, note, everything=everything)
            finished = True
    finally:
        if not finished:
            screen.say(f"Moved {done} of {_dead_letters(len(chosen))} until it was stopped.")
    return done


def _report(moved: int, chosen: int, screen: Screen) -> int:
    screen.say(f"Moved {moved} of {_dead_letters(chosen)}. What is not fixed comes back with its reason.")
    if moved == chosen:
        return OK
    screen.say(
        f"{_dead_letters(chosen - moved)} could not be moved: gone, or hidden because somebody else reads "
        f"them. Run it again in {HIDDEN_SECONDS // 60} minutes."
    )
    return FAILED


def show_dead_letters(screen: Screen, dead_letters: Sequence[DeadLetter]) -> None:
    """Print a line for each secret and reason: each sweep writes a dead letter for what is still wrong."""
    alike: dict[tuple[str, str, str], list[DeadLetter]] = {}
    for dead_letter in dead_letters:
        alike.setdefault((dead_letter.name, dead_letter.error_type, dead_letter.reason), []).append(
            dead_letter
        )
    screen.table(_COLUMNS, [_row(same[0], len(same)) for same in alike.values()])


def _row(dead_letter: DeadLetter, times: int) -> tuple[Cell, ...]:
    return (
        f"{dead_letter.name} ({times} times)" if times > 1 else dead_letter.name,
        dead_letter.error_type,
        "-" if dead_letter.attempts is None else str(dead_letter.attempts),
        Moment(dead_letter.since),
        dead_letter.reason,
    )


def _print_json(dead_letters: Sequence[DeadLetter], moved: int, screen: Screen, cleared: int = 0) -> None:
    summary = {"dead_letters": len(dead_letters), "moved": moved, "cleared": cleared}
    screen.write_json(
        {"dead_letters": [dead_letter.entry() for dead_letter in dead_letters], "summary": summary}
    )


def _dead_letters(number: int) -> str:
    return count(number, "dead letter")
