"""The weights that an evaluation of a numbered checkpoint would score, without a training."""

import dataclasses

import tensorflow as tf

from orchard.formats import Resolved, TrainingCheckpoint, WeightsCheckpoint, WeightsMeta
from trainer.checkpoints import network_arrays
from trainer.config import TrainConfig
from trainer.data import load_records
from trainer.optim import Objective
from trainer.results import export
from trainer.runtime import Accelerator
from trainer.training import Run, Splits, check_same_data, make_plan, with_optimizers


def evaluated(
    run_dir: str, config: TrainConfig, resolved: Resolved, saved: TrainingCheckpoint
) -> WeightsCheckpoint:
    """What a best checkpoint would hold at the step of a numbered one, on one device.

    The moving average where one is kept, and BatchNorm statistics estimated anew where evaluations
    do that, for which training images are read.

    Args:
        run_dir: the run's directory.
        config: its flags.
        resolved: what they came to.
        saved: a numbered checkpoint: the whole state of a training.
    """
    # On any number of devices, batches are those of the training.
    config = dataclasses.replace(config, batch_size=resolved.batch_size, batch_size_per_replica=0)
    splits = Splits(resolved.train_split, resolved.eval_split)
    records = load_records(config.dataset, splits.train)
    check_same_data(run_dir, saved.meta.dataset.fingerprint, records)
    accelerator = Accelerator("cpu", tf.distribute.get_strategy())
    plan = make_plan(config, splits, len(records), accelerator.num_replicas)
    network = export.rebuild_network(run_dir)
    state = with_optimizers(config, accelerator, network, plan)
    state.restore(saved)
    run = Run(config, accelerator, plan, records, None, Objective(records.task), state)
    with run.evaluation_weights():
        return WeightsCheckpoint(saved.step, network_arrays(network), WeightsMeta({}))
