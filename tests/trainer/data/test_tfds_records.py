import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from array_record.python import array_record_module

from orchard.errors import OrchardError
from tests.trainer import runs
from tests.trainer.datasets import smooth_image
from trainer.data import pipeline, tfds_records
from trainer.data.load import load_records, split_names
from trainer.data.options import InputOptions
from trainer.runtime.accelerator import Accelerator
from trainer.training.assembly import prepare

FEATURES = {
    "picture": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
    "kind": tfds.features.ClassLabel(names=["a", "b", "c"]),
    "remark": tfds.features.Text(),
}


def write_tfrecord(path, examples):
    with tf.io.TFRecordWriter(path) as file:
        for example in examples:
            file.write(example)


def write_array_record(path, examples):
    # Groups and compression, as others may choose them.
    file = array_record_module.ArrayRecordWriter(path, "group_size:4,zstd")
    for example in examples:
        file.write(example)
    file.close()


WRITERS = {"tfrecord": write_tfrecord, "array_record": write_array_record}


def write_tfds(directory, features: dict, count: int = 12, file_format: str = "tfrecord") -> str:
    """A dataset as TFDS itself writes it, in two splits."""
    features = tfds.features.FeaturesDict(features)
    template = tfds.core.ShardedFileTemplate(
        data_dir=directory, dataset_name="foreign", filetype_suffix=file_format
    )
    splits = []
    serializer = tfds.core.ExampleSerializer(features.get_serialized_info())
    os.makedirs(directory)
    for split, numbers in (("train", range(count)), ("validation", range(count, count + 3))):
        examples = [
            serializer.serialize_example(features.encode_example(_row(features, number)))
            for number in numbers
        ]
        halves = [examples[: len(examples) // 2], examples[len(examples) // 2 :]]
        named = template.replace(split=split)
        for shard, half in enumerate(halves):
            path = named.sharded_filepath(shard_index=shard, num_shards=2)
            WRITERS[file_format](os.fspath(path), half)
        splits.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[len(half) for half in halves],
                num_bytes=sum(map(len, examples)),
                filename_template=named,
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=directory, features=features, split_infos=splits, check_data=False
    )
    return str(directory)


def test_prepare_foreign_dataset_without_splits_lists_them(tmp_path):
    dataset = write_tfds(tmp_path / "foreign" / "1.0.0", FEATURES)
    assert split_names(dataset) == ("train", "validation")
    config = runs.config(dataset, "mobilenet_v2", tmp_path / "run", fold="", image_size="32")
    with pytest.raises(OrchardError, match="--train_split/--eval_split; splits: train, validation"):
        prepare(config, Accelerator("cpu", tf.distribute.get_strategy()))


def _row(features, number):
    row = {"picture": smooth_image(number, 9, 11), "kind": number % 3, "remark": "x"}
    return {name: row.get(name, row["kind"]) for name in features}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write_tfds(tmp_path_factory.mktemp("foreign") / "foreign" / "1.0.0", FEATURES)


def test_load_records_of_a_foreign_dataset_gives_its_images_and_classes(directory):
    table = load_records(directory, "train")
    assert table.ids.tolist() == [f"train/{i}" for i in range(12)]
    assert table.targets.argmax(axis=1).tolist() == [i % 3 for i in range(12)]
    assert table.class_names == ("a", "b", "c") and table.image_key == "picture"
    batches = pipeline.eval_batches(table, InputOptions(9, 11), batch_size=12)
    (batch,) = batches.as_numpy_iterator()
    assert (batch["image"] == np.stack([smooth_image(i, 9, 11) for i in range(12)])).all()


def test_load_records_of_a_foreign_array_record_dataset_gives_the_same_batches(directory, tmp_path):
    other = write_tfds(tmp_path / "foreign" / "1.0.0", FEATURES, file_format="array_record")
    table, theirs = load_records(directory, "train"), load_records(other, "train")
    assert theirs.ids.tolist() == table.ids.tolist()
    assert theirs.lengths.tolist() == table.lengths.tolist()
    (one,), (two,) = (
        pipeline.eval_batches(each, InputOptions(9, 11), batch_size=12).as_numpy_iterator()
        for each in (table, theirs)
    )
    np.testing.assert_array_equal(one["image"], two["image"])
    np.testing.assert_array_equal(one["target"], two["target"])


def test_load_records_of_a_foreign_dataset_again_reads_its_index(directory, monkeypatch):
    first = load_records(directory, "train+validation")
    monkeypatch.setattr(tfds_records, "_scan", None)
    again = load_records(directory, "validation+train")
    assert again.ids.tolist() == first.ids.tolist()
    assert again.offsets.tolist() == first.offsets.tolist()
    assert len(tfds.builder_from_directory(directory).as_dataset(split="train")) == 12


def test_load_records_index_that_is_another_file_is_refused(directory):
    load_records(directory, "train")
    index = next(Path(directory, ".orchard_index").glob("train-*.npz"))
    kept, arrays = index.read_bytes(), dict(np.load(index))
    try:
        np.savez(index, **arrays, more=np.zeros(3))
        assert len(load_records(directory, "train")) == len(arrays["offsets"])
        np.savez(index, **{**arrays, "lengths": arrays["lengths"][1:]})
        with pytest.raises(OrchardError, match="differ in length.*delete it"):
            load_records(directory, "train")
    finally:
        index.write_bytes(kept)


def test_load_records_of_a_read_only_dataset_keeps_the_index_in_the_users_cache(
    tmp_path, monkeypatch
):
    directory = write_tfds(tmp_path / "foreign" / "1.0.0", FEATURES)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write = tfds_records.storage.write_bytes

    def refuse(path, data):
        if path.startswith(directory):
            raise OrchardError("read-only")
        write(path, data)

    monkeypatch.setattr(tfds_records.storage, "write_bytes", refuse)
    load_records(directory, "train")
    assert len(os.listdir(tmp_path / "cache" / "orchard" / "index")) == 1
    monkeypatch.setattr(tfds_records, "_scan", None)
    assert len(load_records(directory, "train")) == 12


def test_find_layout_two_labels_or_none_is_refused(tmp_path):
    features = {"picture": FEATURES["picture"], "kind": FEATURES["kind"]}
    with pytest.raises(OrchardError, match="1 image and 0 label features among picture"):
        tfds_records.find_layout("D", {"picture": features["picture"]})
    with pytest.raises(OrchardError, match="1 image and 2 label features"):
        tfds_records.find_layout("D", features | {"other": FEATURES["kind"]})
