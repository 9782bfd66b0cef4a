import numpy as np
import tensorflow as tf

from tests.trainer import runs as tiny
from tests.trainer.features import runs
from trainer.features import backbone as backbones
from trainer.heads import DenseLayer
from trainer.runtime import Accelerator

_ACCELERATOR = Accelerator("cpu", tf.distribute.get_strategy())


def load(path, tmp_path, **changes):
    config = runs.config("data", path, tmp_path / "run", **changes)
    return backbones.load_backbone(config, _ACCELERATOR)


def test_backbone_is_built_once_and_has_one_fingerprint_however_often(tiny_backbone, tmp_path):
    first = load(tiny_backbone, tmp_path)
    assert load(tiny_backbone, tmp_path, fold="1", seed=5) is first
    backbones._load.cache_clear()
    again = load(tiny_backbone, tmp_path)
    assert again is not first and again.fingerprint == first.fingerprint


def test_backbone_file_of_another_content_has_another_fingerprint(tmp_path):
    from trainer.keras_module import keras

    path = tiny.tiny_backbone(tmp_path / "net.keras")
    first = load(path, tmp_path)
    model = keras.models.load_model(path)
    kernel, *others = model.layers[2].get_weights()
    model.layers[2].set_weights([kernel + 1e-6, *others])
    model.save(path)
    assert load(path, tmp_path).fingerprint != first.fingerprint


def test_backbone_preprocessing_is_in_its_fingerprint(tiny_backbone, tmp_path):
    inside = load(tiny_backbone, tmp_path)
    scaled = load(tiny_backbone, tmp_path, preprocessing="127/128")
    assert scaled.fingerprint != inside.fingerprint


def test_backbone_with_head_gives_the_heads_logits_of_its_features(tiny_backbone, tmp_path):
    backbone = load(tiny_backbone, tmp_path)
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((backbone.num_features, 4)), rng.standard_normal((4, 3))
    layers = [DenseLayer(first, np.ones(4), "silu"), DenseLayer(second, np.zeros(3), "linear")]
    network = backbone.with_head(layers)
    images = rng.uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    hidden = np.asarray(backbone.network(images, training=False), np.float64) @ first + 1
    wanted = hidden / (1 + np.exp(-hidden)) @ second
    np.testing.assert_allclose(network(images, training=False), wanted, rtol=1e-4, atol=1e-5)
    assert network.layers[-1].name == "logits"
