import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from orchard.errors import OrchardError
from trainer.optim import Objective, class_weights
from trainer.optim.losses.focal import Focal

_RNG = np.random.default_rng(0)
_LOGITS = _RNG.normal(size=(6, 4)).astype(np.float32)
_ONE_HOT = np.eye(4, dtype=np.float32)[[0, 3, 1, 2, 3, 3]]
_MULTI_HOT = (_RNG.random((6, 4)) < 0.5).astype(np.float32)


def _keras(loss, targets, **kwargs):
    return keras.ops.convert_to_numpy(loss(targets, _LOGITS, from_logits=True, **kwargs))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_per_example_one_label_is_keras_categorical_cross_entropy(smoothing):
    ours = Objective("single_label", label_smoothing=smoothing).per_example(_LOGITS, _ONE_HOT)
    expected = _keras(keras.losses.categorical_crossentropy, _ONE_HOT, label_smoothing=smoothing)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_per_example_many_labels_is_keras_binary_cross_entropy(smoothing):
    ours = Objective("multi_label", label_smoothing=smoothing).per_example(_LOGITS, _MULTI_HOT)
    expected = _keras(keras.losses.binary_crossentropy, _MULTI_HOT, label_smoothing=smoothing)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_per_example_focal_is_keras_without_its_alpha():
    focal = Focal(focal_gamma=2.0)
    ours = Objective("multi_label", focal).per_example(_LOGITS, _MULTI_HOT)
    expected = _keras(keras.losses.binary_focal_crossentropy, _MULTI_HOT, gamma=2.0)
    np.testing.assert_allclose(ours, expected, rtol=1e-4)
    ours = Objective("single_label", focal).per_example(_LOGITS, _ONE_HOT)
    expected = _keras(keras.losses.categorical_focal_crossentropy, _ONE_HOT, gamma=2.0, alpha=1.0)
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


def test_per_example_class_weights_scale_an_examples_loss():
    weights = (1.0, 2.0, 3.0, 4.0)
    plain = Objective("single_label").per_example(_LOGITS, _ONE_HOT).numpy()
    ours = Objective("single_label", class_weights=weights).per_example(_LOGITS, _ONE_HOT)
    np.testing.assert_allclose(ours, plain * (_ONE_HOT @ np.array(weights)), rtol=1e-6)


def test_per_example_class_weights_of_many_labels_weight_positive_cells_alone():
    weighted = Objective("multi_label", class_weights=(5.0,) * 4)
    nothing = np.zeros_like(_MULTI_HOT)
    np.testing.assert_allclose(
        weighted.per_example(_LOGITS, nothing),
        Objective("multi_label").per_example(_LOGITS, nothing),
    )
    everything = np.ones_like(_MULTI_HOT)
    np.testing.assert_allclose(
        weighted.per_example(_LOGITS, everything),
        5 * Objective("multi_label").per_example(_LOGITS, everything).numpy(),
        rtol=1e-6,
    )


def test_class_weights_balanced_are_scikit_learns():
    labels = _ONE_HOT.argmax(axis=1)
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    np.testing.assert_allclose(class_weights("balanced", _ONE_HOT, "single_label"), expected)


def test_class_weights_by_hand_must_be_one_a_class():
    assert class_weights("1,2,3,0.5", _ONE_HOT, "single_label") == (1.0, 2.0, 3.0, 0.5)
    for text in ("1,2,3", "heavy", "1,2,3,-4", "1,2,3,nan", "1,2,3,inf"):
        with pytest.raises(OrchardError, match="there are 4 classes|numbers from 0 up"):
            class_weights(text, _ONE_HOT, "single_label")


def test_class_weights_balanced_without_records_of_a_class_is_refused():
    with pytest.raises(OrchardError, match=r"no record of class \[2\]"):
        class_weights("balanced", _ONE_HOT[[0, 1, 2]], "single_label")


def test_class_weights_balanced_many_labels_are_balanced_within_each_class():
    targets = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [1, 0, 1]], np.float32)
    # There is nothing to balance in the first one, which is always there.
    assert class_weights("balanced", targets, "multi_label") == (1.0, 3.0, 1.0)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_per_example_focal_of_a_sure_network_has_a_finite_gradient(task, gamma):
    logits = tf.Variable([[60.0, -60.0, -130.0]])
    with tf.GradientTape() as tape:
        loss = Objective(task, Focal(focal_gamma=gamma)).per_example(
            logits, tf.constant([[1.0, 0.0, 0.0]])
        )
    assert np.isfinite(tape.gradient(loss, logits)).all()
