import keras
import numpy as np
import tensorflow as tf

from orchard.formats import Task
from tests.trainer import runs
from trainer.optim import Objective
from trainer.training.step import StepOptions, Update
from trainer.training.step_kinds import TrainStep


def test_train_step_accumulated_equals_the_whole_batch(tmp_path):
    backbone = runs.tiny_backbone(tmp_path / "plain.keras", dropout=0.0, batch_norm=False)
    whole, parts = (_update(backbone, _batch(), count) for count in (1, 4))
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-6)


def test_train_step_record_of_weight_0_changes_nothing(tmp_path):
    backbone = runs.tiny_backbone(tmp_path / "plain.keras", dropout=0.0, batch_norm=False)
    batch = _batch()
    update = _update(backbone, batch)
    assert any(np.abs(change).max() > 1e-4 for change in update)
    skipped = np.flatnonzero(batch["weight"] == 0)
    batch["image"][skipped] = 255
    batch["target"][skipped] = np.roll(batch["target"][skipped], 1, axis=1)
    for one, other in zip(update, _update(backbone, batch), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-8)


def test_train_step_on_a_cpu_reads_the_clock_before_it_computes(tmp_path):
    backbone = runs.tiny_backbone(tmp_path / "plain.keras", dropout=0.0, batch_norm=False)
    step = _step(keras.models.load_model(backbone), on_cpu=True)
    rates = np.array([0.1], np.float32)
    batches = iter(tf.data.Dataset.from_tensors(_batch()))
    graph = step._loop.get_concrete_function(batches, tf.constant(rates), tf.constant(1)).graph
    first = next(op for op in graph.get_operations() if op.type == "Conv2D")
    assert sum(op.type == "Timestamp" for op in _needed_by(first)) == 2


def _needed_by(op):
    """All operations that come before it."""
    seen, waiting = set(), [op]
    while waiting:
        op = waiting.pop()
        if op not in seen:
            seen.add(op)
            waiting += [tensor.op for tensor in op.inputs] + list(op.control_inputs)
    return seen


def _update(backbone, batch, accumulation_steps=1):
    """What one step adds to each variable."""
    network = keras.models.load_model(backbone)
    start = [v.numpy() for v in network.trainable_variables]
    step = _step(network, accumulation_steps)
    step.run(iter(tf.data.Dataset.from_tensors(batch)), np.array([0.1], np.float32))
    return [v.numpy() - s for v, s in zip(network.trainable_variables, start, strict=True)]


def _step(network, accumulation_steps=1, on_cpu=False):
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(network.trainable_variables)
    update = Update(
        network,
        network.trainable_variables,
        optimizer,
        Objective(Task.SINGLE_LABEL),
        lambda batch: (tf.cast(batch["image"], tf.float32), batch["target"]),
    )
    return TrainStep(
        update,
        tf.distribute.get_strategy(),
        StepOptions(global_batch=8, accumulation_steps=accumulation_steps),
        on_cpu,
    )


def _batch():
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (8, 16, 16, 3)).astype(np.uint8),
        "target": np.eye(5, dtype=np.float32)[rng.integers(0, 5, 8)],
        "weight": np.array([1, 1, 1, 0, 1, 1, 2, 1], np.float32),
    }
