"""Flags from dataclasses: a field and its help are a flag, and parsed flags come back as a value.

    @dataclass(frozen=True, kw_only=True)
    class ReadOptions(Options, group="data"):
        dataset: str = required("Dataset directory: DATA_DIR/NAME/VERSION.")
        threads: int = option(0, "Decoding threads; 0: one a core.", at_least=0)

    def main() -> None:
        options = flags.build(ReadOptions)

    cli.run(main, ReadOptions)  # Defines --dataset and --threads, parses them, calls main.

Such a value is valid once it is built, by a command or in Python: `Options` checks types, choices
and ranges, and subclasses refuse contradictions in `check`. A config is made of the options of the
rooms by inheriting from them (a `TrainConfig` is a `ReadOptions`), so each room takes its own class
and knows nothing of the config.
"""

import dataclasses
import enum
import math
import operator
import os
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from absl import flags

from orchard.errors import OrchardError
from orchard.plugins import use_plugins

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_LINE_BREAK = re.compile(r"[\r\n]")
_REQUIRED: Any = object()


class Kind(enum.Enum):
    """What a flag has to do with the result.

    RESULT: it alters the result by itself. RESOLVED: by what it comes to with other flags (8 images
    on each of 2 replicas are 16). BOOKKEEPING: not at all; it may differ when work is resumed.
    """

    RESULT = "result"
    RESOLVED = "resolved"
    BOOKKEEPING = "bookkeeping"


@dataclass(frozen=True)
class Flag:
    """One flag of a dataclass.

    Attributes:
        name: of the flag, without dashes.
        field: of the dataclass: the same, or with a unit (`short_side_px` is --short_side).
        type: str, int, float, bool, tuple (of str) or an enum.
        default: None for "not given" where the field may be None.
        help: one or more sentences.
        group: the headline that it stands under.
        kind: what it has to do with the result.
        choices: what it may be; empty: anything. A registry, or a function, is asked when the
            choices are needed: by then the modules of --plugins are imported.
        at_least: smallest number allowed.
        at_most: largest number allowed.
        above: all numbers above this are allowed.
        below: all numbers below this are allowed.
        common: one of the few that nearly everybody needs; --help begins with them.
        multiline: a text may have line breaks, which no path that is passed on should have.
        is_required: it has no default.
        is_optional: the field may be None.
    """

    name: str
    field: str
    type: type
    default: Any
    help: str
    group: str
    kind: Kind = Kind.RESULT
    choices: Iterable[str] | Callable[[], Iterable[str]] = ()
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    common: bool = False
    multiline: bool = False
    is_required: bool = False
    is_optional: bool = False

    @property
    def allowed(self) -> tuple[str, ...]:
        """The choices of now; empty: anything."""
        if issubclass(self.type, enum.Enum):
            return tuple(str(member.value) for member in self.type)
        return tuple(self.choices() if callable(self.choices) else self.choices)

    @property
    def described(self) -> str:
        """Help and choices."""
        choices = "|".join(choice for choice in self.allowed if choice)
        return f"{self.help} {choices}." if choices else self.help

    @property
    def default_text(self) -> str:
        """The default as one would type it; empty: none."""
        if isinstance(self.default, tuple):
            return ",".join(self.default)
        if isinstance(self.default, bool):
            return str(self.default).lower()
        value = self.default.value if isinstance(self.default, enum.Enum) else self.default
        return "" if value in (None, _REQUIRED) else str(value)

    def checked(self, value: Any) -> Any:
        """The value in its one form: a path as text, a list as a tuple, a whole float as a float.

        Raises:
            OrchardError: it is of another type, no choice, or out of range.
        """
        if self.is_optional and value is None:
            return None
        value = self._converted(value)
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        if isinstance(value, str | tuple) and _SURROGATE.search(text):
            # Undecodable bytes of the command line arrive as lone surrogates (PEP 383).
            raise OrchardError(
                f"--{self.name}={text!r} is not UTF-8; rename it, or run in a locale of UTF-8, "
                "such as LC_ALL=C.UTF-8"
            )
        if isinstance(value, str | tuple) and not self.multiline and _LINE_BREAK.search(text):
            raise OrchardError(
                f"--{self.name}={text!r} has a line break; remove it, or rename what it names"
            )
        if isinstance(value, str) and (allowed := self.allowed) and value not in allowed:
            names = ", ".join(choice for choice in allowed if choice)
            raise OrchardError(f"--{self.name}={value}: choose one of {names}")
        if type(value) in (int, float) and not self._in_range(value):
            raise OrchardError(f"--{self.name}={value}: choose a number {self._range()}")
        return value

    def _converted(self, value: Any) -> Any:
        if self.type is str and isinstance(value, os.PathLike):
            return os.fspath(value)
        if self.type is tuple and isinstance(value, list | tuple):
            if all(isinstance(item, str | os.PathLike) for item in value):
                return tuple(os.fspath(item) for item in value)
        elif issubclass(self.type, enum.Enum):
            values = {str(member.value): member for member in self.type}
            found = values.get(value) if isinstance(value, str) else value
            if isinstance(found, self.type):
                return found
            raise OrchardError(f"--{self.name}={value}: choose one of {', '.join(values)}")
        elif self.type in (int, float):
            try:
                if not isinstance(value, bool | str):
                    return operator.index(value) if self.type is int else float(value)
            except (TypeError, ValueError):
                pass
        elif isinstance(value, self.type):
            return value
        raise OrchardError(f"--{self.name}={value!r}: {_TYPE_NAMES[self.type]} is needed")

    def _in_range(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def _range(self) -> str:
        if self.at_least is not None and self.at_most is not None:
            return f"from {self.at_least} to {self.at_most}"
        bounds = (
            ("of at least", self.at_least),
            ("above", self.above),
            ("below", self.below),
            ("of at most", self.at_most),
        )
        found = [f"{words} {bound}" for words, bound in bounds if bound is not None]
        return " and ".join(found) or "that is finite"


_TYPE_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "a list of texts",
}


