import dataclasses
import shutil

import numpy as np
import pytest

from ensemble.inference.cache import LogitsCache
from ensemble.members.runs import load_members
from orchard.errors import OrchardError
from orchard.formats import load_logits
from tests.ensemble.builders import make_dataset, make_member
from trainer.data.load import load_records


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A member and the records of a split."""
    root = tmp_path_factory.mktemp("cache")
    make_dataset(root / "leaves", {"fold0": 4, "fold1": 4, "test": 9})
    make_member(root / "a", root / "leaves")
    return load_members([str(root / "a")])[0][0], load_records(str(root / "leaves"), "test")


def _logits(records):
    return np.random.default_rng(0).normal(size=(len(records), 3)).astype(np.float32)


@pytest.mark.parametrize("finished", [False, True])
def test_logits_cache_gives_rows_by_image_id_and_none_of_other_images(world, tmp_path, finished):
    member, records = world
    logits = _logits(records)
    with LogitsCache(str(tmp_path), member, records, "none") as cache:
        cache.add_records(np.arange(len(records)), logits)
    if finished:
        cache.finish()
    turned = dataclasses.replace(records, ids=records.ids[::-1])
    found = LogitsCache(str(tmp_path), member, turned, "none")
    assert found.done.all()
    np.testing.assert_array_equal(found.logits, logits[::-1])
    others = dataclasses.replace(records, ids=np.array(["new", *records.ids[1:]]))
    assert LogitsCache(str(tmp_path), member, others, "none").done.tolist() == [False] + [True] * 8
    assert not LogitsCache(str(tmp_path), member, records, "flips").done.any()


def test_logits_cache_that_is_finished_is_one_file(world, tmp_path):
    member, records = world
    with LogitsCache(str(tmp_path), member, records, "none") as cache:
        cache.add_records(np.arange(len(records)), _logits(records))
    cache.finish()
    (entry,) = tmp_path.iterdir()
    table = load_logits(str(entry))
    np.testing.assert_array_equal(table.logits, _logits(records))
    assert table.ids.tolist() == records.ids.tolist()


def test_logits_cache_killed_before_its_parts_were_gone_is_one_file_the_next_time(world, tmp_path):
    member, records = world
    for _ in range(2):
        with LogitsCache(str(tmp_path), member, records, "none") as cache:
            cache.add_records(np.arange(len(records)), _logits(records))
    parts = [path for path in tmp_path.iterdir() if path.is_dir()]
    kept = tmp_path.parent / "kept"
    shutil.copytree(parts[0], kept)
    cache.finish()
    shutil.copytree(kept, parts[0])
    LogitsCache(str(tmp_path), member, records, "none").finish()
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]


def test_logits_cache_of_a_row_that_is_not_finite_takes_none_of_the_batch(world, tmp_path):
    member, records = world
    logits = _logits(records)
    logits[4, 1] = np.inf
    cache = LogitsCache(str(tmp_path), member, records, "none")
    with pytest.raises(OrchardError, match=f"not finite for image '{records.ids[4]}'"):
        cache.add_records(np.arange(len(records)), logits)
    assert not cache.done.any()
