"""How a batch crosses the bus: images as they are, all small float32 columns as one array.

Each transfer costs the same few microseconds, however small it is.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from trainer.xla import Array

_FLOATS = "floats"


class Packing:
    """The arrays that stand for a batch.

    Args:
        specs: of the batch's tensors, whole, each with the batch along its first axis.

    Attributes:
        arrays: what crosses, split along that axis.
    """

    def __init__(self, specs: Mapping[str, tf.TensorSpec]):
        columns = {n: s for n, s in specs.items() if s.dtype == tf.float32 and len(s.shape) < 3}
        self._widths = {n: 1 if len(s.shape) == 1 else s.shape[1] for n, s in columns.items()}
        self._vectors = {name for name, spec in columns.items() if len(spec.shape) == 1}
        self._others = [name for name in specs if name not in columns]
        self.arrays = [
            Array(name, tuple(specs[name].shape), specs[name].dtype.name, split_axis=0)
            for name in self._others
        ]
        if columns:
            rows = next(iter(columns.values())).shape[0]
            shape = (rows, sum(self._widths.values()))
            self.arrays.append(Array(_FLOATS, shape, "float32", split_axis=0))

    def pack(self, batch: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The arrays of a batch, or of a part of one."""
        packed = [batch[name] for name in self._others]
        if self._widths:
            parts = [batch[name].reshape(len(batch[name]), -1) for name in self._widths]
            packed.append(np.concatenate(parts, axis=1))
        return packed

    def unpack(self, arrays: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        """The batch that the arrays stand for."""
        batch = dict(zip(self._others, arrays, strict=False))
        if self._widths:
            parts = tf.split(arrays[-1], list(self._widths.values()), axis=1)
            batch |= {
                name: part[:, 0] if name in self._vectors else part
                for name, part in zip(self._widths, parts, strict=True)
            }
        return batch
