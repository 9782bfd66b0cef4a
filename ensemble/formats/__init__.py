"""Formats for other runtimes than TensorFlow, from pixels to probabilities: `--formats`.

They are in `kinds/`, one a module: a new one is a new file. `pixels.py` is the decoder that goes
with them: `ensemble.main` copies it beside the files, and it needs NumPy and Pillow alone.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.formats import pixels
    from ensemble.formats.export_format import (
        EXPORT_FORMATS,
        ExportFormat,
        PixelFunction,
        Pixels,
        Written,
    )
    from ensemble.formats.exported_file import ExportedFile
    from ensemble.formats.extras import need

__all__ = [
    "EXPORT_FORMATS",
    "ExportFormat",
    "ExportedFile",
    "PixelFunction",
    "Pixels",
    "Written",
    "need",
    "pixels",
]

__getattr__, __dir__ = attach(__name__)
