"""The one exception that stands for "the user can fix this"."""


class OrchardError(Exception):
    """A mistake in the input, the flags or the environment, explained in one line.

    The message says what was wrong, what was received (file, row, value) and what to do.
    Commands print it without a traceback; see `orchard.cli.run`.
    """


class MissingObject(OrchardError):
    """There is no such file or object, where the storage itself is there and answers."""
