"""Puts a run together: reads the dataset's index, makes the plan, builds network and optimizers."""

import dataclasses

import numpy as np

from orchard.errors import OrchardError
from orchard.formats import LAST_STEP, NO_SPLIT
from trainer.config import TrainConfig
from trainer.data import RecordTable, check_labelled, load_records, mix_soft_labels, split_names
from trainer.evaluation import check_metric
from trainer.optim import Objective, class_weights
from trainer.runtime import Accelerator
from trainer.training import plan as plans
from trainer.training import stages
from trainer.training.continuation import check_continuation
from trainer.training.run import Run


def prepare(config: TrainConfig, accelerator: Accelerator) -> Run:
    """Read the dataset's index, make the plan, build the network and the optimizers."""
    return assemble(config, accelerator, *read_splits(config))


def read_splits(config: TrainConfig) -> tuple[plans.Splits, RecordTable, RecordTable | None]:
    """The splits that a config means, and their records: labeled, and none in both."""
    splits = (
        plans.Splits(config.train_split, config.eval_split or NO_SPLIT)
        if config.train_split
        else plans.choose_splits(config, split_names(config.dataset))
    )
    train_records = _labelled_records(config, splits.train)
    eval_records = None
    if splits.evaluate != NO_SPLIT:
        eval_records = _labelled_records(config, splits.evaluate)
        _check_apart(train_records, eval_records)
        check_continuation(config, eval_records)
    return splits, train_records, eval_records


def assemble(
    config: TrainConfig,
    accelerator: Accelerator,
    splits: plans.Splits,
    train_records: RecordTable,
    eval_records: RecordTable | None,
) -> Run:
    """Make the plan for these records, build the network and the optimizers."""
    if config.best_metric not in ("", LAST_STEP):
        check_metric(config.best_metric, train_records.task)
    plan = plans.make_plan(config, splits, len(train_records.ids), accelerator.num_replicas)
    weights = class_weights(config.class_weights, train_records.targets, train_records.task)
    if config.soft_labels:
        targets = mix_soft_labels(config, train_records)
        train_records = dataclasses.replace(train_records, targets=targets)
    return Run(
        config=config,
        accelerator=accelerator,
        plan=plan,
        train_records=train_records,
        eval_records=eval_records,
        objective=Objective(
            train_records.task, config.chosen_loss, config.label_smoothing, weights
        ),
        state=stages.build_state(config, accelerator, train_records.class_names, plan),
    )


def _labelled_records(config: TrainConfig, splits: str) -> RecordTable:
    records = load_records(config.dataset, splits)
    check_labelled(records)
    return records


def _check_apart(train: RecordTable, evaluate: RecordTable) -> None:
    shared = np.intersect1d(train.ids, evaluate.ids)
    if len(shared):
        raise OrchardError(
            f"{len(shared)} records are in the training and the evaluation splits, such as id "
            f"{str(shared[0])!r}, and the scores would mean nothing; name splits that have none in "
            "common with --train_split and --eval_split"
        )
