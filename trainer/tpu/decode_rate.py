"""How many images one core of this machine reads, decodes and resizes in a second; measured."""

import time

from trainer.data import InputOptions, RecordTable, train_batches

_BATCH_SIZE = 16
_SECONDS = 5.0
_STEPS = 10**6  # More than those seconds hold.


def images_per_core_second(records: RecordTable, options: InputOptions) -> float:
    """Images per second of processor time, over all threads, in some five seconds of training data.

    By processor time, so that neither the number of threads nor a busy machine alters it.
    """
    batches = iter(
        train_batches(
            records,
            options,
            batch_size=_BATCH_SIZE,
            seed=0,
            start_step=0,
            num_steps=_STEPS,
            augment=None,
        )
    )
    next(batches)  # Starting up is no decoding.
    num_batches, began, used = 0, time.monotonic(), time.process_time()
    while time.monotonic() - began < _SECONDS:
        next(batches)
        num_batches += 1
    return num_batches * _BATCH_SIZE / (time.process_time() - used)
