"""One XLA program and what passes in and out of it. Neither TensorFlow nor jax."""

import dataclasses
import json
import struct
from dataclasses import dataclass

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Array:
    """An argument or a result, as it is over all devices together.

    Attributes:
        name: for people.
        shape: of the whole.
        dtype: as NumPy and ml_dtypes name it.
        split_axis: the axis that is divided over the devices; None: each device has all of it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    split_axis: int | None = None


@dataclass(frozen=True)
class Program:
    """A pure function (inputs, variables) -> (outputs, new values of `written`), flat, in order.

    Attributes:
        stablehlo: MLIR bytecode; `main` takes and returns the arrays below.
        inputs: what changes from call to call.
        variables: their values before.
        outputs: what is computed.
        written: which variables have new values, by position.
    """

    stablehlo: bytes
    inputs: tuple[Array, ...]
    variables: tuple[Array, ...]
    outputs: tuple[Array, ...]
    written: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """For a file that `from_bytes` reads, perhaps in a process without TensorFlow."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        stablehlo = fields.pop("stablehlo")
        head = {
            name: [dataclasses.asdict(v) if isinstance(v, Array) else v for v in values]
            for name, values in fields.items()
        }
        encoded = json.dumps(head).encode()
        return _LENGTH.pack(len(encoded)) + encoded + stablehlo

    @classmethod
    def from_bytes(cls, data: bytes) -> "Program":
        """What `to_bytes` made."""
        end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        head = json.loads(data[_LENGTH.size : end])
        arrays = {
            name: tuple(Array(**{**one, "shape": tuple(one["shape"])}) for one in head[name])
            for name in ("inputs", "variables", "outputs")
        }
        return cls(stablehlo=data[end:], written=tuple(head["written"]), **arrays)
