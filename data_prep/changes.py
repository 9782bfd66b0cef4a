"""What differs between two runs of one dataset, said in words."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep import scan, storage
from data_prep.config import PrepConfig
from data_prep.manifest import Manifest, load_records
from data_prep.survey import Survey
from data_prep.versions import deciding_versions

if TYPE_CHECKING:
    import pandas

_FILE = "seen.npz"


@dataclass(frozen=True)
class Snapshot:
    """What a run was given.

    ids: string [n]; sha256: S64 [n], hex, of the content; targets: float32 [n, num_classes];
    mtime_ns: int64 [n], or None when it is not known.
    """

    settings: dict[str, Any]
    versions: dict[str, str]
    ids: np.ndarray
    sha256: np.ndarray
    targets: np.ndarray
    mtime_ns: np.ndarray | None


def of_run(config: PrepConfig, surveys: Sequence[Survey]) -> Snapshot:
    """What the present run was given."""
    usable = [survey.usable for survey in surveys]
    facts = [survey.facts[rows] for survey, rows in zip(surveys, usable, strict=True)]
    return Snapshot(
        settings=config.settings(),
        versions=deciding_versions(),
        ids=np.concatenate(
            [np.asarray(s.table.ids, str)[rows] for s, rows in zip(surveys, usable, strict=True)]
        ),
        sha256=np.concatenate([scan.hex_digests(fact["sha256"]) for fact in facts]),
        targets=np.concatenate(
            [s.table.targets[rows] for s, rows in zip(surveys, usable, strict=True)]
        ),
        mtime_ns=np.concatenate([fact["mtime_ns"] for fact in facts]),
    )


def of_dataset(dataset_dir: str, manifest: Manifest) -> Snapshot:
    """What the run was given that made a finished dataset."""
    records = load_records(dataset_dir)
    versions = {name: manifest.library_versions.get(name, "") for name in deciding_versions()}
    return Snapshot(
        settings=manifest.settings,
        versions=versions,
        ids=records["id"].to_numpy(str),
        sha256=records["source_sha256"].to_numpy(str).astype("S64"),
        targets=np.stack(records["target"].to_list()),
        mtime_ns=None,
    )


def save(snapshot: Snapshot, directory: str) -> None:
    """Keep a snapshot beside an unfinished dataset."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        head=json.dumps({"settings": snapshot.settings, "versions": snapshot.versions}),
        ids=snapshot.ids,
        sha256=snapshot.sha256,
        targets=snapshot.targets,
        mtime_ns=snapshot.mtime_ns,
    )
    storage.write_bytes(storage.join(directory, _FILE), buffer.getvalue(), durable=False)


def load(directory: str) -> Snapshot | None:
    """The snapshot of an earlier, unfinished run; None when there is none that can be read."""
    path = storage.join(directory, _FILE)
    if not storage.exists(path):
        return None
    try:
        with np.load(io.BytesIO(storage.read_bytes(path)), allow_pickle=False) as arrays:
            head = storage.parse_json(str(arrays["head"]), path)
            rest = {name: arrays[name] for name in ("ids", "sha256", "targets", "mtime_ns")}
        return Snapshot(head["settings"], head["versions"], **rest)
    except Exception:
        # It only helps to explain; the shards are judged by their receipts and checksums.
        return None


def differences(before: Snapshot, now: Snapshot) -> list[str]:
    """One phrase for each kind of difference; empty when both runs were given the same."""
    phrases = []
    for name in sorted(now.settings):
        if before.settings.get(name) != now.settings[name]:
            flag = name.removesuffix("_px")
            was, wants = _shown(before.settings.get(name)), _shown(now.settings[name])
            phrases.append(f"--{flag} was {was}, now {wants}")
    for name, version in now.versions.items():
        if before.versions.get(name) != version:
            phrases.append(f"{name} was {before.versions.get(name)}, now {version}")
    return phrases + _row_differences(before, now)


def _row_differences(before: Snapshot, now: Snapshot) -> list[str]:
    old, new = _frame(before).add_suffix("_before"), _frame(now).add_suffix("_now")
    both = old.join(new, how="outer")
    came, went = both["sha256_before"].isna(), both["sha256_now"].isna()
    stayed = ~came & ~went
    content = stayed & (both["sha256_before"] != both["sha256_now"])
    kinds = [
        ("row was added", "rows were added", came),
        ("row was removed", "rows were removed", went),
        ("image has other content", "images have other content", content),
        (
            "row has other labels",
            "rows have other labels",
            stayed & (both["target_before"] != both["target_now"]),
        ),
        (
            "image is newer, with the same content",
            "images are newer, with the same content",
            stayed & ~content & (both["mtime_ns_before"] != both["mtime_ns_now"]),
        ),
    ]
    if before.mtime_ns is None or now.mtime_ns is None:
        kinds.pop()
    return [
        f"{mask.sum()} {one if mask.sum() == 1 else many} (first {both.index[mask][0]!r})"
        for one, many, mask in kinds
        if mask.any()
    ]


def _frame(snapshot: Snapshot) -> "pandas.DataFrame":
    import pandas

    return pandas.DataFrame(
        {
            "sha256": snapshot.sha256,
            "target": [target.tobytes() for target in snapshot.targets],
            "mtime_ns": 0 if snapshot.mtime_ns is None else snapshot.mtime_ns,
        },
        index=snapshot.ids.tolist(),
    )


def _shown(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
