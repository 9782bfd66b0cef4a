"""`--plugins`: a user's own modules, which add to registries what the flags then offer."""

import importlib
import os
from collections.abc import Iterable

from orchard.errors import OrchardError, in_one_line

# Worker processes inherit it: their registries import the modules when they are first asked.
_VARIABLE = "ORCHARD_PLUGINS"


def use_plugins(modules: Iterable[str]) -> None:
    """Import these modules, here and in processes that this one starts from now on.

    Raises:
        OrchardError: one cannot be imported.
    """
    os.environ[_VARIABLE] = ",".join(modules)
    import_plugins()


def plugin_names() -> tuple[str, ...]:
    """The modules that this process uses, for one on another machine to use them, too."""
    return tuple(filter(None, os.environ.get(_VARIABLE, "").split(",")))


def import_plugins() -> None:
    """Import the modules that this process, or the one that started it, was to use.

    Raises:
        OrchardError: one cannot be imported.
    """
    for name in plugin_names():
        try:
            importlib.import_module(name)
        except OrchardError:
            raise
        except Exception as error:
            reason = in_one_line(error)
            raise OrchardError(
                f"--plugins={name} cannot be imported ({type(error).__name__}: {reason}); name a "
                f"module that `python -c 'import {name}'` imports here"
            ) from error
