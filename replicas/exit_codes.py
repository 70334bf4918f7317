"""From a command's work to its exit code."""

import os
from collections.abc import Callable
from contextlib import suppress

from replicas.aws.errors import AWS_ERRORS, format_error
from replicas.errors import OperatorError
from replicas.terminal import Screen

OK, FAILED, CHANGES, WAITING, STOPPED = 0, 1, 2, 3, 130


def exit_code(work: Callable[[], int], screen: Screen) -> int:
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
        screen.say(screen.stopped)
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
