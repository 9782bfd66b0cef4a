"""The weights that an evaluation of a numbered checkpoint would score, without a training."""

import dataclasses

import tensorflow as tf

from orchard.formats import TrainingCheckpoint, WeightsCheckpoint, WeightsMeta
from trainer.checkpoints import network_arrays
from trainer.data import load_records
from trainer.optim import Objective
from trainer.results import export
from trainer.runtime import Accelerator
from trainer.saved_config import SavedConfig
from trainer.training import Run, Splits, check_same_data, make_plan, with_optimizers


def evaluated(
    run_dir: str, saved: SavedConfig, checkpoint: TrainingCheckpoint
) -> WeightsCheckpoint:
    """The weights that an evaluation at the step of a training checkpoint scores.

    These are the moving average, if one is kept, with BatchNorm statistics estimated anew, if
    evaluations do that (which reads training images). It runs on one device.

    Args:
        run_dir: the run's directory.
        saved: its config.json.
        checkpoint: the whole state of the training.
    """
    resolved = saved.resolved
    # The training's batches, though its replicas may have been more.
    config = dataclasses.replace(
        saved.config, batch_size=resolved.batch_size, batch_size_per_replica=0
    )
    splits = Splits(resolved.train_split, resolved.eval_split)
    records = load_records(config.dataset, splits.train)
    check_same_data(run_dir, checkpoint.meta.dataset.fingerprint, records)
    accelerator = Accelerator("cpu", tf.distribute.get_strategy())
    plan = make_plan(config, splits, len(records), accelerator.num_replicas)
    network = export.rebuild_network(run_dir)
    state = with_optimizers(config, accelerator, network, plan)
    state.restore(checkpoint)
    run = Run(config, accelerator, plan, records, None, Objective(records.task), state)
    with run.evaluation_weights():
        return WeightsCheckpoint(checkpoint.step, network_arrays(network), WeightsMeta({}))
