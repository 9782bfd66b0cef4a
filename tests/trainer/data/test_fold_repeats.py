"""Folds that are dealt out anew: data_prep's --fold_repeats, trainer's --fold_repeat."""

import dataclasses

import numpy as np
import pytest

from data_prep import prepare
from orchard.errors import OrchardError
from orchard.formats.manifest import load_records as load_index
from tests.data_prep.builders import config, make_input
from trainer.data import pipeline
from trainer.data.load import load_records
from trainer.data.options import InputOptions
from trainer.data.order import OrderOptions


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three folds, dealt out twice, of records that lie in one shard a fold."""
    root = tmp_path_factory.mktemp("repeats")
    given = make_input(root / "in")
    return prepare(config(root / "out", folds=3, fold_repeats=2, **given), log=lambda line: None)


def _expected(dataset, folds):
    index = load_index(dataset)
    return [record.id for record in index.itertuples() if record.repeat_folds[0] in folds]


def test_load_records_of_a_later_repeat_has_its_records_in_the_datasets_order(dataset):
    table = load_records(dataset, "repeat1_fold1+repeat1_fold2")
    assert table.ids.tolist() == _expected(dataset, (1, 2))
    assert table.splits == ("repeat1_fold1", "repeat1_fold2")
    held_out = load_records(dataset, "repeat1_fold0").ids
    assert not set(held_out) & set(table.ids) and len(held_out) + len(table.ids) == 12


def test_load_records_of_all_folds_of_a_repeat_are_all_folds(dataset):
    repeated = load_records(dataset, "repeat1_fold0+repeat1_fold1+repeat1_fold2")
    assert repeated.ids.tolist() == load_records(dataset, "fold0+fold1+fold2").ids.tolist()


def test_load_records_of_a_repeat_that_is_not_there_is_refused(dataset):
    with pytest.raises(OrchardError, match="no split 'repeat2_fold0'.*repeat1_fold2"):
        load_records(dataset, "repeat2_fold0")


def test_runs_end_where_a_record_between_is_not_of_the_table(dataset):
    table = load_records(dataset, "fold0+fold1")
    np.testing.assert_array_equal(table.runs, table.file_index)
    part = table.take(np.array([0, 1, 3, 4, 5]))
    assert part.runs.tolist() == [0, 0, 1, 2, 2]


@pytest.mark.parametrize("reader", ["local", "block"])
def test_batches_of_a_repeat_have_the_images_of_their_ids(dataset, reader):
    table = load_records(dataset, "repeat1_fold1+repeat1_fold2")
    options = dataclasses.replace(
        InputOptions(8, 8),
        reader=reader,
        order=OrderOptions(2, 3, 5) if reader == "block" else None,
    )
    batches = pipeline.train_batches(
        table, options, batch_size=4, seed=0, start_step=0, num_steps=2, augment=None
    )
    everything = load_records(dataset, "fold0+fold1+fold2")
    whole = {}
    for batch in pipeline.eval_batches(everything, InputOptions(8, 8), batch_size=12):
        for gid, image in zip(batch["index"].numpy(), batch["image"].numpy(), strict=True):
            whole[str(everything.ids[gid])] = image
    evaluated = pipeline.eval_batches(table, options, batch_size=4)
    seen = set()
    for batch in (*batches, *evaluated):
        for gid, image in zip(batch["index"].numpy(), batch["image"].numpy(), strict=True):
            if gid >= 0:
                np.testing.assert_array_equal(image, whole[str(table.ids[gid])])
                seen.add(str(table.ids[gid]))
    assert seen == set(table.ids)
