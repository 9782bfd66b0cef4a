import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from orchard.errors import OrchardError
from tests.trainer.datasets import jpeg, numbered_dataset, smooth_image, write_dataset
from trainer.augment.options import AugmentOptions
from trainer.data import pipeline
from trainer.data.load import load_records
from trainer.data.options import InputOptions
from trainer.data.order import OrderOptions

OPTIONS = InputOptions(8, 8)
BLOCKS = dataclasses.replace(OPTIONS, order=OrderOptions(4, 3, 5))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return load_records(numbered_dataset(tmp_path_factory.mktemp("data"), 50), "train")


def train(records, options=OPTIONS, *, steps=range(12), batch_size=8, augment=None, **kwargs):
    batches = pipeline.train_batches(
        records,
        options,
        batch_size=batch_size,
        seed=1,
        start_step=steps.start,
        num_steps=len(steps),
        augment=augment,
        **kwargs,
    )
    return list(batches.as_numpy_iterator())


def evaluate(records, options=OPTIONS, **kwargs):
    kwargs = {"batch_size": 16} | kwargs
    return list(pipeline.eval_batches(records, options, **kwargs).as_numpy_iterator())


def joined(batches, name):
    return np.concatenate([batch[name] for batch in batches])


def assert_same(ones, others):
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], name)


def test_train_batches_have_each_records_own_image_and_target(records):
    batches = train(records, augment=AugmentOptions())
    first = batches[0]
    assert first["image"].shape == (8, 8, 8, 3) and first["image"].dtype == np.uint8
    assert first["target"].shape == (8, 10) and first["augment"].dtype == np.float32
    gids = joined(batches, "index")
    # Record i is a flat image of brightness i, give or take JPEG's rounding.
    assert abs(joined(batches, "image")[:, 0, 0, 0].astype(int) - gids).max() <= 1
    assert (joined(batches, "target") == records.targets[gids]).all()
    assert (joined(batches, "weight") == 1).all()


def test_train_batches_across_epochs_have_every_record_once_each(records):
    gids = joined(train(records, steps=range(25), batch_size=8), "index")
    for epoch in range(4):
        assert sorted(gids[50 * epoch : 50 * (epoch + 1)]) == list(range(50))


@pytest.mark.parametrize("options", [OPTIONS, BLOCKS], ids=["permutation", "blocks"])
def test_train_batches_of_any_hosts_make_the_same_global_batch(records, options):
    whole = train(records, options, augment=AugmentOptions())
    for hosts in (2, 4):
        parts = [
            train(records, options, augment=AugmentOptions(), num_hosts=hosts, host=host)
            for host in range(hosts)
        ]
        together = [
            {name: np.concatenate([part[name] for part in step]) for name in step[0]}
            for step in zip(*parts, strict=True)
        ]
        assert_same(together, whole)


@pytest.mark.parametrize("reader", ["local", "block"])
def test_train_batches_from_a_later_step_equal_the_undisturbed_ones(records, reader):
    options = dataclasses.replace(BLOCKS, reader=reader)
    whole = train(records, options, augment=AugmentOptions())
    assert_same(train(records, options, steps=range(7, 12), augment=AugmentOptions()), whole[7:])


@pytest.mark.parametrize(
    "order, batch_size",
    [
        (OrderOptions(4, 3, 5), 8),
        (OrderOptions(1), 8),
        (OrderOptions(2, 4, 100), 16),
        (OrderOptions(5, 3, 4), 60),
    ],
)
def test_train_batches_of_either_reader_are_the_same(records, order, batch_size):
    local = dataclasses.replace(OPTIONS, order=order, reader="local")
    block = dataclasses.replace(local, reader="block")
    augment = AugmentOptions(crop_min_area=0.5, mixup_alpha=0.2)
    assert_same(
        train(records, block, batch_size=batch_size, augment=augment),
        train(records, local, batch_size=batch_size, augment=augment),
    )


@pytest.mark.parametrize("reader", ["local", "block"])
def test_eval_batches_have_every_record_once_and_padding_of_weight_0(records, reader):
    options = dataclasses.replace(OPTIONS, reader=reader)
    whole = evaluate(records, options)
    assert joined(whole, "index").tolist() == [*range(50), *[-1] * 14]
    assert joined(whole, "weight").tolist() == [1] * 50 + [0] * 14
    halves = [evaluate(records, options, num_hosts=2, host=host) for host in (0, 1)]
    together = [
        {name: np.concatenate([a[name], b[name]]) for name in a}
        for a, b in zip(*halves, strict=True)
    ]
    assert_same(together, whole)


def test_train_and_eval_batches_of_a_split_smaller_than_a_batch_work(tmp_path):
    records = load_records(numbered_dataset(tmp_path, 3, num_classes=3), "train")
    gids = joined(train(records, steps=range(3), batch_size=8), "index")
    assert all(sorted(gids[i : i + 3]) == [0, 1, 2] for i in range(0, 24, 3))
    assert joined(evaluate(records), "weight").sum() == 3


def test_train_batches_of_more_hosts_than_shards_share_the_records(tmp_path):
    records = load_records(numbered_dataset(tmp_path, 20, shard_records=20), "train")
    parts = [train(records, num_hosts=4, host=h, steps=range(5)) for h in range(4)]
    gids = np.concatenate([joined(part, "index") for part in parts])
    assert sorted(gids) == sorted([*range(20), *range(20)])


