"""Training from array_record files: the same batches as from tfrecord files."""

import dataclasses
import gc
import os
import resource
import shutil

import numpy as np
import pytest

from orchard.errors import OrchardError
from tests.data_prep.builders import make_input, run
from tests.trainer.data.test_pipeline import assert_same, evaluate, train
from trainer.augment.options import AugmentOptions
from trainer.data import readers
from trainer.data.load import load_records
from trainer.data.options import InputOptions, ReadOptions

OPTIONS = InputOptions(8, 8)
CACHED = dataclasses.replace(OPTIONS, cache="ram")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One dataset in both forms, in several shards."""
    folder = tmp_path_factory.mktemp("forms")
    settings = make_input(folder / "in", rows=40) | {"folds": 2, "hosts": 3, "workers": 1}
    return {
        form: run(folder / form, file_format=form, **settings)[0]
        for form in ("tfrecord", "array_record")
    }


@pytest.fixture
def tables(folders):
    return [load_records(folder, "fold0+fold1") for folder in folders.values()]


def damage(table, gid, folder):
    """A copy of the table's files with one record damaged."""
    folder.mkdir()
    files = [shutil.copy(path, folder) for path in table.files]
    (payload,) = readers.read_few(table, [gid])
    path = files[table.file_index[gid]]
    with open(path, "r+b") as file:
        at = file.read().index(payload)
        file.seek(at + 200)
        byte = file.read(1)[0]
        file.seek(at + 200)
        file.write(bytes([byte ^ 1]))
    return dataclasses.replace(table, files=tuple(files))


def test_both_forms_give_the_same_table_but_for_the_offsets(tables):
    usual, other = tables
    assert [one.form.name for one in tables] == ["tfrecord", "array_record"]
    assert len(usual.files) == len(other.files) == 6
    for name in ("ids", "file_index", "lengths", "targets", "runs"):
        np.testing.assert_array_equal(getattr(usual, name), getattr(other, name), name)
    some = np.array([0, 1, 2, 5, 6, 30])
    np.testing.assert_array_equal(usual.take(some).runs, other.take(some).runs)


def test_batches_are_the_same_from_both_forms_and_from_memory(tables):
    usual, other = tables
    augment = AugmentOptions()
    wanted = train(usual, augment=augment)
    assert len(wanted) == 12 and wanted[0]["image"].shape == (8, 8, 8, 3)
    assert_same(train(other, augment=augment), wanted)
    # Another source, and a later start.
    assert_same(train(other, CACHED, steps=range(9, 12), augment=augment), wanted[9:])


def test_batches_from_a_local_copy_are_the_same(tables, tmp_path):
    copied = dataclasses.replace(OPTIONS, cache_dir=str(tmp_path))
    assert_same(evaluate(tables[1], copied), evaluate(tables[0]))
    assert len(list(tmp_path.rglob("*.array_record-*"))) == 6


def test_damaged_record_is_skipped_or_named(tables, tmp_path):
    from trainer.data import pipeline

    damaged = damage(tables[1], 5, tmp_path / "damaged")
    assert readers.read_few(damaged, [5, 4]) == [
        readers.DAMAGED,
        *readers.read_few(tables[1], [4]),
    ]
    tolerant = dataclasses.replace(OPTIONS, on_bad_record="skip")
    (batch,) = evaluate(damaged, tolerant, batch_size=40)
    assert batch["weight"].tolist() == [float(gid != 5) for gid in range(40)]
    with pytest.raises(OrchardError, match=r"fold0\.array_record.*, record at number \d+, id"):
        with pipeline.damage_named(damaged, OPTIONS):
            evaluate(damaged)


def test_array_record_source_missing_or_cut_shard_is_refused_naming_it(tables, tmp_path):
    with pytest.raises(OrchardError, match="shard .*gone.array_record.* No such file"):
        readers.open_source([str(tmp_path / "gone.array_record-0")])
    cut = tmp_path / "cut.array_record-0"
    with open(tables[1].files[0], "rb") as file:
        cut.write_bytes(file.read()[:-100])
    with pytest.raises(OrchardError, match="shard .*cut.array_record-0 is no whole"):
        readers.open_source([str(cut)])


def test_array_record_source_of_more_files_than_may_be_open_reads_all(tables, monkeypatch):
    table = tables[1]
    gids = np.arange(40)
    wanted = readers.read_few(table, gids)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (12, 12))
    gc.collect()  # Sources of other tests close their files.
    before = len(os.listdir("/proc/self/fd"))
    source = readers.open_source(table.files)
    assert readers.read_records(source, table, gids) == wanted
    assert len(os.listdir("/proc/self/fd")) - before <= 3
    del source
    assert len(os.listdir("/proc/self/fd")) == before


def test_reader_block_of_array_record_is_refused_with_what_to_do(tables):
    from trainer.data.options import reads_blocks

    blocks = dataclasses.replace(OPTIONS, reader="block")
    remote = dataclasses.replace(tables[1], files=("gs://b/x.array_record-00000-of-00001",))
    for table, options in ((tables[1], blocks), (remote, OPTIONS)):
        with pytest.raises(OrchardError, match="array_record files cannot.*--cache_dir=DIR.*ram"):
            reads_blocks(table, options)
    assert not reads_blocks(remote, CACHED)
    assert ReadOptions().reader == "auto"
