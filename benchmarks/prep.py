"""How fast data_prep writes datasets, beside TFDS's own builders, tar and Pillow.

    python benchmarks/prep.py [--rounds=5] [--cases=small,photos,resized] [--photos_dir=DIR]

In each round every contestant runs once, one after the other, in a process of its own; ratios are
taken within a round, so that a slow minute of the machine slows both sides. The table gives the
median of the rounds and, in brackets, the lowest and the highest.

  small    60,000 grey images of 28x28: the repository's 2,500, each shifted 24 ways
  photos   300 photos of 2048x1365, passed through byte for byte
  resized  the same, shrunk to a short side of 512 pixels

Without `--photos_dir` the photos are made of noise with a photo's spectrum; with it they are the
JPEGs of that folder, repeated (a comment makes each one different) until there are 300.
"""

import argparse
import csv
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
import simplejpeg

_ROOT = Path(__file__).resolve().parent.parent
_EXAMPLES = _ROOT / "examples" / "fashion_mnist" / "images"
_SHIFTS = 24
_PHOTOS = 300
_PHOTO_SIZE_PX = (1365, 2048)
_SHORT_SIDE_PX = 512
_QUALITY = 95
# What each case is measured against, and what of it.
_PEERS = {
    "small": ("tfds_generator", "tfds_shards", "tar"),
    "photos": ("tfds_generator", "tfds_shards", "tar"),
    "resized": ("pillow",),
}


def make_small(folder: Path) -> int:
    """Write 60,000 small images and their CSV; returns how many there are."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for path in sorted(_EXAMPLES.iterdir()):
        pixels = simplejpeg.decode_jpeg(path.read_bytes(), colorspace="GRAY")
        for shift in range(_SHIFTS):
            moved = np.roll(pixels, (shift % 5 - 2, shift // 5 - 2), (0, 1))
            data = simplejpeg.encode_jpeg(
                np.ascontiguousarray(moved), 95, colorspace="GRAY", colorsubsampling="Gray"
            )
            rows.append((f"{path.stem}_{shift:02d}", f"class_{len(rows) % 10}"))
            (folder / "images" / f"{rows[-1][0]}.jpg").write_bytes(data)
    _write_csv(folder, rows)
    return len(rows)


def make_photos(folder: Path, photos_dir: str) -> int:
    """Write 300 photos and their CSV; returns how many there are."""
    (folder / "images").mkdir(parents=True)
    if photos_dir:
        photos = [path.read_bytes() for path in sorted(Path(photos_dir).glob("*.jp*g"))]
    else:
        photos = [_noise_photo(seed) for seed in range(20)]
    rows = []
    for number in range(_PHOTOS):
        data = photos[number % len(photos)]
        comment = b"\xff\xfe\x00\x06" + f"{number:04d}".encode()
        rows.append((f"photo_{number:03d}", f"class_{number % 4}"))
        (folder / "images" / f"{rows[-1][0]}.jpg").write_bytes(data[:2] + comment + data[2:])
    _write_csv(folder, rows)
    return len(rows)


def _noise_photo(seed: int) -> bytes:
    """A JPEG of noise whose amplitudes fall with the frequency, as those of photos do."""
    height, width = _PHOTO_SIZE_PX
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    channels = []
    for _ in range(3):
        phase = rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)
        plane = np.fft.irfft2(phase / frequency**1.3, (height, width))
        channels.append(np.clip(128 + 45 * plane / plane.std(), 0, 255))
    return simplejpeg.encode_jpeg(np.stack(channels, 2).astype(np.uint8), 90)


def _write_csv(folder: Path, rows: list[tuple[str, str]]) -> None:
    with open(folder / "train.csv", "w", newline="") as file:
        csv.writer(file).writerows([("image_id", "label"), *rows])


def run_ours(folder: Path, output: Path, short_side_px: int) -> float:
    """data_prep, pre-flight included; seconds without the imports."""
    from data_prep.config import PrepConfig
    from data_prep.prepare import prepare

    begun = time.perf_counter()
    config = PrepConfig(
        csv=str(folder / "train.csv"),
        images_dir=str(folder / "images"),
        name="bench",
        version="1.0.0",
        data_dir=str(output),
        short_side_px=short_side_px,
    )
    prepare(config, say=lambda line: None)
    return time.perf_counter() - begun


def run_tfds(folder: Path, output: Path, shards: bool) -> float:
    """A builder as TFDS's guide has it; seconds without the imports."""
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

    begun = time.perf_counter()
    BenchImages(data_dir=str(output)).download_and_prepare()
    return time.perf_counter() - begun


