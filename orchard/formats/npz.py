"""Arrays that a command keeps for its own next run: read back whole, or named in one line."""

import io
from collections.abc import Iterator

import numpy as np

from orchard import storage
from orchard.errors import OrchardError

SUFFIX = ".npz"


def load(path: str, *names: str) -> list[np.ndarray]:
    """Arrays of an .npz file by name; it holds no pickled object.

    Raises:
        OrchardError: the file is damaged or something else.
    """
    data = storage.read_bytes(path)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except Exception as error:  # NumPy and zipfile raise whatever a damaged byte leads them to.
        reason = " ".join(str(error).split())[:200]
        raise OrchardError(
            f"{path} is damaged ({reason}); delete it and run the command again, which computes "
            "anew what it held"
        ) from error


def load_parts(directory: str, *names: str) -> Iterator[list[np.ndarray]]:
    """`load` of every .npz file in a directory, by file name; there may be no such directory."""
    for name in storage.list_names(directory):
        # A write that was killed leaves a temporary file, which is no part.
        if name.endswith(SUFFIX):
            yield load(storage.join(directory, name), *names)
