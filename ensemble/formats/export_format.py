"""What an export format is: a way to write the pixels-to-probabilities function for a runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from orchard.formats import InputSpec
from orchard.registry import Registry

if TYPE_CHECKING:
    import tensorflow as tf

# Images by the name of the input that takes them: uint8 [n, height, width, 3].
Pixels = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class PixelFunction:
    """What is written.

    Attributes:
        function: images_HEIGHTxWIDTH: uint8 [batch, height, width, 3], one for each input size, to
            {"probabilities": float32 [batch, classes], ...}.
        owner: holds its variables.
        inputs: what each of its inputs is.
    """

    function: tf.types.experimental.ConcreteFunction
    owner: tf.Module
    inputs: Mapping[str, InputSpec]


@dataclass(frozen=True)
class Written:
    """A file of a format.

    Attributes:
        name: of the file.
        content: of the file.
        runtime: what it was run with, and its version.
        predict: probabilities float32 [n, classes] of images, by that runtime.
        exact: whether it must agree with the SavedModel; else what it loses is measured.
    """

    name: str
    content: bytes
    runtime: str
    predict: Callable[[Pixels], np.ndarray]
    exact: bool = True


class ExportFormat(Protocol):
    """A format of `--formats`."""

    files: tuple[str, ...]
    """Their names."""

    def check(self) -> None:
        """Raise OrchardError where what it needs is not installed."""

    def write(
        self, pixels: PixelFunction, calibration: Callable[[], Iterator[Pixels]]
    ) -> Iterator[Written]:
        """The files of the format.

        Args:
            pixels: what to write.
            calibration: images of training, one at a time, to choose the scale of integers by.
        """


EXPORT_FORMATS: Registry[ExportFormat] = Registry("export format", package="ensemble.formats.kinds")
