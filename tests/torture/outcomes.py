"""What of an output has to be equal, as digests by part; and what is left out, with the reason."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np

from orchard import storage
from orchard.formats import RunDir, RunRecord, fingerprint_saved_model
from trainer.checkpoints import files

LEFT_OUT_OF_DATASETS = "run_log.json (command and times)"
LEFT_OUT_OF_RUNS = (
    "times (in metrics.jsonl, run.json `cost`, report.html, checkpoints' `meta`), TensorBoard's "
    "events, the date in model.keras, bytes of the SavedModel's graph (it must be the one whose "
    "fingerprint run.json has), all but the newest checkpoint of steps"
)
LEFT_OUT_OF_ENSEMBLES = "bytes of the SavedModel's graph, which has names made up anew; .lock"
_TIMINGS = {"images_per_second", "data_wait_share", "compile_seconds", "seconds"}


def digest(data: bytes) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(data).hexdigest()


def of_dataset(folder: str) -> dict[str, str]:
    """Every file of a dataset but the log."""
    return {
        path.name: digest(path.read_bytes())
        for path in sorted(Path(folder).iterdir())
        if path.name != "run_log.json"
    }


def of_run(folder: str) -> dict[str, str]:
    """Weights, metrics, logits, record and models of a finished run, a soup or a head."""
    run = RunDir(folder)
    record = storage.read_json(run.record_file)
    found = {
        "run.json": _json({k: v for k, v in record.items() if k not in _NOT_OF_RUNS}),
        "config.json": digest(Path(folder, "config.json").read_bytes()),
        "model.keras": _keras(Path(folder, "model.keras").read_bytes()),
        "saved_model": str(
            RunRecord.load(run.record_file).member_fingerprint
            == fingerprint_saved_model(os.path.join(folder, "saved_model"))
        ),
        "report.html": str(Path(folder, "report.html").stat().st_size > 0),
    }
    # Beside it, too: the cache of features.
    left = Path(folder).parent.rglob("*.tmp")
    found["half written"] = ", ".join(sorted(path.name for path in left))
    for path in sorted(Path(folder, "eval_logits").iterdir()):
        found[f"eval_logits/{path.name}"] = digest(path.read_bytes())
    if steps := files.steps(folder):
        newest = Path(folder, "checkpoints", f"step-{steps[-1]:09d}.npz")
        found[newest.name] = _arrays(newest.read_bytes())
        for path in sorted(newest.parent.glob("best-*.npz")):
            found[path.name] = digest(path.read_bytes())
    metrics = Path(folder, "metrics.jsonl")
    if metrics.exists():
        found["metrics.jsonl"] = _metrics(metrics.read_text())
    return found


_NOT_OF_RUNS = {"cost", "member_fingerprint"}


def of_ensemble(folder: str) -> dict[str, str]:
    """Every file of an ensemble's directory; of the SavedModel's graph that it is there."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or path.name in ("fingerprint.pb", ".lock"):
            continue
        found[name] = "" if path.name == "saved_model.pb" else digest(path.read_bytes())
    return found


def of_file(path: str) -> dict[str, str]:
    """One file, and that it is alone."""
    return {one.name: digest(one.read_bytes()) for one in sorted(Path(path).parent.iterdir())}


def _json(value: object) -> str:
    return digest(json.dumps(value, sort_keys=True).encode())


def _metrics(text: str) -> str:
    lines = [json.loads(line) for line in text.splitlines()]
    kept = [
        {key: value for key, value in line.items() if key not in _TIMINGS}
        for line in lines
        if line["kind"] != "event"
    ]
    return _json(kept)


def _arrays(data: bytes) -> str:
    with np.load(io.BytesIO(data)) as file:
        arrays = {name: digest(file[name].tobytes()) for name in file.files if name != "meta"}
    return _json(arrays)


def _keras(data: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        names = sorted(set(file.namelist()) - {"metadata.json"})
        return _json({name: digest(file.read(name)) for name in names})


def differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """The parts that differ, are missing or are too many."""
    return sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
