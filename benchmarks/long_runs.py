"""Whether memory, files and time stay as they should: 200 epochs, and a million images.

    python -m benchmarks.long_runs epochs [--epochs=200] [--runtimes=tensorflow,pjrt]
    python -m benchmarks.long_runs sizes [--sizes=100000,1000000] [--folder=DIR]

`epochs` trains a tiny network on 250 images of examples/fashion_mnist, with an evaluation and a
checkpoint an epoch, and looks at the process as each epoch ends: resident memory, open files,
threads. Exit status 1 if the last tenth of the epochs has more of them than the second tenth (of
memory more than 5 %).

`sizes` draws images of 28x28, each a file of its own that differs from all others, and prepares,
verifies, reads (one epoch of training's own pipeline, decoded, shuffled) and extends (by 1 %) a
dataset of each size, each as a process. Memory is the highest sum of the proportional set sizes
(PSS) of the process and its workers, looked at once a second; CPU-seconds count all of them. The
page cache is as it is. It needs 6 KB of disk an image. In a --folder, which is kept, the same
command goes on with what is not measured yet.
"""

import argparse
import contextlib
import csv
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_EXAMPLES = _ROOT / "examples" / "fashion_mnist"
_ADDED = 0.01
_DRAWN = 1000
_CLASSES = 10
_EPOCH_ROWS = 250
_BATCH_SIZE = 256
_MORE_MEMORY = 1.05


@dataclass(frozen=True)
class Used:
    """What a command took."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def run(command: Sequence[str], interval_seconds: float = 1.0) -> Used:
    """Run a command of this repository to its end.

    Raises:
        SystemExit: it failed.
    """
    with tempfile.TemporaryFile() as output:
        begun, peak = time.perf_counter(), 0
        process = subprocess.Popen(
            command, cwd=_ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            peak = max(peak, sum(map(pss_bytes, pids_of_group(process.pid))))
            time.sleep(interval_seconds)
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        seconds = time.perf_counter() - begun
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed: {output.read().decode()[-3000:]}")
    return Used(seconds, ended[2].ru_utime + ended[2].ru_stime, peak)


def pids_of_group(group: int) -> Iterator[int]:
    """The processes of a process group."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group:
                yield int(name)


