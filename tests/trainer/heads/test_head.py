import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.heads.problems import features_and_targets, targets_of
from trainer.heads import HEADS, HeadLoss
from trainer.optim import Objective

_KINDS = ("one label", "soft", "many labels")


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, (1.0, 3.0, 0.5)])
def test_loss_and_slopes_are_those_of_the_training_objective(kind, smoothing, weights):
    task, targets = targets_of(kind, features_and_targets()[1])
    logits = np.random.default_rng(2).standard_normal(targets.shape).astype(np.float32)
    loss = HeadLoss(task, smoothing, weights)
    value, slopes = loss.sum_and_slopes(logits, loss.smoothed(targets), loss.cell_weights(targets))
    objective = Objective(task, label_smoothing=smoothing, class_weights=weights)
    with tf.GradientTape() as tape:
        variable = tf.constant(logits)
        tape.watch(variable)
        wanted = tf.reduce_sum(objective.per_example(variable, tf.constant(targets)))
    assert value == pytest.approx(float(wanted), rel=1e-5)
    np.testing.assert_allclose(slopes, tape.gradient(wanted, variable).numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", _KINDS)
def test_loss_curvature_is_the_change_of_the_slopes(kind):
    task, targets = targets_of(kind, features_and_targets()[1])
    rng = np.random.default_rng(3)
    logits, moved = rng.standard_normal((2, *targets.shape))
    loss = HeadLoss(task, 0.1, (1.0, 3.0, 0.5))
    smoothed, weights = loss.smoothed(targets), loss.cell_weights(targets)

    def slopes(at):
        return loss.sum_and_slopes(at, smoothed, weights)[1]

    step = 1e-5
    wanted = (slopes(logits + step * moved) - slopes(logits - step * moved)) / (2 * step)
    np.testing.assert_allclose(loss.curvature(logits, moved, smoothed, weights), wanted, atol=1e-7)


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_head_gradients_are_those_of_finite_differences(name):
    features, targets = features_and_targets()
    features = features.astype(np.float64)
    head = HEADS[name](features.shape[1], targets.shape[1], seed=4)
    rng = np.random.default_rng(5)
    parameters = head.initial() + 0.1 * rng.standard_normal(head.initial().shape)
    slopes, direction = rng.standard_normal(targets.shape), rng.standard_normal(parameters.shape)
    step = 1e-6 * direction

    def change(function):
        return (function(parameters + step) - function(parameters - step)) / 2e-6

    wanted = change(lambda at: np.sum(slopes * head.logits(at, features)))
    found = head.pull_back(parameters, features, slopes) @ direction
    assert found == pytest.approx(wanted, rel=1e-5)
    wanted = change(lambda at: head.penalty(at)[0])
    assert head.penalty(parameters)[1] @ direction == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_head_layers_give_its_logits_in_keras(name):
    from trainer.keras_module import keras

    features, targets = features_and_targets()
    head = HEADS[name](features.shape[1], targets.shape[1], seed=4)
    parameters = head.initial() + 0.3 * np.random.default_rng(6).standard_normal(
        head.initial().shape
    )
    outputs = features
    for kernel, bias, activation in head.layers(parameters):
        dense = keras.layers.Dense(len(bias), activation=activation)
        dense.build(outputs.shape)
        dense.set_weights([kernel, bias])
        outputs = dense(outputs)
    np.testing.assert_allclose(outputs, head.logits(parameters, features), atol=1e-5)


def test_mlp_seed_decides_where_it_starts_and_the_linear_head_has_none():
    def initial(name, seed):
        return HEADS[name](4, 3, seed).initial()

    np.testing.assert_array_equal(initial("mlp", 1), initial("mlp", 1))
    assert np.abs(initial("mlp", 1) - initial("mlp", 2)).max() > 0.1
    np.testing.assert_array_equal(initial("linear", 1), initial("linear", 2))
