"""One image: what its bytes are, and whether a record may hold them.

The format is known by the content, never by the file's name. What becomes of each kind is in
docs/guides/prepare.md, "What happens to each image".
"""

import contextlib
import io
import re
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

PASS = 0  # the file's own bytes go into the record
ODD_JPEG = "odd JPEG"  # with bytes between its markers that decoders skip with a warning
REENCODE = 1  # decoded once, and written as a JPEG

SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SOS, _APP1 = 0xDA, 0xE1
_NO_LENGTH = frozenset([0x01, *range(0xD0, 0xD8)])
_NOT_IN_HEADER = frozenset([0xD8, 0xD9])
_SOF = frozenset([*range(0xC0, 0xD0)]) - {0xC4, 0xC8, 0xCC}
# Baseline, extended and progressive Huffman: what libjpeg-turbo, and so TensorFlow, decodes.
_DECODABLE_SOF = frozenset([0xC0, 0xC1, 0xC2])
# Of libjpeg, Pillow's and TensorFlow's too; the format itself would allow 65,535.
_MAX_SIDE_PX = 65_500
_EXIF_ORIENTATION = 0x0112
_PNG, _RIFF = b"\x89PNG\r\n\x1a\n", b"RIFF"
_PNG_END = b"IEND\xaeB`\x82"
_OTHER_FORMATS = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"%PDF", "PDF"),
    (b"<!DOCTYPE", "HTML"),
    (b"<html", "HTML"),
    (b"version https://git-lfs", "a Git LFS pointer"),
)


class ImageProblem(NamedTuple):
    """Why an image cannot be used; `kind` and `detail` as in `labels.Problem`."""

    kind: str
    detail: str


class ImageFacts(NamedTuple):
    """What an image's header says.

    Attributes:
        kind: a word for the card.
        width_px, height_px: as stored, before any EXIF rotation.
        orientation: of EXIF, 1..8.
        action: PASS or REENCODE.
        problem: None when a record can be made of it.
    """

    kind: str
    width_px: int
    height_px: int
    orientation: int
    action: int
    problem: ImageProblem | None = None


@dataclass(frozen=True)
class ImageOptions:
    """What to do with images: limits, resizing (0: as they are) and JPEG settings."""

    max_pixels: int = 100_000_000
    short_side_px: int = 0
    max_side_px: int = 0
    square_px: int = 0
    jpeg_quality: int = 95
    jpeg_chroma: str = "4:2:0"


def _refuse(kind: str, detail: str, what: str = "unknown") -> ImageFacts:
    return ImageFacts(what, 0, 0, 1, PASS, ImageProblem(kind, detail))


def inspect_image(data: bytes, options: ImageOptions) -> ImageFacts:
    """Read an image's header; decodes no pixels."""
    if data[:2] == SOI:
        facts = _inspect_jpeg(data)
    elif not data:
        return _refuse("empty file", "the file is empty")
    elif data[:8] == _PNG or (data[:4] == _RIFF and data[8:12] == b"WEBP"):
        facts = _inspect_with_pillow(data)
    else:
        found = next((name for start, name in _OTHER_FORMATS if data.startswith(start)), None)
        found = found or f"something that starts with {data[:4].hex(' ')}"
        return _refuse("not a usable image", f"the content is {found}; convert it to JPEG")
    if facts.problem:
        return facts
    width, height = facts.width_px, facts.height_px
    if width * height > options.max_pixels:
        detail = f"{width}x{height} is more than --max_pixels={options.max_pixels}"
        return facts._replace(problem=ImageProblem("too many pixels", detail))
    size = target_size(width, height, options)
    # A JPEG that large cannot even be decoded to be shrunk.
    if max((width, height) if data[:2] == SOI else size) > _MAX_SIDE_PX:
        detail = f"{width}x{height}; no side of a JPEG may be above {_MAX_SIDE_PX}"
        return facts._replace(problem=ImageProblem("too many pixels", detail))
    if facts.action == PASS and size != (width, height):
        return facts._replace(action=REENCODE)
    return facts