def option(default: Any, help: str, *, group: str = "", name: str = "", **more: Any) -> Any:
    """A dataclass field that is a flag.

    Args:
        default: of field and flag.
        help: one or more sentences that say what it does.
        group: the headline that it stands under; default: that of its class.
        name: of the flag, where it is not the field's.
        **more: kind, choices, at_least, at_most, above, below, common, multiline; see `Flag`.
    """
    return dataclasses.field(default=default, metadata=_metadata(help, group, name, more))


def required(help: str, *, group: str = "", common: bool = True, **more: Any) -> dict[str, Any]:
    """The metadata of a field that must be given: `csv: str = field(metadata=required("..."))`.

    It is not the field itself, so that type checkers see that there is no default.
    """
    return _metadata(help, group, "", {"common": common, **more})


def _metadata(help: str, group: str, name: str, more: dict[str, Any]) -> dict[str, Any]:
    return {"flag": {"help": help, "group": group, "name": name, **more}}


Built = TypeVar("Built", bound="Options")
Selected = TypeVar("Selected", bound="DataclassInstance")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of all configs and options: frozen dataclasses whose fields are flags.

    A field whose type is a subclass of `Options` is nested: its flags are as flat as the others.

    Attributes:
        GROUPS: groups in the order that --help shows them in; others follow as they come.
    """

    GROUPS: ClassVar[tuple[str, ...]] = ()
    _group: ClassVar[str]

    def __init_subclass__(cls, group: str = "flags") -> None:
        cls._group = group

    def __post_init__(self) -> None:
        own = _own_flags(type(self))
        missing = self.missing_flags()
        if len(missing) == 1:
            raise OrchardError(f"--{missing[0].name} is required: {missing[0].help}")
        if missing:
            *names, last = (f"--{flag.name}" for flag in missing)
            raise OrchardError(f"{', '.join(names)} and {last} are required; see --help")
        for flag in own:
            object.__setattr__(self, flag.field, flag.checked(getattr(self, flag.field)))
        self.check()

    def missing_flags(self) -> list["Flag"]:
        """The flags that must be given and were not; a subclass adds its own."""
        own = _own_flags(type(self))
        return [f for f in own if f.is_required and getattr(self, f.field) in ("", (), [])]

    def check(self) -> None:
        """Refuse what contradicts itself; a subclass calls `super().check()` first.

        Raises:
            OrchardError: it does.
        """

    @classmethod
    def flag_fields(cls) -> tuple[Flag, ...]:
        """All flags, those of nested options included, in the order of their declaration."""
        return (
            *_own_flags(cls),
            *(f for kind in _nested(cls).values() for f in kind.flag_fields()),
        )

    def flags(self) -> dict[str, Any]:
        """The value of every flag by name."""
        values = {flag.name: getattr(self, flag.field) for flag in _own_flags(type(self))}
        for name in _nested(type(self)):
            values |= getattr(self, name).flags()
        return values

    @classmethod
    def of_flags(cls: type[Built], values: Mapping[str, Any]) -> Built:
        """The inverse of `flags`; names that are no flag of this class are passed over."""
        arguments = {flag.field: values[flag.name] for flag in _own_flags(cls)}
        nested = {name: kind.of_flags(values) for name, kind in _nested(cls).items()}
        return cls(**arguments, **nested)


_FLAGS: dict[type, tuple[Flag, ...]] = {}  # Of each class; it takes a millisecond to find out.


def _own_flags(cls: type[Options]) -> tuple[Flag, ...]:
    if cls not in _FLAGS:
        types_by_field = typing.get_type_hints(cls)
        _FLAGS[cls] = tuple(
            _flag(cls, field, types_by_field[field.name])
            for field in _in_order(cls)
            if "flag" in field.metadata
        )
    return _FLAGS[cls]


def _in_order(cls: type[Options]) -> list[dataclasses.Field]:
    """The fields in the order of the bases, left to right, and the class's own at the end."""
    bases = [*cls.__mro__[1:], cls]
    owners = {
        name: at
        for at, base in reversed(list(enumerate(bases)))
        for name in vars(base).get("__annotations__", {})
    }
    return sorted(dataclasses.fields(cls), key=lambda field: owners[field.name])


