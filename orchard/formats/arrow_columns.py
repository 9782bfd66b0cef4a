"""Numbers out of Arrow's tables without pandas, which Arrow's own conversions import."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow


def numbers(column: "pyarrow.ChunkedArray") -> np.ndarray:
    """The numbers of a column without gaps, [n]; of a column of lists those of all of them."""
    parts = []
    for chunk in column.chunks:
        values = chunk.flatten() if hasattr(chunk, "flatten") else chunk
        dtype = np.dtype(values.type.to_pandas_dtype())
        parts.append(
            np.frombuffer(values.buffers()[1], dtype, len(values), values.offset * dtype.itemsize)
        )
    return np.concatenate(parts)
