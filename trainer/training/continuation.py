"""Training that goes on from the weights of a finished run (`--weights=RUN`).

The run may be of an older version of the dataset: what it has seen is found by the ids in the two
versions' indexes, whose splits are the same for records that both have.
"""

import numpy as np

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import MANIFEST_FILE, Manifest, RunDir, RunRecord
from trainer.config import TrainConfig
from trainer.data import RecordTable, load_records
from trainer.models import is_run


def check_continuation(
    config: TrainConfig, train: RecordTable, held_out: RecordTable | None
) -> None:
    """Refuse to go on from a run that does not fit, or has trained on what is held out now.

    Args:
        config: the flags; without a run in --weights nothing is checked.
        train: the records to train on.
        held_out: the records to evaluate on, or None.

    Raises:
        OrchardError: it does not fit; says which flag to change.
    """
    if not is_run(config.weights):
        _refuse_unfinished(config.weights)
        return
    record = RunRecord.load(RunDir(config.weights).record_file)
    what = f"--weights={config.weights}"
    if record.class_names != train.class_names:
        raise OrchardError(
            f"{what} has {len(record.class_names)} classes, which are not the "
            f"{len(train.class_names)} of {config.dataset}; pass --weights="
            f"{RunDir(config.weights).keras_file} to take over what is before the head"
        )
    preprocessing = record.config.get("preprocessing", config.preprocessing)
    for flag, was, now in (
        ("architecture", record.architecture, config.architecture),
        ("image_size", _size(record.image_size_px), _size((config.height_px, config.width_px))),
        ("preprocessing", preprocessing, config.preprocessing),
    ):
        if was != now:
            raise OrchardError(f"{what} is of --{flag}={was}, not {now}; pass --{flag}={was}")
    if held_out is None:
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
            f"{what} was trained on {found} that {'+'.join(held_out.splits)} holds out, and the "
            f"scores would mean nothing; hold out what it held out{fold}"
        )


def continuation_lines(config: TrainConfig, train: RecordTable) -> list[str]:
    """A line that says which training records are new to the run of --weights; none without."""
    if not is_run(config.weights):
        return []
    record = RunRecord.load(RunDir(config.weights).record_file)
    was = record.dataset
    text = (
        f"going on from the weights of {config.weights} ({was.name} {was.version}, "
        f"{record.train_split}): "
    )
    seen = _seen_ids(config, record)
    if seen is None:
        return [text + _by_lineage(config.dataset, record)]
    new = np.flatnonzero(~np.isin(train.ids, seen))
    first = f", the first {str(train.ids[new[0]])!r}" if len(new) else ""
    return [text + f"{len(new)} of {len(train)} training records are new to it{first}"]


def _size(size_px: tuple[int, int]) -> str:
    height, width = size_px
    return f"{height}x{width}"


def _seen_ids(config: TrainConfig, record: RunRecord) -> np.ndarray | None:
    """The ids that a run was trained on; None where its dataset cannot be read any more."""
    beside = storage.join(storage.parent(storage.normalize(config.dataset)), record.dataset.version)
    for path in (config.dataset, record.dataset.path, beside):
        try:
            table = load_records(path, record.train_split)
        except OrchardError:
            continue  # Not there, or without these splits: so it is another one.
        if table.fingerprint == record.dataset.fingerprint:
            return table.ids
    return None


def _by_lineage(dataset_dir: str, record: RunRecord) -> str:
    path = storage.join(dataset_dir, MANIFEST_FILE)
    steps = Manifest.load(path).lineage if storage.exists(path) else ()
    prints = [step.fingerprint for step in steps]
    gone = "its dataset cannot be read any more"
    if record.dataset.fingerprint not in prints:
        return f"{gone}, and which records are new to it is not known"
    since = steps[prints.index(record.dataset.fingerprint) :]
    return f"{gone}; {sum(step.added for step in since)} records of all splits came since"


def _refuse_unfinished(weights: str) -> None:
    """Refuse a directory of runs, or of one that is not finished, which is no file of weights."""
    run = RunDir(weights)
    if storage.exists(run.folds_file):
        raise OrchardError(
            f"--weights={weights} is of --fold=all; pass one of its runs, such as "
            f"{run.fold(0).path}, or train with --fold=all too"
        )
    if storage.exists(run.config_file):
        raise OrchardError(
            f"--weights={weights} is a run that is not finished; run its command again, or pass "
            "another"
        )
