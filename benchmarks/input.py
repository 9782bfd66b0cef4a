r"""Images a second into a training: reading, decoding, the whole; and what others reach beside it.

    python benchmarks/input.py --photos=DIR [--size_px=512] [--short_side=512 | --square=512]
    python benchmarks/input.py --dataset=DIR/NAME/VERSION --split=train --size_px=224
    python benchmarks/input.py                       # Fashion-MNIST of examples/, 28 px

All contenders run in one process, in turns, for several rounds: a rate is the median over rounds,
and a ratio is the median of the rounds' ratios, so that a slow moment of the machine hits both
sides. Each turn starts afresh and throws its first quarter away: short runs carry their start and
end, which has made ratios wrong by half. Ratios are of one run on one machine; rates compare with
nothing else.

With --chip_images_per_second (what a chip trains: from your own log, or at most what
`python -m trainer.preflight` says) it also says how many such hosts a v5e-8 needs, and how many
cores. Peers that are not installed (simplejpeg, webdataset, torch) are left out.
"""

import csv
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

from absl import app, flags

from benchmarks import input_peers as peers
from benchmarks.prep_inputs import make_photos
from benchmarks.ratios import Better, report
from orchard.errors import OrchardError
from trainer.data import RecordTable, load_records

FLAGS = flags.FLAGS
flags.DEFINE_string("photos", "", "Folder of JPEGs; prepared into a temporary dataset.")
flags.DEFINE_integer("synthetic_photos", 0, "Or so many photos of 2048x1365, made of noise.")
flags.DEFINE_integer("short_side", 0, "(photos) Shrink to this at preparation; 0: as they are.")
flags.DEFINE_integer("square", 0, "(photos) Or shrink both sides to this.")
flags.DEFINE_integer("copies", 4, "(photos) How often each photo is in the dataset.")
flags.DEFINE_string("dataset", "", "Or a dataset directory, DATA_DIR/NAME/VERSION.")
flags.DEFINE_string("split", "train", "Split of the dataset.")
flags.DEFINE_integer("size_px", 0, "Side of the images; default 512 for photos, else 28.")
flags.DEFINE_integer("batch_size", 64, "Images a batch.")
flags.DEFINE_float("seconds", 6.0, "Length of a turn, of which the first quarter is thrown away.")
flags.DEFINE_integer("rounds", 3, "Turns of each contender.")
flags.DEFINE_list("only", [], "Names of contenders; default: all that are installed.")
flags.DEFINE_float("chip_images_per_second", 0.0, "What one v5e chip trains; 0: not known.")
flags.DEFINE_integer("memory_epochs", 0, "Also: resident memory over so many epochs of ours.")

_EXAMPLES = os.path.join(os.path.dirname(__file__), "..", "examples", "fashion_mnist")
_CHIPS = 8
# How the names of peers begin, and the packages that matter to them.
_PEERS = {
    "article": ("tensorflow",),
    "tfds": ("tensorflow-datasets",),
    "libjpeg-turbo": ("simplejpeg",),
    "webdataset": ("webdataset", "pillow"),
    "torch": ("torch", "pillow"),
}


def main(argv: list[str]) -> None:
    """Print the table."""
    del argv
    with tempfile.TemporaryDirectory() as folder:
        if FLAGS.synthetic_photos:
            made = Path(folder, "made")
            make_photos(made, "", FLAGS.synthetic_photos, distinct=FLAGS.synthetic_photos)
            FLAGS.photos = str(made / "images")
        dataset, files = _material(folder)
        size_px = FLAGS.size_px or (512 if FLAGS.photos else 28)
        records = load_records(dataset, FLAGS.split)
        contenders = _contenders(dataset, records, files, size_px)
        if FLAGS.only:
            contenders = {name: run for name, run in contenders.items() if name in FLAGS.only}
        rates = {name: [] for name in contenders}
        for _ in range(FLAGS.rounds):
            for name, run in contenders.items():
                rates[name].append(_rate(run(), FLAGS.seconds))
        _print_table(rates, len(records), size_px)
        _report(rates, _kind(size_px))
        if FLAGS.memory_epochs:
            _print_memory(records, size_px)


def _contenders(
    dataset: str, records: RecordTable, files: list[str], size_px: int
) -> dict[str, peers.Contender]:
    batch, threads = FLAGS.batch_size, peers.cores()
    images = peers.read_all(files)
    scale = peers.scale_for(images[0], size_px)
    found = {
        "ours": peers.ours(records, size_px, batch, threads),
        "ours (crop)": peers.ours(records, size_px, batch, threads, "crop"),
        "article": peers.article(files, size_px, batch),
        "tfds as_dataset": peers.tfds_as_dataset(dataset, FLAGS.split, size_px, batch),
        "ours: reading alone": peers.our_reading(records, batch),
        "ours: decoding alone": peers.our_decoding(images, size_px, batch, threads),
        f"tf decode op 1/{scale}": peers.tf_decode(images, scale, threads),
    }
    if peers.installed("simplejpeg"):
        found[f"libjpeg-turbo 1/{scale}"] = peers.libjpeg_turbo(images, scale, threads)
    if peers.installed("webdataset"):
        tar = peers.write_tar(os.path.join(os.path.dirname(files[0]), "images.tar"), files)
        found["webdataset + Pillow"] = peers.webdataset_tar(tar, size_px, batch, threads)
    if peers.installed("torch"):
        found["torch DataLoader"] = peers.torch_loader(files, size_px, batch, threads)
    return found


