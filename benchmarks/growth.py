"""What one percent more images costs: data_prep.main --extends, beside preparing all anew.

    python -m benchmarks.growth [--rounds=3] [--cases=small,photos,resized] [--images=60000]

In each round a version is prepared anew from 1 % more images than an older version has, and then
grown out of that older version, each in a process of its own; ratios are taken within a round. The
bytes are those that the kernel counts as written to the disk (write_bytes of /proc/self/io, the
workers' included), and those of the dataset's files that are no hard links.

  small    gray images of 28x28, as in benchmarks/prep.py
  photos   photos of 256x256, passed through
  resized  the same, shrunk to a short side of 224 pixels
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.prep import Watch, cpu_seconds, spread
from benchmarks.prep_inputs import make_photos, make_small
from benchmarks.ratios import Better, report

_ROOT = Path(__file__).resolve().parent.parent
_CASES = {"small": 0, "photos": 0, "resized": 224}  # --short_side
_PHOTO_SIZE_PX = (256, 256)
_ADDED = 0.01
_COLUMNS = {
    "seconds": "seconds",
    "whole_seconds": "seconds, whole process",
    "cpu_seconds": "CPU-s",
    "whole_cpu_seconds": "CPU-s, whole process",
    "disk_mb": "MB to the disk",
    "new_mb": "MB in new files",
}


def bytes_written() -> int:
    """Bytes to the disk of this process and the children that it waited for."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def run_one(folder: Path, data_dir: Path, version: str, extends: str, short_side_px: int) -> None:
    """What a subprocess does: prepare a version and print what it took."""
    import jinja2  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    from data_prep.config import PrepConfig
    from data_prep.pipeline import prepare
    from data_prep.publish import refuse_registered_name

    # Imports what TFDS itself imports only when it is asked for a name.
    refuse_registered_name("bench")
    watch, before = Watch(), bytes_written()
    config = PrepConfig(
        csv=str(folder / ("base.csv" if version == "1.0.0" else "train.csv")),
        images_dir=str(folder / "images"),
        name="bench",
        version=version,
        data_dir=str(data_dir),
        folds=5,
        short_side_px=short_side_px,
        extends=extends,
    )
    made = Path(prepare(config, log=lambda line: None))
    new = [path.stat() for path in made.iterdir()]
    result = {
        **watch.read(),
        "disk_mb": (bytes_written() - before) / 1e6,
        "new_mb": sum(one.st_size for one in new if one.st_nlink == 1) / 1e6,
        "whole_cpu_seconds": cpu_seconds(),
    }
    print(json.dumps(result))


def measure(*arguments: str) -> dict[str, float]:
    """Run a version's preparation as a process."""
    command = [sys.executable, "-m", "benchmarks.growth", "--one", *arguments]
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    whole = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed: {done.stderr[-3000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "whole_seconds": whole}


def rounds_of(case: str, folder: Path, rounds: int) -> list[dict[str, dict[str, float]]]:
    """Anew and grown, once a round; the older version is made first and warms the page cache."""
    results = []
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        common = [f"--folder={folder}", f"--data_dir={scratch}", f"--short_side={_CASES[case]}"]
        measure(*common, "--version=1.0.0")
        base = f"--extends={scratch}/bench/1.0.0"
        for number in range(rounds):
            round_ = {
                "anew": measure(*common, "--version=2.0.0"),
                "grown": measure(*common, "--version=1.1.0", base),
            }
            print(f"{case} round {number}: {round_}", file=sys.stderr)
            results.append(round_)
            for version in ("2.0.0", "1.1.0"):
                shutil.rmtree(f"{scratch}/bench/{version}")
    return results


def table(case: str, results: list[dict[str, dict[str, float]]]) -> list[str]:
    """Rows of the Markdown table of one case."""
    lines = []
    for key, title in _COLUMNS.items():
        anew, grown = ([one[who][key] for one in results] for who in ("anew", "grown"))
        ratios = [100 * b / a for a, b in zip(anew, grown, strict=True)]
        cells = [case, title, spread(anew), spread(grown), f"{spread(ratios, '.1f')} %"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def make_input(case: str, folder: Path, images: int) -> None:
    """The images, `train.csv` of all, and `base.csv` without the one percent that comes later."""
    count = round(images * (1 + _ADDED))
    if case == "small":
        make_small(folder)
    else:
        make_photos(folder, "", count, _PHOTO_SIZE_PX)
    with open(folder / "train.csv", newline="") as file:
        header, *rows = list(csv.reader(file))
    # The small ones are as many as they are: the older version is smaller by what is added.
    base = min(images, round(len(rows) / (1 + _ADDED)))
    with open(folder / "base.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows[:base]])


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", default=",".join(_CASES))
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    for internal in ("folder", "data_dir", "version", "extends"):
        parser.add_argument(f"--{internal}", default="", help=argparse.SUPPRESS)
    parser.add_argument("--short_side", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        places = Path(options.folder), Path(options.data_dir)
        run_one(*places, options.version, options.extends, options.short_side)
        return
    lines = ["| case | | anew | grown | grown / anew |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as scratch:
        for case in options.cases.split(","):
            folder = Path(scratch) / ("small" if case == "small" else "photos")
            if not folder.exists():  # `photos` and `resized` are of the same.
                make_input(case, folder, options.images)
            results = rounds_of(case, folder, options.rounds)
            lines += table(case, results)
            for key in ("whole_cpu_seconds", "new_mb"):
                grown, anew = ([one[who][key] for one in results] for who in ("grown", "anew"))
                title = f"{options.images:,} images ({case}) and 1 % more, {_COLUMNS[key]}"
                report(title, "preparing anew", (), Better.LESS, ours=grown, theirs=anew)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
