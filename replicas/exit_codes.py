"""From a command's work to its exit code."""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import ParamSpec

from replicas.aws.errors import AWS_ERRORS, format_error
from replicas.errors import OperatorError
from replicas.terminal import Screen

OK, FAILED, CHANGES, WAITING, STOPPED = 0, 1, 2, 3, 130

P = ParamSpec("P")


def exiting(stopped: str) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Let a command that takes a screen return an exit code however it ends: see `exit_code`."""

    def decorated(run: Callable[P, int]) -> Callable[P, int]:
        @wraps(run)
        def ended(*args: P.args, **kwargs: P.kwargs) -> int:
            screen = next(given for given in (*args, *kwargs.values()) if isinstance(given, Screen))
            return exit_code(lambda: run(*args, **kwargs), screen, stopped)

        return ended

    return decorated


def exit_code(work: Callable[[], int], screen: Screen, stopped: str) -> int:
    """Return what the work returns. Its errors and Ctrl-C are said in a sentence, each."""
    try:
        code = work()
        screen.out.file.flush()
    except OSError as error:
        return not_written(error, screen)
    except OperatorError as error:
        screen.say(str(error))
        return FAILED
    except AWS_ERRORS as error:
        screen.say(format_error(error))
        return FAILED
    except KeyboardInterrupt as interrupt:
        screen.say(stopped)
        return int(getattr(interrupt, "exit_code", STOPPED))
    return code


def not_written(error: OSError, screen: Screen) -> int:
    """Say why the result cannot be written, unless nobody reads it any more, and let nothing try again.

    Return the exit code.
    """
    if not isinstance(error, BrokenPipeError):
        screen.say(f"The result cannot be written ({error.strerror}): make room, or write it elsewhere")
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), screen.out.file.fileno())
    return FAILED
