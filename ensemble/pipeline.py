"""From trained runs and a dataset to predictions, report and one model: the file to read first.

Everything that can be refused is refused before the first image is read; nothing is written before
it is whole; a second run finds the logits it computed and does the rest again.
"""

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from absl import logging

from ensemble.config import EnsembleConfig
from ensemble.fitting import fit_combination, weighting_names
from ensemble.inference import predict_members
from ensemble.inputs import read_inputs
from ensemble.members import Member
from ensemble.output import (
    EnsembleModel,
    FormatsPlan,
    ensemble_record,
    make_card,
    plan_formats,
    remove_formats,
    save_ensemble,
    save_ensemble_for_serving,
    write_card,
    write_formats,
    write_held_out,
    write_predictions,
    write_report,
    write_soft_labels,
)
from ensemble.result import Result, judge
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import EnsembleDir
from trainer.data import ReadOptions, RecordTable
from trainer.runtime import Accelerator, check_pod, connect


def run(config: EnsembleConfig) -> Result:
    """Build the ensemble that `config` describes and write all of it to its output directory.

        result = run(EnsembleConfig(members=("runs/b7",), dataset=dataset, output_dir="out"))
        result.probabilities  # Of the images result.inputs.records.ids.

    Raises:
        OrchardError: something that the user can correct; nothing has been written then.
    """
    accelerator = connect(config)
    check_accelerator(config, accelerator)
    with contextlib.ExitStack() as stack:

        @functools.cache
        def keep_others_out() -> None:
            """Before the first thing is written, once all that is refused was refused."""
            folder = storage.lock_folder(config.output_dir, "choose another --output_dir")
            stack.enter_context(folder)

        def predict(members: Sequence[Member], records: RecordTable, tta: str) -> np.ndarray:
            keep_others_out()
            return predict_members(
                members,
                records,
                config.logits_dir,
                batch_size=config.batch_size,
                tta=tta,
                runtime=accelerator.runtime,
            )

        inputs = read_inputs(config, predict)
        formats = plan_formats(config, inputs)
        logits = predict(inputs.members, inputs.records, inputs.views.tta)
        fit = fit_combination(
            logits,
            inputs.networks,
            inputs.held_out,
            combiner=config.combiner(inputs.records.task),
            weights=inputs.weights,
            weightings=weighting_names(config.weights, config.combine),
            calibrate=config.calibrate,
            metric=inputs.metric,
            seed=config.seed,
            vouched_by=inputs.runs.vouched_by,
        )
        return _write(config, judge(config, inputs, logits, fit), formats)


def check_accelerator(config: EnsembleConfig, accelerator: Accelerator) -> None:
    """Refuse hosts that do not see the files, and workers that would all do the same."""
    paths = {"output_dir": config.output_dir, "dataset": config.dataset}
    check_pod(accelerator, paths, ReadOptions())
    if accelerator.num_hosts > 1:
        raise OrchardError("the ensemble runs in one process; unset TF_CONFIG on this machine")


def _write(config: EnsembleConfig, result: Result, formats: FormatsPlan) -> Result:
    """Write every artifact; the report, last, stands for a finished ensemble.

    Returns:
        The result, with what other formats came to.
    """
    folder = EnsembleDir(config.output_dir)
    for stale in (
        folder.report_file,
        folder.soft_labels_file,
        folder.out_of_fold_file,
        folder.held_out_predictions_file,
    ):
        storage.remove_tree(stale)
    remove_formats(folder)
    _write_predictions(folder, result)
    ensemble_record(config, result).save(folder.record_file)
    for path, (ids, probabilities) in soft_labels(config, result).items():
        write_soft_labels(path, ids, probabilities, result.inputs.records.class_names)
    if config.export:
        result = _write_model(config, result, formats)
    else:
        storage.remove_tree(folder.saved_model_dir)
    card = make_card(config, result)
    if not write_card(folder.card_file, card):
        logging.warning(
            "%s is not of ensemble.main and stays as it is; the model card is in the report",
            folder.card_file,
        )
    write_report(folder.report_file, config, result, card)
    return result


def _write_predictions(folder: EnsembleDir, result: Result) -> None:
    """Of the split, and of the held-out images, where there are some."""
    inputs, records = result.inputs, result.inputs.records
    # Shards are shuffled; people look for the order of their CSV.
    order = np.argsort([inputs.csv_rows.get(str(i), 0) for i in records.ids], kind="stable")
    write_predictions(
        folder.predictions_file,
        records.ids[order],
        result.probabilities[order],
        records.class_names,
        records.task,
        thresholds=result.thresholds,
        submission=inputs.submission,
        sets=None if result.sets is None else result.sets.method.sets(result.probabilities[order]),
    )
    out_of_fold = result.fit.out_of_fold
    if out_of_fold is not None:
        write_held_out(
            folder.held_out_predictions_file,
            out_of_fold.held_out.ids,
            out_of_fold.probabilities,
            out_of_fold.held_out.targets,
            records.class_names,
            records.task,
            thresholds=result.thresholds,
        )


def _write_model(config: EnsembleConfig, result: Result, formats: FormatsPlan) -> Result:
    """The SavedModel, also for servers and in other formats; the result with what these are."""
    inputs = result.inputs
    model = EnsembleModel(
        inputs.members,
        result.rule,
        inputs.records.class_names,
        result.thresholds,
        inputs.views.tta,
        None if result.sets is None else result.sets.method,
    )
    save_ensemble(model, EnsembleDir(config.output_dir).saved_model_dir)
    exported = write_formats(formats, model, config, result.thresholds)
    if config.serving:
        name = config.serving.partition("/")[0]
        save_ensemble_for_serving(model, config.serving_dir, name)
    return replace(result, exported=exported)


def soft_labels(config: EnsembleConfig, result: Result) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The soft label CSVs that are wanted: path -> (ids, probabilities float64 [ids, classes])."""
    if not config.soft_labels:
        return {}
    folder = EnsembleDir(config.output_dir)
    tables = {folder.soft_labels_file: (result.inputs.records.ids, result.probabilities)}
    out_of_fold = result.fit.out_of_fold
    if out_of_fold is not None:
        tables[folder.out_of_fold_file] = (out_of_fold.held_out.ids, out_of_fold.probabilities)
    return tables
