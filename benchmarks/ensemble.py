r"""One pass of the ensemble against its members' pure forward time, and against model.predict.

    python -m benchmarks.ensemble [--dataset=DIR/NAME/VERSION --splits=test]
    python -m benchmarks.ensemble --photos=32 --batch_size=4 --repeats=4

Networks of keras.applications with random weights: four at four input sizes, or, with --photos,
three at three sizes. Timings of the same images in turn, each after two warm-up batches (loading
and tracing are not counted in any):

    pure      each member's `images` signature on uint8 batches that lie in memory, summed
    one pass  ensemble.inference: records read once, decoded and resized for each size, all members
    predict   what one writes without this project: for each member a tf.data pipeline of decode and
              resize with prefetch, and `keras_model.predict` on it, summed
    decode    with --photos: the images to the largest size alone, in memory: pure and this together
              are what a pass cannot do without
    each      with --photos: the same once a size, which is what members need one by one

Wall and CPU seconds (all threads) are shown: on a machine that computes with its cores the two say
the same, and the second bears with other load on it. Ratios are medians of the repeats' own, with
the lowest and the highest.

Without --dataset the images of examples/fashion_mnist are prepared into a temporary dataset;
--photos makes so many JPEGs of 2048x1365 of noise with the spectrum of photos.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from benchmarks.prep_inputs import make_photos
from benchmarks.random_member import save_random_member
from benchmarks.ratios import Better, report
from ensemble.inference import LoadedMember, run_members
from ensemble.members import load_members
from orchard.autograph import as_written
from orchard.formats import DatasetOfRun, InputSpec, RunDir, tfrecord
from trainer.data import FileSource, RecordTable, decode_sizes, load_records, read_records
from trainer.models import NetworkOptions, build_network
from trainer.runtime import TensorFlowRuntime

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", "", "Dataset directory; default: Fashion-MNIST of examples/.")
flags.DEFINE_integer("photos", 0, "Or so many photos of 2048x1365, for three networks.")
flags.DEFINE_string("splits", "test", "Splits to predict (not of --photos).")
flags.DEFINE_integer("batch_size", 32, "Images a step.")
flags.DEFINE_integer("repeats", 2, "Timings of each kind.")

_NETWORKS = (
    ("mobilenet_v2", 96),
    ("efficientnet_b0", 80),
    ("resnet50_v2", 64),
    ("densenet121", 72),
)
_NETWORKS_OF_PHOTOS = (
    ("mobilenet", 192),
    ("mobilenet_v2", 224),
    ("mobilenet", 256),
)
# The pass yields a batch when the next one has been started, so that two are over at the first.
_WARM_UP_BATCHES = 2
_EXAMPLES = os.path.join("examples", "fashion_mnist")


def main(argv: list[str]) -> None:
    """Print the timings and their ratios."""
    del argv
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        dataset = FLAGS.dataset or _prepare(folder)
        records = load_records(dataset, "train" if FLAGS.photos else FLAGS.splits)
        networks = _NETWORKS_OF_PHOTOS if FLAGS.photos else _NETWORKS
        paths = [_make_member(folder, records, *network) for network in networks]
        members, _ = load_members(paths)
        batches = -(-len(records) // FLAGS.batch_size) - _WARM_UP_BATCHES
        timings: dict[str, list[np.ndarray]] = {}

        def keep(name: str, seconds: np.ndarray) -> None:
            timings.setdefault(name, []).append(seconds)

        pure = [_pure_timer(member, batches) for member in members]
        specs = [member.input for member in members]
        for _ in range(FLAGS.repeats):
            keep("pure", sum(timer() for timer in pure))
            keep("one pass", _one_pass_seconds(members, records))
            if FLAGS.photos:
                largest = max(specs, key=lambda spec: spec.height_px)
                keep("decode", _decode_seconds(records, [[largest]]))
                keep("each", _decode_seconds(records, [[spec] for spec in specs]))
            else:
                keep("predict", sum(_predict_seconds(m, records) for m in members))
    if FLAGS.photos:
        for name in ("decode", "each"):
            together = [a + b for a, b in zip(timings["pure"], timings[name], strict=True)]
            timings[f"pure + {name}"] = together
    peer = "pure + decode" if FLAGS.photos else "pure"
    report(
        f"{len(members)} networks over {'photos of 2048x1365' if FLAGS.photos else 'small images'}"
        " in one pass, CPU-seconds",
        "forward passes and one decode" if FLAGS.photos else "forward passes alone",
        ("tensorflow",),
        Better.LESS,
        ours=[float(cpu) for _, cpu in timings["one pass"]],
        theirs=[float(cpu) for _, cpu in timings[peer]],
    )
    images = batches * FLAGS.batch_size
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    print(
        f"{images} images, {len(members)} members, {cores} cores, a load of {load:.1f} at the end"
    )
    for name in timings:
        _print_timing(name, images, timings, peer)


def _print_timing(
    name: str, images: int, timings: dict[str, list[np.ndarray]], reference: str
) -> None:
    wall, cpu = np.median(timings[name], axis=0)
    ratios = np.array(timings[name]) / np.array(timings[reference])
    low, middle, high = np.quantile(ratios, (0, 0.5, 1), axis=0)
    print(
        f"{name:<13} wall {wall:6.2f} s, {middle[0]:.3f} x {reference} ({low[0]:.3f} to "
        f"{high[0]:.3f}; {images / wall:.1f} img/s), CPU {cpu:6.2f} s, {middle[1]:.3f} x "
        f"({low[1]:.3f} to {high[1]:.3f})"
    )


def _clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def _prepare(folder: str) -> str:
    if FLAGS.photos:
        make_photos(Path(folder), "", FLAGS.photos, distinct=8)
        csv, images, test = f"{folder}/train.csv", f"{folder}/images", []
    else:
        csv, images = f"{_EXAMPLES}/train.csv", f"{_EXAMPLES}/images"
        test = [f"--test_csv={_EXAMPLES}/test.csv"]
    command = [
        sys.executable,
        "-m",
        "data_prep.main",
        f"--csv={csv}",
        f"--images_dir={images}",
        *test,
        "--name=images",
        "--version=1.0.0",
        f"--data_dir={folder}/data",
    ]
    subprocess.run(command, check=True)
    return f"{folder}/data/images/1.0.0"


def _make_member(folder: str, records: RecordTable, architecture: str, side_px: int) -> str:
    names = tuple(records.class_names)
    network = build_network(NetworkOptions(architecture, len(names), side_px, side_px))
    dataset = DatasetOfRun("", "", records.fingerprint, FLAGS.dataset)
    place = os.path.join(folder, str(side_px))
    return save_random_member(place, architecture, network, names, records.task, dataset)


def _pure_timer(member, num_batches: int) -> Callable[[], np.ndarray]:
    network = tf.function(LoadedMember(member))
    size = (FLAGS.batch_size, member.input.height_px, member.input.width_px, 3)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, size, np.uint8))
    network(images).numpy()

    def seconds() -> np.ndarray:
        start = _clocks()
        for _ in range(num_batches):
            network(images).numpy()
        return _clocks() - start

    return seconds


@as_written
def _decode_seconds(records: RecordTable, turns: list[list[InputSpec]]) -> np.ndarray:
    """As many images as the pass has after its warm-up, for some specs at a time, summed."""
    gids = np.arange(_WARM_UP_BATCHES * FLAGS.batch_size, len(records))
    examples = read_records(FileSource(records.files), records, gids)
    jpegs = [tfrecord.Example(example).bytes_of(records.image_key) for example in examples]
    total = np.zeros(2)
    for specs in turns:
        images = tf.data.Dataset.from_tensor_slices(jpegs).map(
            lambda one, specs=specs: decode_sizes(one, specs),
            num_parallel_calls=len(os.sched_getaffinity(0)),
        )
        images = iter(images.batch(FLAGS.batch_size).prefetch(1).repeat(2))
        for _ in range(-(-len(gids) // FLAGS.batch_size)):
            next(images)
        start = _clocks()
        for _ in images:
            pass
        total += _clocks() - start
    return total


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