def pss_bytes(pid: int) -> int:
    """Memory of a process, what it shares with others divided among them; 0: it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@dataclass(frozen=True)
class Epoch:
    """A process as an epoch ended."""

    number: int
    rss_bytes: int
    files: int
    threads: int


def watch_epochs(run_dir: Path, process: subprocess.Popen) -> list[Epoch]:
    """One look at the process for each epoch that was seen to end."""
    found: list[Epoch] = []
    metrics = run_dir / "metrics.jsonl"
    while process.poll() is None:
        lines = metrics.read_text().splitlines() if metrics.exists() else []
        evaluations = sum('"kind": "eval"' in line for line in lines)
        if evaluations > (found[-1].number if found else 0):
            try:
                status = dict(
                    line.split(":", 1)
                    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
                )
                files = len(os.listdir(f"/proc/{process.pid}/fd"))
            except OSError:
                break
            if "VmRSS" in status:
                rss = int(status["VmRSS"].split()[0]) * 1024
                found.append(Epoch(evaluations, rss, files, int(status["Threads"])))
        time.sleep(0.05)
    return found


def train(epochs: int, runtime: str, folder: Path) -> list[Epoch]:
    """Train for so many epochs; what was seen of it."""
    run_dir = folder / runtime
    command = [
        *(sys.executable, "-m", "trainer.main", f"--dataset={folder}/data/bench/1.0.0"),
        *(f"--architecture={folder}/tiny.keras", "--weights=imagenet", "--image_size=28"),
        *(f"--run_dir={run_dir}", "--fold=0", f"--epochs={epochs}", "--eval_every_epochs=1"),
        *("--learning_rate=0.001", "--batch_size=50", "--noprogress", "--nowatch_preemption"),
        f"--runtime={'pjrt' if runtime == 'pjrt' else 'auto'}",
    ]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=_ROOT, stdout=output, stderr=subprocess.STDOUT)
        seen = watch_epochs(run_dir, process)
        if process.wait():
            output.seek(0)
            raise SystemExit(f"the training failed: {output.read().decode()[-3000:]}")
    return seen


def make_network(path: str) -> None:
    """A tiny classifier as a .keras file."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((28, 28, 3))
    x = layers.Rescaling(1 / 255)(x)
    for filters in (8, 16):
        x = layers.Conv2D(filters, 3, strides=2, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    outputs = layers.Dense(_CLASSES)(layers.GlobalAveragePooling2D()(x))
    keras.Model(inputs, outputs).save(path)


def epochs_main(epochs: int, runtimes: Sequence[str], folder: Path) -> int:
    """Print memory, files and threads; 1: they grow."""
    run([sys.executable, "-m", "benchmarks.long_runs", "network", f"--folder={folder}"])
    with open(_EXAMPLES / "train.csv", newline="") as file:
        rows = list(csv.reader(file))[: 1 + _EPOCH_ROWS]
    with open(folder / "train.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    run(prep_command(folder / "train.csv", _EXAMPLES / "images", folder / "data", "1.0.0", 5))
    print("| runtime | epoch | resident MB | open files | threads |\n|---|---|---|---|---|")
    grew = []
    for runtime in runtimes:
        seen = train(epochs, runtime, folder)
        tenth = max(1, len(seen) // 10)
        early, late = seen[tenth : 2 * tenth], seen[-tenth:]
        for one in seen[:: max(1, len(seen) // 8)] + seen[-1:]:
            megabytes = one.rss_bytes / 1e6
            print(f"| {runtime} | {one.number} | {megabytes:.0f} | {one.files} | {one.threads} |")
        for name, limit in (("rss_bytes", _MORE_MEMORY), ("files", 1.0), ("threads", 1.0)):
            a, b = (statistics.median(getattr(o, name) for o in some) for some in (early, late))
            print(f"{runtime}: {name}, second and last tenth of the epochs: {a:.0f}, {b:.0f}")
            if b > limit * a:
                grew.append(f"{runtime}: {name}")
    print(f"grows: {', '.join(grew)}" if grew else "flat")
    return int(bool(grew))


def prep_command(
    table: Path, images: Path, data_dir: Path, version: str, folds: int, extends: str = ""
) -> list[str]:
    """A preparation."""
    return [
        *(sys.executable, "-m", "data_prep.main", f"--csv={table}", f"--images_dir={images}"),
        *("--name=bench", f"--version={version}", f"--data_dir={data_dir}", f"--folds={folds}"),
        *((f"--extends={extends}",) if extends else ()),
    ]


def draw(images: Path, count: int) -> None:
    """Write what is missing of so many images: a thousand drawings, each with its own comment."""
    import numpy as np
    import simplejpeg

    images.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    drawn = [
        simplejpeg.encode_jpeg(
            np.kron(rng.integers(0, 256, (7, 7, 1), np.uint8), np.ones((4, 4, 1), np.uint8)),
            quality=90,
            colorspace="GRAY",
            colorsubsampling="Gray",
        )
        for _ in range(_DRAWN)
    ]
    for number in range(len(os.listdir(images)), count):
        data = drawn[number % _DRAWN]
        comment = b"\xff\xfe\x00\x0a" + f"{number:08d}".encode()
        (images / f"{number:08d}.jpg").write_bytes(data[:2] + comment + data[2:])


def write_table(path: Path, count: int) -> None:
    """Labels of the first `count` images."""
    rows = ((f"{number:08d}", f"class_{number % _CLASSES}") for number in range(count))
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(itertools.chain([("image_id", "label")], rows))


def read_epoch(dataset: str) -> None:
    """What a subprocess does: read an epoch as training does, and do nothing with it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from trainer.augment import AugmentOptions
    from trainer.data import InputOptions, load_records, train_batches

    records = load_records(dataset, "train")
    steps = len(records) // _BATCH_SIZE
    batches = train_batches(
        records,
        InputOptions(28, 28),
        batch_size=_BATCH_SIZE,
        seed=0,
        start_step=0,
        num_steps=steps,
        augment=AugmentOptions(),
    )
    count = sum(len(batch["weight"]) for batch in batches)
    if count != steps * _BATCH_SIZE:
        raise SystemExit(f"{count} images were read, not {steps * _BATCH_SIZE}")


class Measured:
    """What each command took, in a file of the folder: what is there is not measured again."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "long_runs.json"
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        self.used: dict[int, dict[str, Used]] = {}
        for value in map(json.loads, lines):
            self.used.setdefault(value["size"], {})[value["what"]] = Used(**value["used"])

    def measure(self, size: int, what: str, command: list[str]) -> None:
        """Run a command, unless that was done."""
        if what not in self.used.setdefault(size, {}):
            self.used[size][what] = used = run(command)
            line = json.dumps({"size": size, "what": what, "used": asdict(used)})
            print(line, file=sys.stderr)
            with open(self._path, "a") as file:
                file.write(f"{line}\n")


def measure_size(size: int, folder: Path, measured: Measured) -> None:
    """Measure what was not measured yet of a size."""
    if len(measured.used.get(size, {})) == 4:
        return
    images, base, grown = folder / "images", folder / "base.csv", folder / "grown.csv"
    total = round(size * (1 + _ADDED))
    draw(images, size)
    write_table(base, size)
    write_table(grown, total)
    data_dir = folder / "data"
    dataset, me = data_dir / "bench" / "1.0.0", [sys.executable, "-m", "benchmarks.long_runs"]
    prepare = prep_command(base, images, data_dir, "1.0.0", 0)
    measured.measure(size, "prepare", prepare)
    verify = [sys.executable, "-m", "data_prep.verify", f"--dataset={dataset}"]
    measured.measure(size, "verify", verify)
    measured.measure(size, "read an epoch", [*me, "read", f"--folder={dataset}"])
    draw(images, total)
    extend = prep_command(grown, images, data_dir, "1.1.0", 0, str(dataset))
    measured.measure(size, "extend by 1 %", extend)
    shutil.rmtree(data_dir)


def sizes_main(sizes: Sequence[int], folder: Path) -> int:
    """Print what each size took, and how it grows from the first to each other."""
    measured = Measured(folder)
    for size in sizes:
        measure_size(size, folder, measured)
    for line in sizes_table({size: measured.used[size] for size in sizes}):
        print(line)
    return 0


def sizes_table(found: dict[int, dict[str, Used]]) -> list[str]:
    """Markdown: a row a command and size; beside it how often the first size's it is."""
    lines = [
        "| | images | seconds | CPU-s | CPU-s a million images | peak MB | times the images "
        "| times the CPU-s | bytes of memory an image more |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    first_size = next(iter(found))
    for what, first in found[first_size].items():
        for size, some in found.items():
            one = some[what]
            cells = [f"{size:,}", f"{one.seconds:.0f}", f"{one.cpu_seconds:.0f}"]
            cells += [f"{1e6 * one.cpu_seconds / size:.0f}", f"{one.peak_bytes / 1e6:.0f}"]
            if size != first_size:
                more = (one.peak_bytes - first.peak_bytes) / (size - first_size)
                cells += [f"{size / first_size:.1f}", f"{one.cpu_seconds / first.cpu_seconds:.1f}"]
                cells.append(f"{more:.0f}")
            else:
                cells += ["", "", ""]
            lines.append(f"| {what} | {' | '.join(cells)} |")
    return lines


def main() -> int:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("epochs", "sizes", "network", "read"))
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--runtimes", default="tensorflow,pjrt")
    parser.add_argument("--sizes", default="100000,1000000")
    parser.add_argument("--folder", default="", help="kept; the same command goes on in it")
    options = parser.parse_args()
    if options.part == "network":
        make_network(os.path.join(options.folder, "tiny.keras"))
        return 0
    if options.part == "read":
        read_epoch(options.folder)
        return 0
    with contextlib.ExitStack() as stack:
        folder = Path(options.folder or stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        if options.part == "epochs":
            return epochs_main(options.epochs, options.runtimes.split(","), folder)
        return sizes_main([int(one) for one in options.sizes.split(",")], folder)


if __name__ == "__main__":
    sys.exit(main())
