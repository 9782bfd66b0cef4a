"""Many images in one call, with the pixels of `trainer.data.decode`.

For a tiny image the choice of scale, window and resize costs more than the decode itself, and for
one that was prepared at its size the batch's copy costs a fifth of it. Where no image of a call
needs any of it, the choice is made once for all of them, and they are decoded into one batch.
"""

import tensorflow as tf

from trainer.data import decode

_AS_THEY_ARE, _PLAINLY, _ANY = range(3)


def decode_images(encoded: tf.Tensor, height_px: int, width_px: int) -> tf.Tensor:
    """Decodes and squashes images side by side, as `decode.decode_image` does each.

    Args:
        encoded: string [n], encoded images; n is static.
        height_px: rows of the results.
        width_px: columns of the results.

    Returns:
        uint8 [n, height_px, width_px, 3].
    """
    size = tf.constant([height_px, width_px])
    signature = tf.TensorSpec([height_px, width_px, 3], tf.uint8)

    def as_they_are() -> tf.Tensor:
        return tf.stack([_full(one) for one in tf.unstack(encoded)])

    def plainly() -> tf.Tensor:
        images = [tf.expand_dims(_full(one), 0) for one in tf.unstack(encoded)]
        return tf.concat([decode.resize_plainly(image, size) for image in images], 0)

    # Not inlined: TensorFlow optimizes the pipeline's functions for each iterator, and a third of
    # that is what it spends on this one within another.
    @tf.function(autograph=False, experimental_attributes={"_noinline": True})
    def any_way(encoded: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            lambda one: decode.decode_image(one, height_px, width_px),
            encoded,
            fn_output_signature=signature,
            parallel_iterations=encoded.shape[0],
        )

    kind = tf.cond(
        tf.reduce_all(tf.strings.substr(encoded, 0, 3) == decode.JPEG_START),
        lambda: _kind(encoded, size),
        lambda: tf.constant(_ANY),
    )
    images = tf.switch_case(kind, [as_they_are, plainly, lambda: any_way(encoded)])
    return tf.ensure_shape(images, [encoded.shape[0], *signature.shape])


def _kind(encoded: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The cheapest decode that suits all of these JPEGs."""
    # Written out, here and above: a loop costs as much as a tiny image's decode.
    sources = tf.stack([tf.io.extract_jpeg_shape(one) for one in tf.unstack(encoded)])[:, :2]
    halved = tf.reduce_all((sources + 1) // 2 >= size, axis=1)
    plain = tf.reduce_all(sources <= decode.MAX_BILINEAR_FACTOR * size) & ~tf.reduce_any(halved)
    needed = tf.where(plain, _PLAINLY, _ANY)
    return tf.where(tf.reduce_all(sources == size), _AS_THEY_ARE, needed)


def _full(encoded: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_jpeg(encoded, channels=3, dct_method=decode.DCT_METHOD)
