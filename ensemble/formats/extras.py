"""Packages that only some formats need."""

import importlib.util

from orchard.errors import OrchardError


def need(*modules: str, flag: str, extra: str) -> None:
    """Raise OrchardError where a module is not installed.

    Args:
        *modules: their names.
        flag: the format that needs them.
        extra: of this package that brings them.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise OrchardError(
            f"--formats={flag} needs {missing[0]}, which is not installed; install it with "
            f"pip install '.[{extra}]', or drop the format"
        )
