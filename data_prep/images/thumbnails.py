"""Thumbnails of records, for the dataset card."""

import numpy as np
import simplejpeg
from PIL import Image

from data_prep.images import convert

_THUMBNAIL_PX = 208  # twice what the page shows, for high-density displays
_THUMBNAIL_QUALITY = 80


def thumbnail(jpeg: bytes) -> bytes:
    """A small JPEG of a record's image; empty where simplejpeg cannot decode it.

    That is no error here: `--decode_check` is what looks for damaged images.
    """
    space = convert.color_space(jpeg)
    if not space:
        return b""
    gray = space == "Gray"
    try:
        # An eighth of a photo is decoded in a fraction of the time, and is enough.
        pixels = simplejpeg.decode_jpeg(
            jpeg,
            colorspace="GRAY" if gray else "RGB",
            fastdct=True,
            fastupsample=True,
            min_height=_THUMBNAIL_PX // 2,
            min_width=_THUMBNAIL_PX // 2,
            min_factor=1,
            strict=False,
        )
    except ValueError:
        return b""
    image = Image.fromarray(pixels[:, :, 0] if gray else pixels)
    image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(np.asarray(image).reshape(image.height, image.width, -1)),
        quality=_THUMBNAIL_QUALITY,
        colorspace="GRAY" if gray else "RGB",
        colorsubsampling="Gray" if gray else "420",
    )
