"""The one exception that stands for "the user can fix this"."""


class OrchardError(Exception):
    """A mistake in the input, the flags or the environment, explained in one line.

    The message says what was wrong, what was received (file, row, value) and what to do.
    Commands print it without a traceback; see `orchard.cli.run`.
    """


class MissingObject(OrchardError):
    """There is no such file or object, where the storage itself is there and answers."""


def in_one_line(error: Exception) -> str:
    r"""What another library says in an error, for a sentence: without line breaks, and not long.

    >>> in_one_line(ValueError("no such node\n  in the graph")), in_one_line(EOFError())
    ('no such node in the graph', 'EOFError')
    """
    return " ".join(str(error).split())[:200] or type(error).__name__
