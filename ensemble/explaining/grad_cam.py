"""Grad-CAM: which places of a network's last feature map speak for a class.

Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization" (arXiv 1610.02391), section 3: with A_k the channels of the map and y the logit of the
class, heat = ReLU(sum_k a_k A_k), a_k the mean over all places of dy/dA_k.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.keras_module import keras


class GradCam:
    """Heat maps of a network that ends in a feature map.

    Args:
        network: images [batch, height, width, 3], 0..255, to logits.

    Raises:
        ValueError: it has no last feature map; see `find_feature_map`.
    """

    def __init__(self, network: keras.Model):
        flat = _flat(network)
        feature_map = find_feature_map(flat)
        if feature_map is None:
            raise ValueError("the network has no last feature map")
        self._before = keras.Model(flat.inputs, feature_map)
        self._after = keras.Model(feature_map, flat.outputs[0])
        self._slopes = tf.function(self._compute, autograph=False)

    def heat(self, image: np.ndarray, classes: Sequence[int]) -> np.ndarray:
        """What speaks for each class: float32 [classes, height, width] of the image, >= 0.

        Args:
            image: uint8 [height, width, 3], of the network's size.
            classes: columns of the logits.
        """
        maps = self._slopes(tf.constant(image)[None], tf.constant(list(classes), tf.int32))
        resized = tf.image.resize(maps[..., None], image.shape[:2], method="bilinear")
        return resized[..., 0].numpy()

    def _compute(self, images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        feature_map = self._before(tf.cast(images, tf.float32), training=False)
        repeated = tf.repeat(feature_map, tf.shape(classes)[0], axis=0)
        with tf.GradientTape() as tape:
            tape.watch(repeated)
            logits = self._after(repeated, training=False)
            chosen = tf.gather(logits, classes, batch_dims=1)
        slopes = tape.gradient(chosen, repeated)
        shares = tf.reduce_mean(slopes, axis=[1, 2], keepdims=True)
        return tf.nn.relu(tf.reduce_sum(shares * repeated, axis=-1))


def find_feature_map(network: keras.Model) -> Any:
    """The tensor [batch, rows, columns, channels] of a network that is pooled last, or None.

    It is the one that all ways from the logits back to the images come to, with nothing but
    vectors on them: a transformer, whose tokens are pooled, has none, though its patches once were
    a map. Nor has a network whose map is a single place.
    """
    found: dict[int, Any] = {}
    waiting, seen = [network.outputs[0]], set[int]()
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if len(tensor.shape) == 4:
            found[id(tensor)] = tensor
            continue
        operation, node = tensor._keras_history[:2]
        before = operation._inbound_nodes[node].input_tensors
        if len(tensor.shape) != 2 or not before:
            return None
        waiting += before
    if len(found) != 1:
        return None
    (feature_map,) = found.values()
    rows, columns = feature_map.shape[1:3]
    return None if None in (rows, columns) or rows * columns == 1 else feature_map


def _flat(network: keras.Model) -> keras.Model:
    """The same layers as one graph: those of models within it are no longer hidden in them."""
    images = keras.Input(network.inputs[0].shape[1:], dtype=network.inputs[0].dtype)
    return keras.Model(images, _inlined(network, images))


def _inlined(model: keras.Model, inputs: Any) -> Any:
    return model._run_through_graph(inputs, operation_fn=_with_its_layers)


def _with_its_layers(operation: Any) -> Callable[..., Any]:
    """What applies a layer; of a model that is a graph itself, its layers."""
    if hasattr(operation, "_run_through_graph"):
        return lambda inputs, **_: _inlined(operation, inputs)
    return operation
