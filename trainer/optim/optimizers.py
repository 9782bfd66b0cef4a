"""Keras optimizers with decoupled weight decay on kernels and a learning rate for each layer."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from trainer.keras_module import keras
from trainer.models import BACKBONE_LAYER, batch_norm
from trainer.optim.options import OptimizerOptions

_DEPTH_GROUPS = 12  # Layers of BEiT and ViT-B, whose layer decays (0.65..0.9) people know.


def make_optimizer(
    options: OptimizerOptions, network: keras.Model, variables: list
) -> keras.optimizers.Optimizer:
    """The optimizer of `options` for `variables` of `network`, built: its slots exist.

    Call it in the strategy's scope. Gradients must be summed over replicas, and clipped, before
    `apply`; see `_layerwise`.
    """
    constructor, kwargs = _rules(options)[options.optimizer]
    optimizer = _layerwise(constructor)(
        learning_rate=0.0,  # Set before every step.
        use_ema=options.ema_momentum > 0,
        ema_momentum=options.ema_momentum or 0.99,
        **kwargs,
    )
    multipliers = layer_multipliers(network, options.layer_decay)
    decayed = _decayed(network)
    optimizer.build(variables)
    optimizer.per_variable = [
        (multipliers.get(id(v), 1.0), options.weight_decay if id(v) in decayed else 0.0)
        for v in variables
    ]
    return optimizer


def clip_by_global_norm(gradients: list, clip_norm: float) -> list:
    """Scale gradients (already summed over replicas) down to a global norm of `clip_norm`."""
    return tf.clip_by_global_norm(gradients, clip_norm)[0] if clip_norm else gradients


def layer_multipliers(network: keras.Model, layer_decay: float) -> dict[int, float]:
    """Learning-rate factors by id of the variable; 1 for the head.

    The backbone's layers that have weights, from input to output, fall into twelve equal groups of
    depth; the last one learns at `layer_decay`, the one before at its square, and so on (layer-wise
    decay as in ELECTRA and BEiT).
    """
    backbone = network.get_layer(BACKBONE_LAYER)
    layers = [
        layer
        for layer in backbone._flatten_layers(include_self=False, recursive=True)
        if layer.trainable_variables and not getattr(layer, "layers", None)
    ]
    multipliers: dict[int, float] = {}
    for i, layer in enumerate(layers):
        depth = _DEPTH_GROUPS * i // len(layers)
        for variable in layer.trainable_variables:
            multipliers.setdefault(id(variable), layer_decay ** (_DEPTH_GROUPS - depth))
    return multipliers


def _decayed(network: keras.Model) -> set[int]:
    """Ids of the variables that weight decay applies to: matrices, but no norms and no biases."""
    norms = {id(v) for layer in batch_norm.layers_of(network) for v in layer.trainable_variables}
    return {id(v) for v in network.trainable_variables if len(v.shape) > 1} - norms


def _rules(options: OptimizerOptions) -> dict[str, tuple[type, dict]]:
    optimizers = keras.optimizers
    return {
        "adamw": (optimizers.Adam, {}),
        "adam": (optimizers.Adam, {}),
        "lamb": (optimizers.Lamb, {}),
        "lion": (optimizers.Lion, {}),
        "rmsprop": (optimizers.RMSprop, {"momentum": options.momentum}),
        "sgd": (optimizers.SGD, {"momentum": options.momentum, "nesterov": options.momentum > 0}),
    }


def _layerwise(base: Any) -> Any:
    """`base` with a learning-rate factor and a weight decay for each variable."""

    class Layerwise(base):
        # (learning-rate factor, weight decay) of the built variables, in their order.
        per_variable: Sequence[tuple[float, float]] = ()

        def update_step(
            self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
        ) -> None:
            factor, decay = self.per_variable[self._get_variable_index(variable)]
            rate = tf.cast(learning_rate, variable.dtype) * factor
            if decay:
                self.assign_sub(variable, variable * rate * decay)
            super().update_step(gradient, variable, rate)

        def _all_reduce_sum_gradients(self, grads_and_vars: list[tuple]) -> list[tuple]:
            # The step has summed them already: a clip must see the global gradient, and Keras
            # would clip each replica's part.
            return grads_and_vars

    Layerwise.__name__ = base.__name__
    return Layerwise
