"""Damaged and hostile bytes for everything that Orchard parses: no traceback, no hang, no swelling.

    python -m tests.fuzz --cases=1000000 [--seed=0] [--targets=jpeg,npz]

A case is a valid sample, changed: bits flipped, parts cut out, doubled, exchanged with those of
another sample, numbers set to their limits; of JSON also its values, one for one. It is a function
of (seed, target, number), so that a line such as "jpeg 4711" is enough to see it again
(--targets=jpeg --first=4711 --cases=1).
"""

import argparse
import copy
import datetime
import io
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.images import ImageOptions
from data_prep.images.inspection import inspect_image
from data_prep.labels.csv_table import parse_csv
from data_prep.labels.other_tables import parse_json_lines, parse_parquet
from data_prep.labels.table import LabelOptions, read_labels
from ensemble.serving import rest
from orchard.errors import OrchardError
from orchard.formats import (
    EnsembleRecord,
    FoldsRecord,
    RunRecord,
    Task,
    load_checkpoint_file,
    load_logits,
    read_label_fixes,
    tfrecord,
)
from orchard.formats.manifest import RECORDS_FILE, Manifest, load_records
from tests.data_prep.builders import odd_images

_BEFORE = Path(__file__).parent / "before"
_MAX_SECONDS = 5.0  # For one case, on a machine that does other things too.
_MAX_GROWTH_BYTES = 512 << 20
_JSON_VALUES = (
    *(None, True, -1, 0, 2**63, 10**400, 1e308, "", "x", "\0", "../..", [], {}, [[]], {"": {}}),
    *("<script>", "=cmd()", "NaN", float("nan"), float("inf"), "9" * 5000),
)


@dataclass(frozen=True)
class Target:
    """Something that parses.

    Attributes:
        samples: of what it takes.
        parse: takes the bytes.
        errors: that it may raise; any other is a defect.
        change: makes a case of the samples; default: of their bytes.
    """

    samples: list[bytes]
    parse: Callable[[bytes], object]
    errors: tuple[type[Exception], ...] = (OrchardError,)
    change: Callable[[random.Random, list[bytes]], bytes] | None = None

    def case(self, seed: int, name: str, number: int) -> bytes:
        """The bytes of one case."""
        generator = random.Random(f"{seed} {name} {number}")
        return (self.change or changed_bytes)(generator, self.samples)


def changed_bytes(generator: random.Random, samples: list[bytes]) -> bytes:
    """A sample with a few changes."""
    data = bytearray(generator.choice(samples))
    for _ in range(generator.choice((1, 1, 1, 2, 3, 8))):
        at = generator.randrange(len(data) + 1)
        size = generator.choice((1, 1, 2, 4, 8, 64, 512))
        match generator.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << generator.randrange(8)
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size]
            case 3:
                data[at : at + size] = generator.randbytes(size)
            case 4:
                data[at : at + size] = generator.choice((b"\0", b"\xff", b"\x7f")) * size
            case 5:
                other = generator.choice(samples)
                where = generator.randrange(len(other) + 1)
                data[at : at + size] = other[where : where + size]
            case 6:
                del data[at:]
    return bytes(data)


def changed_json(generator: random.Random, samples: list[bytes]) -> bytes:
    """A sample with some values exchanged, dropped or added; now and then its bytes instead."""
    if generator.random() < 0.2:
        return changed_bytes(generator, samples)
    value = json.loads(generator.choice(samples))
    for _ in range(generator.choice((1, 1, 2, 4))):
        value = _changed_value(generator, value)
    return json.dumps(value).encode()


def _changed_value(generator: random.Random, value: object) -> object:
    if not isinstance(value, dict | list) or not value or generator.random() < 0.1:
        return copy.deepcopy(generator.choice(_JSON_VALUES))
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = generator.choice(keys)
    kind = generator.randrange(10)
    if kind == 0:
        del value[key]
    elif kind == 1 and isinstance(value, dict):
        value[f"{key}x"] = value[key]
    elif kind == 1:
        value.append(value[key])
    else:
        value[key] = _changed_value(generator, value[key])
    return value


