"""What ends a command."""


class OperatorError(Exception):
    """A command cannot do its work: one sentence that says what is wrong, and what to do."""


class NoStackError(OperatorError):
    """There is no stack of this name here."""
