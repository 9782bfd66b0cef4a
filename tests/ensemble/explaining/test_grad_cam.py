import numpy as np
import pytest

from ensemble.explaining import GradCam, find_feature_map
from trainer.keras_module import keras


def _image(side=12):
    return np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)


def test_heat_of_a_linear_head_is_the_formula():
    inputs = keras.Input((12, 12, 3))
    feature_map = keras.layers.Conv2D(5, 3, strides=3, activation="relu")(inputs / 255)
    pooled = keras.layers.GlobalAveragePooling2D()(feature_map)
    network = keras.Model(inputs, keras.layers.Dense(4)(pooled))
    image = _image()
    places = keras.Model(inputs, feature_map)(image[None].astype(np.float32)).numpy()[0]
    kernel = network.layers[-1].get_weights()[0]
    wanted = np.maximum(np.einsum("ijk,kc->cij", places, kernel) / 16, 0)
    heat = GradCam(network).heat(image, [0, 2, 3])
    # Bilinear, with half-pixel centers: at 3 times the size each middle is the place's own.
    np.testing.assert_allclose(heat[:, 1::3, 1::3], wanted[[0, 2, 3]], atol=1e-6)


def test_heat_through_layers_after_the_pooling_is_that_of_finite_differences():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    feature_map = keras.layers.Conv2D(3, 4, strides=4)(inputs / 255)
    after = keras.Input(feature_map.shape[1:])
    hidden = keras.layers.GlobalAveragePooling2D()(after)
    hidden = keras.layers.Dense(6, activation="tanh")(hidden)
    head = keras.Model(after, keras.layers.Dense(2)(hidden))
    image = _image(8)
    places = keras.Model(inputs, feature_map)(image[None].astype(np.float32)).numpy()
    slopes = np.zeros(3)
    for channel in range(3):
        moved = np.repeat(places, 2, axis=0)
        moved[:, ..., channel] += np.array([1e-2, -1e-2])[:, None, None]
        up, down = head(moved).numpy()[:, 1]
        slopes[channel] = (up - down) / 2e-2 / 4  # All four places moved: the mean slope of one.
    wanted = np.maximum((places[0] * slopes).sum(axis=-1), 0)
    heat = GradCam(keras.Model(inputs, head(feature_map))).heat(image, [1])[0]
    np.testing.assert_allclose(heat[[0, 0, 7, 7], [0, 7, 0, 7]], wanted.ravel(), atol=1e-4)


def test_find_feature_map_within_nested_models_finds_the_map_that_is_pooled_last():
    inner_inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(inner_inputs)
    gate = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x))  # Pooled, too.
    x = keras.layers.Multiply(name="gated")([x, keras.layers.Reshape((1, 1, 4))(gate)])
    inner = keras.Model(inner_inputs, keras.layers.GlobalMaxPooling2D()(x), name="backbone")
    inputs = keras.Input((8, 8, 3))
    outer = keras.Model(inputs, keras.layers.Dense(2)(inner(inputs / 255)))
    assert GradCam(outer).heat(_image(8), [0]).shape == (1, 8, 8)
    assert find_feature_map(inner)._keras_history[0].name == "gated"


@pytest.mark.parametrize("kind", ["tokens", "one place", "two maps"])
def test_network_without_a_last_map_has_none(kind):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 8 if kind == "one place" else 4, strides=4)(inputs)
    if kind == "tokens":
        x = keras.layers.GlobalAveragePooling1D()(keras.layers.Reshape((4, 4))(x))
    elif kind == "two maps":
        other = keras.layers.Conv2D(4, 2, strides=2)(inputs)
        pool = keras.layers.GlobalAveragePooling2D()
        x = keras.layers.Concatenate()([pool(x), pool(other)])
    else:
        x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(inputs, keras.layers.Dense(2)(x))
    assert find_feature_map(network) is None
    with pytest.raises(ValueError, match="no last feature map"):
        GradCam(network)
