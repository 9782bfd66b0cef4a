import logging

import numpy as np
import pytest
import tensorflow as tf

from orchard.errors import OrchardError
from tests.trainer.datasets import jpeg, numbered_dataset, smooth_image
from trainer.data import bad_records
from trainer.data.load import load_records


@pytest.fixture
def records(tmp_path):
    return load_records(numbered_dataset(tmp_path, 20), "train")


def _error():
    return tf.errors.DataLossError(None, None, "corrupted record at 12")


def test_decode_or_flag_intact_image_is_itself():
    encoded = jpeg(smooth_image(0, 8, 8))
    image, intact = bad_records.decode_or_flag(tf.io.decode_jpeg, tf.constant(encoded), [8, 8, 3])
    assert intact
    np.testing.assert_array_equal(image, tf.io.decode_jpeg(encoded))


@pytest.mark.parametrize("encoded", [b"", b"\xff\xd8\xff no image"])
def test_decode_or_flag_damaged_image_is_zeros_and_flagged(encoded):
    image, intact = bad_records.decode_or_flag(tf.io.decode_jpeg, tf.constant(encoded), [8, 8, 3])
    assert not intact
    assert image.dtype == tf.uint8 and not np.any(image)


def test_skip_log_names_each_record_once(records, caplog):
    log = bad_records.SkipLog(records)
    with caplog.at_level(logging.WARNING):
        log.add(np.array([3, 5]))
        log.add(np.array([5, 7]))
    messages = [record.getMessage() for record in caplog.records]
    assert [message.split(":")[0] for message in messages] == [
        f"skipped damaged record {n}" for n in (1, 2, 3)
    ]
    assert all(f"'r{gid}'" in text for gid, text in zip((3, 5, 7), messages, strict=True))


def test_skip_log_watch_takes_note_of_a_batchs_damaged_records_alone(records, caplog):
    log = bad_records.SkipLog(records)
    gids = tf.constant([4, 6, 8], tf.int64)
    log.watch(gids, tf.constant([True, True, True]), in_python=True)
    assert not caplog.records
    log.watch(gids, tf.constant([True, False, True]), in_python=True)
    assert ["'r6'" in record.getMessage() for record in caplog.records] == [True]


def test_named_error_about_damage_names_up_to_five_records_and_the_advice(records):
    with (
        pytest.raises(OrchardError, match=r"^7 damaged records: .*'r0'.*'r4' and 2 more; call mum"),
        bad_records.named(lambda: list(range(7)), records, advice="call mum"),
    ):
        raise _error()


def test_named_without_a_damaged_record_leaves_the_error(records):
    with pytest.raises(tf.errors.DataLossError), bad_records.named(list, records):
        raise _error()


def test_named_other_error_is_not_searched_for(records):
    def search():
        raise AssertionError("searched")

    with (
        pytest.raises(tf.errors.InvalidArgumentError, match="shapes"),
        bad_records.named(search, records),
    ):
        raise tf.errors.InvalidArgumentError(None, None, "shapes differ")
