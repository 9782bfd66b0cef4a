"""Changes of colour of image batches: elementwise, values stay in 0..255.

All take float32 [batch, height, width, 3], 0..255, and one float32 [batch] parameter; 1 (solarize:
256, autocontrast: 0) changes nothing. The definitions are those of Pillow's ImageEnhance and
ImageOps.
"""

import tensorflow as tf

# ITU-R 601-2, as Pillow's conversion to "L".
_LUMA = (0.299, 0.587, 0.114)


def brightness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies all values."""
    return _clip(images * _per_image(factor))


def contrast(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the distance to the image's mean grey."""
    mean = tf.reduce_mean(_grey(images), axis=[1, 2, 3], keepdims=True)
    return _clip(mean + (images - mean) * _per_image(factor))


def saturation(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the distance of each pixel to its grey."""
    grey = _grey(images)
    return _clip(grey + (images - grey) * _per_image(factor))


def sharpness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the distance to the image smoothed by [[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13."""
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")
    height, width = images.shape[1:3]
    around = tf.add_n(
        [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    )
    smooth = (around + 4 * images) / 13
    return _clip(smooth + (images - smooth) * _per_image(factor))


def posterize(images: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Rounds values down to multiples of the step, a power of two."""
    step = _per_image(step)
    return tf.where(step > 1, tf.floor(images / step) * step, images)


def solarize(images: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Inverts the values from the threshold on."""
    return tf.where(images >= _per_image(threshold), 255 - images, images)


def autocontrast(images: tf.Tensor, flags: tf.Tensor) -> tf.Tensor:
    """Stretches each channel of the flagged images to 0..255; a flat channel stays."""
    low = tf.reduce_min(images, axis=[1, 2], keepdims=True)
    high = tf.reduce_max(images, axis=[1, 2], keepdims=True)
    spread = high - low
    stretched = (images - low) * (255 / tf.maximum(spread, 1.0))
    return tf.where((_per_image(flags) > 0.5) & (spread >= 1), stretched, images)


def _grey(images: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(images * tf.constant(_LUMA), axis=3, keepdims=True)


def _clip(images: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(images, 0.0, 255.0)


def _per_image(values: tf.Tensor) -> tf.Tensor:
    return values[:, None, None, None]
