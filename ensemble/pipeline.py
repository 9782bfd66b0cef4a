"""From trained runs and a dataset to predictions, report and one model: the file to read first.

Everything that can be refused is refused before the first image is read; nothing is written before
it is whole; a second run finds the logits it computed and does the rest again.
"""

import numpy as np
import tensorflow as tf

from ensemble.combine import activate, to_logits
from ensemble.config import EnsembleConfig
from ensemble.fitting import Fit, fit_combination
from ensemble.inference import predict_members
from ensemble.inputs import Inputs, read_inputs
from ensemble.output import (
    EnsembleModel,
    save_ensemble,
    weights_record,
    write_predictions,
    write_report,
    write_soft_labels,
)
from ensemble.result import Result
from ensemble.scoring import Candidate, Scoreboard, build_scoreboard
from orchard import storage
from orchard.formats import json_safe
from trainer.evaluation import metrics

PREDICTIONS_FILE = "predictions.csv"
WEIGHTS_FILE = "weights.json"
REPORT_FILE = "report.html"
SOFT_LABELS_FILE = "soft_labels.csv"
OUT_OF_FOLD_FILE = "soft_labels_out_of_fold.csv"
SAVED_MODEL_DIR = "saved_model"


def run(config: EnsembleConfig, strategy: tf.distribute.Strategy | None = None) -> Result:
    """Build the ensemble that `config` describes and write all of it to its output directory.

    strategy: where the members run; the default strategy when None.
    """

    def predict(members, records):
        return predict_members(
            members,
            records,
            config.logits_dir,
            batch_size=config.batch_size,
            tta=config.tta,
            strategy=strategy,
        )

    inputs = read_inputs(config, predict)
    logits = predict(inputs.members, inputs.records)
    fitted = fit_combination(
        logits,
        inputs.networks,
        inputs.held_out,
        method=config.combine,
        task=inputs.records.task,
        weights=inputs.weights,
        calibrate=config.calibrate,
        metric=inputs.metric,
        seed=config.seed,
    )
    probabilities = fitted.combination(logits)
    result = Result(
        inputs,
        logits,
        fitted,
        probabilities,
        _thresholds(inputs, fitted),
        _split_board(config, inputs, logits, fitted, probabilities),
        _held_out_board(config, inputs, fitted),
        _fitted_on(config, inputs, fitted),
    )
    _write(config, result)
    return result


def _fitted_on(config: EnsembleConfig, inputs: Inputs, fitted: Fit) -> int:
    learned = config.calibrate or (fitted.verdict is not None and fitted.verdict.trusted)
    same_dataset = inputs.members[0].dataset_fingerprint == inputs.records.fingerprint
    if not (learned and same_dataset):
        return 0
    return int(np.isin(inputs.records.ids, inputs.held_out.ids).sum())


def _thresholds(inputs: Inputs, fitted: Fit) -> np.ndarray:
    if inputs.thresholds is not None:
        return inputs.thresholds
    task = inputs.records.task
    logits = to_logits(fitted.out_of_fold, task)
    return metrics.best_thresholds(logits, inputs.held_out.targets, task)


def _split_board(
    config: EnsembleConfig,
    inputs: Inputs,
    logits: np.ndarray,
    fitted: Fit,
    probabilities: np.ndarray,
) -> Scoreboard | None:
    """Scores of every member, every network of folds and the ensemble on the predicted split."""
    labelled = (inputs.targets >= 0).all(axis=1)
    if not labelled.any():
        return None
    task = inputs.records.task
    member_probabilities = [activate(one[labelled], task) for one in logits]
    candidates = [
        Candidate(member.name, "member", float(weight), one)
        for member, weight, one in zip(
            inputs.members, fitted.combination.weights, member_probabilities, strict=True
        )
    ]
    for network, weight in zip(inputs.networks, fitted.network_weights, strict=True):
        if len(network.members) > 1:
            mean = np.mean([member_probabilities[m] for m in network.members], axis=0)
            name = f"{network.name} (mean of {len(network.members)})"
            candidates.append(Candidate(name, "network", float(weight), mean))
    candidates.append(Candidate("ensemble", "ensemble", None, probabilities[labelled]))
    return build_scoreboard(
        f"split {config.split}, {int(labelled.sum())} labelled images",
        candidates,
        inputs.targets[labelled],
        task,
        inputs.metric,
        ensemble_ranks_only=config.combine == "rank",
        seed=config.seed,
    )


def _held_out_board(config: EnsembleConfig, inputs: Inputs, fitted: Fit) -> Scoreboard | None:
    """Scores of the networks and the ensemble on the rows that it was fitted on."""
    held_out = inputs.held_out
    if held_out is None:
        return None
    task = inputs.records.task
    plain = np.ones((len(inputs.members), 1))
    networks = held_out.representations(plain, "probabilities", task)
    candidates = [
        Candidate(network.name, "network", float(weight), one)
        for network, weight, one in zip(
            inputs.networks, fitted.network_weights, networks, strict=True
        )
    ]
    candidates.append(Candidate("ensemble", "ensemble", None, fitted.out_of_fold))
    return build_scoreboard(
        f"{len(held_out.ids)} held-out images ({config.weights_split})",
        candidates,
        held_out.targets,
        task,
        inputs.metric,
        ensemble_ranks_only=config.combine == "rank",
        seed=config.seed,
    )


def _write(config: EnsembleConfig, result: Result) -> None:
    """Write every artifact; the report, last, stands for a finished ensemble."""

    def path(name: str) -> str:
        return storage.join(config.output_dir, name)

    inputs, records = result.inputs, result.inputs.records
    # Shards are shuffled; people look for the order of their CSV.
    order = np.argsort([inputs.csv_rows.get(str(i), 0) for i in records.ids], kind="stable")
    for stale in (REPORT_FILE, SOFT_LABELS_FILE, OUT_OF_FOLD_FILE):
        storage.remove_tree(path(stale))
    write_predictions(
        path(PREDICTIONS_FILE),
        records.ids[order],
        result.probabilities[order],
        records.class_names,
        records.task,
        thresholds=result.thresholds,
        submission=inputs.submission,
    )
    storage.write_json(path(WEIGHTS_FILE), json_safe(weights_record(config, result)))
    for name, (ids, probabilities) in soft_labels(config, result).items():
        write_soft_labels(path(name), ids, probabilities, records.class_names)
    if config.export:
        model = EnsembleModel(
            inputs.members,
            result.fit.combination,
            records.class_names,
            result.thresholds,
            config.tta,
        )
        save_ensemble(model, path(SAVED_MODEL_DIR))
    else:
        storage.remove_tree(path(SAVED_MODEL_DIR))
    write_report(path(REPORT_FILE), config, result)


def soft_labels(config: EnsembleConfig, result: Result) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The soft label CSVs that are wanted: name -> (ids, probabilities float64 [ids, classes])."""
    if not config.soft_labels:
        return {}
    tables = {SOFT_LABELS_FILE: (result.inputs.records.ids, result.probabilities)}
    if result.inputs.held_out is not None:
        tables[OUT_OF_FOLD_FILE] = (result.inputs.held_out.ids, result.fit.out_of_fold)
    return tables
