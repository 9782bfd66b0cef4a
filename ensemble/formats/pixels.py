"""From an image file to the pixels that model.onnx and model.tflite take. NumPy and Pillow alone.

    import onnxruntime, pixels

    session = onnxruntime.InferenceSession("model.onnx")
    image = pixels.load("leaf.jpg", 224, 224)
    (probabilities,) = session.run(["probabilities"], {"images_224x224": image[None]})

It does what the networks' training did, and gives its pixels but for rounding. This file needs
nothing else of Orchard: copy it to where the model runs.
"""

import io
import os

import numpy as np
from PIL import Image, ImageOps

_SCALES = (8, 4, 2)
_PAD_VALUE = 128


def load(
    file: "str | os.PathLike[str] | bytes",
    height_px: int,
    width_px: int,
    resize: str = "squash",
    exact: bool = False,
) -> np.ndarray:
    """The pixels of a JPEG, PNG or WebP file, upright: uint8 [height_px, width_px, 3].

    Args:
        file: its path, or its content.
        height_px: rows of the result.
        width_px: columns of the result.
        resize: "squash", "crop" (the center of the right shape) or "pad" (on gray).
        exact: what the network was trained with as --exact_decode.
    """
    with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as opened:
        turned = opened.getexif().get(0x0112, 1) not in (0, 1)
        image: Image.Image = opened
        if turned:
            image = ImageOps.exif_transpose(opened)
        source = np.array([image.height, image.width])
        corner, size = np.array([0, 0]), source
        if resize == "crop":
            corner, size = _center(source, width_px / height_px)
        target = np.array([height_px, width_px])
        inside = _fitting(size, target) if resize == "pad" else target
        scale = 1
        if opened.format == "JPEG" and not exact and not turned:
            # libjpeg decodes a half, a quarter or an eighth of each side for less.
            scale = next((s for s in _SCALES if np.all(-(-size // s) >= inside)), 1)
            if scale > 1:
                opened.draft("RGB", (opened.width // scale, opened.height // scale))
        pixels = _on_white(image)
    if resize == "crop":
        top, left = corner // scale
        rows, columns = -(-size // scale)
        pixels = pixels[top : top + rows, left : left + columns]
    resized = _resized(pixels, inside, exact)
    if resize != "pad":
        return resized
    room = target - inside
    before = room // 2
    return np.pad(
        resized,
        [(before[0], room[0] - before[0]), (before[1], room[1] - before[1]), (0, 0)],
        constant_values=_PAD_VALUE,
    )


def _on_white(image: Image.Image) -> np.ndarray:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA"), np.float32)
        color, alpha = rgba[..., :3], rgba[..., 3:]
        return np.rint(255 + (color - 255) * (alpha / 255)).astype(np.uint8)
    return np.asarray(image.convert("RGB"))


def _center(source: np.ndarray, aspect: float) -> "tuple[np.ndarray, np.ndarray]":
    """Corner and size of the largest central part whose width is `aspect` times its height."""
    sides = source.astype(np.float32)[::-1] * np.array([1 / aspect, aspect], np.float32)
    size = np.clip(np.rint(sides).astype(int), 1, source)
    return (source - size) // 2, size


def _fitting(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The largest size of the source's shape within the target."""
    sides = source.astype(np.float32)
    factor = np.min(target.astype(np.float32) / sides)
    return np.clip(np.rint(sides * factor).astype(int), 1, target)


def _resized(pixels: np.ndarray, size: np.ndarray, exact: bool) -> np.ndarray:
    """Bilinear between the nearest pixels; a mean over all of them where it shrinks by more."""
    sides = np.array(pixels.shape[:2])
    if not exact and np.all(sides == size):
        return pixels
    rows, columns = size.tolist()
    if not exact and np.all(sides <= 2 * size):
        values = _between(_between(pixels.astype(np.float32), rows, 0), columns, 1)
    else:
        # As floats, one color at a time: Pillow rounds bytes between its two passes.
        colors = [Image.fromarray(pixels[..., c].astype(np.float32)) for c in range(3)]
        resized = [one.resize((columns, rows), Image.Resampling.BILINEAR) for one in colors]
        values = np.stack([np.asarray(one) for one in resized], axis=-1)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _between(values: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Linear interpolation at the middles of `length` equal parts of one axis."""
    last = values.shape[axis] - 1
    at = (np.arange(length, dtype=np.float32) + 0.5) * ((last + 1) / length) - 0.5
    lower = np.floor(at)
    share = (at - lower).astype(np.float32)
    share = share.reshape([-1 if one == axis else 1 for one in range(values.ndim)])
    below = np.take(values, np.clip(lower, 0, last).astype(int), axis)
    above = np.take(values, np.clip(lower + 1, 0, last).astype(int), axis)
    return below + (above - below) * share
