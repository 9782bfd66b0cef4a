import dataclasses
import os

import numpy as np
import pytest

from trainer.features.cache import Draw, FeatureCache, FeatureView, cache_directory

_VIEW = FeatureView(
    backbone="b1",
    dataset="d1",
    image_size_px=(64, 96),
    resize="squash",
    exact_decode=False,
    precision="float32",
    device_kind="cpu",
    versions={"keras": "3"},
    draw=Draw(seed=1, epoch=2, splits="fold0+fold1", augment={"flips": "both"}),
)
_IDS = np.array(["a", "b"])
_FEATURES = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
_SHARD = "data/leaves-fold0.tfrecord-00000-of-00001"


def path_of(folder, view=_VIEW):
    return os.path.join(folder, view.key, os.path.basename(_SHARD) + ".npz")


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "b2"},
        {"dataset": "d2"},
        {"image_size_px": (96, 64)},
        {"resize": "crop"},
        {"exact_decode": True},
        {"precision": "mixed_bfloat16"},
        {"device_kind": "gpu"},
        {"versions": {"keras": "4"}},
        {"draw": None},
        *(
            {"draw": dataclasses.replace(_VIEW.draw, **change)}
            for change in (
                {"seed": 2},
                {"epoch": 1},
                {"splits": "fold0"},
                {"augment": {"flips": "none"}},
            )
        ),
    ],
)
def test_view_key_depends_on_whatever_changes_a_feature(change):
    assert dataclasses.replace(_VIEW, **change).key != _VIEW.key
    assert dataclasses.replace(_VIEW).key == _VIEW.key


def test_cache_gives_what_was_saved_and_says_what_it_is(tmp_path):
    cache = FeatureCache(str(tmp_path), _VIEW)
    assert cache.load(_SHARD, _IDS, with_gaps=False) is None
    cache.save(_SHARD, _IDS, _FEATURES)
    np.testing.assert_array_equal(cache.load(_SHARD, _IDS, with_gaps=False), _FEATURES)
    assert FeatureView.load(str(tmp_path / _VIEW.key / "view.json")) == _VIEW


def test_cache_equal_features_are_equal_bytes(tmp_path):
    for folder in ("a", "b"):
        FeatureCache(str(tmp_path / folder), _VIEW).save(_SHARD, _IDS, _FEATURES)
    one, other = (open(path_of(tmp_path / folder), "rb").read() for folder in ("a", "b"))
    assert one == other


@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 0.8, 0.99])
def test_cache_damaged_file_is_named_and_computed_anew(tmp_path, capsys, at):
    cache = FeatureCache(str(tmp_path), _VIEW)
    cache.save(_SHARD, _IDS, _FEATURES)
    path = path_of(tmp_path)
    data = bytearray(open(path, "rb").read())
    data[int(at * len(data)) : int(at * len(data)) + 8] = b"\0damage\0"
    with open(path, "wb") as file:
        file.write(data)
    found = cache.load(_SHARD, _IDS, with_gaps=False)
    printed = capsys.readouterr().out
    if found is None:
        assert path in printed and "computed anew" in printed and printed.count("\n") == 1
    else:  # What no array lies in, such as a time of the zip.
        np.testing.assert_array_equal(found, _FEATURES)


def test_cache_features_that_were_changed_are_never_given(tmp_path):
    cache = FeatureCache(str(tmp_path), _VIEW)
    cache.save(_SHARD, _IDS, _FEATURES)
    data = bytearray(open(path_of(tmp_path), "rb").read())
    at = data.find(_FEATURES.tobytes())
    data[at] ^= 1
    with open(path_of(tmp_path), "wb") as file:
        file.write(data)
    assert cache.load(_SHARD, _IDS, with_gaps=False) is None


def test_cache_of_other_records_is_named_and_computed_anew(tmp_path, capsys):
    cache = FeatureCache(str(tmp_path), _VIEW)
    cache.save(_SHARD, _IDS, _FEATURES)
    assert cache.load(_SHARD, np.array(["a", "c"]), with_gaps=False) is None
    assert "other records" in capsys.readouterr().out


def test_cache_with_rows_of_damaged_records_is_for_those_who_skip_them(tmp_path):
    cache = FeatureCache(str(tmp_path), _VIEW)
    features = _FEATURES.copy()
    features[1] = np.nan
    cache.save(_SHARD, _IDS, features)
    assert cache.load(_SHARD, _IDS, with_gaps=False) is None
    np.testing.assert_array_equal(cache.load(_SHARD, _IDS, with_gaps=True), features)


@pytest.mark.parametrize(
    ("run_dir", "given", "wanted"),
    [
        ("runs/b0", "", "runs/feature_cache"),
        ("runs/b0/", "", "runs/feature_cache"),
        ("b0", "", "./feature_cache"),
        ("runs/b0/fold3", "", "runs/feature_cache"),
        ("runs/b0/refit0", "", "runs/feature_cache"),
        ("gs://bucket/runs/b0/fold1", "", "gs://bucket/runs/feature_cache"),
        ("runs/b0", "gs://bucket/features", "gs://bucket/features"),
    ],
)
def test_cache_directory_lies_beside_the_run_directory_unless_it_is_given(run_dir, given, wanted):
    assert cache_directory(run_dir, given) == wanted
