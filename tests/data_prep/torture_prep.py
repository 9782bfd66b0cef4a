"""Kills a preparation at random moments and compares what comes of it with an undisturbed run.

    python -m tests.data_prep.torture_prep --kills=20 [--extends]

With --extends what is killed is the making of a version that grows out of an older one: shards are
linked, rewritten and added, and the older version must stay as it is.

Half of the kills hit the whole process group, half the parent alone; each is SIGKILL. Two of three
come at a random fraction of an undisturbed run's time, the third when a random number of shards is
written, wherever the time has gone. Exit status 1 at the first difference.
"""

import argparse
import contextlib
import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.data_prep.builders import CLASSES, digests, jpeg, make_input, write_csv

_ROWS = 300
# Many small shards, all of them converted: there is something to interrupt at every moment.
_SETTINGS = ("--folds=3", "--hosts=12", "--short_side=18", "--decode_check", "--workers=2")
_SHARDS = 48  # four splits of twelve
_ADDED_ROWS = 60
_DEADLINE_SECONDS = 300


def command(given: dict[str, str], data_dir: Path) -> list[str]:
    """The command that is killed."""
    flags = [f"--{name}={value}" for name, value in {"version": "1.0.0", **given}.items()]
    places = [f"--data_dir={data_dir}", "--name=clothes"]
    return [sys.executable, "-m", "data_prep.main", *flags, *places, *_SETTINGS]


def start(given: dict[str, str], data_dir: Path) -> subprocess.Popen:
    """The command in a process group of its own."""
    return subprocess.Popen(
        command(given, data_dir),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def finish(given: dict[str, str], data_dir: Path) -> tuple[dict[str, str], float]:
    """Run to the end; the digests of the dataset, and the seconds it took."""
    begun = time.monotonic()
    done = subprocess.run(
        command(given, data_dir), capture_output=True, text=True, timeout=_DEADLINE_SECONDS
    )
    if done.returncode:
        raise SystemExit(f"the run after a kill failed: {done.stderr[-2000:]}")
    return digests(made(given, data_dir)), time.monotonic() - begun


def made(given: dict[str, str], data_dir: Path) -> Path:
    """Where the command publishes."""
    return data_dir / "clothes" / given.get("version", "1.0.0")


def grow(given: dict[str, str], base: Path, folder: Path) -> dict[str, str]:
    """The input of a version that grows out of `base`: rows added, relabeled and withdrawn."""
    with open(given["csv"], newline="") as file:
        header, *rows = list(csv.reader(file))
    # One row in forty is gone, another has another label.
    rows = [
        (image_id, CLASSES[0] if at % 40 == 1 else label)
        for at, (image_id, label) in enumerate(rows)
        if at % 40
    ]
    for at in range(_ADDED_ROWS):
        Path(given["images_dir"], f"n{at:03d}.jpg").write_bytes(jpeg(10_000 + at, 22, 30))
        rows.append((f"n{at:03d}", CLASSES[at % len(CLASSES)]))
    path = write_csv(folder / "grown.csv", [header, *rows])
    return {**given, "csv": path, "version": "1.1.0", "extends": str(base)}


def processes_of_group(group: int) -> list[int]:
    """The live processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def kill(process: subprocess.Popen, whole_group: bool) -> None:
    """SIGKILL, and wait until the last worker is gone.

    Raises:
      SystemExit: a worker outlives its parent by a minute.
    """
    if whole_group:
        # It may have ended just now.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while left := processes_of_group(process.pid):
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            raise SystemExit(f"workers {left} outlived their parent")
        time.sleep(0.02)


def num_receipts(data_dir: Path) -> int:
    """How many shards the workers of a killed run left."""
    return len(list(data_dir.glob(".staging/clothes/*/receipts/*.json")))


def wait_for_shards(process: subprocess.Popen, data_dir: Path, shards: int) -> None:
    """Wait until so many shards are written, or the process has ended."""
    while process.poll() is None and num_receipts(data_dir) < shards:
        time.sleep(0.002)


def campaign(kills: int, seed: int, folder: Path, extends: bool = False) -> list[str]:
    """Kill `kills` runs, go on after each; one line a kill.

    Args:
      kills: how many.
      seed: of the moments.
      folder: an empty folder.
      extends: whether the runs are of a version that grows out of an older one.

    Raises:
      SystemExit: a dataset differs from the undisturbed one, or half a dataset looked whole.
    """
    given = make_input(folder / "in", rows=_ROWS, test_rows=20)
    base, before = folder / "base" / "clothes" / "1.0.0", {}
    if extends:
        before, _ = finish(given, folder / "base")
        given = grow(given, base, folder)
    wanted, cold_seconds = finish(given, folder / "undisturbed")
    again, warm_seconds = finish(given, folder / "again")
    if again != wanted:
        raise SystemExit("two undisturbed runs differ")
    seconds = min(cold_seconds, warm_seconds)
    rng = random.Random(seed)
    lines = []
    for number in range(kills):
        data_dir = folder / f"killed{number}"
        whole_group = number % 2 == 0
        fraction, shards = rng.uniform(0.1, 1.0), rng.randrange(1, _SHARDS)
        process = start(given, data_dir)
        if number % 3 == 2:
            moment = f"at {shards} shards"
            wait_for_shards(process, data_dir, shards)
        else:
            moment = f"at {fraction:.2f} of {seconds:.1f} s"
            time.sleep(fraction * seconds)
        kill(process, whole_group)
        published = made(given, data_dir)
        looked_whole = published.exists()
        if looked_whole and digests(published) != wanted:
            raise SystemExit(f"kill {number}: a dataset was published that is not whole")
        staged = num_receipts(data_dir)
        if finish(given, data_dir)[0] != wanted:
            raise SystemExit(f"kill {number}: the bytes differ from an undisturbed run's")
        what = "group" if whole_group else "parent"
        state = "published" if looked_whole else f"{staged} shards"
        lines.append(f"kill {number}: {what} {moment}, {state}: equal")
        shutil.rmtree(data_dir)
    if extends and digests(base) != before:
        raise SystemExit("the version that was extended has changed")
    return lines


def main() -> None:
    """Run a campaign in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--extends", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for line in campaign(options.kills, options.seed, Path(folder), options.extends):
            print(line)
    print(f"{options.kills} kills, every dataset equal to the undisturbed one")


if __name__ == "__main__":
    main()
