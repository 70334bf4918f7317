"""What ends a command."""


class OperatorError(Exception):
    """A command cannot do its work: one sentence that says what is wrong, and what to do."""


class DeniedError(OperatorError):
    """AWS denies a call, perhaps for this secret alone."""


class NoStackError(OperatorError):
    """There is no stack of this name here, or none that has outputs."""
