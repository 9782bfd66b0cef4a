"""Heat over a photo, as a small JPEG for a page."""

import io

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

_SIDE_PX = 176
# How much of the photo heat hides at most, and how much of its color is left elsewhere.
_MOST_HEAT, _COLOR_LEFT = 0.75, 0.35
_GRAY = np.array([0.299, 0.587, 0.114])


def plain_picture(image: np.ndarray) -> bytes:
    """An image uint8 [height, width, 3] as a JPEG that fits the page."""
    return _jpeg(_enlarged(Image.fromarray(image)))


def heat_picture(image: np.ndarray, heat: np.ndarray) -> bytes:
    """An image with heat in color, and a ring around its peak, as a JPEG that fits the page.

    Args:
        image: uint8 [height, width, 3].
        heat: float [height, width], >= 0; its maximum is drawn brightest, nothing where it is 0.
    """
    shown = _enlarged(Image.fromarray(image))
    pixels = np.asarray(shown, np.float64)
    gray = pixels @ _GRAY
    faded = gray[..., None] + _COLOR_LEFT * (pixels - gray[..., None])
    hottest = float(heat.max())
    if hottest <= 0:
        return _jpeg(Image.fromarray(faded.round().astype(np.uint8)))
    small = Image.fromarray((heat / hottest).astype(np.float32))
    strength = np.asarray(small.resize(shown.size, Image.Resampling.BILINEAR), np.float64)
    colors = 255 * matplotlib.colormaps["inferno"](strength)[..., :3]
    share = _MOST_HEAT * np.clip(strength, 0, 1)[..., None]
    drawn = (1 - share) * faded + share * colors
    return _jpeg(_with_ring(np.clip(drawn.round(), 0, 255).astype(np.uint8), heat))


def peak(heat: np.ndarray) -> tuple[int, int]:
    """Row and column of the hottest point; the middle of them, where several are."""
    rows, columns = np.nonzero(heat == heat.max())
    at = len(rows) // 2
    return int(rows[at]), int(columns[at])


def _with_ring(pixels: np.ndarray, heat: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels)
    row, column = peak(heat)
    y = (row + 0.5) * image.height / heat.shape[0]
    x = (column + 0.5) * image.width / heat.shape[1]
    draw = ImageDraw.Draw(image)
    for radius, color in ((6, "black"), (5, "white")):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=color)
    return image


def _enlarged(image: Image.Image) -> Image.Image:
    factor = _SIDE_PX / max(image.size)
    size = tuple(max(1, round(side * factor)) for side in image.size)
    return image.resize((size[0], size[1]), Image.Resampling.BICUBIC)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
