"""A numbered checkpoint as an evaluation at its step scores it, without a training."""

import dataclasses

import tensorflow as tf

from orchard.errors import OrchardError
from orchard.formats import (
    EVAL_LOGITS,
    NO_SPLIT,
    TrainingCheckpoint,
    WeightsCheckpoint,
    WeightsMeta,
)
from trainer.checkpoints import network_arrays
from trainer.data import load_records
from trainer.evaluation import Diverged
from trainer.optim import Objective
from trainer.results import export
from trainer.runtime import Accelerator
from trainer.saved_config import SavedConfig
from trainer.training import Run, Splits, check_same_data, make_plan, with_optimizers


def evaluated(
    run_dir: str, saved: SavedConfig, checkpoint: TrainingCheckpoint
) -> WeightsCheckpoint:
    """The weights that an evaluation at the step of a training checkpoint scores, and its logits.

    These are the moving average, if one is kept, with BatchNorm statistics estimated anew, if
    evaluations do that (which reads training images). They score the run's evaluation split, if it
    has one. It runs on one device, in float32.

    Args:
        run_dir: the run's directory.
        saved: its config.json.
        checkpoint: the whole state of the training.

    Raises:
        OrchardError: the dataset is another one, or gone; or the weights are no numbers.
    """
    resolved = saved.resolved
    # The training's batches, though its replicas may have been more.
    config = dataclasses.replace(
        saved.sized, batch_size=resolved.batch_size, batch_size_per_replica=0
    )
    splits = Splits(resolved.train_split, resolved.eval_split)
    records = load_records(config.dataset, splits.train)
    check_same_data(run_dir, checkpoint.meta.dataset.fingerprint, records)
    accelerator = Accelerator("cpu", tf.distribute.get_strategy())
    plan = make_plan(config, splits, len(records), accelerator.num_replicas)
    network = export.rebuild_network(run_dir)
    state = with_optimizers(config, accelerator, network, plan)
    state.restore(checkpoint)
    held_out = None
    if splits.evaluate != NO_SPLIT:
        held_out = load_records(config.dataset, splits.evaluate)
    run = Run(config, accelerator, plan, records, held_out, Objective(records.task), state)
    with run.evaluation_weights():
        arrays, scores = network_arrays(network), None
        if run.evaluation is not None:
            try:
                scores = run.evaluation.scores(lambda: True)
            except Diverged:
                raise OrchardError(
                    f"{run_dir}: the weights of step {checkpoint.step} give no numbers, its "
                    "training has diverged; export another --checkpoint"
                ) from None
    if scores is None:
        return WeightsCheckpoint(checkpoint.step, arrays, WeightsMeta({}))
    arrays = {EVAL_LOGITS: scores.logits, **arrays}
    return WeightsCheckpoint(checkpoint.step, arrays, WeightsMeta(scores.by_metric))
