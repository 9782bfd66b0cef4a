"""Peak memory of each stage, of all its processes together, by the dataset's and the shards' size.

    python -m benchmarks.memory

The whole commands `data_prep.main`, `trainer.main` and `ensemble.main` run on a dataset, on one of
ten times as many images, and on that one in shards of sixteen times the size. The first process is
asked for the memory of its tree every tenth of a second: the proportional set size, in which what
several processes share counts once. What the kernel keeps of files (its page cache) is not in it.

The training takes the same steps on each dataset and evaluates half of it; the ensemble, of the
trained network alone, predicts that half.
"""

import os
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import pandas as pd
from absl import flags

from benchmarks.long_runs import pss_bytes
from benchmarks.photos import write_photos
from orchard import cli
from orchard.errors import OrchardError

_IMAGES = flags.DEFINE_integer("images", 1000, "Images of the smaller dataset.")
_TIMES = flags.DEFINE_integer("times", 10, "How many times as many the larger one has.")
_JPEG_SIZE = flags.DEFINE_integer("jpeg_size", 128, "Side of the JPEGs, in px.")
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 28, "Side of what is trained on, in px.")
_SHARD_MB = flags.DEFINE_integer("shard_mb", 4, "Of the first two datasets.")
_SHARD_TIMES = flags.DEFINE_integer("shard_times", 16, "How many times as large the third's are.")
_ARCHITECTURE = flags.DEFINE_string("architecture", "vgg_small", "Network.")
_STEPS = flags.DEFINE_integer("steps", 20, "Steps of 32 images of a training.")
_ROUNDS = flags.DEFINE_integer("rounds", 1, "How often; the largest peak counts.")

_SAMPLE_SECONDS = 0.1
_STAGES = ("data_prep", "trainer", "ensemble")


class Case(NamedTuple):
    """A dataset of so many images, in shards of so many megabytes."""

    images: int
    shard_mb: int


def main() -> None:
    """Measure and print the table."""
    smaller, larger = _IMAGES.value, _IMAGES.value * _TIMES.value
    cases = [
        Case(smaller, _SHARD_MB.value),
        Case(larger, _SHARD_MB.value),
        Case(larger, _SHARD_MB.value * _SHARD_TIMES.value),
    ]
    peaks: dict[tuple[str, Case], float] = {}
    for _ in range(_ROUNDS.value):
        with tempfile.TemporaryDirectory() as folder:
            side = _JPEG_SIZE.value
            csv, _ = write_photos(folder, larger, (side, side), (side // 4, side // 4))
            for number, case in enumerate(cases):
                for stage, peak in _peaks(os.path.join(folder, str(number)), csv, case).items():
                    peaks[stage, case] = max(peak, peaks.get((stage, case), 0.0))
    titles = [f"{case.images:,} images, shards of {case.shard_mb} MB" for case in cases]
    print(f"| peak, MiB | {' | '.join(titles)} | a further image, bytes |")
    print("|---|---|---|---|---|")
    for stage in _STAGES:
        values = [peaks[stage, case] for case in cases]
        slope = (values[1] - values[0]) * 2**20 / (larger - smaller)
        print(f"| `{stage}` | {' | '.join(f'{v:.0f}' for v in values)} | {slope:.0f} |")


def _peaks(folder: str, csv: str, case: Case) -> dict[str, float]:
    os.makedirs(folder)
    labels = os.path.join(folder, "labels.csv")
    pd.read_csv(csv, dtype=str).head(case.images).to_csv(labels, index=False)
    images = os.path.join(os.path.dirname(csv), "images")
    dataset, run_dir = f"{folder}/data/photos/1.0.0", f"{folder}/run"
    prep = [f"--csv={labels}", f"--images_dir={images}", f"--data_dir={folder}/data"]
    prep += ["--name=photos", "--version=1.0.0", "--eval_fraction=0.5", "--workers=2"]
    train = [f"--architecture={_ARCHITECTURE.value}", f"--image_size={_IMAGE_SIZE.value}"]
    train += ["--weights=none", "--batch_size=32", "--epochs=0.001", f"--min_steps={_STEPS.value}"]
    ensemble = [f"--members={run_dir}", "--split=eval", f"--output_dir={folder}/out"]
    return {
        "data_prep": _peak(["data_prep.main", *prep, f"--shard_mb={case.shard_mb}"]),
        "trainer": _peak(
            ["trainer.main", f"--dataset={dataset}", f"--run_dir={run_dir}", *train, "--noprogress"]
        ),
        "ensemble": _peak(["ensemble.main", f"--dataset={dataset}", *ensemble]),
    }


def _peak(arguments: list[str]) -> float:
    """The largest sum over the command's processes, in MiB."""
    with tempfile.TemporaryFile() as output:
        command = [sys.executable, "-m", *arguments]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, sum(map(pss_bytes, _tree(process.pid))) / 2**20)
            time.sleep(_SAMPLE_SECONDS)
        if process.returncode:
            output.seek(0)
            said = output.read()[-500:].decode(errors="replace")
            raise OrchardError(f"{arguments[0]} exited with {process.returncode}: {said}")
    return peak


def _tree(pid: int) -> list[int]:
    """The process and all that come from it; those that have just ended are left out."""
    found = [pid]
    for one in found:
        try:
            for thread in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{thread}/children", encoding="ascii") as file:
                    found += map(int, file.read().split())
        except OSError:
            continue
    return found


if __name__ == "__main__":
    cli.run(main)
