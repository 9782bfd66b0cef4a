"""The options of all members of a registry as one flat value: a new member brings its own flags.

EFFECTS: Registry[type[Effect]] = Registry("effect", package="my_package.effects")

@EFFECTS.register("blur")
@dataclass(frozen=True, kw_only=True)
class Blur(Effect):  # Effect is a subclass of Options.
blur_px: float = option(0.0, "Radius.")

@dataclass(frozen=True, init=False, repr=False)
class EffectOptions(RegistryOptions[Effect]):
registry = EFFECTS

EffectOptions(blur_px=2).blur_px, EffectOptions()[Blur]
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from orchard.errors import OrchardError
from orchard.flags import Flag, Options
from orchard.registry import Registry

Member = TypeVar("Member", bound=Options)
Kind = TypeVar("Kind", bound=Options)
Built = TypeVar("Built", bound="RegistryOptions")


@dataclass(frozen=True, init=False, repr=False)
class RegistryOptions(Generic[Member], Options):
    """One value of each member's class, and the fields of all of them as attributes.

    Attributes:
        members: a value of each class in the registry, in the order of `ordered`.
    """

    registry: ClassVar[Registry[type[Any]]]

    members: tuple[Member, ...]

    def __init__(self, members: tuple[Member, ...] = (), **values: Any) -> None:
        """Take defaults, but for `values` by the names of their fields.

        Args:
            members: what other values are taken from, so that `dataclasses.replace` changes one.
            **values: of fields.

        Raises:
            OrchardError: a value is impossible, or no member has such a field.
        """
        given = {name: value for member in members for name, value in vars(member).items()} | values
        classes = self.ordered()
        built = tuple(
            kind(**{f.name: given.pop(f.name) for f in dataclasses.fields(kind) if f.name in given})
            for kind in classes
        )
        if given:
            raise OrchardError(
                f"--{next(iter(given))} is an option of no {self.registry.kind}; correct it, or "
                "name the module that brings it in --plugins"
            )
        object.__setattr__(self, "members", built)

    @classmethod
    def ordered(cls) -> tuple[type[Member], ...]:
        """The registry's classes, in the order that their flags are listed in."""
        return tuple(kind for _, kind in cls.registry.items())

    @classmethod
    def flag_fields(cls) -> tuple[Flag, ...]:
        """The flags of all members."""
        return tuple(flag for kind in cls.ordered() for flag in kind.flag_fields())

    @classmethod
    def of_flags(cls: type[Built], values: Mapping[str, Any]) -> Built:
        """The inverse of `flags`."""
        return cls(**{flag.field: values[flag.name] for flag in cls.flag_fields()})

    def flags(self) -> dict[str, Any]:
        """The value of every flag by name."""
        return {name: value for member in self.members for name, value in member.flags().items()}

    def __getitem__(self, kind: type[Kind]) -> Kind:
        """The value of one member's class."""
        return next(member for member in self.members if isinstance(member, kind))

    def __getattr__(self, name: str) -> Any:
        # Not for `members`: copy and pickle ask before there are any.
        for member in self.members if not name.startswith("_") and name != "members" else ():
            if name in member.__dataclass_fields__:
                return getattr(member, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __repr__(self) -> str:
        changed = [
            f"{f.name}={getattr(member, f.name)!r}"
            for member in self.members
            for f in dataclasses.fields(member)
            if getattr(member, f.name) != f.default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"
