"""One image to the JPEG that a record holds, and whether its pixels can be decoded at all."""

import functools
import re
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from data_prep.images import inspection


class DecodeCheck(NamedTuple):
    """What is wrong with the pixels, and whether decoders warn of bytes that they skip."""

    problem: str | None
    odd: bool = False


# The JPEG color spaces that libjpeg turns into RGB or gray by itself.
_DECODED = ("Gray", "YCbCr", "RGB")


def record_jpeg(data: bytes, options: inspection.ImageOptions) -> bytes:
    """The JPEG that a record holds for a file in which `inspect_image` found no problem.

    It is the file's own bytes whenever they may pass; else the image is decoded, turned upright,
    made RGB or gray, shrunk and encoded.

    Raises:
        ValueError: the pixels cannot be decoded.
    """
    facts = inspection.inspect_image(data, options)
    if facts.action == inspection.PASS:
        return data
    pixels = _decode(data, facts, options)
    size = inspection.target_size(pixels.shape[1], pixels.shape[0], options)
    if size != (pixels.shape[1], pixels.shape[0]):
        gray = pixels.shape[2] == 1
        image = Image.fromarray(pixels[:, :, 0] if gray else pixels)
        pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC, reducing_gap=None))
        pixels = pixels[:, :, None] if gray else pixels
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels),
        quality=options.jpeg_quality,
        colorspace="GRAY" if pixels.shape[2] == 1 else "RGB",
        colorsubsampling="Gray" if pixels.shape[2] == 1 else options.jpeg_chroma.replace(":", ""),
        fastdct=False,
    )


def color_space(data: bytes) -> str:
    """The color space of a JPEG by simplejpeg's name; empty where it cannot decode such a JPEG.

    Pillow and TensorFlow may all the same: simplejpeg knows the usual samplings of chroma only.
    """
    try:
        return simplejpeg.decode_jpeg_header(data)[2]
    except (ValueError, KeyError):
        return ""


def decode_problem(data: bytes) -> str | None:
    """Decode every pixel; what is wrong with them, or None."""
    return check_pixels(data).problem


def check_pixels(data: bytes) -> DecodeCheck:
    """Decode every pixel."""
    try:
        if data[:2] == inspection.SOI and color_space(data) in _DECODED:
            simplejpeg.decode_jpeg(data, colorspace="GRAY", fastdct=True, fastupsample=True)
        else:
            _decode_with_pillow(data)
    except ValueError as error:
        text = " ".join(str(error).split())
        if _is_harmless(text):
            return DecodeCheck(None, odd=True)
        return DecodeCheck(text)
    return DecodeCheck(None)


def _is_harmless(warning: str) -> bool:
    """Whether libjpeg has skipped bytes and lost no pixel."""
    return re.search(r"extraneous bytes before marker|Warning: unknown JFIF", warning) is not None


def _decode(
    data: bytes, facts: inspection.ImageFacts, options: inspection.ImageOptions
) -> np.ndarray:
    """Upright pixels, uint8 [height, width, 1 or 3], possibly smaller than stored by n/8."""
    space = color_space(data) if facts.kind in ("JPEG", "rotated JPEG") else ""
    if space not in _DECODED:
        return _decode_with_pillow(data)
    width, height = inspection.target_size(facts.width_px, facts.height_px, options)
    decode = functools.partial(
        simplejpeg.decode_jpeg,
        data,
        colorspace="GRAY" if space == "Gray" else "RGB",
        fastdct=False,
        fastupsample=False,
        min_height=height,
        min_width=width,
        min_factor=1,
    )
    try:
        pixels = decode()
    except ValueError as error:
        if not _is_harmless(str(error)):
            raise
        pixels = decode(strict=False)
    return inspection.turned(pixels, facts.orientation)


def _decode_with_pillow(data: bytes) -> np.ndarray:
    with inspection.opened(data) as image:
        orientation = inspection.orientation_of(image)
        image = inspection.on_white(image)
        gray = image.mode in ("L", "1")
        pixels = inspection.turned(np.asarray(image.convert("L" if gray else "RGB")), orientation)
    return pixels[:, :, None] if gray else pixels