def test_train_batches_of_unlabeled_records_are_refused_naming_one(tmp_path):
    images = [jpeg(smooth_image(i, 8, 8)) for i in range(4)]
    records = load_records(write_dataset(tmp_path, images, [0, 1, -1, 0]), "train")
    with pytest.raises(OrchardError, match="1 of 4 records of train have no label, first 'r2'"):
        train(records)
    assert len(evaluate(records)) == 1


@pytest.mark.parametrize("reader", ["local", "block"])
def test_batches_with_a_damaged_record_name_or_skip_it(tmp_path, reader):
    images = [jpeg(smooth_image(i, 8, 8)) for i in range(20)]
    images[5] = b"\xff\xd8\xff no image at all"
    records = load_records(write_dataset(tmp_path, images, [0, 1] * 10), "train")
    flip_byte(records, 9)
    options = dataclasses.replace(OPTIONS, reader=reader)
    with (
        pytest.raises(OrchardError, match="2 damaged records: .*00000-of-00003.*'r5'; .*'r9'"),
        pipeline.damage_named(records, options),
    ):
        train(records, options, batch_size=4)
    skipping = dataclasses.replace(options, on_bad_record="skip")
    weights = joined(evaluate(records, skipping), "weight")[:20]
    assert np.flatnonzero(weights == 0).tolist() == [5, 9]
    batches = train(records, skipping, batch_size=4, steps=range(10))
    gids, weights = joined(batches, "index"), joined(batches, "weight")
    assert (weights == ~np.isin(gids, [5, 9])).all()


def flip_byte(records, gid):
    with open(records.files[records.file_index[gid]], "r+b") as file:
        file.seek(records.offsets[gid] + 12 + 60)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 255]))


def test_train_batches_skipping_a_record_log_it_once(tmp_path, caplog):
    images = [jpeg(smooth_image(i, 8, 8)) for i in range(6)]
    images[2] = b"none"
    records = load_records(write_dataset(tmp_path, images, [0, 1] * 3), "train")
    skipping = dataclasses.replace(OPTIONS, on_bad_record="skip")
    train(records, skipping, batch_size=2, steps=range(9))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert "skipped damaged record 1: " in messages[0] and "'r2'" in messages[0]


def test_damage_named_other_error_is_unchanged(records):
    with pytest.raises(ValueError), pipeline.damage_named(records, OPTIONS):
        raise ValueError("an image of a problem")


def test_train_batches_random_crops_depend_on_seed_epoch_and_record(tmp_path):
    images = [jpeg(smooth_image(i, 60, 80)) for i in range(4)]
    records = load_records(write_dataset(tmp_path, images, [0, 1] * 2), "train")
    augment = AugmentOptions(crop_min_area=0.1)
    once = train(records, steps=range(4), batch_size=2, augment=augment)
    assert_same(once, train(records, steps=range(4), batch_size=2, augment=augment))
    by_gid = {}
    for batch in once:
        for gid, image in zip(batch["index"], batch["image"], strict=True):
            by_gid.setdefault(gid, []).append(image)
    assert all((first != second).any() for first, second in by_gid.values())


@pytest.mark.parametrize("change", [{"cache": "ram"}, {"cache_dir": "copies"}])
def test_train_batches_with_any_cache_are_the_same(records, tmp_path, change):
    if "cache_dir" in change:
        change = {"cache_dir": str(tmp_path / "copies")}
    cached = dataclasses.replace(OPTIONS, **change)
    assert_same(train(records, cached), train(records))


_HOST = """
import sys
from orchard import tensorflow_start
tensorflow_start.prepare()
from trainer.data import InputOptions, load_records, train_batches
table = load_records(sys.argv[1], "train")
batches = train_batches(
    table, InputOptions(height_px=8, width_px=8), batch_size=8, seed=1, start_step=3, num_steps=4,
    augment=None, num_hosts=2, host=int(sys.argv[2]))
for batch in batches.as_numpy_iterator():
    print(*batch["index"], *batch["image"][:, 0, 0, 0])
"""


def test_train_batches_in_separate_processes_make_the_global_batch(records):
    directory = records.files[0].rsplit("/", 1)[0]
    hosts = [
        subprocess.Popen(
            [sys.executable, "-c", _HOST, directory, str(host)], stdout=subprocess.PIPE, text=True
        )
        for host in (0, 1)
    ]
    outputs = [host.communicate(timeout=900)[0].splitlines() for host in hosts]
    whole = train(records, steps=range(3, 7))
    for step, batch in enumerate(whole):
        halves = [np.array(output[step].split(), int).reshape(2, 4) for output in outputs]
        index, gray = np.concatenate(halves, axis=1)
        assert index.tolist() == batch["index"].tolist()
        assert gray.tolist() == batch["image"][:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"resize": "stretch"}, "--resize=stretch: choose one of squash, crop, pad"),
        ({"height_px": 0}, "--height_px=0: choose a number of at least 1"),
        ({"reader": "fast"}, "--reader=fast: choose one of auto, local, block"),
        ({"cache": "ram", "cache_dir": "x"}, "exclude each other"),
        (
            {"reader": "block", "cache": "ram"},
            "--reader=block excludes --cache and --cache_dir; remove one",
        ),
    ],
)
def test_input_options_impossible_replacement_is_refused(change, message):
    with pytest.raises(OrchardError, match=message):
        dataclasses.replace(OPTIONS, **change)
