"""Keras optimizers with decoupled weight decay on kernels and a learning rate for each layer."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from trainer.keras_module import keras
from trainer.models import BACKBONE_LAYER, batch_norm
from trainer.optim.options import OptimizerOptions

_DEPTH_GROUPS = 12  # Layers of BEiT and ViT-B, whose layer decays (0.65..0.9) people know.
_UNDECAYED = re.compile(r"(^|[/_])bias(es)?$|position|(class|cls|mask|register|distillation)_token")


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
    decay as in ELECTRA and BEiT). Where layers come in blocks, as in transformers, it is the blocks
    that are divided; what comes before the first belongs to it, what comes after one to that one.
    """
    parts = list(_parts(network.get_layer(BACKBONE_LAYER), None))
    units, num_units = list(range(len(parts))), len(parts)
    blocks = {block: number for number, block in enumerate(dict.fromkeys(b for _, b in parts if b))}
    if len(blocks) > 1:
        units, num_units = [], len(blocks)
        for _, block in parts:
            units.append(blocks[block] if block else max(units, default=0))
    multipliers: dict[int, float] = {}
    for (variables, _), unit in zip(parts, units, strict=True):
        depth = _DEPTH_GROUPS * unit // num_units
        for variable in variables:
            multipliers.setdefault(id(variable), layer_decay ** (_DEPTH_GROUPS - depth))
    return multipliers


def _parts(
    layer: keras.layers.Layer, block: int | None
) -> Iterator[tuple[list[keras.Variable], int | None]]:
    """A layer's own trained variables, then its layers' in their order, each with its block.

    A block is a layer of layers that has siblings of its kind; within one it is named by its id.
    (`_flatten_layers` turns the order of nested layers around.)
    """
    children = layer._layers
    nested = {id(v) for child in children for v in child.variables}
    own = [v for v in layer.trainable_variables if id(v) not in nested]
    if own:
        yield own, block
    kinds = Counter(type(child) for child in children if _is_compound(child))
    for child in children:
        repeated = _is_compound(child) and kinds[type(child)] > 1
        yield from _parts(child, id(child) if repeated else block)


def _is_compound(layer: keras.layers.Layer) -> bool:
    """Whether it is made of layers; Keras' own attention is one layer to us."""
    own = type(layer).__module__.startswith("keras.") and not isinstance(layer, keras.Model)
    return bool(layer._layers) and not own


def _decayed(network: keras.Model) -> set[int]:
    """Ids of the variables that weight decay applies to: matrices, but no norms and no biases.

    Nor class tokens and embeddings of positions (Touvron et al. 2021, DeiT). An attention's biases
    are matrices, too, by their shape.
    """
    norms = {id(v) for layer in batch_norm.layers_of(network) for v in layer.trainable_variables}
    return {
        id(v)
        for v in network.trainable_variables
        if len(v.shape) > 1 and not _UNDECAYED.search("/".join(v.path.split("/")[-2:]))
    } - norms


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
