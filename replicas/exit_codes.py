"""From a command's work to its exit code."""

from collections.abc import Callable

from replicas.errors import OperatorError
from replicas.terminal import Screen

OK, FAILED, CHANGES, WAITING, STOPPED = 0, 1, 2, 3, 130


def exit_code(work: Callable[[], int], screen: Screen, stopped: str) -> int:
    """Return what the work returns. Its errors and Ctrl-C are said in a sentence, each."""
    try:
        return work()
    except OperatorError as error:
        screen.say(str(error))
        return FAILED
    except KeyboardInterrupt:
        screen.say(stopped)
        return STOPPED