def _inspect_jpeg(data: bytes) -> ImageFacts:
    """Walk the markers up to the first scan."""
    at, end = 2, len(data)
    frame, orientation, odd = None, 1, False
    while True:
        # Whatever lies before a marker is skipped, as libjpeg and Pillow do; the marker may be
        # padded with any number of 0xff, and 0xff 0x00 is none.
        start, at = at, data.find(b"\xff", at)
        stray = at != start
        while 0 <= at < end and data[at] == 0xFF:
            at += 1
        if at < 0 or at + 3 > end:
            return _refuse("broken JPEG", f"the header is damaged or cut at byte {start}", "JPEG")
        marker = data[at]
        odd |= stray or marker == 0
        if marker == 0:
            at += 1
            continue
        if odd and (1 < marker < 0xC0 or marker in _NOT_IN_HEADER):
            return _refuse("broken JPEG", f"the header is damaged at byte {start}", "JPEG")
        if marker in _NO_LENGTH:
            at += 1
            continue
        length = data[at + 1] << 8 | data[at + 2]
        if marker in _SOF:
            frame = (marker, *data[at + 3 : at + 9])
        elif marker == _APP1 and data[at + 3 : at + 7] == b"Exif":
            orientation = _exif_orientation(data)
        elif marker == _SOS:
            break
        at += 1 + length
    if frame is None or len(frame) < 7:
        return _refuse("broken JPEG", "the header names no size", "JPEG")
    marker, bits, high, low, wide, narrow, components = frame
    height, width = high << 8 | low, wide << 8 | narrow
    if marker not in _DECODABLE_SOF:
        return _refuse("unsupported JPEG", "arithmetic or lossless coding; save it as a usual JPEG")
    if bits != 8:
        return _refuse("unsupported JPEG", f"{bits} bits a sample; 8 are needed", "JPEG")
    if not width or not height or components not in (1, 3, 4):
        return _refuse("broken JPEG", f"{width}x{height} with {components} components", "JPEG")
    if data.rfind(_EOI) < at:
        return _refuse("truncated JPEG", f"no end marker in {end} bytes; the file was cut", "JPEG")
    kind = "CMYK JPEG" if components == 4 else "rotated JPEG" if orientation > 1 else "JPEG"
    kind = ODD_JPEG if odd else kind
    action = REENCODE if components == 4 or orientation > 1 else PASS
    return ImageFacts(kind, width, height, orientation, action)


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """A JPEG, PNG or WebP image as Pillow sees it.

    `Image.open` would apply Pillow's global limit of pixels; here `--max_pixels` is the limit, and
    `inspect_image` has applied it to all that is decoded.

    Raises:
        ValueError: Pillow cannot make sense of it, here or in the block.
    """
    try:
        with _pillow_image(data) as image:
            yield image
    except Exception as error:
        # Damaged files raise almost anything. Addresses would differ from run to run.
        text = re.sub(r"<[^<>]* object at 0x[0-9a-f]+>", "", " ".join(str(error).split()))
        raise ValueError(text.strip()[:200] or type(error).__name__) from error


def _pillow_image(data: bytes) -> ImageFile.ImageFile:
    try:
        if data[:2] == SOI:
            return JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        if data[:8] == _PNG:
            return PngImagePlugin.PngImageFile(io.BytesIO(data))
        if data[:4] == _RIFF:
            return WebPImagePlugin.WebPImageFile(io.BytesIO(data))
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
        # In the words of `Image.open`: they are in datasets' lists of what was left out.
        raise ValueError("cannot identify image file") from error
    raise ValueError("cannot identify image file")


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1..8.

    A broken EXIF block is no reason to refuse the pixels: every reader shows them as stored.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of tags that are not this one.
            orientation: Any = image.getexif().get(_EXIF_ORIENTATION)
    except Exception:
        return 1
    return orientation if orientation in range(2, 9) else 1


def on_white(image: Image.Image) -> Image.Image:
    """The image without transparency: over white, which is what photos and scans have."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels [height, width, ...] as the EXIF orientation wants them shown.

    The orientations are the symmetries of a rectangle: a transposition and two mirrorings.
    """
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels[::-1] if orientation in (3, 4, 7, 8) else pixels


def _exif_orientation(data: bytes) -> int:
    try:
        with opened(data) as image:
            return orientation_of(image)
    except ValueError:
        return 1


def _inspect_with_pillow(data: bytes) -> ImageFacts:
    if _is_cut(data):
        return _refuse("truncated image", f"no end in {len(data)} bytes; the file was cut")
    try:
        with opened(data) as image:
            kind, mode, frames = str(image.format), image.mode, getattr(image, "n_frames", 1)
            width, height = image.size
    except ValueError as error:
        return _refuse("broken image", str(error))
    if frames > 1:
        return _refuse("animation", f"{kind} with {frames} frames; save one of them", kind)
    if mode.startswith(("I", "F")):
        detail = f"{kind} with 16 or 32 bits a sample; choose the range that matters, save 8 bits"
        return _refuse("16-bit image", detail, kind)
    if kind == "PNG" and data[24:25] == b"\x10":
        return _refuse("16-bit image", "PNG with 16 bits a sample; save it with 8", kind)
    return ImageFacts(kind, width, height, 1, REENCODE)


def _is_cut(data: bytes) -> bool:
    """Whether the end of a PNG or WebP file is missing."""
    if data[:8] == _PNG:
        return data.rfind(_PNG_END) < 0
    return int.from_bytes(data[4:8], "little") + 8 > len(data)


def target_size(width: int, height: int, options: ImageOptions) -> tuple[int, int]:
    """Width and height after resizing: never larger than they are."""
    if options.square_px:
        return min(width, options.square_px), min(height, options.square_px)
    if options.short_side_px:
        side, limit = min(width, height), options.short_side_px
    elif options.max_side_px:
        side, limit = max(width, height), options.max_side_px
    else:
        return width, height
    if side <= limit:
        return width, height
    return max(1, round(width * limit / side)), max(1, round(height * limit / side))
