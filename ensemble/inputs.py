"""Everything an ensemble is made from, read and checked before the first image is decoded."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_prep.labels import LabelOptions, read_labels
from ensemble.config import EnsembleConfig, parse_thresholds
from ensemble.fitting import (
    OUT_OF_FOLD,
    HeldOut,
    assemble_held_out,
    check_every_member,
    out_of_fold,
    parse_weights,
    refuse_leakage,
)
from ensemble.members import FoldGroup, Member, check_dataset, load_members
from ensemble.submission import Submission, match_ids, read_submission
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import Logits, Task, manifest
from trainer.data import RecordTable, load_records, set_gcs_read_options
from trainer.evaluation import check_metric, default_metric

# Logits of every member on a split of the dataset.
Predict = Callable[[tuple[Member, ...], RecordTable], np.ndarray]


@dataclass(frozen=True)
class Inputs:
    """What an ensemble is made from.

    Attributes:
        members: the runs.
        networks: which members make up which network.
        records: the split to predict.
        targets: float32 [records, classes] of the split, -1 everywhere in unlabelled rows.
        submission: what predictions.csv has to look like, where that is asked for.
        weights: float64 [networks], or None where they are to be learned.
        metric: what judges.
        thresholds: float64 [classes], or None where they are to be fitted.
        held_out: rows to fit on and to score on; None where there are none.
        no_held_out: why there are none.
        csv_rows: id -> row of the label CSV; empty for a dataset that came from no CSV.
    """

    members: tuple[Member, ...]
    networks: tuple[FoldGroup, ...]
    records: RecordTable
    targets: np.ndarray
    submission: Submission | None
    weights: np.ndarray | None
    metric: str
    thresholds: np.ndarray | None
    held_out: HeldOut | None
    no_held_out: str
    csv_rows: dict[str, int]


def read_inputs(config: EnsembleConfig, predict: Predict) -> Inputs:
    """Read members, dataset, labels and held-out logits.

    Args:
        config: what was asked for.
        predict: computes logits for a named `--weights_split`; not called unless all checks passed.
    """
    set_gcs_read_options(config.dataset)
    members, networks = load_members(config.members)
    records = load_records(config.dataset, config.split)
    _check_dataset(config, members, records)
    weights = parse_weights(config.weights, networks)
    thresholds = _parse_thresholds(config.thresholds, records)
    metric = config.metric or default_metric(
        records.task, ranks=not config.combiner.gives_probabilities
    )
    check_metric(metric, records.task)
    submission = None
    if config.sample_submission:
        submission = read_submission(
            config.sample_submission, records.class_names, records.task, config.submission_values
        )
        match_ids(submission.ids, records.ids, f"--sample_submission={submission.file}")
    targets = _targets(config.labels_csv, records)
    held_out, no_held_out = _held_out(config, members, networks, predict)
    if config.calibrate and held_out is not None:
        check_every_member(held_out, members)
    return Inputs(
        members,
        networks,
        records,
        targets,
        submission,
        weights,
        metric,
        thresholds,
        held_out,
        no_held_out,
        _csv_rows(config.dataset),
    )


def _csv_rows(dataset: str) -> dict[str, int]:
    if not storage.exists(storage.join(dataset, manifest.RECORDS_FILE)):
        return {}
    frame = manifest.load_records(dataset)
    return dict(zip(frame["id"].astype(str), frame["csv_row"].astype(int), strict=True))


def _check_dataset(
    config: EnsembleConfig, members: tuple[Member, ...], records: RecordTable
) -> None:
    check_dataset(
        members,
        records.class_names,
        records.task,
        records.fingerprint,
        config.allow_other_dataset,
    )


def _held_out(
    config: EnsembleConfig,
    members: tuple[Member, ...],
    networks: tuple[FoldGroup, ...],
    predict: Predict,
) -> tuple[HeldOut | None, str]:
    if config.weights_split == OUT_OF_FOLD:
        try:
            return out_of_fold(members, networks), ""
        except OrchardError as error:
            # Without anything to fit they would only have added scores to the report.
            if config.needs_held_out:
                raise
            return None, str(error)
    records = load_records(config.dataset, config.weights_split)
    if any(member.dataset_fingerprint != records.fingerprint for member in members):
        raise OrchardError(
            f"--weights_split={config.weights_split} is a split of another dataset than the "
            "members', so nobody can tell whether they trained on its images; use "
            f"--weights_split={OUT_OF_FOLD}"
        )
    refuse_leakage(members, config.weights_split)
    if not (records.targets >= 0).all(axis=1).any():
        raise OrchardError(
            f"--weights_split={config.weights_split} has no labelled image to fit on; use a "
            f"labelled split or {OUT_OF_FOLD}"
        )
    logits = predict(members, records)
    tables = [Logits(records.ids, one, records.targets, records.class_names) for one in logits]
    return assemble_held_out(tables, members, networks), ""


def _parse_thresholds(text: str, records: RecordTable) -> np.ndarray | None:
    if records.task == Task.SINGLE_LABEL and text != EnsembleConfig.thresholds:
        raise OrchardError(
            f"--thresholds={text} is for many labels an image, and these images have one each; "
            "drop it"
        )
    if text == "f1":
        return None
    values, num_classes = np.array(parse_thresholds(text)), len(records.class_names)
    if len(values) not in (1, num_classes):
        raise OrchardError(
            f"--thresholds={text}: give one number for all, or {num_classes}: one a class"
        )
    return np.broadcast_to(values, num_classes).copy()


def _targets(labels_csv: str, records: RecordTable) -> np.ndarray:
    """The dataset's own targets, or those of `--labels_csv` where it is given."""
    if not labels_csv:
        return records.targets
    options = LabelOptions(class_names=tuple(records.class_names), task=records.task)
    table = read_labels(labels_csv, options)
    if table.problems:
        problem = table.problems[0]
        raise OrchardError(
            f"--labels_csv={labels_csv}, row {problem.row} ({problem.id}): {problem.kind}: "
            f"{problem.detail}"
        )
    targets = np.full_like(records.targets, -1.0)
    targets[match_ids(table.ids, records.ids, f"--labels_csv={labels_csv}")] = table.targets
    return targets
