"""From the best checkpoint to what a run leaves: SavedModel, logits, report, and run.json last."""

import platform
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from orchard import storage
from orchard.errors import OrchardError
from orchard.flags import Kind
from orchard.formats import (
    EVAL_LOGITS,
    LAST_STEP,
    NO_SPLIT,
    ComputeTime,
    DatasetOfRun,
    ExportDir,
    Logits,
    RunDir,
    RunRecord,
    TrainedDataset,
    TrainingCheckpoint,
    TrainingCost,
    WeightsCheckpoint,
    json_safe,
    load_checkpoint_file,
    load_logits,
    save_logits,
    serving_dir,
)
from trainer.checkpoints import (
    load_best_checkpoint,
    load_latest_checkpoint,
    set_network_arrays,
)
from trainer.config import TrainConfig, changed_flags, name_changes
from trainer.data import RecordTable, load_records, set_gcs_read_options
from trainer.evaluation import intact_rows, metric_names
from trainer.keras_module import keras
from trainer.models import forward_flops
from trainer.results import export, report
from trainer.results.evaluated import evaluated
from trainer.results.serving import save_serving
from trainer.saved_config import SavedConfig
from trainer.training import asks_for_more, check_goes_on, check_same_data, run_lock


def is_finished(config: TrainConfig) -> bool:
    """Whether the run directory holds this training, finished; OrchardError if another one.

    One that was finished at a smaller length, and can go on, is not.
    """
    path = RunDir(config.run_dir).record_file
    if not storage.exists(path):
        return False
    record = RunRecord.load(path)
    done = TrainConfig.from_json(record.config)
    # What flags such as --batch_size resolve to is not computed here: the flags must be equal.
    changes = changed_flags(done, config, Kind.RESULT, Kind.RESOLVED)
    if asks_for_more(changes):
        check_goes_on(config, changes, finished=True)
        return False
    if changes:
        raise OrchardError(
            f"{config.run_dir} holds a finished training with other flags: "
            f"{name_changes(changes)}. Use another --run_dir"
        )
    if storage.exists(config.dataset):
        records = load_records(config.dataset, record.train_split)
        check_same_data(config.run_dir, record.dataset.fingerprint, records)
    return True


def finish_run(run_dir: str) -> RunRecord:
    """Export the best weights and describe the run.

    Reads files only, so that it can be done again, on another machine.
    """
    saved = SavedConfig.load(run_dir)
    resolved = saved.resolved
    last = load_latest_checkpoint(run_dir)
    if last is None or last.meta.progress.best_step < 0:
        raise OrchardError(f"{run_dir} holds no evaluated weights yet; train first")
    best = load_best_checkpoint(run_dir, last.meta.progress.best_step)
    folder = RunDir(run_dir)
    records, scored = save_eval_logits(folder, saved, best, last.meta.dataset)
    selected = _Selected(
        best, resolved.best_metric, last.step, last.meta.time, last.meta.start_fingerprint
    )
    record = _export(run_dir, saved, last.meta.dataset, selected, scored, folder)
    report.write(run_dir, record, records, scored)
    if records is not None and scored is not None:
        report.write_sample_predictions(run_dir, record, records, scored)
    record.save(folder.record_file)
    return record


@dataclass(frozen=True)
class _Selected:
    """Weights to export: why these, after how many steps and what time of training, from where."""

    weights: WeightsCheckpoint
    best_metric: str
    steps: int
    time: ComputeTime | None
    start_fingerprint: str


def _export(
    run_dir: str,
    saved: SavedConfig,
    dataset: TrainedDataset,
    selected: _Selected,
    scored: Logits | None,
    output: RunDir,
) -> RunRecord:
    """Write the SavedModel and .keras file of selected weights; returns the record to save last."""
    # Until it is written anew nothing here counts as a finished run.
    storage.remove_tree(output.record_file)
    config, resolved, weights = saved.sized, saved.resolved, selected.weights
    network = export.rebuild_network(run_dir)
    set_network_arrays(network, weights)
    fingerprint = export_network(network, config, dataset, output)
    return RunRecord(
        class_names=dataset.class_names,
        task=dataset.task,
        architecture=config.architecture,
        image_size_px=(config.height_px, config.width_px),
        resize=config.resize,
        exact_decode=config.exact_decode,
        train_split=resolved.train_split,
        eval_split=resolved.eval_split if scored else None,
        fold=config.fold,
        best_step=weights.step,
        best_metric=selected.best_metric,
        scores=json_safe(weights.meta.scores) if scored else {},
        skipped_records=len(weights.arrays[EVAL_LOGITS]) - len(scored.ids) if scored else 0,
        dataset=DatasetOfRun(dataset.name, dataset.version, dataset.fingerprint, config.dataset),
        member_fingerprint=fingerprint,
        versions=versions(),
        config=saved.config.to_json(),
        cost=TrainingCost(
            time=selected.time,
            train_images=selected.steps * resolved.batch_size,
            flops_per_image=forward_flops(network),
            num_parameters=network.count_params(),
        ),
        license=_license(run_dir),
        start_fingerprint=selected.start_fingerprint,
        head=weights.meta.head,
    )


def _license(run_dir: str) -> str:
    path = RunDir(run_dir).pretrained_file
    value = storage.read_json(path) if storage.exists(path) else {}
    return str(value.get("license", "")) if isinstance(value, dict) else ""