def _changed_arrays(generator: random.Random, samples: list[bytes]) -> bytes:
    """A sample with other arrays in it, or with other bytes."""
    if generator.random() < 0.5:
        return changed_bytes(generator, samples)
    with np.load(io.BytesIO(generator.choice(samples)), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    name = generator.choice(list(arrays))
    old = arrays[name]
    numbers = np.random.default_rng(generator.randrange(2**32))
    arrays[name] = generator.choice(
        (
            lambda: np.zeros(()),
            lambda: np.zeros((0,)),
            lambda: old.reshape(-1)[:1],
            lambda: old.reshape(-1)[::-1],
            lambda: np.asarray("{" if old.dtype.kind == "U" else old.astype(str)),
            lambda: np.full((3, 3), np.nan, np.float32),
            lambda: numbers.integers(-9, 9, (2, 2)).astype(np.complex64),
            lambda: np.array(json.dumps({"format": "x"})),
            lambda: np.array(["a"] * 3, "S2"),
        )
    )()
    if generator.random() < 0.1:
        del arrays[name]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def parquet_tables() -> list[bytes]:
    """Tables of labels, each written otherwise: compressed or not, in pages of either version."""
    rows = range(40)
    plain = {"image_id": [f"img{i}" for i in rows], "label": ["ab"[i % 2] for i in rows]}
    mixed = {
        "id": plain["image_id"],
        "label": ["rust" if i % 3 else None for i in rows],
        "soft": [i / 7 for i in rows],
        "names": [["a", "b"][: i % 3] for i in rows],
        "day": [datetime.date(2024, 1, 1 + i % 28) for i in rows],
    }
    deltas = {"id": plain["image_id"], "count": list(rows)}
    encodings = {"id": "DELTA_BYTE_ARRAY", "count": "DELTA_BINARY_PACKED"}
    return [
        parquet_bytes(plain),
        parquet_bytes(plain, compression="none", use_dictionary=False),
        parquet_bytes(mixed, compression="gzip"),
        parquet_bytes(mixed, compression="zstd", data_page_version="2.0"),
        parquet_bytes(deltas, use_dictionary=False, column_encoding=encodings),
    ]


def parquet_bytes(columns: dict, **how: object) -> bytes:
    """A Parquet file of these columns."""
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **how)
    return buffer.getvalue()


def _file(folder: str, suffix: str, load: Callable[[str], object]) -> Callable[[bytes], object]:
    """`load` of a file that has the bytes."""
    path = os.path.join(folder, f"case{suffix}")
    os.makedirs(os.path.dirname(path), exist_ok=True)

    def parse(data: bytes) -> object:
        with open(path, "wb") as file:
            file.write(data)
        return load(path)

    return parse


def _frames(data: bytes) -> None:
    for frame in tfrecord.read_frames(io.BytesIO(data), "case"):
        _example(frame.payload)


def _example(data: bytes) -> None:
    example = tfrecord.Example(data)
    example.bytes_of("image")
    example.ints_of("label")
    example.floats_of("target")


def _image(data: bytes) -> None:
    facts = inspect_image(data, ImageOptions())
    assert facts.problem or 0 < facts.width_px * facts.height_px <= 100_000_000


def _samples(pattern: str) -> list[bytes]:
    found = [path.read_bytes() for path in sorted(_BEFORE.rglob(pattern))]
    assert found, pattern
    return found


