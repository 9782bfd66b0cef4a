import importlib

import keras
import numpy as np
import pytest

from orchard.errors import OrchardError
from trainer.models import preprocessing
from trainer.models.preprocessing import check_preprocessing, preprocess

_MODULES = {
    preprocessing.SYMMETRIC: "mobilenet_v2",
    preprocessing.TORCH: "densenet",
    preprocessing.CAFFE: "resnet",
}


def _pixels(size=32):
    return np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype(np.float32)


@pytest.mark.parametrize("name", sorted(_MODULES))
def test_preprocess_by_name_equals_keras_own(name):
    module = importlib.import_module(f"keras.applications.{_MODULES[name]}")
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, preprocess(inputs, name))
    expected = module.preprocess_input(_pixels().copy())
    np.testing.assert_allclose(model(_pixels()), expected, atol=1e-4)


def test_preprocess_mean_and_std_subtracts_and_divides():
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, preprocess(inputs, "127/128"))
    np.testing.assert_allclose(model(_pixels(4)), (_pixels(4) - 127) / 128, rtol=1e-5, atol=1e-6)


def test_preprocess_inside_leaves_the_pixels():
    inputs = keras.Input((4, 4, 3))
    assert preprocess(inputs, preprocessing.INSIDE) is inputs


@pytest.mark.parametrize("text", ["half", "127/0", "127/", "-1/2"])
def test_check_preprocessing_other_text_is_refused(text):
    with pytest.raises(OrchardError, match=f"--preprocessing={text} must be auto"):
        check_preprocessing(text)
