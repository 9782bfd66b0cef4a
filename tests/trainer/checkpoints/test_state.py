import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.checkpoints.state import Progress, TrainState


def _progress(metric, *scores):
    progress = Progress()
    for number, score in enumerate(scores, start=1):
        progress.step = 10 * number
        progress.note(metric, {metric: score})
    return progress


@pytest.mark.parametrize(
    ("metric", "scores", "best_step", "evals_since_best"),
    [
        ("accuracy", (0.5, 0.7, 0.6), 20, 1),
        ("accuracy", (0.5, 0.5), 10, 1),
        ("log_loss", (0.5, 0.7, 0.4), 30, 0),
        ("accuracy", (float("nan"), 0.1), 20, 0),
        ("accuracy", (float("nan"), float("nan")), 10, 1),
    ],
)
def test_note_scores_keeps_the_best_step(metric, scores, best_step, evals_since_best):
    progress = _progress(metric, *scores)
    assert (progress.best_step, progress.evals_since_best) == (best_step, evals_since_best)
    assert [evaluation["step"] for evaluation in progress.evaluations] == [
        10 * number for number in range(1, len(scores) + 1)
    ]


def test_note_without_scores_is_always_the_best():
    progress = Progress()
    for progress.step in (5, 9):
        assert progress.note("accuracy", {})
    assert progress.best_step == 9


def test_best_step_at_earlier_step_leaves_out_later_evaluations():
    progress = _progress("accuracy", 0.5, 0.4, 0.9)
    assert [progress.best_step_at(step, "accuracy") for step in (9, 10, 29, 30)] == [
        -1,
        10,
        10,
        30,
    ]


@pytest.mark.parametrize(
    ("metric", "scores", "count", "steps"),
    [
        ("accuracy", (0.5, 0.7, 0.6), 2, {20, 30}),
        ("log_loss", (0.5, 0.7, 0.4), 2, {10, 30}),
        ("accuracy", (0.5, 0.5, 0.5), 2, {10, 20}),
        ("accuracy", (float("nan"), float("nan"), 0.1), 2, {10, 30}),
        ("accuracy", (0.5, 0.7), 5, {10, 20}),
        ("last", (0.9, 0.2, 0.5), 2, {20, 30}),
    ],
)
def test_best_steps_at_are_the_best_ones_or_without_scores_the_last(metric, scores, count, steps):
    progress = _progress("accuracy" if metric == "last" else metric, *scores)
    if metric == "last":
        progress.evaluations = [{"step": one["step"]} for one in progress.evaluations]
    assert progress.best_steps_at(10 * len(scores), metric, count) == steps
    assert progress.best_steps_at(10, metric, count) == {10}
    assert progress.best_steps_at(9, metric, count) == set()


def test_arrays_are_copies_that_later_steps_leave_alone():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    optimizer = keras.optimizers.AdamW(0.1)
    optimizer.build(network.trainable_variables)
    state = TrainState(network, [optimizer])

    @tf.function(autograph=False)
    def step():
        ones = [tf.ones(variable.shape) for variable in network.trainable_variables]
        optimizer.apply(ones, network.trainable_variables)

    step()
    arrays = state.arrays()
    copies = {name: array.copy() for name, array in arrays.items()}
    step()
    assert all(np.array_equal(arrays[name], copies[name]) for name in arrays)
    assert not np.array_equal(arrays["network/00000"], state.arrays()["network/00000"])
