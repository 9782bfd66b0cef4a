"""Encoded images to uint8 pixels of one size: THE decode of training, evaluation and export.

Pure TensorFlow graph ops with static output shapes: the same function runs in the input pipeline
and inside the JPEG signature of every exported SavedModel, so an image gives the same pixels
everywhere.

libjpeg decodes at 1/2, 1/4 and 1/8 scale for less than full cost, by inverse transforms of fewer
coefficients. Each image is decoded at the smallest scale that still covers the target. What is left
to the resize is then a factor of two at most, for which plain bilinear sampling reads every source
pixel. Where the factor is larger (another aspect, no scale small enough, PNG), the resize averages
(antialias).

EXIF orientation is not applied: preparation stores images upright.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from orchard.formats import InputSpec

SCALES = (1, 2, 4, 8)
# Middle gray: near zero after any of the networks' own preprocessings.
PAD_VALUE = 128
# Above it, bilinear sampling skips source pixels.
MAX_BILINEAR_FACTOR = 2
JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"
WEBP_START = b"RIFF"
# What Pillow decodes with. TensorFlow's default is the fast transform, which libjpeg-turbo has in
# narrower instructions: no faster, and 44 dB away.
DCT_METHOD = "INTEGER_ACCURATE"


class Window(NamedTuple):
    """A rectangle of an image in pixels of full scale: int32 [2] each, rows first."""

    corner: tf.Tensor
    size: tf.Tensor


class CropRange(NamedTuple):
    """What random resized crops are drawn from (Szegedy et al. 2015, "Going deeper", section 6).

    Attributes:
        min_area: the smallest part of the image's area, 0..1; the largest is 1.
        max_aspect: width to height is drawn log-uniformly from 1/max_aspect..max_aspect.
    """

    min_area: float
    max_aspect: float


class RandomCrop(NamedTuple):
    """One random resized crop.

    Attributes:
        draws: float32 [4], uniform 0..1: area, aspect, top, left.
        drawn_from: what the draws mean.
    """

    draws: tf.Tensor
    drawn_from: CropRange


def decode_image(
    encoded: tf.Tensor,
    height_px: int,
    width_px: int,
    resize: str = "squash",
    exact: bool = False,
    crop: "RandomCrop | None" = None,
) -> tf.Tensor:
    """Decodes a JPEG (or PNG, WebP, BMP, a GIF's first frame) to one size.

    Args:
        encoded: scalar string, the encoded image; gray images become three equal channels, and
            transparent pixels lie on white.
        height_px: rows of the result.
        width_px: columns of the result.
        resize: what happens where the aspect differs: "squash" changes it, "crop" takes the largest
            central window of the target's aspect, "pad" keeps all of the image and fills with gray.
        exact: decode at full scale and always average (antialias): what Pillow gives, within
            rounding; slower.
        crop: a random resized crop, decoded alone and squashed to the target; `resize` doesn't
            matter then.

    Returns:
        uint8 [height_px, width_px, 3], RGB.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are no image.
    """
    if crop is None:
        target = _Target(height_px, width_px, resize, exact)
    else:
        target = _RandomTarget(height_px, width_px, exact, crop)
    (image,) = _decode(encoded, [target])
    return image


def decode_sizes(encoded: tf.Tensor, specs: Sequence[InputSpec]) -> list[tf.Tensor]:
    """Decodes an image for several inputs, each with the pixels that `decode_image` gives it.

    What is decoded alike is decoded once: all that needs a JPEG at the same scale, of inputs that
    are cropped all of one aspect; every other form of image once altogether.

    Args:
        encoded: scalar string, the encoded image.
        specs: what it is brought to.

    Returns:
        uint8 [height, width, 3], RGB, one a spec.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are no image.
    """
    return _decode(
        encoded, [_Target(s.height_px, s.width_px, s.resize, s.exact_decode) for s in specs]
    )


def fit_image(
    image: tf.Tensor, height_px: int, width_px: int, resize: str = "squash", exact: bool = False
) -> tf.Tensor:
    """Brings pixels that are decoded already to one size, as `decode_image` does those of a PNG.

    Args:
        image: uint8 [height, width, 3], RGB.
        height_px: rows of the result.
        width_px: columns of the result.
        resize: "squash", "crop" or "pad".
        exact: average wherever it shrinks.

    Returns:
        uint8 [height_px, width_px, 3].
    """
    return _Target(height_px, width_px, resize, exact).from_pixels(image)


class _Target:
    """What images are brought to."""

    def __init__(self, height_px: int, width_px: int, resize: str, exact: bool):
        self._shape = [height_px, width_px, 3]
        self._size = tf.constant([height_px, width_px])
        self._resize, self._exact = resize, exact

    @property
    def window_aspect(self) -> float | None:
        """Inputs of one aspect use the same part of an image; those of None all of it."""
        height_px, width_px, _ = self._shape
        return width_px / height_px if self._resize == "crop" else None

    def from_pixels(self, image: tf.Tensor) -> tf.Tensor:
        """Fits uint8 [height, width, 3]."""
        window = self.window(tf.shape(image)[:2])
        return self.fit(image if window is None else _cut(image, window))

    def decode(self, encoded: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
        """The needed part of a JPEG of size `source`, at the scale that is needed."""
        window = self.window(source)
        if self._exact:
            return _decode_jpeg(encoded, window, 1)
        # Only the decode is in the branches: what isn't taken still costs the executor a visit.
        branches = [lambda scale=scale: _decode_jpeg(encoded, window, scale) for scale in SCALES]
        return tf.switch_case(self.scale(source, window), branches)

    def scale(self, source: tf.Tensor, window: Window | None) -> tf.Tensor:
        """The position in `SCALES` of the decode that is needed, int32 scalar."""
        if self._exact:
            return tf.constant(0)
        covered = source if window is None else window.size
        return smallest_scale(covered, self._inside(covered))

    def window(self, source: tf.Tensor) -> Window | None:
        """The part of the image that is used; None: all of it."""
        aspect = self.window_aspect
        return None if aspect is None else central_window(source, aspect)

    def _inside(self, covered: tf.Tensor) -> tf.Tensor:
        """The size to resize the used part to, within the target."""
        return _fit_inside(covered, self._size) if self._resize == "pad" else self._size

    def fit(self, image: tf.Tensor, source: tf.Tensor | None = None) -> tf.Tensor:
        """Resizes a decoded image; `source` is its size before scaling (default: its own)."""
        if self._resize == "pad":
            covered = tf.shape(image)[:2] if source is None else source
            image = _place(resize_image(image, self._inside(covered), self._exact), self._size)
        else:
            image = resize_image(image, self._size, self._exact)
        return tf.ensure_shape(image, self._shape)


class _RandomTarget(_Target):
    """A random window, squashed to the size."""

    def __init__(self, height_px: int, width_px: int, exact: bool, crop: RandomCrop):
        super().__init__(height_px, width_px, "squash", exact)
        self._crop = crop

    def window(self, source: tf.Tensor) -> Window:
        """The drawn one."""
        return random_window(source, self._crop.draws, self._crop.drawn_from)


def _decode(encoded: tf.Tensor, targets: Sequence[_Target]) -> list[tf.Tensor]:
    """Decodes what the targets need, and fits it to each of them."""

    def from_jpeg() -> list[tf.Tensor]:
        source = tf.io.extract_jpeg_shape(encoded)[:2]
        fitted: dict[_Target, tf.Tensor] = {}
        for sharing in _by_window(targets):
            images = _decode_shared(encoded, source, sharing)
            fitted |= {t: t.fit(one, source) for t, one in zip(sharing, images, strict=True)}
        return [fitted[target] for target in targets]

    def from_pixels() -> list[tf.Tensor]:
        image = _decode_other(encoded)
        return [target.from_pixels(image) for target in targets]

    return tf.cond(_is_jpeg(encoded), from_jpeg, from_pixels)


def _by_window(targets: Sequence[_Target]) -> list[list[_Target]]:
    """Targets that use the same part of any image, together."""
    groups: dict[float | None, list[_Target]] = {}
    for target in targets:
        groups.setdefault(target.window_aspect, []).append(target)
    return list(groups.values())


def _decode_shared(
    encoded: tf.Tensor, source: tf.Tensor, targets: Sequence[_Target]
) -> list[tf.Tensor]:
    """What `decode` gives each target, of targets of one window: decoded once a scale."""
    if len(targets) == 1:
        return [targets[0].decode(encoded, source)]
    window = targets[0].window(source)
    needed = [target.scale(source, window) for target in targets]
    decoded = [
        tf.cond(
            tf.reduce_any(tf.stack(needed) == position),
            lambda scale=scale: _decode_jpeg(encoded, window, scale),
            lambda: tf.zeros([0, 0, 3], tf.uint8),
        )
        for position, scale in enumerate(SCALES)
    ]
    choices = [lambda image=image: image for image in decoded]
    return [tf.switch_case(position, choices) for position in needed]


def _is_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    return tf.strings.substr(encoded, 0, len(JPEG_START)) == JPEG_START


def _decode_other(encoded: tf.Tensor) -> tf.Tensor:
    return tf.cond(
        tf.strings.substr(encoded, 0, len(PNG_START)) == PNG_START,
        lambda: _on_white(_decode_png(encoded)),
        lambda: tf.cond(
            tf.strings.substr(encoded, 0, len(WEBP_START)) == WEBP_START,
            lambda: _decode_webp(encoded),
            lambda: _of_channels(encoded, 3),
        ),
    )


def _decode_png(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_png(encoded, channels=4)
    # Where TensorFlow adds alpha to pixels of 1, 2 or 4 bits, it takes 1, 3 or 15 for opaque.
    bits = tf.io.decode_raw(tf.strings.substr(encoded, 24, 1), tf.uint8)[0]
    opaque = tf.bitwise.left_shift(1, tf.cast(bits, tf.int32)) - 1
    alpha = image[..., 3:]
    is_opaque = tf.reduce_all(tf.cast(alpha, tf.int32) == opaque)
    alpha = tf.where(is_opaque, tf.constant(255, tf.uint8), alpha)
    return tf.concat([image[..., :3], alpha], axis=2)


def _of_channels(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
    return tf.ensure_shape(image, [None, None, channels or None])


def _decode_webp(encoded: tf.Tensor) -> tf.Tensor:
    # TensorFlow reads it from 2.21 on at the latest, in as many channels as it has and no others.
    image = _of_channels(encoded, 0)
    return tf.cond(
        tf.shape(image)[2] == 4,
        lambda: _on_white(tf.ensure_shape(image, [None, None, 4])),
        lambda: tf.ensure_shape(image, [None, None, 3]),
    )


def _on_white(image: tf.Tensor) -> tf.Tensor:
    """RGBA over white, as preparation has it; opaque pixels are as they were."""
    color, alpha = tf.cast(image[..., :3], tf.float32), tf.cast(image[..., 3:], tf.float32)
    return _rounded(255 + (color - 255) * (alpha / 255))


def _decode_jpeg(encoded: tf.Tensor, window: Window | None, scale: int) -> tf.Tensor:
    if window is None:
        return tf.io.decode_jpeg(encoded, channels=3, ratio=scale, dct_method=DCT_METHOD)
    # The op wants the window in pixels of the scaled image, whose size libjpeg rounds up.
    scaled = tf.concat([window.corner // scale, -(-window.size // scale)], 0)
    return tf.io.decode_and_crop_jpeg(
        encoded, scaled, channels=3, ratio=scale, dct_method=DCT_METHOD
    )


def _cut(image: tf.Tensor, window: Window) -> tf.Tensor:
    return tf.slice(image, tf.pad(window.corner, [[0, 1]]), tf.concat([window.size, [3]], 0))


def smallest_scale(source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """The position in `SCALES` of the coarsest decode that covers the target.

    Args:
        source: int32 [2], height and width of what is decoded at full scale.
        target: int32 [2], height and width that are needed.

    Returns:
        int32 scalar.
    """
    decoded = -(-source // tf.constant(SCALES[1:])[:, None])
    covers = tf.reduce_all(decoded >= target, axis=1)
    return tf.reduce_sum(tf.cast(covers, tf.int32))


def central_window(source: tf.Tensor, aspect: float) -> Window:
    """The largest central window whose width is `aspect` times its height.

    Args:
        source: int32 [2], height and width of the image.
        aspect: width to height.
    """
    sides = tf.cast(source, tf.float32)
    # As high as the width allows, as wide as the height allows.
    largest = tf.round(tf.reverse(sides, [0]) * tf.constant([1 / aspect, aspect]))
    size = tf.clip_by_value(tf.cast(largest, tf.int32), 1, source)
    return Window((source - size) // 2, size)


def random_window(source: tf.Tensor, draws: tf.Tensor, crop_range: CropRange) -> Window:
    """The window of a random resized crop, a pure function of its draws.

    Sides that a draw makes longer than the image are cut to it (other libraries draw again).

    Args:
        source: int32 [2], height and width of the image.
        draws: float32 [4], uniform 0..1: area, aspect, top, left.
        crop_range: what the draws mean.
    """
    sides = tf.cast(source, tf.float32)
    share = crop_range.min_area + (1 - crop_range.min_area) * draws[0]
    aspect = tf.exp((2 * draws[1] - 1) * math.log(crop_range.max_aspect))
    wanted = tf.sqrt(tf.reduce_prod(sides) * share * tf.stack([1 / aspect, aspect]))
    size = tf.clip_by_value(tf.round(wanted), 1.0, sides)
    corner = tf.floor(draws[2:] * (sides - size + 1))
    return Window(tf.cast(corner, tf.int32), tf.cast(size, tf.int32))


def _fit_inside(source: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The largest size of the source's aspect that fits; int32 [2]."""
    sides = tf.cast(source, tf.float32)
    factor = tf.reduce_min(tf.cast(size, tf.float32) / sides)
    return tf.clip_by_value(tf.cast(tf.round(sides * factor), tf.int32), 1, size)


def resize_image(image: tf.Tensor, size: tf.Tensor, exact: bool) -> tf.Tensor:
    """Bilinear resize with half-pixel centers; averages where it shrinks by more than two.

    An image that has the size is not resampled.

    Args:
        image: uint8 [height, width, 3].
        size: int32 [2], rows and columns of the result.
        exact: average wherever it shrinks.

    Returns:
        uint8 [rows, columns, 3].
    """

    def average() -> tf.Tensor:
        return _rounded(tf.image.resize(image, size, antialias=True))

    if exact:
        return average()
    sides = tf.shape(image)[:2]
    reads_all = tf.reduce_all(sides <= MAX_BILINEAR_FACTOR * size)
    needed = tf.where(tf.reduce_all(sides == size), 0, tf.where(reads_all, 1, 2))
    branches = [lambda: image, lambda: resize_plainly(image[None], size)[0], average]
    return tf.switch_case(needed, branches)


def resize_plainly(images: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Bilinear resize of uint8 [n, height, width, 3] to int32 [2], reading two pixels a side."""
    sampled = tf.raw_ops.ResizeBilinear(images=images, size=size, half_pixel_centers=True)
    return _rounded(sampled)


def _rounded(image: tf.Tensor) -> tf.Tensor:
    # Both kernels are convex, so that nothing leaves 0..255 and the cast needs no saturation.
    return tf.cast(tf.round(image), tf.uint8)


def _place(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Centers an image on gray."""
    room = size - tf.shape(image)[:2]
    before = room // 2
    paddings = tf.pad(tf.stack([before, room - before], axis=1), [[0, 1], [0, 0]])
    return tf.pad(image, paddings, constant_values=PAD_VALUE)
