"""From the best checkpoint to what a run leaves: SavedModel, logits, report, and run.json last."""

import platform
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from orchard import storage
from orchard.errors import OrchardError
from orchard.flags import Kind
from orchard.formats import Logits, json_safe, load_logits, save_logits
from trainer.checkpoints import (
    Checkpoint,
    load_best_checkpoint,
    load_checkpoint,
    load_latest_checkpoint,
    set_network_arrays,
)
from trainer.config import TrainConfig, changed_flags, name_changes
from trainer.data import RecordTable, load_records, set_gcs_read_options
from trainer.evaluation import intact_rows
from trainer.results import export, report
from trainer.results.evaluated import evaluated
from trainer.training import CONFIG_FILE, NO_SPLIT, check_same_data, run_lock

RUN_FILE = "run.json"
SCHEMA_VERSION = 1


def is_finished(config: TrainConfig) -> bool:
    """Whether the run directory holds this training, finished; OrchardError if another one."""
    path = storage.join(config.run_dir, RUN_FILE)
    if not storage.exists(path):
        return False
    described = storage.read_json(path)
    done = TrainConfig.from_json(described["config"])
    # What flags such as --batch_size resolve to is not worked out here: they must be given alike.
    changes = changed_flags(done, config, Kind.RESULT, Kind.RESOLVED)
    if changes:
        raise OrchardError(
            f"{config.run_dir} holds a finished training with other flags: "
            f"{name_changes(changes)}. Use another --run_dir"
        )
    if storage.exists(config.dataset):
        records = load_records(config.dataset, described["train_split"])
        check_same_data(config.run_dir, described["dataset"], records)
    return True


def finish_run(run_dir: str) -> dict[str, Any]:
    """Export the best weights and describe the run; returns what run.json says.

    Reads files only, so that it can be done again, on another machine.
    """
    config, resolved = load_config(run_dir)
    last = load_latest_checkpoint(run_dir)
    if last is None or last.meta["progress"]["best_step"] < 0:
        raise OrchardError(f"{run_dir} holds no evaluated weights yet; train first")
    best = load_best_checkpoint(run_dir, last.meta["progress"]["best_step"])
    dataset = last.meta["dataset"]
    records, scored = save_eval_logits(run_dir, config, resolved, best, dataset)
    # Until it is written anew nothing here counts as a finished run.
    storage.remove_tree(storage.join(run_dir, RUN_FILE))
    fingerprint = export_weights(run_dir, config, dataset, best, run_dir)
    description = {
        "schema_version": SCHEMA_VERSION,
        "class_names": dataset["class_names"],
        "task": dataset["task"],
        "architecture": config.architecture,
        "image_size_px": [config.height_px, config.width_px],
        "resize": config.resize,
        "exact_decode": config.exact_decode,
        "train_split": resolved["train_split"],
        "eval_split": resolved["eval_split"],
        "fold": config.fold,
        "best_step": best.step,
        "best_metric": resolved["best_metric"],
        "scores": best.meta["scores"],
        "skipped_records": len(best.arrays["eval_logits"]) - len(scored.ids) if scored else 0,
        "dataset": {key: dataset[key] for key in ("name", "version", "fingerprint")}
        | {"path": config.dataset},
        "member_fingerprint": fingerprint,
        "versions": versions(),
        "config": config.to_json(),
    }
    description = json_safe(description)
    report.write(run_dir, description, records, scored)
    if scored is not None:
        report.write_sample_predictions(run_dir, description, records, scored)
    storage.write_json(storage.join(run_dir, RUN_FILE), description)
    return description


def export_only(run_dir: str, which: str) -> int:
    """Export without training.

    "best" finishes the run directory anew; another checkpoint's SavedModel and .keras file go to
    `run_dir/export-STEP/`, with the weights that an evaluation would score.

    Args:
        run_dir: a run directory with checkpoints.
        which: "best", "last", or the path of a checkpoint.
    """
    if not storage.exists(storage.join(run_dir, CONFIG_FILE)):
        raise OrchardError(f"--run_dir={run_dir} holds no {CONFIG_FILE}: it is no run directory")
    with run_lock(run_dir):
        output_dir = _export(run_dir, which)
    print(f"exported to {storage.join(output_dir, export.SAVED_MODEL_DIR)}")
    return 0


def _export(run_dir: str, which: str) -> str:
    if which == "best":
        finish_run(run_dir)
        return run_dir
    last = load_latest_checkpoint(run_dir)
    if last is None:
        raise OrchardError(f"{run_dir} holds no checkpoint yet; train first")
    config, resolved = load_config(run_dir)
    weights = last if which == "last" else load_checkpoint(which)
    if "optimizer0/00000" in weights.arrays:  # The state of a training, not what it evaluated.
        set_gcs_read_options(config.dataset)
        weights = evaluated(run_dir, config, resolved, weights)
    output_dir = storage.join(run_dir, f"export-{weights.step:09d}")
    export_weights(run_dir, config, last.meta["dataset"], weights, output_dir)
    return output_dir


def load_config(run_dir: str) -> tuple[TrainConfig, dict[str, Any]]:
    """The flags of a run, and what they came to."""
    saved = storage.read_json(storage.join(run_dir, CONFIG_FILE))
    resolved = saved.pop("resolved")
    return TrainConfig.from_json(saved), resolved


def export_weights(
    run_dir: str,
    config: TrainConfig,
    dataset: dict[str, Any],
    weights: Checkpoint,
    output_dir: str,
) -> str:
    """Write the SavedModel and .keras file of some weights; returns the fingerprint."""
    network = export.rebuild_network(run_dir)
    set_network_arrays(network, weights)
    serving = export.ServingModule(
        network,
        tuple(dataset["class_names"]),
        config.height_px,
        config.width_px,
        config.resize,
        config.exact_decode,
    )
    return export.export(network, serving, output_dir)


def save_eval_logits(
    run_dir: str,
    config: TrainConfig,
    resolved: dict[str, Any],
    best: Checkpoint,
    dataset: dict[str, Any],
) -> tuple[RecordTable | None, Logits | None]:
    """Write, and return, the logits behind the best scores, keyed by id; None without any.

    Damaged records that were skipped have none.
    """
    split = resolved["eval_split"]
    if split == NO_SPLIT:
        return None, None
    records = load_records(config.dataset, split)
    # The logits are kept by position.
    check_same_data(run_dir, dataset, records)
    path = storage.join(run_dir, "eval_logits", f"{split}.npz")
    logits = best.arrays["eval_logits"]
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
