"""What Google Cloud Storage costs: uploads, preparing to gs://, requests of reading.

    python -m benchmarks.gcs [--latency_ms=30] [--rounds=3] [--photos=1500] [--apart]
        [upload] [prep] [reads]

All against the loopback server of the tests, with a latency added to every request: ratios between
rows of one run mean something, megabytes a second do not. The server computes on the same cores,
more than its clients do; what a client computes itself is in the column of CPU-seconds, and with a
latency of some hundred ms uploads wait, as on a real network, rather than compute. --apart gives
the server a core of its own, which its clients do not get: it then costs them time only where it is
slower than they are, as a service elsewhere does.
"""

import argparse
import functools
import io
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.prep import cpu_seconds
from benchmarks.ratios import Better, report
from tests.gcs_server import GcsServer
from tests.gcs_server.conditions import Conditions

_MIB = 1 << 20
_NUM_FILES = 100


def main() -> None:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency_ms", type=float, default=30.0, help="added to each request")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many is shown")
    parser.add_argument("--photos", type=int, default=1500, help="(prep) how many")
    parser.add_argument("--apart", action="store_true", help="a core for the server alone")
    parser.add_argument("parts", nargs="*", default=[], help="upload, prep, reads; default: all")
    args = parser.parse_args()
    parts = {"upload": _upload, "prep": functools.partial(_prep, args.photos), "reads": _reads}
    server_cores, client_cores = _cores(args.apart)
    os.sched_setaffinity(0, server_cores)  # What it starts inherits this.
    with tempfile.TemporaryDirectory(prefix="bench-gcs-") as folder, GcsServer() as server:
        os.sched_setaffinity(0, client_cores)
        os.environ.update(server.env)
        server.set_conditions(Conditions(latency_ms=args.latency_ms))
        print(f"{args.latency_ms:g} ms added to each request, median of {args.rounds} rounds")
        for name in args.parts or parts:
            print(f"\n{name}")
            parts[name](server, Path(folder), args.rounds)


def _cores(apart: bool) -> tuple[set[int], set[int]]:
    """Which cores the server gets, and which its clients."""
    cores = os.sched_getaffinity(0)
    if not apart:
        return cores, cores
    if len(cores) < 2:
        raise SystemExit("--apart needs two cores; there is one")
    return {max(cores)}, cores - {max(cores)}


def _upload(server: GcsServer, folder: Path, rounds: int) -> None:
    """100 files of 1 MiB: one after the other, the client's own threads, ours."""
    from google.cloud import storage as client
    from google.cloud.storage import transfer_manager

    files = _files(folder / "files")
    bucket = client.Client(project="test").bucket(server.bucket)

    def sequential():
        for file in files:
            bucket.blob(f"a/{file.name}").upload_from_filename(str(file), checksum="crc32c")

    def transfer_manager_threads():
        transfer_manager.upload_many_from_filenames(
            bucket,
            [file.name for file in files],
            source_directory=str(files[0].parent),
            worker_type=transfer_manager.THREAD,
            raise_exception=True,
        )

    rows = {
        "google-cloud-storage, one by one": sequential,
        "transfer_manager, 8 threads": transfer_manager_threads,
        "data_prep, as shards are published": lambda: _publish_files(server, files),
    }
    taken = _interleaved(rows, rounds, server.clear_objects)
    *peers, ours = rows
    for peer in peers:
        report(
            f"{_NUM_FILES} files of 1 MiB uploaded to the loopback server, seconds",
            peer,
            ("google-cloud-storage",),
            Better.LESS,
            ours=[seconds for seconds, _ in taken[ours]],
            theirs=[seconds for seconds, _ in taken[peer]],
        )
    base, _ = _medians(taken[peers[0]])
    for name, values in taken.items():
        seconds, cpu = _medians(values)
        print(f"  {name:38} {seconds:6.2f} s   {base / seconds:5.2f} x   {cpu:6.2f} CPU-s")


def _publish_files(server: GcsServer, files: list[Path]) -> None:
    import google_crc32c

    from orchard.parallel import REQUEST_THREADS, Background
    from orchard.storage import gcs

    def upload(file: Path) -> gcs.ObjectInfo:
        crc = google_crc32c.value(file.read_bytes())
        return gcs.upload_file(str(file), server.path("a", file.name), crc, gcs.ABSENT)

    with Background(upload, 64 * _MIB, REQUEST_THREADS) as uploads:
        for file in files:
            uploads.add(file, _MIB)
        list(uploads.drain())


def _prep(count: int, server: GcsServer, folder: Path, rounds: int) -> None:
    """Whole commands: to a local disk, to gs://; and the upload of the finished shards alone."""
    csv = _photos(folder / "photos", count, size_px=768)
    for name, flags in (
        ("passed through", ("--shard_mb=2",)),
        ("resized, --short_side=384", ("--shard_mb=1", "--short_side=384")),
    ):
        _prep_once(server, folder / "local", rounds, csv, name, flags)


def _prep_once(server, local: Path, rounds: int, csv: Path, name: str, flags) -> None:
    def command(data_dir: str) -> None:
        _run_prep(server, csv, data_dir, *flags)

    command(str(local))
    shards = sorted(path for path in local.rglob("*tfrecord*"))
    total = sum(path.stat().st_size for path in shards)
    print(f"  {name}: {len(shards)} shards, {total / _MIB:.0f} MiB; whole processes")

    def to_local():
        shutil.rmtree(local)
        command(str(local))

    rows = {
        "data_prep to a local disk": to_local,
        "upload of the shards alone": lambda: _publish_files(server, shards),
        "data_prep to gs://": lambda: command(server.path("tfds")),
    }
    taken = _interleaved(rows, rounds, server.clear_objects)
    *parts, whole = rows
    slower_of_round = [max(taken[part][at][0] for part in parts) for at in range(len(taken[whole]))]
    report(
        f"data_prep to gs:// on the loopback server, photos {name}, seconds",
        "the slower of the same to a disk, and the upload alone",
        (),
        Better.LESS,
        ours=[seconds for seconds, _ in taken[whole]],
        theirs=slower_of_round,
    )
    slower = max(_medians(taken[part])[0] for part in parts)
    for row, values in taken.items():
        seconds, cpu = _medians(values)
        ratio = f"{seconds / slower:5.2f} x the slower of the first two"
        print(f"  {row:38} {seconds:6.2f} s   {ratio}   {cpu:6.2f} CPU-s")
    shutil.rmtree(local)


def _run_prep(server: GcsServer, csv: Path, data_dir: str, *flags: str) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "data_prep.main", f"--csv={csv}", "--name=photos"),
            *(f"--images_dir={csv.parent}", "--version=1.0.0", f"--data_dir={data_dir}", *flags),
        ],
        check=True,
        env=server.process_env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _reads(server: GcsServer, folder: Path, rounds: int) -> None:
    """Requests and bytes of an epoch of training, by TensorFlow's read options."""
    del rounds  # Counts, not times.
    from trainer.data import read_options

    csv = _photos(folder / "small_photos", 2400, size_px=256)
    server.set_conditions(Conditions())
    _run_prep(server, csv, server.path("tfds"), "--shard_mb=16")
    size = sum(int(item["size"]) for name, item in server.objects().items() if "tfrecord" in name)
    print(f"  {size / 1e6:.0f} MB in shards of 16 MB, batches of 64; GETs (MB) of epochs 0 and 1")
    for name, options in {
        "TensorFlow's defaults": {},
        "ours, larger than the memory": read_options(size, memory_bytes=size // 2),
        "ours, fits into the memory": read_options(size, memory_bytes=100 * size),
    }.items():
        counts = [_count_epoch(server, options, epochs) for epochs in (1, 2)]
        first, both = counts
        second = (both[0] - first[0], both[1] - first[1])
        shown = " ".join(f"{key.removeprefix('GCS_')}={value}" for key, value in options.items())
        print(
            f"  {name:30} {first[0]:5} ({first[1] / 1e6:6.0f}) {second[0]:6} "
            f"({second[1] / 1e6:6.0f})   {shown}"
        )


_EPOCHS = """
import sys
from trainer.data import InputOptions, load_records, train_batches
table = load_records(sys.argv[1], "train")
options = InputOptions(height_px=64, width_px=64)
steps = int(sys.argv[2]) * len(table) // 64
batches = train_batches(
    table, options, batch_size=64, seed=0, start_step=0, num_steps=steps, augment=None
)
for _ in batches:
    pass
"""


def _count_epoch(server: GcsServer, options: dict[str, str], epochs: int) -> tuple[int, int]:
    server.take_log()
    subprocess.run(
        [sys.executable, "-c", _EPOCHS, server.path("tfds/photos/1.0.0"), str(epochs)],
        check=True,
        env=server.process_env(**options),
        stderr=subprocess.DEVNULL,
    )
    gets = [
        entry["bytes_out"]
        for entry in server.take_log()
        if entry["operation"] == "download" and "tfrecord" in entry["path"]
    ]
    return len(gets), sum(gets)


def _interleaved(rows: dict, rounds: int, before) -> dict[str, list[tuple[float, float]]]:
    """Seconds and CPU-seconds of each row's rounds: rows take turns, a first one is thrown away."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    for round_ in range(rounds + 1):
        for name, run in rows.items():
            before()
            started, cpu_started = time.perf_counter(), cpu_seconds()
            run()
            if round_:
                taken[name].append((time.perf_counter() - started, cpu_seconds() - cpu_started))
    return taken


def _medians(values: list[tuple[float, float]]) -> tuple[float, float]:
    """Seconds and CPU-seconds."""
    seconds, cpu = zip(*values, strict=True)
    return statistics.median(seconds), statistics.median(cpu)


def _files(folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(0)
    files = [folder / f"file-{index:03}" for index in range(_NUM_FILES)]
    for file in files:
        file.write_bytes(generator.bytes(_MIB))
    return files


def _photos(folder: Path, count: int, size_px: int) -> Path:
    """A CSV beside `count` JPEGs, all different, with detail at four pixels and coarser."""
    csv = folder / "labels.csv"
    folder.mkdir(exist_ok=True)
    coarse = np.random.default_rng(0).integers(0, 256, (size_px // 4, size_px // 4, 3), np.uint8)
    image = Image.fromarray(coarse).resize((size_px, size_px), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    jpeg = buffer.getvalue()
    rows = ["image_id,label"]
    for index in range(count):
        # A comment segment makes each file another one.
        comment = b"\xff\xfe" + struct.pack(">HI", 6, index)
        (folder / f"photo_{index:05}.jpg").write_bytes(jpeg[:2] + comment + jpeg[2:])
        rows.append(f"photo_{index:05},{'ab'[index % 2]}")
    csv.write_text("\n".join(rows) + "\n")
    return csv


if __name__ == "__main__":
    main()
