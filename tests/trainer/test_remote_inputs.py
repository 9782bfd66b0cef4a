"""A dataset that fsspec reads, with its local disk in place of a service."""

import numpy as np
import pytest

from orchard.errors import OrchardError
from trainer.data import load_records
from trainer.data.options import InputOptions
from trainer.data.pipeline import eval_batches


def images(dataset, **options):
    records = load_records(dataset, "fold0")
    batches = eval_batches(records, InputOptions(16, 16, **options), batch_size=8)
    return np.concatenate([batch["image"].numpy() for batch in batches])


@pytest.mark.parametrize("cache", ["ram", "cache_dir"])
def test_eval_batches_of_a_cached_remote_dataset_are_the_local_ones(tiny_dataset, tmp_path, cache):
    options = {"cache": "ram"} if cache == "ram" else {"cache_dir": str(tmp_path)}
    remote = images(f"file://{tiny_dataset}", **options)
    np.testing.assert_array_equal(remote, images(tiny_dataset))


@pytest.mark.parametrize(
    ("reader", "shown"), [("auto", "block"), ("block", "block"), ("local", "local")]
)
def test_eval_batches_of_an_uncached_remote_dataset_advise_a_cache(tiny_dataset, reader, shown):
    with pytest.raises(OrchardError) as caught:
        images(f"file://{tiny_dataset}", reader=reader)
    assert str(caught.value).startswith(f"file://{tiny_dataset}/")
    shown = "block" if reader == "auto" else reader
    assert f": --reader={shown} cannot read shards there; copy them to a local" in str(caught.value)
