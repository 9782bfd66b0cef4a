"""Doors: packages that import what they export when it is first asked for.

A package's `__init__.py` lists its exports as imports for the type checker, and in `__all__`:

    from typing import TYPE_CHECKING

    from orchard.lazy import attach

    if TYPE_CHECKING:
        from trainer.optim.schedules import Schedule

    __all__ = ["Schedule"]
    __getattr__, __dir__ = attach(__name__)

`from trainer.optim import Schedule` then imports `trainer.optim.schedules` and nothing else: a
module that needs no TensorFlow does not import it because of a neighbor that does.
"""

import ast
import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType


def attach(package: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` (PEP 562) of a package, from its block `if TYPE_CHECKING:`.

    Args:
        package: the `__name__` of the package that is being imported.
    """
    module = sys.modules[package]
    source = inspect.getsource(module)
    origins = _origins(ast.parse(source), package)

    def get_attribute(name: str) -> object:
        if name not in origins:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(origins[name]), name)
        setattr(module, name, value)
        return value

    return get_attribute, lambda: sorted({*vars(module), *module.__all__})


def _origins(tree: ast.Module, package: str) -> dict[str, str]:
    """The module that defines each exported name; submodules are imported without our help."""
    return {
        alias.name: statement.module
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        if statement.module and statement.module != package
        for alias in statement.names
    }


class _LazyModule(ModuleType):
    """Stands for a module until one of its attributes is asked for."""

    def __getattr__(self, name: str) -> object:
        return getattr(importlib.import_module(self.__name__), name)


def lazy_import(name: str) -> ModuleType:
    """A module that is imported when it is first used, as TensorFlow is in files of options.

    if TYPE_CHECKING:
        import tensorflow as tf
    else:
        tf = lazy_import("tensorflow")
    """
    return _LazyModule(name)