def _flag(cls: type[Options], field: dataclasses.Field, hint: Any) -> Flag:
    described = dict(field.metadata["flag"])
    arguments = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
    is_optional = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kind = arguments[0] if is_optional else hint
    is_required = field.default is dataclasses.MISSING
    described["name"] = described["name"] or field.name
    described["group"] = described["group"] or next(
        base._group
        for base in cls.__mro__
        if issubclass(base, Options) and field.name in vars(base).get("__annotations__", {})
    )
    return Flag(
        field=field.name,
        type=typing.get_origin(kind) or kind,
        default=_REQUIRED if is_required else field.default,
        is_required=is_required,
        is_optional=is_optional,
        **described,
    )


def _nested(cls: type[Options]) -> dict[str, type[Options]]:
    hints = typing.get_type_hints(cls)
    return {
        field.name: hints[field.name]
        for field in _in_order(cls)
        if isinstance(hints[field.name], type) and issubclass(hints[field.name], Options)
    }


def select(kind: type[Selected], source: object, **more: Any) -> Selected:
    """Options of a class from the attributes of the same names that another object has.

    Args:
        kind: the class to build.
        source: has the values, such as a config.
        **more: fields that `source` does not have.
    """
    names = [field.name for field in dataclasses.fields(kind) if field.name not in more]
    return kind(**{name: getattr(source, name) for name in names if hasattr(source, name)}, **more)


def define(*classes: type[Options], values: flags.FlagValues = flags.FLAGS) -> None:
    """Define the flags of these classes."""
    for flag in _flags_of(classes):
        arguments = (flag.name, _absl_default(flag), flag.described)
        _DEFINE.get(flag.type, flags.DEFINE_string)(*arguments, flag_values=values)


_DEFINE: dict[type, Callable[..., object]] = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
    tuple: flags.DEFINE_list,
}


def _absl_default(flag: Flag) -> Any:
    if flag.is_required:
        return [] if flag.type is tuple else ""
    if isinstance(flag.default, enum.Enum):
        return flag.default.value
    return list(flag.default) if isinstance(flag.default, tuple) else flag.default


def build(kind: type[Built], values: flags.FlagValues = flags.FLAGS) -> Built:
    """The parsed flags as a value of this class.

    Raises:
        OrchardError: they are impossible or contradict each other.
    """
    return kind.of_flags({flag.name: _value(flag, values) for flag in kind.flag_fields()})


def _value(flag: Flag, values: flags.FlagValues) -> Any:
    value = values[flag.name].value
    return None if flag.is_optional and value == "" else value


