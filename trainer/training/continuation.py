"""Training that goes on from a run of the same dataset (`--weights=RUN`), or of an older version.

What the run has seen is found by the ids in the two versions' indexes. In a version that grew, old
records are in the splits that they were in, so that what was held out still is.
"""

import numpy as np

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import MANIFEST_FILE, Manifest, RunDir, RunRecord
from trainer.config import TrainConfig
from trainer.data import RecordTable, load_records
from trainer.models import is_run


def check_continuation(config: TrainConfig, held_out: RecordTable) -> None:
    """Refuse to start from a run that has trained on what is held out now.

    Args:
        config: the flags; without a run in --weights, or with one of another dataset, nothing is
            checked.
        held_out: the records to evaluate on.

    Raises:
        OrchardError: the run has seen some of them; says which flag to change.
    """
    manifest, record = _related(config)
    if manifest is None or record is None:
        return
    seen = _seen_ids(config, record)
    if seen is None:
        shared = sorted(set(held_out.splits) & set(record.train_split.split("+")))
        found = f"split {shared[0]!r}" if shared else ""
    else:
        ids = np.intersect1d(held_out.ids, seen)
        found = f"{len(ids)} of the records, such as id {str(ids[0])!r}," if len(ids) else ""
    if found:
        fold = f": --fold={record.fold}" if record.fold else ""
        raise OrchardError(
            f"--weights={config.weights} was trained on {found} that {'+'.join(held_out.splits)} "
            f"holds out, and the scores would mean nothing; hold out what it held out{fold}"
        )


def continuation_lines(config: TrainConfig, train: RecordTable) -> list[str]:
    """A line that says how many training records are new to the run of --weights.

    None without a run, or with one of another dataset.
    """
    manifest, record = _related(config)
    if manifest is None or record is None:
        return []
    was = f"it was trained on {record.train_split} of {record.dataset.name} "
    was += record.dataset.version
    seen = _seen_ids(config, record)
    if seen is None:
        return [f"{was}, {_by_lineage(manifest, record)}"]
    new = np.flatnonzero(~np.isin(train.ids, seen))
    first = f", the first {str(train.ids[new[0]])!r}" if len(new) else ""
    return [f"{was}: {len(new)} of {len(train)} training records are new to it{first}"]


def _related(config: TrainConfig) -> tuple[Manifest | None, RunRecord | None]:
    """The dataset's manifest and the run of --weights, if that is of a version of the dataset."""
    path = storage.join(config.dataset, MANIFEST_FILE)
    if not is_run(config.weights) or not storage.exists(path):
        return None, None
    manifest, record = Manifest.load(path), RunRecord.load(RunDir(config.weights).record_file)
    return (manifest, record) if record.dataset.name == manifest.name else (None, None)


def _seen_ids(config: TrainConfig, record: RunRecord) -> np.ndarray | None:
    """The ids that a run was trained on; None where its dataset cannot be read any more."""
    folder = storage.parent(storage.normalize(config.dataset))
    beside = storage.join(folder, record.dataset.version)
    for path in (config.dataset, record.dataset.path, beside):
        try:
            table = load_records(path, record.train_split)
        except OrchardError:
            continue  # Not there, or without these splits: so it is another one.
        if table.fingerprint == record.dataset.fingerprint:
            return table.ids
    return None


def _by_lineage(manifest: Manifest, record: RunRecord) -> str:
    prints = [step.fingerprint for step in manifest.lineage]
    gone = "which cannot be read any more"
    if record.dataset.fingerprint not in prints:
        return f"{gone}: which records are new to it is not known"
    since = manifest.lineage[prints.index(record.dataset.fingerprint) :]
    return f"{gone}: {sum(step.added for step in since)} records of all splits came since"
