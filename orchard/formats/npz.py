"""Arrays by name in one `.npz` file, which appears whole; it holds no pickled object."""

import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from orchard import storage
from orchard.errors import OrchardError, in_one_line

SUFFIX = ".npz"


def write(path: str, arrays: Mapping[str, npt.ArrayLike]) -> None:
    """Write arrays by name, here or to gs://."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # Its stub has allow_pickle among them.
    storage.write_bytes(path, buffer.getvalue())


def read(
    path: str, *names: str, kind: str, remedy: str, aligned: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """All arrays of a file, by name.

    Args:
        path: of the file.
        *names: of arrays that must be there.
        kind: what the file is, for errors: "checkpoint".
        remedy: what to do about a damaged one.
        aligned: those of `names` that have as many rows as one another.

    Raises:
        OrchardError: the file is missing, damaged or something else.
    """
    data = storage.read_bytes(path)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
            for name in names:
                arrays[name]
            for name, array in arrays.items():
                if not isinstance(array, np.ndarray):  # NumPy gives the bytes of another file.
                    raise ValueError(f"{name} is no array")
            if len({len(arrays[name]) for name in aligned}) > 1:
                raise ValueError(f"{', '.join(aligned)} differ in length")
    except Exception as error:  # NumPy and zipfile raise whatever a damaged byte leads them to.
        raise damaged(path, error, kind, remedy) from error
    return arrays


def damaged(path: str, error: Exception, kind: str, remedy: str) -> OrchardError:
    """The error of a file whose content is not what it should be; arguments as `read` has them."""
    reason = in_one_line(error)
    return OrchardError(f"{path} is damaged or no {kind} ({reason}); {remedy}")


def read_parts(
    directory: str, *names: str, kind: str, remedy: str, aligned: Sequence[str] = ()
) -> Iterator[dict[str, np.ndarray]]:
    """`read` of every .npz file in a directory, by file name; there may be no such directory."""
    for name in storage.list_names(directory):
        # A write that was killed leaves a temporary file, which is no part.
        if name.endswith(SUFFIX):
            path = storage.join(directory, name)
            yield read(path, *names, kind=kind, remedy=remedy, aligned=aligned)
