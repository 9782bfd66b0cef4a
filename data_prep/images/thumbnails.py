"""The sample pictures of the dataset card: which records they are of, and how they are made."""

from collections.abc import Sequence

import numpy as np
import simplejpeg
from PIL import Image

from data_prep.images import convert

_MAX_PICTURES = 160
_MAX_PICTURES_PER_CLASS = 6
_THUMBNAIL_PX = 208  # twice what the page shows, for fine displays
_THUMBNAIL_QUALITY = 80


def choose_samples(targets: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
    """The first records of each class, as positions in each shard.

    Args:
      targets: float32 [records, num_classes] of each shard, in order; -1: unlabelled.
    """
    num_classes = targets[0].shape[1]
    shown = min(num_classes, _MAX_PICTURES)
    missing = [min(_MAX_PICTURES_PER_CLASS, _MAX_PICTURES // shown)] * shown
    chosen: list[tuple[int, ...]] = []
    for shard in targets:
        positions = []
        if any(missing):
            for position, at in enumerate(shard.argmax(1).tolist()):
                if at < shown and missing[at] and shard[position, at] >= 0.5:
                    missing[at] -= 1
                    positions.append(position)
        chosen.append(tuple(positions))
    return chosen


def thumbnail(jpeg: bytes) -> bytes:
    """A small JPEG of a record's image; empty where simplejpeg cannot decode it.

    That is no error here: `--decode_check` is what looks for damaged images.
    """
    space = convert.colour_space(jpeg)
    if not space:
        return b""
    grey = space == "Gray"
    try:
        # An eighth of a photo is decoded in a fraction of the time, and is enough.
        pixels = simplejpeg.decode_jpeg(
            jpeg,
            colorspace="GRAY" if grey else "RGB",
            fastdct=True,
            fastupsample=True,
            min_height=_THUMBNAIL_PX // 2,
            min_width=_THUMBNAIL_PX // 2,
            min_factor=1,
            strict=False,
        )
    except ValueError:
        return b""
    small = Image.fromarray(pixels[:, :, 0] if grey else pixels)
    small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    small = np.ascontiguousarray(np.asarray(small).reshape(small.height, small.width, -1))
    return simplejpeg.encode_jpeg(
        small,
        quality=_THUMBNAIL_QUALITY,
        colorspace="GRAY" if grey else "RGB",
        colorsubsampling="Gray" if grey else "420",
    )
