import itertools
import types

from tests.trainer.datasets import numbered_dataset
from trainer.data.load import load_records
from trainer.data.options import InputOptions
from trainer.tpu import decode_rate


def test_images_per_core_second_counts_images_by_processor_time(tmp_path, monkeypatch):
    records = load_records(numbered_dataset(tmp_path, 50), "train")
    # A second passes at each look at the clock, of which the processor works the half.
    clock = types.SimpleNamespace(
        monotonic=itertools.count().__next__, process_time=iter([10.0, 12.5]).__next__
    )
    monkeypatch.setattr(decode_rate, "time", clock)
    batches = 4
    rate = decode_rate.images_per_core_second(records, InputOptions(8, 8))
    assert rate == batches * decode_rate._BATCH_SIZE / 2.5
