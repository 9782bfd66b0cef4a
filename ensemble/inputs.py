"""Everything an ensemble is made from, read and checked before the first image is decoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.config import EnsembleConfig, parse_thresholds
from ensemble.fitting import (
    OUT_OF_FOLD,
    HeldOut,
    assemble_held_out,
    check_every_member,
    judge_views,
    out_of_fold,
    own_split,
    parse_weights,
    refuse_leakage,
)
from ensemble.inference import (
    AUTO_VIEWS,
    NO_VIEWS,
    NUM_VIEWS,
    never_drawn,
    refuse_never_drawn,
    widest,
)
from ensemble.labels import targets_of_csv
from ensemble.members import FoldGroup, Member, check_dataset, load_members
from ensemble.submission import Submission, match_ids, read_submission
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import Logits, Task, manifest
from trainer.data import RecordTable, load_records, set_gcs_read_options
from trainer.evaluation import check_metric, default_metric

# Logits of every member on a split of the dataset, means over the views of that name.
Predict = Callable[[Sequence[Member], RecordTable, str], np.ndarray]


@dataclass(frozen=True)
class ChosenViews:
    """The test-time views that are averaged.

    Attributes:
        tta: a key of `NUM_VIEWS`.
        note: how `--tta=auto` came to it, in a sentence; "" where it was not asked.
        unseen: whether some member's training did not draw all of them.
        held_out: whether the held-out logits are of them, too.
    """

    tta: str
    note: str = ""
    unseen: bool = False
    held_out: bool = True


@dataclass(frozen=True)
class Inputs:
    """What an ensemble is made from.

    Attributes:
        members: the runs.
        networks: which members make up which network.
        records: the split to predict.
        targets: float32 [records, classes] of the split, -1 everywhere in unlabeled rows.
        submission: what predictions.csv has to look like, where that is asked for.
        weights: float64 [networks], or None where they are to be learned.
        metric: what judges.
        thresholds: float64 [classes], or None where they are to be fitted.
        held_out: rows to fit on and to score on; None where there are none.
        no_held_out: why there are none.
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
    members, networks = load_members(config.members)
    records = load_records(config.dataset, config.split)
    _check_dataset(config, members, records)
    if config.tta != AUTO_VIEWS and not config.tta_unseen_views:
        refuse_never_drawn(members, config.tta)
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
    targets = records.targets
    if config.labels_csv:
        targets = targets_of_csv(config.labels_csv, records.ids, records.class_names, records.task)
    views, held_out, no_held_out = _held_out_with_views(
        config, members, networks, records, weights, predict
    )
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
        views,
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


def _held_out_with_views(
    config: EnsembleConfig,
    members: tuple[Member, ...],
    networks: tuple[FoldGroup, ...],
    records: RecordTable,
    weights: np.ndarray | None,
    predict: Predict,
) -> tuple[ChosenViews, HeldOut | None, str]:
    """The views to average, the held-out rows, and why there are none."""
    if config.tta != AUTO_VIEWS:
        # A pass of their own for scores alone would cost more than the one that is wanted.
        scored = config.weights_split != OUT_OF_FOLD or config.needs_held_out
        unseen = never_drawn(members, config.tta) is not None
        views = ChosenViews(config.tta, "", unseen, scored or config.tta == NO_VIEWS)
        tta = config.tta if scored else NO_VIEWS
        found = _held_out(config, members, networks, records.fingerprint, predict, tta)
        return views, *found
    alone, _ = _held_out(config, members, networks, records.fingerprint, predict, NO_VIEWS)
    tta = widest(members, config.tta_unseen_views)
    if tta == NO_VIEWS:
        note = "The members' training drew no views in common: images are predicted as they are."
        return ChosenViews(tta, note), alone, ""
    seen, _ = _held_out(config, members, networks, records.fingerprint, predict, tta)
    if alone is None or seen is None:
        raise ValueError("--tta=auto needs held-out rows, and _held_out raises without any")
    verdict = judge_views(
        alone,
        seen,
        combiner=config.combiner(records.task),
        weights=np.full(len(networks), 1 / len(networks)) if weights is None else weights,
        metric=config.metric or ("log_loss" if config.combiner.gives_probabilities else "roc_auc"),
        seed=config.seed,
    )
    if verdict.trusted:
        unseen = never_drawn(members, tta) is not None
        note = f"Test-time views: {tta}, {NUM_VIEWS[tta]} an image ({verdict})."
        return ChosenViews(tta, note, unseen), seen, ""
    note = f"Test-time views ({tta}) do not help beyond chance ({verdict}): none are used."
    return ChosenViews(NO_VIEWS, note), alone, ""


def _held_out(
    config: EnsembleConfig,
    members: tuple[Member, ...],
    networks: tuple[FoldGroup, ...],
    fingerprint: str,
    predict: Predict,
    tta: str,
) -> tuple[HeldOut | None, str]:
    if config.weights_split == OUT_OF_FOLD:
        try:
            if tta != NO_VIEWS:
                tables = _own_views(config, members, fingerprint, predict, tta)
                return assemble_held_out(tables, members, networks), ""
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
            f"--weights_split={config.weights_split} has no labeled image to fit on; use a "
            f"labeled split or {OUT_OF_FOLD}"
        )
    logits = predict(members, records, tta)
    tables = [Logits(records.ids, one, records.targets, records.class_names) for one in logits]
    return assemble_held_out(tables, members, networks), ""


def _own_views(
    config: EnsembleConfig,
    members: tuple[Member, ...],
    fingerprint: str,
    predict: Predict,
    tta: str,
) -> list[Logits]:
    """Each member's logits of the split that it was evaluated on, means over views."""
    first = members[0]  # All were trained on one dataset.
    dataset = config.dataset if first.dataset_fingerprint == fingerprint else first.dataset_path
    set_gcs_read_options(dataset)
    groups: dict[str, list[Member]] = {}
    for member in members:
        groups.setdefault(own_split(member), []).append(member)
    tables: dict[Member, Logits] = {}
    for split, group in groups.items():
        records = load_records(dataset, split)
        if records.fingerprint != first.dataset_fingerprint:
            raise OrchardError(
                f"member {first.path} was trained on another dataset than there is now in "
                f"{dataset}, so its held-out images cannot be predicted with views; pass "
                f"--tta={NO_VIEWS}, or put that dataset back"
            )
        for member, logits in zip(group, predict(group, records, tta), strict=True):
            tables[member] = Logits(
                records.ids, logits, records.targets, tuple(records.class_names)
            )
    return [tables[member] for member in members]


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
