"""A network without its head, and with a solved one."""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from orchard import storage
from orchard.flags import select
from trainer.config import TrainConfig
from trainer.heads import DenseLayer
from trainer.keras_module import keras
from trainer.models import LOGITS_LAYER, NetworkOptions, batch_norm, build_network
from trainer.runtime import Accelerator, set_precision


@dataclass(frozen=True)
class Backbone:
    """A network without its head.

    Attributes:
        network: images float32 [batch, height, width, 3], 0..255, to features [batch, n].
        fingerprint: hash of its layers and weights.
    """

    network: keras.Model
    fingerprint: str

    @property
    def num_features(self) -> int:
        """What it gives for each image."""
        return self.network.output_shape[-1]

    def with_head(self, layers: Sequence[DenseLayer]) -> keras.Model:
        """The network with the layers of a head, the last of which gives the logits."""
        outputs = self.network.outputs[0]
        for at, layer in enumerate(layers):
            name = LOGITS_LAYER if at == len(layers) - 1 else f"head_{at}"
            dense = keras.layers.Dense(
                len(layer.bias), activation=layer.activation, dtype="float32", name=name
            )
            outputs = dense(outputs)
            dense.set_weights([layer.kernel, layer.bias])
        return keras.Model(self.network.inputs, outputs, name="network")


def load_backbone(config: TrainConfig, accelerator: Accelerator) -> Backbone:
    """The backbone that a config names, built once in a process."""
    options = select(NetworkOptions, config, num_classes=1)
    policy = accelerator.precision(config)
    # A file may change between two runs of a process.
    paths = [path for path in (config.architecture, config.weights) if storage.exists(path)]
    contents = tuple(storage.size_and_crc32c(path) for path in paths)
    return _load(options, policy, accelerator.strategy, contents)


@functools.lru_cache(maxsize=1)
def _load(
    options: NetworkOptions, policy: str, strategy: tf.distribute.Strategy, contents: tuple
) -> Backbone:
    del contents  # In the key.
    # Keras counts the layers of a process in their names.
    keras.utils.clear_session()
    set_precision(policy)
    with strategy.scope():
        whole = build_network(options)
        batch_norm.synchronize(whole, False)
        features = whole.get_layer(LOGITS_LAYER).input
        network = keras.Model(whole.inputs, features, name="features")
    return Backbone(network, _fingerprint(network))


def _fingerprint(network: keras.Model) -> str:
    found = hashlib.sha256(network.to_json().encode())
    for variable in network.weights:
        value = np.ascontiguousarray(variable.value.numpy())
        found.update(f"{value.dtype} {value.shape}".encode())
        found.update(value.tobytes())
    return found.hexdigest()
