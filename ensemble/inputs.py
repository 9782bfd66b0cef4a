"""Everything an ensemble is made from, read and checked before the first image is decoded."""

from dataclasses import dataclass

import numpy as np

from ensemble.config import EnsembleConfig, parse_thresholds
from ensemble.conformal import check_level, method_for
from ensemble.evidence import ChosenRuns, ChosenViews, Predict, find_evidence
from ensemble.fitting import HeldOut, check_every_member, parse_weights
from ensemble.inference import AUTO_VIEWS, refuse_never_drawn
from ensemble.labels import targets_of_csv
from ensemble.members import FoldGroup, Member, PredictWith, check_dataset, load_members
from ensemble.submission import Submission, match_ids, read_submission
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import Task, manifest
from trainer.data import RecordTable, load_records, set_gcs_read_options
from trainer.evaluation import check_metric, default_metric


@dataclass(frozen=True)
class Inputs:
    """What an ensemble is made from.

    Attributes:
        members: the runs that predict.
        networks: which members make up which network.
        records: the split to predict.
        targets: float32 [records, classes] of the split, -1 everywhere in unlabeled rows.
        submission: what predictions.csv has to look like, where that is asked for.
        weights: float64 [networks], or None where they are to be learned.
        metric: what judges.
        thresholds: float64 [classes], or None where they are to be fitted.
        held_out: rows to fit on and to score on; None where there are none.
        no_held_out: why there are none.
        runs: which of the networks' runs predict, and which vouch for them.
        views: of each image.
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
    runs: ChosenRuns
    views: ChosenViews
    csv_rows: dict[str, int]


def read_inputs(config: EnsembleConfig, predict: Predict) -> Inputs:
    """Read members, dataset, labels and held-out logits.

    Args:
        config: what was asked for.
        predict: computes logits of held-out images, for a named `--weights_split` or with views;
            not called unless all checks passed.
    """
    set_gcs_read_options(config.dataset)
    everyone = load_members(config.members, refits=config.predict_with != PredictWith.FOLDS)
    records = load_records(config.dataset, config.split)
    _check_dataset(config, everyone.members, records)
    if config.tta != AUTO_VIEWS and not config.tta_unseen_views:
        refuse_never_drawn(everyone.members, config.tta)
    weights = parse_weights(config.weights, everyone.networks)
    thresholds = _parse_thresholds(config.thresholds, records)
    metric = config.metric or default_metric(
        records.task, ranks=not config.combiner.gives_probabilities
    )
    check_metric(metric, records.task)
    method_for(config.conformal_method, records.task)
    submission = None
    if config.sample_submission:
        submission = read_submission(
            config.sample_submission, records.class_names, records.task, config.submission_values
        )
        match_ids(submission.ids, records.ids, f"--sample_submission={submission.file}")
    targets = records.targets
    if config.labels_csv:
        targets = targets_of_csv(config.labels_csv, records.ids, records.class_names, records.task)
    found = find_evidence(config, everyone, records.fingerprint, weights, predict)
    if config.calibrate and found.held_out is not None:
        check_every_member(found.held_out, found.runs.held_out.members)
    if config.conformal is not None and found.held_out is not None:
        check_level(config.conformal, len(found.held_out.ids))
    return Inputs(
        found.runs.cast.members,
        found.runs.cast.networks,
        records,
        targets,
        submission,
        weights,
        metric,
        thresholds,
        found.held_out,
        found.no_held_out,
        found.runs,
        found.views,
        csv_rows(config.dataset),
    )


def csv_rows(dataset: str) -> dict[str, int]:
    """Id -> row of the label table; empty for a dataset that came from none."""
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
