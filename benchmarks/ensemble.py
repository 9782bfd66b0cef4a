r"""One pass of the ensemble against its members' pure forward time, and against model.predict.

    python -m benchmarks.ensemble [--dataset=DIR/NAME/VERSION --splits=test]

Four networks of keras.applications with random weights, at four input sizes. Three timings over the
same images, each after two warm-up batches (loading and tracing are not counted in any):

    pure      each member's `images` signature on uint8 batches that lie in memory, summed
    one pass  ensemble.inference: records read once, decoded and resized for each size, all members
    predict   what one writes without this project: for each member a tf.data pipeline of decode and
              resize with prefetch, and `keras_model.predict` on it, summed

Wall and CPU seconds (all threads) are shown: on a machine that computes with its cores the two say
the same, and the second bears with other load on it.

Without --dataset the images of examples/fashion_mnist are prepared into a temporary dataset.
"""

import os
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from benchmarks.random_member import save_random_member
from ensemble.inference import LoadedMember, run_members
from ensemble.members import load_members
from orchard.formats import DatasetOfRun, RunDir
from trainer.data import RecordTable, load_records
from trainer.models import NetworkOptions, build_network
from trainer.runtime import TensorFlowRuntime

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", "", "Dataset directory; default: Fashion-MNIST of examples/.")
flags.DEFINE_string("splits", "test", "Splits to predict.")
flags.DEFINE_integer("batch_size", 32, "Images a step.")
flags.DEFINE_integer("repeats", 2, "Timings of each kind; the fastest counts.")

_NETWORKS = (
    ("mobilenet_v2", 96),
    ("efficientnet_b0", 80),
    ("resnet50_v2", 64),
    ("densenet121", 72),
)
# The pass yields a batch when the next one has been started, so that two are over at the first.
_WARM_UP_BATCHES = 2
_EXAMPLES = os.path.join("examples", "fashion_mnist")


def main(argv: list[str]) -> None:
    """Print the three timings and their ratios."""
    del argv
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        dataset = FLAGS.dataset or _prepare(folder)
        records = load_records(dataset, FLAGS.splits)
        paths = [_make_member(folder, records, *network) for network in _NETWORKS]
        members, _ = load_members(paths)
        batches = -(-len(records) // FLAGS.batch_size) - _WARM_UP_BATCHES
        timings: dict[str, list[np.ndarray]] = {"pure": [], "one pass": [], "predict": []}
        for _ in range(FLAGS.repeats):
            timings["pure"].append(sum(_pure_seconds(member, batches) for member in members))
            timings["one pass"].append(_one_pass_seconds(members, records))
            timings["predict"].append(sum(_predict_seconds(m, records) for m in members))
    best = {name: np.min(seconds, axis=0) for name, seconds in timings.items()}
    images = batches * FLAGS.batch_size
    print(f"{images} images, {len(members)} members, {os.cpu_count()} cores")
    for name, (wall, cpu) in best.items():
        wall_ratio, cpu_ratio = best[name] / best["pure"]
        print(
            f"{name:<8} wall {wall:7.2f} s, {wall_ratio:.3f} x pure ({images / wall:.1f} img/s), "
            f"CPU {cpu:7.2f} s, {cpu_ratio:.3f} x pure"
        )


def _clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def _prepare(folder: str) -> str:
    command = [
        sys.executable,
        "-m",
        "data_prep.main",
        f"--csv={_EXAMPLES}/train.csv",
        f"--images_dir={_EXAMPLES}/images",
        f"--test_csv={_EXAMPLES}/test.csv",
        "--name=fashion",
        "--version=1.0.0",
        f"--data_dir={folder}/data",
    ]
    subprocess.run(command, check=True)
    return f"{folder}/data/fashion/1.0.0"


def _make_member(folder: str, records: RecordTable, architecture: str, side_px: int) -> str:
    names = tuple(records.class_names)
    network = build_network(NetworkOptions(architecture, len(names), side_px, side_px))
    dataset = DatasetOfRun("", "", records.fingerprint, FLAGS.dataset)
    return save_random_member(folder, architecture, network, names, records.task, dataset)


def _pure_seconds(member, num_batches: int) -> np.ndarray:
    network = tf.function(LoadedMember(member))
    size = (FLAGS.batch_size, member.input.height_px, member.input.width_px, 3)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, size, np.uint8))
    network(images).numpy()
    start = _clocks()
    for _ in range(num_batches):
        network(images).numpy()
    return _clocks() - start


def _one_pass_seconds(members, records: RecordTable) -> np.ndarray:
    steps = run_members(members, records, FLAGS.batch_size, "none", TensorFlowRuntime())
    next(steps)
    start = _clocks()
    for _ in steps:
        pass
    return _clocks() - start


def _predict_seconds(member, records: RecordTable) -> np.ndarray:
    """A user's own loop: decode, resize, batch, prefetch, predict."""
    size = (member.input.height_px, member.input.width_px)

    def decode(record: tf.Tensor) -> tf.Tensor:
        feature = {"image": tf.io.FixedLenFeature([], tf.string)}
        jpeg = tf.io.parse_single_example(record, feature)["image"]
        return tf.image.resize(tf.io.decode_jpeg(jpeg, channels=3), size)

    model = keras.models.load_model(RunDir(member.path).keras_file)
    model.predict(np.zeros((FLAGS.batch_size, *size, 3), np.float32), verbose=0)
    images = (
        tf.data.TFRecordDataset(list(records.files))
        .skip(_WARM_UP_BATCHES * FLAGS.batch_size)
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(FLAGS.batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )
    start = _clocks()
    model.predict(images, verbose=0)
    return _clocks() - start


if __name__ == "__main__":
    app.run(main)
