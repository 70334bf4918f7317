"""What can stop the local system: one sentence for the person who started it."""


class LocalError(Exception):
    """Something is missing or broke: the text says what, and what to do. Shown without a traceback."""
