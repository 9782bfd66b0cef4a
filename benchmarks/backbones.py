"""What the networks cost: weights, FLOPs, and the time of an image's features on a CPU.

    python -m benchmarks.backbones --write_to=docs/benchmarks.md

Networks of the registry and of KerasHub, whose large ones are built here from their papers'
numbers, without weights. Each is timed in turn with REFERENCE, by CPU seconds, and given as a ratio
(median, and the least and greatest of --rounds).
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from absl import flags

from orchard import cli, storage
from trainer.keras_module import keras
from trainer.models import (
    BACKBONE_LAYER,
    NetworkOptions,
    build_network,
    find_architecture,
    forward_flops,
)

_NETWORKS = flags.DEFINE_list("networks", [], "Only these; keras_hub:DIR also others than ours.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "How often each is timed.")
_WRITE_TO = flags.DEFINE_string("write_to", "", "Put the table between this file's marks.")

REFERENCE = "efficientnet_b0"
_BATCH = 8
_BEGIN, _END = "<!-- backbones: begin -->", "<!-- backbones: end -->"
_REGISTRY = (
    "vgg_small",
    "resnet9",
    "resnet20",
    "mobilenet_v2",
    REFERENCE,
    "densenet121",
    "resnet50",
    "convnext_tiny",
    "efficientnet_v2_s",
)


@dataclass(frozen=True)
class Row:
    """What was found of a network: millions of weights, GFLOP an image, time over REFERENCE's."""

    name: str
    image_size_px: int
    weights: float
    flops: float
    ratios: tuple[float, ...]

    def __str__(self) -> str:
        middle, low, high = statistics.median(self.ratios), min(self.ratios), max(self.ratios)
        return (
            f"| {self.name} | {self.image_size_px} | {self.weights:.3g} | {self.flops:.3g} | "
            f"{middle:.2g} ({low:.2g}-{high:.2g}) |"
        )


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        presets = _save_presets(folder)
        names = _NETWORKS.value or [*_REGISTRY, *presets]
        rows = [_row(name, presets.get(name, name)) for name in names]
    lines = [
        f"| network | px | weights, million | GFLOP an image | CPU time, {REFERENCE} = 1 |",
        "|---|---|---|---|---|",
        *map(str, rows),
    ]
    print("\n".join(lines))
    if _WRITE_TO.value:
        _put_between_marks(_WRITE_TO.value, "\n".join(lines))


def _save_presets(folder: str) -> dict[str, str]:
    """Of KerasHub's large networks as their papers give them: name to --architecture."""
    found = {}
    for name, (network, converter, settings) in _networks_of_papers().items():
        preset = os.path.join(folder, name.replace("/", "_"))
        os.makedirs(preset)
        config = keras.saving.serialize_keras_object(network(**settings))
        with open(os.path.join(preset, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        size = settings["image_shape"][:2]
        converter(image_size=size, scale=1 / 127.5, offset=-1.0).save_to_preset(preset)
        found[name] = f"keras_hub:{preset}"
    return found


def _networks_of_papers() -> dict[str, tuple[Callable[..., Any], Any, dict[str, Any]]]:
    """Backbone, image converter and settings, by name."""
    import keras_hub

    models, layers = keras_hub.models, keras_hub.layers
    shape = (224, 224, 3)
    small = {"num_layers": 12, "num_heads": 6, "hidden_dim": 384, "image_shape": shape}
    base = {"num_layers": 12, "num_heads": 12, "hidden_dim": 768, "image_shape": shape}
    return {
        "MiT-B0": (
            models.MiTBackbone,
            layers.MiTImageConverter,
            {
                "layerwise_depths": [2, 2, 2, 2],
                "image_shape": shape,
                "hidden_dims": [32, 64, 160, 256],
                "num_layers": 4,
                "layerwise_num_heads": [1, 2, 5, 8],
                "layerwise_sr_ratios": [8, 4, 2, 1],
                "max_drop_path_rate": 0.1,
                "layerwise_patch_sizes": [7, 3, 3, 3],
                "layerwise_strides": [4, 2, 2, 2],
            },
        ),
        "DeiT-S/16": (
            models.DeiTBackbone,
            layers.DeiTImageConverter,
            {**small, "patch_size": 16, "intermediate_dim": 1536},
        ),
        "DINOv2-S/14": (
            models.DINOV2Backbone,
            layers.DINOV2ImageConverter,
            {**small, "patch_size": 14, "intermediate_dim": 1536},
        ),
        "DINOv3-S/16": (
            models.DINOV3Backbone,
            layers.DINOV3ImageConverter,
            {**small, "patch_size": 16, "intermediate_dim": 1536},
        ),
        "Swin-T": (
            models.SwinTransformerBackbone,
            layers.SwinTransformerImageConverter,
            {
                "image_shape": shape,
                "embed_dim": 96,
                "depths": [2, 2, 6, 2],
                "num_heads": [3, 6, 12, 24],
                "window_size": 7,
            },
        ),
        "ViT-B/16": (
            models.ViTBackbone,
            layers.ViTImageConverter,
            {**base, "patch_size": 16, "mlp_dim": 3072},
        ),
    }


def _row(name: str, architecture: str) -> Row:
    side = find_architecture(architecture).image_size_px or 224
    network = build_network(NetworkOptions(architecture, 10, side, side))
    backbone = network.get_layer(BACKBONE_LAYER)
    reference_side = find_architecture(REFERENCE).image_size_px or 224
    reference = build_network(NetworkOptions(REFERENCE, 10, reference_side, reference_side))
    ours, theirs = _features_of(network), _features_of(reference)
    ratios = tuple(_cpu_seconds(ours) / _cpu_seconds(theirs) for _ in range(_ROUNDS.value))
    weights = sum(int(np.prod(variable.shape)) for variable in backbone.trainable_variables)
    row = Row(name, side, weights / 1e6, (forward_flops(network) or np.nan) / 1e9, ratios)
    print(row, file=sys.stderr, flush=True)
    return row


def _features_of(network: keras.Model) -> Callable[[], Any]:
    """Runs one batch, after a first one that is not timed."""
    images = tf.zeros([_BATCH, *network.input_shape[1:]])
    traced = tf.function(lambda: network(images, training=False)).get_concrete_function()
    traced()
    return traced


def _cpu_seconds(run: Callable[[], Any]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def _put_between_marks(path: str, table: str) -> None:
    text = storage.read_bytes(path).decode()
    before, rest = text.split(_BEGIN)
    storage.write_bytes(path, f"{before}{_BEGIN}\n{table}\n{_END}{rest.split(_END)[1]}".encode())


if __name__ == "__main__":
    cli.run(main)
