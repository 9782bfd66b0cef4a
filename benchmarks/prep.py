"""How fast data_prep writes datasets, beside TFDS's own builders, tar and Pillow.

    python -m benchmarks.prep [--rounds=5] [--cases=small,photos,resized] [--photos_dir=DIR]
        [--photos=300] [--peers=tar]

In each round every contestant runs once, one after the other, in a process of its own; ratios are
taken within a round, so that a slow minute of the machine slows both sides. The table gives the
median of the rounds and, in brackets, the lowest and the highest. Start-up (the interpreter and the
imports, for ours also those that TFDS makes when it is asked whether a name is taken) counts in the
columns of the whole process only.

  small    60,000 gray images of 28x28: the repository's 2,500, each shifted 24 ways
  photos   300 photos of 2048x1365, passed through byte for byte
  resized  the same, shrunk to a short side of 512 pixels

Without `--photos_dir` the photos are made of noise with a photo's spectrum; with it they are the
JPEGs of that folder, repeated (a comment makes each one different) until there are `--photos`. Many
photos show what each one costs, few what a run costs before and after.
"""

import argparse
import functools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.prep_inputs import make_photos, make_small
from benchmarks.ratios import Better, report

_CASES = {
    "small": "60,000 images of 28x28 prepared",
    "photos": "photos of 2048x1365 passed through",
    "resized": "photos of 2048x1365 shrunk to 512",
}
# Peer -> its name in the table of all ratios, and the packages that matter.
_NAMES = {
    "tfds_generator": ("TFDS's GeneratorBasedBuilder", ("tensorflow-datasets",)),
    "tfds_shards": ("TFDS's ShardBasedBuilder", ("tensorflow-datasets",)),
    "tar": ("tar, which checks nothing", ()),
    "pillow": ("Pillow: draft, resize, encode", ("pillow",)),
}
_ROOT = Path(__file__).resolve().parent.parent
_SHORT_SIDE_PX = 512
_QUALITY = 95
# What each case is measured against, and what of it.
_PEERS = {
    "small": ("tfds_generator", "tfds_shards", "tar"),
    "photos": ("tfds_generator", "tfds_shards", "tar"),
    "resized": ("pillow",),
}


class Watch:
    """Seconds and CPU-seconds, of this process and those it waited for, since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), cpu_seconds()

    def read(self) -> dict[str, float]:
        """Both, by the names that the table uses."""
        wall, cpu = time.perf_counter() - self._wall, cpu_seconds() - self._cpu
        return {"seconds": wall, "cpu_seconds": cpu}


def cpu_seconds() -> float:
    """Of this process and the children that it waited for."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def run_ours(folder: Path, output: Path, short_side_px: int) -> dict[str, float]:
    """data_prep, the check of all images included."""
    import jinja2  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    from data_prep.config import PrepConfig
    from data_prep.pipeline import prepare
    from data_prep.publish import refuse_registered_name

    # Imports what TFDS itself imports only when it is asked for a name.
    refuse_registered_name("bench")
    watch = Watch()
    config = PrepConfig(
        csv=str(folder / "train.csv"),
        images_dir=str(folder / "images"),
        name="bench",
        version="1.0.0",
        data_dir=str(output),
        short_side_px=short_side_px,
    )
    prepare(config, log=lambda line: None)
    return watch.read()


def run_tfds(folder: Path, output: Path, shards: bool) -> dict[str, float]:
    """A builder as TFDS's guide has it."""
    import pandas
    import tensorflow as tf
    import tensorflow_datasets as tfds

    assert tf.__version__
    base = tfds.core.ShardBasedBuilder if shards else tfds.core.GeneratorBasedBuilder

    class BenchImages(base):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> tfds.core.DatasetInfo:
            features = {
                "image": tfds.features.Image(encoding_format="jpeg"),
                "image_id": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=[f"class_{n}" for n in range(10)]),
                "target": tfds.features.Tensor(shape=(10,), dtype=np.float32),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _rows(self) -> list[tuple[str, str]]:
            table = pandas.read_csv(folder / "train.csv")
            return list(zip(table["image_id"], table["label"], strict=True))

        def _examples(self, rows):  # noqa: ANN001, ANN202
            for image_id, label in rows:
                yield (
                    image_id,
                    {
                        "image": str(folder / "images" / f"{image_id}.jpg"),
                        "image_id": image_id,
                        "label": label,
                        "target": np.eye(10, dtype=np.float32)[int(label[-1])],
                    },
                )

        def _split_generators(self, dl_manager):  # noqa: ANN001, ANN202
            return {"train": self._examples(self._rows())}

        def _generate_examples(self):  # noqa: ANN202
            raise NotImplementedError

        def _shard_iterators_per_split(self, dl_manager):  # noqa: ANN001, ANN202
            rows = self._rows()
            parts = [rows[at::10] for at in range(10)]
            return {"train": [functools.partial(self._examples, part) for part in parts]}

    watch = Watch()
    BenchImages(data_dir=str(output)).download_and_prepare()
    return watch.read()


