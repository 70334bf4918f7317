"""`replicas redrive`: what is asked, what is shown, what is answered."""

from collections.abc import Sequence
from math import inf

from replicas.aws.connection import connect, default_stack, find_parts
from replicas.aws.dead_letters import (
    HIDDEN_SECONDS,
    NO_SECRETS,
    DeadLetter,
    Queues,
    choose,
    clear,
    format_hidden,
    read_and_count,
    redrive,
    secret_name,
)
from replicas.aws.deployment import Deployment, deployments
from replicas.errors import OperatorError
from replicas.exit_codes import FAILED, OK
from replicas.inventory.inventory import Reading, format_calls, patiently, require_all_read, seen_as
from replicas.inventory.secret_status import SecretStatus, alike, row
from replicas.options import RedriveOptions, StackOptions
from replicas.terminal import Column, Moment, Screen, count
from secret_replicator.errors import AccessDeniedError, RefusedError, SecretNotFoundError

_COLUMNS = (
    Column("Secret", short=False),
    Column("Error type"),
    Column("Attempts", right=True, labelled=True),
    Column("Since (UTC)", labelled=True),
    Column("Reason", short=False, below=True),
)


def run(options: RedriveOptions, at: StackOptions, screen: Screen) -> int:
    """Redrive what is asked for; return the exit code."""
    screen.stopped = "Stopped. Nothing is lost: --dry-run shows the dead letters that are still there."
    if options.fixed:
        return _clear_fixed(options, at, screen)
    parts = find_parts(connect(at.access), at.stack or default_stack())
    return redrive_as_asked(options, parts.queues, screen)


def _clear_fixed(options: RedriveOptions, at: StackOptions, screen: Screen) -> int:
    """Delete the dead letters of secrets that are in their place now; return the exit code."""
    (deployment,) = deployments(at.scope, deployed_first=True)
    if not (queues := deployment.queues):
        raise OperatorError("Nothing is deployed there, so there are no dead letters: name the stack")
    found, unread = _read(options, queues, screen)
    dead_letters = choose(found, options.secrets, options.error_types)
    secrets = {dead_letter.secret for dead_letter in dead_letters} - NO_SECRETS
    reading = Reading(hidden_dead_letters=unread)
    fixed = {secret for secret in secrets if _is_fixed(deployment, secret, reading)}
    chosen = [dead_letter for dead_letter in dead_letters if dead_letter.secret in fixed]
    if chosen and not options.as_json:
        show_dead_letters(screen, chosen)
    about = f"{count(len(chosen), 'dead letter')} of secrets that are in their place"
    wished = bool(chosen) and not options.dry_run and (options.yes or screen.ask(f"Delete {about}?"))
    cleared = clear(queues, chosen, lambda _: None) if wished else 0
    if options.as_json:
        _print_json(chosen, 0, screen, cleared=cleared)
    screen.say(f"Cleared {cleared} of {about}; {len(dead_letters) - len(chosen)} kept.")
    require_all_read([reading])
    return FAILED if wished and cleared < len(chosen) else OK


def _is_fixed(deployment: Deployment, name: str, reading: Reading) -> bool:
    """Tell whether AWS, asked now, reports the secret InSync in every Region it must be in.

    What may not be seen is noted.
    """
    with format_calls():
        try:
            secret = patiently(deployment, lambda: deployment.gateway.describe(name, inf))
        except AccessDeniedError:
            reading.unread.append(secret_name(name))
            return False
        except (SecretNotFoundError, RefusedError):
            return False
    seen = seen_as(deployment, secret)
    status = row(seen, []).status
    return status in (SecretStatus.IN_SYNC, SecretStatus.WANTS_NONE) and not seen.decision.plan.changes


def redrive_as_asked(options: RedriveOptions, queues: Queues, screen: Screen) -> int:
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


def _read(options: RedriveOptions, queues: Queues, screen: Screen) -> tuple[list[DeadLetter], int]:
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


def _require_chosen(options: RedriveOptions, dead_letters: Sequence[DeadLetter]) -> None:
    """Raise OperatorError for what was named and is not there: a success of nothing hides a typo."""
    error_types = options.error_types
    of_type = f" with the error type {' or '.join(error_types)}" if error_types else ""
    if missing := [name for name in options.secrets if not choose(dead_letters, [name], error_types)]:
        there = (
            f"`replicas redrive --dry-run` shows all {len(dead_letters)}"
            if dead_letters
            else "there is none at all"
        )
        raise OperatorError(
            f"No dead letter{of_type} is about {' or '.join(missing)}, and nothing was done: {there}"
        )
    if dead_letters and not choose(dead_letters, (), error_types):
        types = ", ".join(sorted({dead_letter.error_type for dead_letter in dead_letters}))
        raise OperatorError(
            f"No dead letter has the error type {' or '.join(error_types)}, and nothing was done: "
            f"there are {types}"
        )


def _is_wished(options: RedriveOptions, chosen: Sequence[DeadLetter], screen: Screen) -> bool:
    if not chosen or options.dry_run:
        return False
    if options.yes or screen.ask(f"Move {count(len(chosen), 'dead letter')} into the ReplicationQueue?"):
        return True
    screen.say("Nothing was moved.")
    return False


def _move(options: RedriveOptions, queues: Queues, chosen: Sequence[DeadLetter], screen: Screen) -> int:
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
            screen.say(f"Moved {done} of {count(len(chosen), 'dead letter')} until it was stopped.")
    return done


def _report(moved: int, chosen: int, screen: Screen) -> int:
    screen.say(
        f"Moved {moved} of {count(chosen, 'dead letter')}. What is not fixed comes back with its reason."
    )
    if moved == chosen:
        return OK
    screen.say(
        f"{count(chosen - moved, 'dead letter')} could not be moved: gone, or hidden because somebody else "
        f"reads them. Run it again in {HIDDEN_SECONDS // 60} minutes."
    )
    return FAILED


def show_dead_letters(screen: Screen, dead_letters: Sequence[DeadLetter]) -> None:
    """Print a line for each secret and reason."""
    rows = [
        (
            f"{oldest.name} ({1 + len(more)} times)" if more else oldest.name,
            oldest.error_type,
            "-" if oldest.attempts is None else str(oldest.attempts),
            Moment(oldest.since),
            oldest.reason,
        )
        for oldest, *more in alike(dead_letters)
    ]
    screen.table(_COLUMNS, rows)


def _print_json(dead_letters: Sequence[DeadLetter], moved: int, screen: Screen, cleared: int = 0) -> None:
    summary = {"dead_letters": len(dead_letters), "moved": moved, "cleared": cleared}
    screen.write_json(
        {"dead_letters": [dead_letter.entry() for dead_letter in dead_letters], "summary": summary}
    )