def parse(argv: list[str], *classes: type[Options], summary: str) -> list[str]:
    """Define the flags of a command, and parse its command line; what `orchard.cli.run` does.

    The modules of --plugins are imported first: they may add flags and choices.

    Args:
        argv: the command line, program first.
        *classes: whose flags the command takes.
        summary: what --help begins with.

    Returns:
        The program, and what is not a flag.

    Raises:
        OrchardError: a plugin cannot be imported, or a flag cannot be parsed.
    """
    try:
        use_plugins(_plugins(argv))
        classes = (*classes, PluginOptions)
        if {"--help", "-help", "--helpshort", "-helpshort", "-?"} & set(argv[1:]):
            print(help_text(summary, *classes), end="")
            sys.exit(0)
        define(*classes)
        return flags.FLAGS(argv)
    except flags.Error as error:
        raise OrchardError(_in_one_line(error, classes)) from error


def _in_one_line(error: flags.Error, classes: Iterable[type[Options]]) -> str:
    message = " ".join(str(error).split())
    if match := re.match(r"flag --(\w+)=(.*?): ", message):
        for flag in _flags_of(classes):
            if flag.name == match[1]:
                return f"--{flag.name}={match[2]}: {_TYPE_NAMES[flag.type]} is needed"
    return f"{message}; --help names all flags"


@dataclass(frozen=True, kw_only=True)
class PluginOptions(Options, group="bookkeeping"):
    """The flag of every command."""

    plugins: tuple[str, ...] = option(
        (),
        "Your own modules to import first, such as my_package.my_module: they register further "
        "choices.",
    )


def _plugins(argv: list[str]) -> list[str]:
    """The value of --plugins, on the command line or in a flagfile, before flags are defined."""
    found: list[str] = []
    arguments = iter(flags.FLAGS.read_flags_from_files(argv[1:], force_gnu=False))
    for argument in arguments:
        match = re.fullmatch(r"--?plugins(?:=(.*))?", argument)
        if match:
            found = (next(arguments, "") if match[1] is None else match[1]).split(",")
    return [name.strip() for name in found]


def _flags_of(classes: Iterable[type[Options]]) -> list[Flag]:
    return [flag for kind in classes for flag in kind.flag_fields()]


def _grouped(found: Iterable[Flag], classes: Iterable[type[Options]]) -> dict[str, list[Flag]]:
    """The flags by group: first the groups that a class puts in order, then as they come."""
    groups: dict[str, list[Flag]] = {name: [] for kind in classes for name in kind.GROUPS}
    for flag in found:
        groups.setdefault(flag.group, []).append(flag)
    return {name: members for name, members in groups.items() if members}


def help_text(summary: str, *classes: type[Options]) -> str:
    """What --help prints: the command's own words, the common flags, then all by group.

    Args:
        summary: the command's docstring, with an example.
        *classes: whose flags it has.
    """
    found = _flags_of(classes)
    common = sorted((f for f in found if f.common), key=lambda flag: not flag.is_required)
    others = _grouped([flag for flag in found if not flag.common], classes)
    sections = {"Common (* must be given)": common, **others}
    parts = [textwrap.dedent(summary).strip()]
    for title, members in sections.items():
        if members:
            parts.append("\n".join([f"{_capitalized(title)}:", *map(_help_lines, members)]))
    parts.append("Every flag is --name=value; --flagfile=FILE reads them from a file, one a line.")
    return "\n\n".join(parts) + "\n"


def _capitalized(title: str) -> str:
    return title[:1].upper() + title[1:]


def _help_lines(flag: Flag) -> str:
    shown = "" if "default" in flag.help else flag.default_text
    text = flag.described + (f" [{shown}]" if shown else "")
    head = f"  {'*' if flag.is_required else ' '} --{flag.name}"
    return textwrap.fill(
        text,
        100,
        initial_indent=f"{head:<30}  ",
        subsequent_indent=" " * 32,
        break_on_hyphens=False,
    )


def reference(*classes: type[Options]) -> str:
    """The flags of a command as Markdown: a table a group."""
    parts = []
    for title, members in _grouped(_flags_of(classes), classes).items():
        rows = [
            f"| `--{flag.name}` | {_default_cell(flag)} | {_escaped(flag.described)} |"
            for flag in members
        ]
        heading = f"### {_capitalized(title)}"
        parts.append(
            "\n".join([heading, "", "| flag | default | what it does |", "|---|---|---|", *rows])
        )
    return "\n\n".join(parts) + "\n"


def _default_cell(flag: Flag) -> str:
    if flag.is_required:
        return "**required**"
    return f"`{_escaped(flag.default_text)}`" if flag.default_text else ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