def _kind(size_px: int) -> str:
    """Of the images, for the table of all ratios."""
    if not FLAGS.photos:
        return f"small images read at {size_px} px"
    prepared = FLAGS.square or FLAGS.short_side
    kind = f"photos prepared at {prepared} px" if prepared else "photos of native size"
    return f"{kind}, read at {size_px} px"


class Rate(NamedTuple):
    """Images a second of time, and of time on a core (which other programs don't disturb)."""

    per_second: float
    per_core_second: float


def _rate(counts: Iterator[int], seconds: float) -> Rate:
    """The rate once the first quarter of the time is over."""
    start = time.perf_counter()
    began, began_cpu, images = None, 0.0, 0
    for count in counts:
        now = time.perf_counter()
        if began is not None:
            images += count
        elif now - start >= seconds / 4:
            began, began_cpu = now, time.process_time()
        if now - start >= seconds and images:
            used = time.process_time() - began_cpu
            return Rate(images / (now - began), images / used)
    raise OrchardError("a contender ended before its time; raise --copies")


def _print_table(rates: dict[str, list[Rate]], num_records: int, size_px: int) -> None:
    ours = rates.get("ours")
    print(
        f"{num_records} images -> {size_px} px, {peers.cores()} cores, batch {FLAGS.batch_size}, "
        f"{FLAGS.rounds} rounds of {FLAGS.seconds:g} s; ratios: ours to it"
    )
    print(f"{'':26}{'images/s':>10}{'ratio':>8}{'images/core-s':>15}{'ratio':>8}")
    for name, values in rates.items():
        cells = []
        for column in (0, 1):
            rate = statistics.median(value[column] for value in values)
            pairs = zip(ours or values, values, strict=True)
            ratio = statistics.median(a[column] / b[column] for a, b in pairs)
            cells.append(f"{rate:{(10, 15)[column]}.0f}{ratio:7.2f}x")
        print(f"{name:26}{''.join(cells)}")
    if ours and FLAGS.chip_images_per_second:
        wanted = FLAGS.chip_images_per_second * _CHIPS
        rate = statistics.median(rate.per_second for rate in ours)
        per_core = statistics.median(rate.per_core_second for rate in ours)
        print(
            f"a v5e-8 that trains {wanted:.0f} images/s needs {math.ceil(wanted / rate)} hosts "
            f"like this one, or {math.ceil(wanted / per_core)} such cores"
        )


def _report(rates: dict[str, list[Rate]], kind: str) -> None:
    for name, values in rates.items():
        packages = next((known for start, known in _PEERS.items() if name.startswith(start)), None)
        if packages is not None and "ours" in rates:
            report(
                f"{kind}, images a CPU-second",
                name,
                packages,
                Better.MORE,
                ours=[value.per_core_second for value in rates["ours"]],
                theirs=[value.per_core_second for value in values],
            )


def _print_memory(records: RecordTable, size_px: int) -> None:
    counts = peers.ours(records, size_px, FLAGS.batch_size, peers.cores())()
    given = 0
    for epoch in range(1, FLAGS.memory_epochs + 1):
        while given < epoch * len(records):
            given += next(counts)
        megabytes = _resident_megabytes()
        print(f"after epoch {epoch}: {megabytes:.0f} MB resident")


def _resident_megabytes() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def _material(folder: str) -> tuple[str, list[str]]:
    """The dataset to read, and the image files for the contenders that read files."""
    if FLAGS.dataset:
        return FLAGS.dataset, _extract(folder, load_records(FLAGS.dataset, FLAGS.split))
    if FLAGS.photos:
        csv_path, images = _link_photos(folder), os.path.join(folder, "images")
    else:
        csv_path, images = os.path.join(_EXAMPLES, "train.csv"), os.path.join(_EXAMPLES, "images")
    command = [
        *(sys.executable, "-m", "data_prep.main", f"--csv={csv_path}", f"--images_dir={images}"),
        *("--name=benchmark_images", "--version=1.0.0", f"--data_dir={folder}/data"),
        *(f"--short_side={FLAGS.short_side}", f"--square={FLAGS.square}"),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    dataset = os.path.join(folder, "data", "benchmark_images", "1.0.0")
    return dataset, _extract(folder, load_records(dataset, FLAGS.split))


def _link_photos(folder: str) -> str:
    names = sorted(n for n in os.listdir(FLAGS.photos) if n.lower().endswith((".jpg", ".jpeg")))
    if not names:
        raise OrchardError(f"--photos={FLAGS.photos} holds no .jpg files")
    os.makedirs(os.path.join(folder, "images"))
    path = os.path.join(folder, "labels.csv")
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "label"])
        for copy in range(FLAGS.copies):
            for position, name in enumerate(names):
                link = f"{copy}_{position}.jpg"
                source = os.path.abspath(os.path.join(FLAGS.photos, name))
                os.link(source, os.path.join(folder, "images", link))
                writer.writerow([link, ("even", "odd")[position % 2]])
    return path


def _extract(folder: str, records: RecordTable) -> list[str]:
    """The dataset's images as files: every contender decodes the same bytes."""
    from orchard.formats import tfrecord
    from trainer.data import FileSource, read_records

    os.makedirs(os.path.join(folder, "extracted"))
    source = FileSource(records.files)
    paths = []
    for gid in range(len(records)):
        (example,) = read_records(source, records, [gid])
        paths.append(os.path.join(folder, "extracted", f"{gid}.jpg"))
        with open(paths[-1], "wb") as file:
            file.write(tfrecord.Example(example).bytes_of(records.image_key))
    return paths


if __name__ == "__main__":
    app.run(main)
