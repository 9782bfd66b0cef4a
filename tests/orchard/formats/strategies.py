"""Hypothesis strategies for what `orchard.formats` writes."""

import dataclasses
import types
import typing
from enum import Enum

from hypothesis import strategies as st

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=5)
_PLAIN = {
    str: _TEXT,
    int: st.integers(),
    bool: st.booleans(),
    # JSON has neither NaN nor infinities.
    float: st.floats(allow_nan=False, allow_infinity=False),
    typing.Any: st.none() | st.integers() | st.lists(_TEXT, max_size=2),
}


def values_of(kind, **fields):
    """Values of a type that JSON records may hold; `fields` are strategies of a dataclass's."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return st.none() | values_of(arguments[0])
    if origin is dict:
        return st.dictionaries(_TEXT, values_of(arguments[1]), max_size=2)
    if origin is list:
        return st.lists(values_of(arguments[0]), max_size=2)
    if origin is tuple and arguments[-1] is ...:
        return st.lists(values_of(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, arguments))
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    hints = typing.get_type_hints(kind)
    own = {one.name: values_of(hints[one.name]) for one in dataclasses.fields(kind)}
    return st.builds(kind, **{**own, **fields})
