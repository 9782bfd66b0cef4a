"""What differs between two runs of one dataset, said in words."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.checks import Survey, hex_digests
from data_prep.config import PrepConfig, default_settings
from data_prep.plan import deciding_versions
from orchard import storage
from orchard.formats import Manifest, load_records

if TYPE_CHECKING:
    import pandas

_FILE = "seen.npz"


@dataclass(frozen=True)
class Snapshot:
    """What a run was given.

    class_names: in the order of the targets; ids: string [n]; sha256: S64 [n], hex, of the content;
    targets: float32 [n, num_classes]; mtime_ns: int64 [n], or None when it is not known.
    """

    settings: dict[str, Any]
    versions: dict[str, str]
    class_names: tuple[str, ...]
    ids: np.ndarray
    sha256: np.ndarray
    targets: np.ndarray
    mtime_ns: np.ndarray | None


def snapshot_of_run(config: PrepConfig, surveys: Sequence[Survey]) -> Snapshot:
    """What the present run was given."""
    usable = [survey.usable for survey in surveys]
    facts = [survey.facts[rows] for survey, rows in zip(surveys, usable, strict=True)]
    return Snapshot(
        settings=config.settings(),
        versions=deciding_versions(),
        class_names=surveys[0].table.class_names,
        ids=np.concatenate(
            [np.asarray(s.table.ids, str)[rows] for s, rows in zip(surveys, usable, strict=True)]
        ),
        sha256=np.concatenate([hex_digests(fact["sha256"]) for fact in facts]),
        targets=np.concatenate(
            [s.table.targets[rows] for s, rows in zip(surveys, usable, strict=True)]
        ),
        mtime_ns=np.concatenate([fact["mtime_ns"] for fact in facts]),
    )


def snapshot_of_dataset(dataset_dir: str, manifest: Manifest) -> Snapshot:
    """What the run was given that made a finished dataset."""
    records = load_records(dataset_dir)
    versions = {name: manifest.library_versions.get(name, "") for name in deciding_versions()}
    return Snapshot(
        settings=manifest.settings,
        versions=versions,
        class_names=manifest.class_names,
        ids=records["id"].to_numpy(str),
        sha256=records["source_sha256"].to_numpy(str).astype("S64"),
        targets=np.stack(records["target"].to_list()),
        mtime_ns=None,
    )


def save_snapshot(snapshot: Snapshot, directory: str) -> None:
    """Keep a snapshot beside an unfinished dataset."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        head=json.dumps([snapshot.settings, snapshot.versions, snapshot.class_names]),
        ids=snapshot.ids,
        sha256=snapshot.sha256,
        targets=snapshot.targets,
        mtime_ns=snapshot.mtime_ns,
    )
    storage.write_bytes(storage.join(directory, _FILE), buffer.getvalue(), durable=False)


def load_snapshot(directory: str) -> Snapshot | None:
    """The snapshot of an earlier, unfinished run; None when there is none that can be read."""
    path = storage.join(directory, _FILE)
    if not storage.exists(path):
        return None
    try:
        with np.load(io.BytesIO(storage.read_bytes(path)), allow_pickle=False) as arrays:
            settings, versions, class_names = storage.parse_json(str(arrays["head"]), path)
            rest = {name: arrays[name] for name in ("ids", "sha256", "targets", "mtime_ns")}
        return Snapshot(settings, versions, tuple(class_names), **rest)
    except Exception:
        # It only helps to explain; the shards are judged by their receipts and checksums.
        return None


def differences(before: Snapshot, now: Snapshot) -> list[str]:
    """One phrase for each kind of difference; empty when both runs were given the same."""
    phrases = []
    # A setting that there was not yet had the effect of its default.
    was = default_settings() | before.settings
    for name in sorted(now.settings):
        if was[name] != now.settings[name]:
            flag = name.removesuffix("_px")
            phrases.append(f"--{flag} was {_shown(was[name])}, now {_shown(now.settings[name])}")
    for name, version in now.versions.items():
        if before.versions.get(name) != version:
            phrases.append(f"{name} was {before.versions.get(name)}, now {version}")
    return phrases + _class_differences(before, now) + _row_differences(before, now)


def _class_differences(before: Snapshot, now: Snapshot) -> list[str]:
    if before.class_names == now.class_names:
        return []
    came = [name for name in now.class_names if name not in before.class_names]
    went = [name for name in before.class_names if name not in now.class_names]
    kinds = [("class was added", "classes were added", came)]
    kinds.append(("class was removed", "classes were removed", went))
    if not came and not went:
        return ["the classes are in another order"]
    return [
        f"{len(names)} {one if len(names) == 1 else many} (first {names[0]!r})"
        for one, many, names in kinds
        if names
    ]


def _row_differences(before: Snapshot, now: Snapshot) -> list[str]:
    classes = list(dict.fromkeys(before.class_names + now.class_names))
    old = _frame(before, classes).add_suffix("_before")
    new = _frame(now, classes).add_suffix("_now")
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
            "image has another time, with the same content",
            "images have another time, with the same content",
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


def _frame(snapshot: Snapshot, classes: Sequence[str]) -> "pandas.DataFrame":
    """One row an image, with its target for `classes`, which are the snapshot's and more."""
    import pandas

    targets = snapshot.targets
    if list(snapshot.class_names) != classes:
        targets = np.zeros((len(targets), len(classes)), np.float32)
        targets[:, [classes.index(name) for name in snapshot.class_names]] = snapshot.targets
        targets[snapshot.targets[:, 0] < 0] = -1
    return pandas.DataFrame(
        {
            "sha256": snapshot.sha256,
            "target": [target.tobytes() for target in targets],
            "mtime_ns": 0 if snapshot.mtime_ns is None else snapshot.mtime_ns,
        },
        index=snapshot.ids.tolist(),
    )


def _shown(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