def targets(folder: str) -> dict[str, Target]:
    """All that is fuzzed; files of cases go into `folder`."""
    shards = _samples("*.tfrecord-*")
    frames = [list(tfrecord.read_frames(io.BytesIO(one), "sample")) for one in shards]
    tables = [path.read_bytes() for path in sorted(_BEFORE.rglob("*.csv"))]
    tables += [b"image_id,a,b\nx,1,0\ny,0,1\n", b'id,label\n"a, b","x|y"\nb,z\n']
    lines = [b'{"id": "a", "label": "x"}\n{"id": "b", "label": ["y", "z"]}\n']
    fixes = [b"id,given,suggested,decision,label\na,x,y,change,\nb,x,y,keep,z\n"]
    npz = {path.name: path.read_bytes() for path in sorted(_BEFORE.rglob("*.npz"))}
    logits = _samples("eval_logits/*.npz")
    checkpoints = [data for name, data in npz.items() if name.startswith(("step-", "best-"))]

    def record(kind: type, pattern: str) -> Target:
        return Target(
            _samples(pattern), _file(folder, f"-{kind.__name__}", kind.load), change=changed_json
        )

    def labels(path: str) -> object:
        return read_labels(path, LabelOptions())

    found = {
        "jpeg": Target(list(odd_images().values()), _image, errors=()),
        "csv": Target(tables, lambda data: parse_csv(data, "case.csv")),
        "labels": Target(tables, _file(folder, ".csv", labels)),
        "json_lines": Target(lines, lambda data: parse_json_lines(data, "case.jsonl")),
        "parquet": Target(parquet_tables(), lambda data: parse_parquet(data, "case.parquet")),
        "index": Target(
            _samples(RECORDS_FILE),
            _file(folder, f"/{RECORDS_FILE}", lambda path: load_records(os.path.dirname(path))),
        ),
        "label_fixes": Target(
            fixes, _file(folder, "-fixes.csv", lambda p: read_label_fixes(p, Task.SINGLE_LABEL))
        ),
        "shard": Target(shards, _frames, errors=(OrchardError, ValueError)),
        "example": Target(
            [frame.payload for some in frames for frame in some], _example, errors=(ValueError,)
        ),
        "manifest": record(Manifest, "manifest.json"),
        "run": record(RunRecord, "run.json"),
        "folds": record(FoldsRecord, "folds.json"),
        "weights": record(EnsembleRecord, "weights.json"),
        "logits": Target(logits, _file(folder, ".npz", load_logits), change=_changed_arrays),
    }
    bodies = [
        b'{"instances": [{"b64": "/9j/4AAQ"}, {"image_bytes": {"b64": "/9j/4AAQ"}}]}',
        b'{"signature_name": "top_k", "inputs": {"image_bytes": [{"b64": "/9j/"}], "k": [2]}}',
    ]
    signatures = (rest.DEFAULT, rest.TOP_K, rest.MEMBERS)
    found["rest"] = Target(
        bodies,
        lambda data: rest.parse_predict(data, signatures, 8),
        errors=(rest.RequestError,),
        change=changed_json,
    )
    if checkpoints:
        load = _file(folder, "-c.npz", load_checkpoint_file)
        found["checkpoint"] = Target(checkpoints, load, change=_changed_arrays)
    return found


def run(name: str, target: Target, seed: int, first: int, cases: int) -> list[str]:
    """The defects that some cases show: one line each."""
    defects = []
    for number in range(first, first + cases):
        data = target.case(seed, name, number)
        began = time.monotonic()
        try:
            target.parse(data)
        except target.errors as error:
            if "\n" in str(error):
                defects.append(f"{name} {number}: several lines: {str(error)[:200]!r}")
        except Exception as error:
            defects.append(f"{name} {number}: {type(error).__name__}: {str(error)[:200]}")
        if time.monotonic() - began > _MAX_SECONDS:
            defects.append(f"{name} {number}: took {time.monotonic() - began:.0f} s")
    return defects


def main() -> int:
    """Run the campaign, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1_000_000, help="over all targets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--targets", default="")
    parser.add_argument("--minutes", type=float, default=0.0, help="end after so long; 0: never")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wanted = targets(folder)
        if options.targets:
            wanted = {name: wanted[name] for name in options.targets.split(",")}
        done, defects, began = dict.fromkeys(wanted, 0), [], time.monotonic()
        share = -(-options.cases // len(wanted))
        start_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        while min(done.values()) < share:
            for name, target in wanted.items():
                size = min(1000, share - done[name])
                defects += run(name, target, options.seed, options.first + done[name], size)
                done[name] += size
            if options.minutes and time.monotonic() - began > 60 * options.minutes:
                break
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - start_bytes
    print("| target | cases |\n|---|---|")
    for name, count in done.items():
        print(f"| {name} | {count:,} |")
    print(
        f"{sum(done.values()):,} cases in {time.monotonic() - began:.0f} s, {grown >> 20} MiB more"
    )
    if grown > _MAX_GROWTH_BYTES:
        defects.append(f"memory grew by {grown >> 20} MiB")
    for line in defects[:100]:
        print(line)
    print(f"{len(defects)} defects")
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
