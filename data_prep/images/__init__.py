"""One image: found, inspected, converted to the JPEG of a record, hashed, shrunk."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from data_prep.images.convert import decode_problem, record_jpeg
    from data_prep.images.inspection import PASS, REENCODE, ImageFacts, ImageOptions, inspect_image
    from data_prep.images.perceptual import HASH_BITS, NEAR_BITS, difference_hash
    from data_prep.images.source import ImageSource, SourceProblem, file_name
    from data_prep.images.thumbnails import choose_samples, thumbnail

__all__ = [
    "HASH_BITS",
    "ImageFacts",
    "ImageOptions",
    "ImageSource",
    "NEAR_BITS",
    "PASS",
    "REENCODE",
    "SourceProblem",
    "choose_samples",
    "decode_problem",
    "difference_hash",
    "file_name",
    "inspect_image",
    "record_jpeg",
    "thumbnail",
]

__getattr__, __dir__ = attach(__name__)
