import keras
import numpy as np
import pytest

from orchard.errors import OrchardError
from trainer.models import ARCHITECTURES, BACKBONE_LAYER, NetworkOptions, build_network
from trainer.models.architectures.keras_applications import CLASSIFIERS


def test_table_names_every_classifier_of_keras_applications_once():
    ours = [known.function for known in CLASSIFIERS.values()]
    theirs = {n for n in dir(keras.applications) if callable(getattr(keras.applications, n))}
    assert sorted(ours) == sorted(theirs)
    assert set(CLASSIFIERS) <= set(ARCHITECTURES)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet50", "efficientnet_b0"])
def test_classifier_built_takes_pixels_and_gives_float32_logits(name):
    network = build_network(NetworkOptions(name, 5, 32, 48))
    logits = network(np.zeros((2, 32, 48, 3), np.uint8))
    assert logits.shape == (2, 5) and logits.dtype == "float32"
    restored = keras.models.model_from_json(network.to_json())
    assert restored.get_layer(BACKBONE_LAYER).count_params() > 0


def test_imagenet_weights_without_internet_are_refused_in_one_line(monkeypatch):
    def offline(**_):
        raise Exception("URL fetch failure on https://storage.googleapis.com: no route")

    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    with pytest.raises(OrchardError, match="could not be downloaded.*KERAS_HOME") as caught:
        build_network(NetworkOptions("mobilenet_v2", 5, 32, 32, weights="imagenet"))
    assert "\n" not in str(caught.value)
