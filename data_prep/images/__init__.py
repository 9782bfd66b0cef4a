"""All that is done to one image, before anything is known of a dataset.

`lookup` finds its file, `source` reads it, `inspection` tells from its header whether a record may
hold it, `convert` makes the record's JPEG of it, `perceptual` hashes it, `thumbnails` shrinks it.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from data_prep.images.convert import check_pixels, decode_problem, record_jpeg
    from data_prep.images.inspection import (
        ODD_JPEG,
        PASS,
        REENCODE,
        ImageFacts,
        ImageOptions,
        inspect_image,
    )
    from data_prep.images.lookup import FoundFiles, advise, describe_odd, find_files
    from data_prep.images.perceptual import HASH_BITS, NEAR_BITS, difference_hash
    from data_prep.images.source import (
        ImageFile,
        ImageSource,
        SourceProblem,
        file_name,
        image_source,
        is_image_name,
        is_litter,
        without_ending,
    )
    from data_prep.images.thumbnails import thumbnail

__all__ = [
    "FoundFiles",
    "HASH_BITS",
    "ImageFacts",
    "ImageFile",
    "ImageOptions",
    "ImageSource",
    "NEAR_BITS",
    "ODD_JPEG",
    "PASS",
    "REENCODE",
    "SourceProblem",
    "advise",
    "check_pixels",
    "decode_problem",
    "describe_odd",
    "difference_hash",
    "file_name",
    "find_files",
    "image_source",
    "inspect_image",
    "is_image_name",
    "is_litter",
    "record_jpeg",
    "thumbnail",
    "without_ending",
]

__getattr__, __dir__ = attach(__name__)