def export_for_serving(run_dir: str, name: str) -> str:
    """Write what a finished run exported as model servers want it; returns the version folder.

    Args:
        run_dir: of a run, or of an export of another checkpoint.
        name: of the model, or NAME/VERSION.

    Raises:
        OrchardError: the run is not finished, or the name is none.
    """
    output = RunDir(run_dir)
    record = RunRecord.load(output.record_file)
    path = serving_dir(run_dir, name)
    module = export.ServingModule(
        export.load_network(output),
        record.class_names,
        record.task,
        *record.image_size_px,
        record.resize,
        record.exact_decode,
    )
    save_serving(module, module.serving_signatures(), path, name.partition("/")[0])
    return path


def export_only(run_dir: str, which: str, serving: str = "") -> int:
    """Export without training.

    "best" finishes the run directory anew. Another checkpoint is evaluated and exported to
    `run_dir/export-STEP/`, a run directory of its own that can be a member of an ensemble.

    Args:
        run_dir: a run directory with checkpoints.
        which: "best", "last", or the path of a checkpoint.
        serving: also write it for model servers under this name.
    """
    path = RunDir(run_dir).config_file
    if not storage.exists(path):
        raise OrchardError(f"there is no {path}: --run_dir={run_dir} is no run directory")
    with run_lock(run_dir):
        if which == "best":
            finish_run(run_dir)
            output = RunDir(run_dir)
        else:
            output = _export_checkpoint(run_dir, which)
        if serving:
            print(f"for model servers: {export_for_serving(output.path, serving)}")
    print(f"exported to {output.saved_model_dir}")
    if which != "best":
        print(f"{output.path} can be a --model of ensemble.predict and one of --members")
    return 0


def _export_checkpoint(run_dir: str, which: str) -> RunDir:
    """Export "last", or the checkpoint of a path, with its logits where they can be had."""
    last = load_latest_checkpoint(run_dir)
    if last is None:
        raise OrchardError(f"{run_dir} holds no checkpoint yet; train first")
    saved, dataset = SavedConfig.load(run_dir), last.meta.dataset
    start = last.meta.start_fingerprint
    if which == "last" and saved.config.is_frozen:
        raise OrchardError(f"{run_dir} has one head, on frozen features; give --checkpoint=best")
    found = last if which == "last" else load_checkpoint_file(which)
    if isinstance(found, TrainingCheckpoint):
        set_gcs_read_options(saved.config.dataset)
        by = LAST_STEP if which == "last" else ""
        weights = evaluated(run_dir, saved, found)
        selected = _Selected(weights, by, found.step, found.meta.time, start)
    else:
        selected = _Selected(found, saved.resolved.best_metric, found.step, None, start)
    output = RunDir(run_dir).export_of(found.step)
    scored = None
    if saved.resolved.eval_split == NO_SPLIT:
        print("without held-out logits and scores: nothing was held out from this training")
    elif not storage.exists(saved.config.dataset):
        # Weights of an evaluation have their logits with them, but not the ids.
        print(f"without held-out logits and scores: {saved.config.dataset} is not there")
        storage.remove_tree(output.eval_logits_file(saved.resolved.eval_split))
    else:
        _, scored = save_eval_logits(output, saved, selected.weights, dataset)
    record = _export(run_dir, saved, dataset, selected, scored, output)
    record.save(output.record_file)
    shown = [(name, record.scores.get(name)) for name in metric_names(record.task, main=True)]
    scores = "  ".join(f"{name} {score:.4f}" for name, score in shown if score is not None)
    print(f"step {record.best_step}" + (f": {scores}" if scores else ", without scores"))
    return output


def export_network(
    network: keras.Model, config: TrainConfig, dataset: TrainedDataset, output: ExportDir
) -> str:
    """Write the SavedModel and .keras file of a network; returns the fingerprint."""
    serving = export.ServingModule(
        network,
        dataset.class_names,
        dataset.task,
        config.height_px,
        config.width_px,
        config.resize,
        config.exact_decode,
    )
    return export.export(network, serving, output)


def save_eval_logits(
    output: RunDir, saved: SavedConfig, weights: WeightsCheckpoint, dataset: TrainedDataset
) -> tuple[RecordTable | None, Logits | None]:
    """Write, and return, the logits behind the weights' scores, keyed by id; None without any.

    Damaged records that were skipped have none.
    """
    split = saved.resolved.eval_split
    if split == NO_SPLIT:
        return None, None
    records = load_records(saved.config.dataset, split)
    # Logits are stored by position, so the records must be the same.
    check_same_data(output.path, dataset.fingerprint, records)
    path = output.eval_logits_file(split)
    logits = weights.arrays.get(EVAL_LOGITS)
    if logits is None or logits.shape != records.targets.shape:
        raise OrchardError(
            f"the checkpoint of step {weights.step} has no logits of the {len(records)} records of "
            f"{split} in {len(dataset.class_names)} classes: it is of another run; give one of "
            "this run's"
        )
    intact = np.flatnonzero(intact_rows(logits))
    records = records.take(intact)
    save_logits(path, records.ids, logits[intact], records.targets, records.class_names)
    return records, load_logits(path)


def versions() -> dict[str, str]:
    """Of what decides the numbers."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }
