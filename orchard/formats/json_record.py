"""JSON files as frozen dataclasses: every value is checked when a file is read.

@dataclass(frozen=True)
class Receipt(JsonRecord):
    REMEDY = "run the command again"

    file: str
    lengths: tuple[int, ...]

Receipt("a.tfrecord", (3, 5)).save(path)
Receipt.load(path).lengths
"""

import dataclasses
import types
import typing
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats.json_values import json_safe

if TYPE_CHECKING:
    from typing_extensions import Self

_LARGEST_FLOAT = 2**1023
_VERSION_KEY = "schema_version"


class JsonRecord:
    """Base of the frozen dataclasses that are the content of one JSON file.

    Fields may be str, int, float, bool, an enum, list, tuple or dict of such, `X | None`, Any
    or another dataclass. A field that has a default may be missing in a file: it is newer than the
    file. The version is raised when an older Orchard would misread what a newer one writes.
    """

    SCHEMA_VERSION: ClassVar[int] = 1
    ALSO_READS: ClassVar[tuple[int, ...]] = ()  # Other versions, whose fields are the same.
    REMEDY: ClassVar[str] = "write it again"  # What to do about a file that cannot be read.

    def to_json(self) -> dict[str, Any]:
        """As plain values, for `storage.write_json`; `from_json` is the way back.

        NaN and infinities, which JSON lacks, become null.
        """
        return json_safe({_VERSION_KEY: self.SCHEMA_VERSION, **dataclasses.asdict(self)})  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, value: Any, path: str) -> "Self":
        """The record that `to_json` wrote.

        Args:
            value: the content of the file.
            path: what to call the file in errors.

        Raises:
            OrchardError: it is of another schema version, or a field is missing, unknown or of
                another type.
        """
        try:
            if not isinstance(value, dict):
                raise ValueError(f"it holds {_shown(value)}, not an object")
            version = value.get(_VERSION_KEY)
            readable = (cls.SCHEMA_VERSION, *cls.ALSO_READS)
            if version not in readable:
                raise OrchardError(
                    f"{path}: {_VERSION_KEY} is {version!r}, this Orchard reads "
                    f"{' and '.join(map(str, readable))}; {cls.REMEDY}"
                )
            fields = {name: one for name, one in value.items() if name != _VERSION_KEY}
            return parse(cls, cls._fields_of(fields))
        except ValueError as error:
            raise OrchardError(f"{path} was damaged or edited: {error}; {cls.REMEDY}") from error

    @classmethod
    def _fields_of(cls, value: dict[str, Any]) -> dict[str, Any]:
        """The fields' values, where the file has them in another form; ValueError for a bad one."""
        return value

    @classmethod
    def load(cls, path: str) -> "Self":
        """The record in a file; OrchardError as `from_json`."""
        return cls.from_json(storage.read_json(path), path)

    def save(self, path: str) -> None:
        """Write the file; it appears whole."""
        storage.write_json(path, self.to_json())


def parse(kind: Any, value: Any, name: str = "") -> Any:
    """A JSON value as a type: what `JsonRecord` has as fields.

    Args:
        kind: the type.
        value: what JSON has.
        name: what to call the value in errors.

    Raises:
        ValueError: it is of another type; names the field and says what it holds.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        (some,) = (one for one in arguments if one is not type(None))
        return None if value is None else parse(some, value, name)
    if origin is list and isinstance(value, list):
        return [parse(arguments[0], item, f"{name}[{at}]") for at, item in enumerate(value)]
    if origin is tuple and isinstance(value, list):
        kinds = arguments[:1] * len(value) if arguments[-1] is ... else arguments
        if len(kinds) == len(value):
            pairs = enumerate(zip(kinds, value, strict=True))
            return tuple(parse(one, item, f"{name}[{at}]") for at, (one, item) in pairs)
    if origin is dict and isinstance(value, dict):
        return {key: parse(arguments[1], one, _below(name, key)) for key, one in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _parse_fields(kind, value, name)
    if isinstance(kind, type) and issubclass(kind, Enum) and value in [one.value for one in kind]:
        return kind(value)
    if kind is float and type(value) is int and abs(value) < _LARGEST_FLOAT:
        return float(value)
    if type(value) is kind:
        return value
    raise ValueError(f"{name} is {_shown(value)}")


def _parse_fields(kind: Any, value: dict[str, Any], name: str) -> Any:
    kinds = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in value.keys() - fields.keys():
        raise ValueError(f"{_below(name, key)} is no field of it")
    for key, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and key not in value:
            raise ValueError(f"{_below(name, key)} is missing")
    return kind(**{key: parse(kinds[key], one, _below(name, key)) for key, one in value.items()})


def _below(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