def run_tar(folder: Path, output: Path) -> dict[str, float]:
    """The floor: the files' bytes in one file, unread."""
    watch = Watch()
    output.mkdir()
    command = ["tar", "-cf", str(output / "images.tar"), "-C", str(folder), "images"]
    subprocess.run(command, check=True)
    return watch.read()


def run_pillow(folder: Path, output: Path) -> dict[str, float]:
    """Draft, bilinear resize and encode in one process, as dataset scripts do."""
    from PIL import Image

    watch = Watch()
    output.mkdir()
    for path in sorted((folder / "images").iterdir()):
        with Image.open(path) as image:
            short = min(image.size)
            size = tuple(round(side * _SHORT_SIDE_PX / short) for side in image.size)
            image.draft("RGB", size)
            small = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
        small.save(output / path.name, "JPEG", quality=_QUALITY)
    return watch.read()


def run_one(contestant: str, folder: Path, output: Path, short_side_px: int) -> None:
    """What a subprocess does: run a contestant and print what it took."""
    if contestant == "ours":
        result = run_ours(folder, output, short_side_px)
    elif contestant == "tar":
        result = run_tar(folder, output)
    elif contestant == "pillow":
        result = run_pillow(folder, output)
    else:
        result = run_tfds(folder, output, contestant == "tfds_shards")
    print(json.dumps({**result, "whole_cpu_seconds": cpu_seconds()}))


def measure(contestant: str, case: str, folder: Path, scratch: Path) -> dict[str, float]:
    """Run a contestant as a process: wall and CPU, without its imports and as a whole."""
    output = scratch / "output"
    shutil.rmtree(output, ignore_errors=True)
    short_side_px = _SHORT_SIDE_PX if case == "resized" else 0
    command = [sys.executable, "-m", "benchmarks.prep", f"--one={contestant}", f"--folder={folder}"]
    command += [f"--output={output}", f"--short_side={short_side_px}"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True)
    whole = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"{contestant} failed: {done.stderr[-3000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "whole_seconds": whole}


def rounds_of(
    case: str, folder: Path, rounds: int, peers: list[str]
) -> dict[str, list[dict[str, float]]]:
    """Every contestant once a round; a first round warms the page cache and is thrown away."""
    contestants = ("ours", *(peer for peer in _PEERS[case] if not peers or peer in peers))
    results: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        for number in range(rounds + 1):
            for name in contestants:
                result = measure(name, case, folder, Path(scratch))
                if number:
                    results[name].append(result)
                print(f"{case} round {number} {name}: {result}", file=sys.stderr)
    return results


def spread(values: list[float], form: str = ".2f") -> str:
    """Median, and lowest to highest."""
    low, high = format(min(values), form), format(max(values), form)
    return f"{format(statistics.median(values), form)} ({low}-{high})"


def table(case: str, images: int, results: dict[str, list[dict[str, float]]]) -> list[str]:
    """Rows of the Markdown table of one case."""
    lines = []
    for name, runs in results.items():
        cells = [case, name]
        for key in ("seconds", "whole_seconds", "cpu_seconds", "whole_cpu_seconds"):
            cells.append(spread([images / run[key] for run in runs], ",.0f"))
            pairs = zip(runs, results["ours"], strict=True)
            cells.append("" if name == "ours" else spread([p[key] / o[key] for p, o in pairs]))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def report_ratios(case: str, results: dict[str, list[dict[str, float]]]) -> None:
    """CPU-seconds without start-up, and seconds of the whole command."""
    for key, what in (("cpu_seconds", "CPU-seconds"), ("whole_seconds", "seconds in all")):
        ours, *peers = ([run[key] for run in runs] for runs in results.values())
        for (peer, packages), theirs in zip(
            (_NAMES[name] for name in results if name != "ours"), peers, strict=True
        ):
            title = f"{_CASES[case]}, {what}"
            report(title, peer, packages, Better.LESS, ours=ours, theirs=theirs)


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", default=",".join(_PEERS))
    parser.add_argument("--photos_dir", default="")
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--peers", default="", help="Of each case's peers, these alone.")
    for internal in ("one", "folder", "output"):
        parser.add_argument(f"--{internal}", default="", help=argparse.SUPPRESS)
    parser.add_argument("--short_side", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.one, Path(options.folder), Path(options.output), options.short_side)
        return
    peers = [one for one in options.peers.split(",") if one]
    columns = ("images/s", "images/s, whole process", "images/CPU-s", "images/CPU-s, whole process")
    heads = ["case", "who", *(head for column in columns for head in (column, "ours / theirs"))]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    with tempfile.TemporaryDirectory() as scratch:
        for case in options.cases.split(","):
            small = case == "small"
            folder = Path(scratch) / ("small" if small else "photos")
            if small:
                make_small(folder)
            elif not folder.exists():  # `photos` and `resized` are of the same.
                make_photos(folder, options.photos_dir, options.photos)
            images = len(os.listdir(folder / "images"))
            results = rounds_of(case, folder, options.rounds, peers)
            lines += table(case, images, results)
            report_ratios(case, results)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
