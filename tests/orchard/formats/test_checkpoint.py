import json

import numpy as np
import pytest

from orchard.errors import OrchardError
from orchard.formats import (
    EVAL_LOGITS,
    TrainingCheckpoint,
    WeightsCheckpoint,
    WeightsMeta,
    load_checkpoint_file,
    npz,
    save_checkpoint_file,
)
from tests.records import training_meta

ARRAYS = {"network/00000": np.arange(6, dtype=np.float32).reshape(2, 3), EVAL_LOGITS: np.eye(2)}
CHECKPOINTS = [
    TrainingCheckpoint(7, ARRAYS, training_meta(7)),
    WeightsCheckpoint(7, ARRAYS, WeightsMeta({"accuracy": 0.5, "loss": float("inf")})),
]


def _edit(path, change):
    """Write a checkpoint's file again with another meta."""
    arrays = npz.read(path, "meta", kind="checkpoint", remedy="")
    meta = json.loads(str(arrays["meta"]))
    change(meta)
    npz.write(path, {**arrays, "meta": np.array(json.dumps(meta))})


@pytest.fixture(params=CHECKPOINTS, ids=["training", "weights"])
def saved(request, tmp_path):
    path = str(tmp_path / "step.npz")
    save_checkpoint_file(path, request.param)
    return path, request.param


def _assert_equal(found, wanted):
    assert type(found) is type(wanted)
    assert (found.step, found.meta) == (wanted.step, wanted.meta)
    assert list(found.arrays) == list(wanted.arrays)
    for name, array in wanted.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)


def test_load_checkpoint_file_gives_what_was_saved(saved):
    path, checkpoint = saved
    _assert_equal(load_checkpoint_file(path), checkpoint)


def test_load_checkpoint_file_without_a_kind_infers_it(saved):
    path, checkpoint = saved
    _edit(path, lambda meta: meta.pop("kind"))
    _assert_equal(load_checkpoint_file(path), checkpoint)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta: meta.pop("format"), "has format None, not 'orchard-checkpoint-1'"),
        (lambda meta: meta.update(format="orchard-checkpoint-2"), "another program's or version's"),
        (lambda meta: meta.update(kind="other"), "kind is 'other'"),
        (lambda meta: meta.update(step="7"), "step is '7'"),
        (lambda meta: meta.update(new=1), "meta.new is no field of it"),
    ],
)
def test_load_checkpoint_file_with_other_meta_is_one_line(saved, change, message):
    path, _ = saved
    _edit(path, change)
    with pytest.raises(OrchardError, match=message) as caught:
        load_checkpoint_file(path)
    assert path in str(caught.value) and "\n" not in str(caught.value)


def test_load_checkpoint_file_with_the_kind_of_the_other_is_one_line(saved):
    path, _ = saved
    other = {"training": "weights", "weights": "training"}
    _edit(path, lambda meta: meta.update(kind=other[meta["kind"]]))
    with pytest.raises(OrchardError, match="damaged or no checkpoint of ours .meta"):
        load_checkpoint_file(path)
