import dataclasses
import os
import resource

import numpy as np
import pytest

from orchard.errors import OrchardError
from tests.trainer.datasets import numbered_dataset
from trainer.data import readers
from trainer.data.load import load_records


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return numbered_dataset(tmp_path_factory.mktemp("data"), 20)


def test_read_records_returns_payloads_and_marks_damage(directory):
    table = load_records(directory, "train")
    gids = np.array([19, 0, 8])
    examples = readers.read_records(readers.FileSource(table.files), table, gids)
    assert [b"r19" in examples[0], b"r0" in examples[1], b"r8" in examples[2]] == [True] * 3
    contents = [open(path, "rb").read() for path in table.files]
    assert readers.read_records(readers.MemorySource(contents), table, gids) == examples
    damaged = [contents[0], contents[1], bytearray(contents[2])]
    damaged[2][table.offsets[19] + 40] ^= 1
    source = readers.MemorySource([bytes(content) for content in damaged])
    assert readers.read_records(source, table, gids) == [readers.DAMAGED, *examples[1:]]
    cut = readers.MemorySource([contents[0], contents[1], contents[2][:-3]])
    assert readers.read_records(cut, table, gids)[0] == readers.DAMAGED


def test_file_source_missing_shard_is_refused_naming_it(directory):
    table = load_records(directory, "train")
    gone = dataclasses.replace(table, files=("/nowhere/shard", *table.files[1:]))
    with pytest.raises(OrchardError, match="/nowhere/shard can't be read"):
        readers.FileSource(gone.files)


def test_file_source_that_nobody_has_any_more_is_closed(directory):
    before = len(os.listdir("/proc/self/fd"))
    source = readers.FileSource(load_records(directory, "train").files)
    assert len(os.listdir("/proc/self/fd")) > before
    del source
    assert len(os.listdir("/proc/self/fd")) == before


def test_file_source_of_more_files_than_may_be_open_reads_all(tmp_path, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (40, 40))
    files = [tmp_path / str(number) for number in range(50)]
    for number, file in enumerate(files):
        file.write_bytes(b"%05d" % number)
    before = len(os.listdir("/proc/self/fd"))
    source = readers.FileSource([str(file) for file in files])
    assert len(os.listdir("/proc/self/fd")) - before == 10
    assert [source.read(n, 1, 4) for n in range(50)] == [b"%04d" % n for n in range(50)]
    source.close()
    assert len(os.listdir("/proc/self/fd")) == before
