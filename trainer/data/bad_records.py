"""Records that can't be read or decoded: skipped by name, or named in the error that ends a run."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from orchard.errors import OrchardError
from trainer.data.records import RecordTable

ADVICE = "prepare the dataset again, or pass --on_bad_record=skip"
_NAMED_AT_MOST = 5
# Parts of TensorFlow's errors about bytes that are no image and records that fail their checksum.
_SYMPTOMS = ("jpeg", "image", "png", "corrupted record", "truncated record")
_log = logging.getLogger(__name__)


def decode_or_flag(
    decode: Callable[[tf.Tensor], tf.Tensor], encoded: tf.Tensor, shape: list[int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes an image; where that fails, gives zeros instead of an error.

    TensorFlow has no try: an error can be caught as the end of a dataset of one element. Costs
    about 0.4 ms of one core an image.

    Returns:
        (uint8 image of the shape, bool scalar: whether it could be decoded).
    """
    decoded = tf.data.Dataset.from_tensors(encoded).map(lambda one: (decode(one), True))
    instead = tf.data.Dataset.from_tensors((tf.zeros(shape, tf.uint8), False))
    image, intact = decoded.ignore_errors().concatenate(instead).take(1).get_single_element()
    return tf.ensure_shape(image, shape), tf.ensure_shape(intact, [])


class SkipLog:
    """Names and counts skipped records, each once."""

    def __init__(self, records: RecordTable):
        self._records = records
        self._seen: set[int] = set()
        self._lock = threading.Lock()

    def add(self, gids: np.ndarray) -> None:
        """Takes note of skipped records."""
        with self._lock:
            for gid in gids.tolist():
                if gid not in self._seen:
                    self._seen.add(gid)
                    _log.warning(
                        "skipped damaged record %d: %s",
                        len(self._seen),
                        self._records.describe(gid),
                    )

    def watch(self, gids: tf.Tensor, intact: tf.Tensor, in_python: bool) -> tf.Operation:
        """An op that takes note of the records of a batch that aren't intact.

        Args:
            gids: int64 [batch].
            intact: bool [batch].
            in_python: whether this process runs the pipeline; else the host that does prints the
                gids.
        """
        bad = tf.boolean_mask(gids, ~intact)

        def note() -> tf.Tensor:
            if in_python:
                done = tf.numpy_function(self._note, [bad], tf.int64)
            else:
                done = tf.print("skipped damaged records, rows of the table:", bad, summarize=-1)
            with tf.control_dependencies([done]):
                return tf.constant(0)

        return tf.cond(tf.size(bad) > 0, note, lambda: tf.constant(0))

    def _note(self, gids: np.ndarray) -> np.int64:
        self.add(gids)
        return np.int64(0)


@contextlib.contextmanager
def named(
    find: Callable[[], list[int]], records: RecordTable, advice: str = ADVICE
) -> Iterator[None]:
    """Turns TensorFlow's error about a damaged record into one that names file, record and id.

    Args:
        find: searches the records for damaged ones, returns their gids; called after an error
            alone.
        records: the table.
        advice: what to do about them.

    Raises:
        OrchardError: instead of the error, where there are damaged records.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
        if not any(symptom in str(error).lower() for symptom in _SYMPTOMS):
            raise
        gids = find()
        if not gids:
            raise
        names = "; ".join(records.describe(gid) for gid in gids[:_NAMED_AT_MOST])
        more = f" and {len(gids) - _NAMED_AT_MOST} more" if len(gids) > _NAMED_AT_MOST else ""
        raise OrchardError(
            f"{len(gids)} damaged record{'s' * (len(gids) > 1)}: {names}{more}; {advice}"
        ) from error