def run_tar(folder: Path, output: Path) -> float:
    """The floor: the files' bytes in one file, unread."""
    begun = time.perf_counter()
    output.mkdir()
    command = ["tar", "-cf", str(output / "images.tar"), "-C", str(folder), "images"]
    subprocess.run(command, check=True)
    return time.perf_counter() - begun


def run_pillow(folder: Path, output: Path) -> float:
    """Draft, bilinear resize and encode in one process, as dataset scripts do; seconds."""
    from PIL import Image

    begun = time.perf_counter()
    output.mkdir()
    for path in sorted((folder / "images").iterdir()):
        with Image.open(path) as image:
            short = min(image.size)
            size = tuple(round(side * _SHORT_SIDE_PX / short) for side in image.size)
            image.draft("RGB", size)
            small = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
        small.save(output / path.name, "JPEG", quality=_QUALITY)
    return time.perf_counter() - begun


def run_one(contestant: str, folder: Path, output: Path, short_side_px: int) -> None:
    """What a subprocess does: run a contestant and print its seconds."""
    if contestant == "ours":
        seconds = run_ours(folder, output, short_side_px)
    elif contestant == "tar":
        seconds = run_tar(folder, output)
    elif contestant == "pillow":
        seconds = run_pillow(folder, output)
    else:
        seconds = run_tfds(folder, output, contestant == "tfds_shards")
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in usage)
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu}))


def measure(contestant: str, case: str, folder: Path, scratch: Path) -> dict[str, float]:
    """Run a contestant as a process: its seconds without start-up, as a whole, and of CPU."""
    output = scratch / "output"
    shutil.rmtree(output, ignore_errors=True)
    short_side_px = _SHORT_SIDE_PX if case == "resized" else 0
    command = [sys.executable, __file__, f"--one={contestant}", f"--folder={folder}"]
    command += [f"--output={output}", f"--short_side={short_side_px}"]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    begun = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    whole = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"{contestant} failed: {done.stderr[-3000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "whole_seconds": whole}


def rounds_of(case: str, folder: Path, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Every contestant once a round; a first round warms the page cache and is thrown away."""
    contestants = ("ours", *_PEERS[case])
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
        for key in ("seconds", "whole_seconds", "cpu_seconds"):
            cells.append(spread([images / run[key] for run in runs], ",.0f"))
            pairs = zip(runs, results["ours"], strict=True)
            cells.append("" if name == "ours" else spread([p[key] / o[key] for p, o in pairs]))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", default=",".join(_PEERS))
    parser.add_argument("--photos_dir", default="")
    for internal in ("one", "folder", "output"):
        parser.add_argument(f"--{internal}", default="", help=argparse.SUPPRESS)
    parser.add_argument("--short_side", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.one, Path(options.folder), Path(options.output), options.short_side)
        return
    lines = [
        "| case | who | images/s without start-up | ours is faster by | images/s, whole process "
        "| ours is faster by | images a CPU-second | ours needs less by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        for case in options.cases.split(","):
            folder = Path(scratch) / ("small" if case == "small" else "photos")
            if not folder.exists():
                small = case == "small"
                images = make_small(folder) if small else make_photos(folder, options.photos_dir)
            lines += table(case, images, rounds_of(case, folder, options.rounds))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
