"""What drives the devices: one protocol, for TensorFlow's strategies and for jax's (PJRT).

Both run the same functions, written in TensorFlow: of a batch, and of the Keras variables that they
read and assign. The variables are the state: what leaves or enters a checkpoint is in them.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import tensorflow as tf

Batch = dict[str, tf.Tensor]
# (num_hosts, host) -> that host's part of each batch: a dictionary of tensors of static shape.
HostBatches = Callable[[int, int], tf.data.Dataset]
# A batch's outputs on the host, whole: one array an output of the function.
Outputs = tuple[np.ndarray, ...]


Value = TypeVar("Value")


def one_behind(values: Iterable[Value]) -> Iterator[Value]:
    """The same values, each after the next one was asked for.

    Fetching outputs one batch behind leaves the devices a batch to work on.
    """
    waiting: list[Value] = []
    for value in values:
        yield from waiting
        waiting = [value]
    yield from waiting


def endless(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset without an end, of which nothing is read before it is asked for."""
    options = tf.data.Options()
    # Else tf.data puts a prefetch behind the last stage, which would begin the next pass by itself.
    options.experimental_optimization.inject_prefetch = False
    return dataset.repeat().with_options(options)


class Passes(Generic[Value]):
    """An endless iterator in parts of one length: each time this is iterated, the next part.

    A part that is not read to its end is the last one of its iterator: what comes after it is the
    first part of a new one.

    Args:
        make: makes an iterator.
        length: of a part.
    """

    def __init__(self, make: Callable[[], Iterator[Value]], length: int):
        self._make, self._length = make, length
        self._iterator: Iterator[Value] | None = None

    def __iter__(self) -> Iterator[Value]:
        iterator, self._iterator = self._iterator or self._make(), None
        yield from itertools.islice(iterator, self._length)
        self._iterator = iterator


class Runtime(Protocol):
    """Runs functions of batches on all replicas.

    Attributes:
        name: "tensorflow" or "pjrt".
    """

    name: str

    @property
    def num_replicas(self) -> int:
        """Devices that each take a part of every batch, over all hosts."""
        ...

    def scope(self) -> AbstractContextManager[Any]:
        """The context in which to make the variables that its functions use."""
        ...

    def describe(self) -> str:
        """What it is called in the opening line."""
        ...

    def compute_capability(self) -> tuple[int, int]:
        """The least of all NVIDIA GPUs that it drives; (0, 0) where there are none."""
        ...

    def distribute(self, batches: HostBatches, needed: Sequence[str] = ()) -> Iterable[Any]:
        """Batches spread over all replicas, in contiguous parts of equal size.

        Args:
            batches: of every host.
            needed: names of the tensors that functions read; others may be left out. Default: all.
        """
        ...

    def passes(
        self, batches: HostBatches, num_batches: int, needed: Sequence[str] = ()
    ) -> Iterable[Any]:
        """`distribute`, for batches that are read again and again, each time from the first one.

        Where nothing would be read ahead of a pass, its iterator is kept for the next one:
        TensorFlow optimizes each function of a pipeline anew for each iterator, which takes longer
        than to read some hundred small images.

        Args:
            batches: of every host.
            num_batches: of a pass, on every host.
            needed: see `distribute`.
        """
        ...

    def over_batches(
        self, function: Callable[[Batch], Sequence[tf.Tensor]], axes: Sequence[int | None]
    ) -> Callable[[Iterable[Any]], Iterator[Outputs]]:
        """`function` of each batch that `distribute` or `passes` gives; traced once, for the first.

        Variables that it assigns keep what they come to from batch to batch of one iteration;
        what they hold afterward is not defined.

        Args:
            function: of a replica's or of the whole batch.
            axes: of each output, the one that runs over the batch; None: the output is the same on
                every replica.
        """
        ...

    def sum_over_replicas(self, value: int) -> int:
        """The sum of the values that the hosts call this with, each as often as it has replicas."""
        ...

    def start_profile(self, folder: str) -> None:
        """Record what host and devices do, for TensorBoard."""
        ...

    def stop_profile(self) -> None:
        """Write what was recorded."""
        ...
