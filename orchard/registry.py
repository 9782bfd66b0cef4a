"""Registries: how a new file becomes a choice of a flag.

    CHECKS: Registry[Check] = Registry("check", package="my_package.checks")

    @CHECKS.register("sharpness")
    class Sharpness: ...

A registry's own members are the modules of one folder, imported when it is first asked; a user's
own come from the modules that `--plugins` names.
"""

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from orchard.errors import OrchardError
from orchard.plugins import import_plugins

Member = TypeVar("Member")


class Registry(Generic[Member]):
    """Members by name, in the order of their registration.

    Args:
        kind: what a member is called in messages, such as "metric".
        package: dotted name of the folder whose modules register the members that come with us.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._members: dict[str, Member] = {}
        self._loaded = False
        self._loading = threading.RLock()

    def register(self, name: str) -> Callable[[Member], Member]:
        """A decorator that makes its class or function the member `name`.

        Raises:
            OrchardError: there is another member of that name.
        """

        def add(member: Member) -> Member:
            if name in self._members:
                raise OrchardError(
                    f"the {self.kind} {name!r} is registered twice; give yours another name"
                )
            self._members[name] = member
            return member

        return add

    def names(self) -> tuple[str, ...]:
        """All names, those that come with us first."""
        self._load()
        return tuple(self._members)

    def __getitem__(self, name: str) -> Member:
        """The member of that name.

        Raises:
            OrchardError: there is none.
        """
        self._load()
        if name not in self._members:
            raise OrchardError(
                f"{name!r} is no {self.kind}; choose one of {', '.join(self._members)}, or name "
                "the module that registers it in --plugins"
            )
        return self._members[name]

    def __contains__(self, name: str) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def items(self) -> tuple[tuple[str, Member], ...]:
        """(name, member) of all."""
        self._load()
        return tuple(self._members.items())

    def _load(self) -> None:
        # Threads that ask at the same time wait until all is there; the one that loads comes here
        # again where a module that it imports asks the registry.
        with self._loading:
            if self._loaded:
                return
            self._loaded = True
            plugins, self._members = self._members, {}
            folder = importlib.import_module(self._package)
            for module in sorted(pkgutil.iter_modules(folder.__path__), key=lambda one: one.name):
                importlib.import_module(f"{self._package}.{module.name}")
            for name, member in plugins.items():
                self.register(name)(member)
            # A module of ours that somebody imported before was taken for a plug-in's.
            self._members = dict(sorted(self._members.items(), key=self._place))
            import_plugins()  # In a worker process nobody has.

    def _place(self, item: tuple[str, Member]) -> tuple[bool, str]:
        """Sorts what our modules registered by their names, and before all else."""
        module = getattr(item[1], "__module__", "")
        ours = module.startswith(f"{self._package}.")
        return not ours, module if ours else ""
