"""The network and its optimizers, and which of its layers learn at a time.

A training has one stage, or two with --freeze_epochs: the head alone, then everything. Each stage
has an optimizer of its own, so that the second starts with fresh moments.
"""

import json

from orchard import storage
from orchard.flags import select
from orchard.formats import RunDir
from trainer.checkpoints import TrainState
from trainer.config import TrainConfig
from trainer.keras_module import keras
from trainer.models import (
    BACKBONE_LAYER,
    LOGITS_LAYER,
    NetworkOptions,
    batch_norm,
    build_network,
    find_architecture,
    is_from_source,
)
from trainer.optim import make_optimizer
from trainer.runtime import Accelerator, set_precision
from trainer.training import plan as plans


def set_stage(network: keras.Model, head_only: bool, frozen_batch_norm: bool) -> None:
    """Set which layers learn from now on; graphs that are traced already do not change."""
    network.get_layer(BACKBONE_LAYER).trainable = not head_only
    if frozen_batch_norm:
        batch_norm.freeze(network)


def trained_variables(network: keras.Model, head_only: bool) -> list:
    """The variables that the stage trains."""
    if head_only:
        return network.get_layer(LOGITS_LAYER).trainable_variables
    return network.trainable_variables


def build_state(
    config: TrainConfig,
    accelerator: Accelerator,
    class_names: tuple[str, ...],
    plan: plans.Plan,
) -> TrainState:
    """A new network and its optimizers, in the strategy's scope, at the accelerator's precision."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(config.seed)
    set_precision(accelerator.precision(config))
    with accelerator.strategy.scope():
        network = build_network(
            select(NetworkOptions, config, num_classes=len(class_names), class_names=class_names)
        )
        return with_optimizers(config, accelerator, network, plan)


def with_optimizers(
    config: TrainConfig, accelerator: Accelerator, network: keras.Model, plan: plans.Plan
) -> TrainState:
    """A network and the optimizers of its stages; call it in the strategy's scope."""
    batch_norm.synchronize(network, accelerator.strategy.num_replicas_in_sync > 1)
    stages = [True, False] if plan.freeze_steps else [False]
    made = []
    for head_only in stages:
        set_stage(network, head_only, config.batch_norm == "frozen")
        variables = trained_variables(network, head_only)
        made.append(make_optimizer(config, network, variables))
    return TrainState(network, made)


def save_network_graph(run_dir: str, config: TrainConfig, network: keras.Model) -> None:
    """Keep the network's layers, so that an export needs neither --weights nor its .keras file."""
    storage.write_json(RunDir(run_dir).network_file, json.loads(network.to_json()))
    if is_from_source(config.architecture) and config.weights != "none":
        found = find_architecture(config.architecture)
        storage.write_json(RunDir(run_dir).pretrained_file, {"license": found.license})
