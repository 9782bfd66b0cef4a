"""Encoded batches to pixel batches: images in parallel, in order."""

import math
from collections.abc import Callable

import tensorflow as tf

from trainer.augment import AugmentOptions
from trainer.data import bad_records, decode, decode_small
from trainer.data.options import InputOptions

Batch = dict[str, tf.Tensor]
# A call takes several images, whose ops run side by side: calling a function costs more than to
# decode a tiny image, and a fifth of what one of 224 px takes.
_CHUNK_PIXELS = 8 * 224 * 224
_CHUNK_IMAGES = 16
# Larger images that have the asked size are decoded into their batch.
_PREPARED_IMAGES = 64


def decode_batches(
    batches: tf.data.Dataset,
    per_host: int,
    options: InputOptions,
    crops: AugmentOptions | None,
    threads: int,
    prepared: bool = False,
) -> tf.data.Dataset:
    """Decodes the images of batches; all else in a batch goes along.

    Args:
        batches: {"image": encoded, string [per_host], "crop": float32 [per_host, 4] (with `crops`),
            ...}.
        per_host: rows of a batch.
        options: size and decoding.
        crops: what random crops are drawn from; None: there are none.
        threads: images that are decoded at a time.
        prepared: the images are likely to have the asked size already.

    Returns:
        The same, in the same order, with "image" as uint8 [per_host, height, width, 3], without
        "crop"; where damage is tolerated, with "intact", bool [per_host].
    """
    pixels = options.height_px * options.width_px
    limit = min(_CHUNK_IMAGES, _CHUNK_PIXELS // pixels)
    decode_row = _row_decoder(options, crops)
    plain = options.resize == "squash" and not (options.exact_decode or options.tolerant or crops)
    if prepared and plain and limit < _CHUNK_IMAGES:
        limit = _PREPARED_IMAGES
    chunk = next((size for size in range(limit, 1, -1) if per_host % size == 0), 1)
    # The ops of one call run on all threads; others begin while its last ones end.
    calls = 1 + math.ceil(threads / chunk)

    def split(batch: Batch) -> Batch:
        return {name: _regroup(value, [per_host // chunk, chunk]) for name, value in batch.items()}

    def join(batch: Batch) -> Batch:
        return {name: _regroup(value, [per_host], 2) for name, value in batch.items()}

    def decode_chunk(rows: Batch) -> Batch:
        if plain:
            image = decode_small.decode_images(rows["image"], options.height_px, options.width_px)
            return rows | {"image": image}
        encoded = {name: rows.pop(name) for name in ("image", "crop") if name in rows}
        signature = {"image": tf.TensorSpec([options.height_px, options.width_px, 3], tf.uint8)}
        if options.tolerant:
            signature["intact"] = tf.TensorSpec([], tf.bool)
        return rows | tf.map_fn(
            decode_row, encoded, fn_output_signature=signature, parallel_iterations=chunk
        )

    if chunk == 1:
        images = batches.unbatch().map(decode_row, num_parallel_calls=threads, deterministic=True)
        return images.batch(per_host, drop_remainder=True)
    if chunk == per_host:
        return batches.map(decode_chunk, num_parallel_calls=calls, deterministic=True)
    images = batches.map(split).unbatch()
    images = images.map(decode_chunk, num_parallel_calls=calls, deterministic=True)
    return images.batch(per_host // chunk, drop_remainder=True).map(join)


def _regroup(values: tf.Tensor, leading: list[int], replaced: int = 1) -> tf.Tensor:
    return tf.reshape(values, leading + values.shape.as_list()[replaced:])


def _row_decoder(options: InputOptions, crops: AugmentOptions | None) -> Callable[[Batch], Batch]:
    """One row in, the same out with its image decoded (and "intact", where damage is tolerated)."""
    height_px, width_px = options.height_px, options.width_px

    def decode_row(row: Batch) -> Batch:
        row = dict(row)
        draws, crop = row.pop("crop", None), None
        if crops is not None:
            drawn_from = decode.CropRange(crops.crop_min_area, crops.crop_max_aspect)
            crop = decode.RandomCrop(draws, drawn_from)

        def decode_it(encoded: tf.Tensor) -> tf.Tensor:
            return decode.decode_image(
                encoded, height_px, width_px, options.resize, options.exact_decode, crop
            )

        if not options.tolerant:
            return row | {"image": decode_it(row["image"])}
        shape = [height_px, width_px, 3]
        image, intact = bad_records.decode_or_flag(decode_it, row["image"], shape)
        return row | {"image": image, "intact": intact}

    return decode_row
