"""How many images one core of this machine reads, decodes and resizes in a second; measured."""

import time

from trainer import input_pipeline
from trainer.input_options import InputOptions
from trainer.records import RecordTable

_BATCH_SIZE = 16
_MAX_SECONDS = 5.0


def images_per_core_second(records: RecordTable, options: InputOptions) -> float:
    """Images per second of processor time, over all threads, in some five seconds.

    By processor time, so that neither the number of threads nor a busy machine alters it.
    """
    batches = iter(input_pipeline.eval_batches(records, options, batch_size=_BATCH_SIZE))
    next(batches)  # Starting up is no decoding.
    count, began, used = 0, time.monotonic(), time.process_time()
    for batch in batches:
        count += int((batch["weight"] > 0).numpy().sum())
        if time.monotonic() - began > _MAX_SECONDS:
            break
    return count / (time.process_time() - used)
