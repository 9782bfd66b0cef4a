"""Presets of KerasHub, made here at tiny width."""

import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from orchard.errors import OrchardError
from orchard.formats import ExportDir, RunDir, RunRecord, Task
from tests.trainer import runs
from trainer import loop
from trainer.models import (
    ARCHITECTURE_SOURCES,
    BACKBONE_LAYER,
    NetworkOptions,
    Scaling,
    build_network,
    find_architecture,
)
from trainer.optim import OptimizerOptions, make_optimizer
from trainer.results import export, finish

pytest.importorskip("keras_hub", reason="the extra [hub] is not installed")
hub_presets = pytest.importorskip("tests.trainer.models.sources.hub_presets")

SIDE_PX = hub_presets.SIDE_PX
_QUICK = ("vit", "resnet", "siglip")
# Made of Keras' own layers alone: their .keras files need no KerasHub.
_PLAIN = ("resnet", "cspnet", "densenet", "efficientnet", "vgg", "xception")


def _pixels(side_px=SIDE_PX):
    return np.random.default_rng(0).uniform(0, 255, (2, side_px, side_px, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """A family to its model and the directory of its preset; made when first asked for."""
    made = {}

    def get(family):
        if family not in made:
            model = hub_presets.make(family)
            folder = str(tmp_path_factory.mktemp(family))
            hub_presets.save(model, folder)
            made[family] = model, folder
        return made[family]

    return get


def _network(folder, side_px=SIDE_PX, **settings):
    return build_network(NetworkOptions(f"keras_hub:{folder}", 4, side_px, side_px, **settings))


def _features(network, pixels):
    scaled = network.get_layer("preprocessing")(pixels)
    return np.asarray(network.get_layer(BACKBONE_LAYER)(scaled))


def _same_as_own(model, features, pixels):
    """Whether features are what the library's model computes, as far as it shows them."""
    scaled = pixels * np.float32(hub_presets.SCALE) + np.float32(hub_presets.OFFSET)
    if hasattr(model, "backbone"):  # A classifier: its logits are a dense layer of the features.
        dense = next(d for d in model._flatten_layers() if d.name == "predictions")
        features = features @ np.asarray(dense.kernel) + np.asarray(dense.bias)
        own = model(scaled)
    elif hasattr(model, "vision_encoder"):
        own = model.vision_encoder({"images": scaled})
    else:
        (name,) = model.input  # "images", or DINOv3's "pixel_values".
        own = model({name: scaled})[:, 0]
    np.testing.assert_allclose(features, own, atol=1e-4)


@pytest.mark.parametrize(
    "family",
    [
        family if family in _QUICK else pytest.param(family, marks=pytest.mark.slow)
        for family in hub_presets.FAMILIES
    ],
)
def test_preset_has_its_own_features_trains_and_exports(family, presets, tmp_path):
    model, folder = presets(family)
    network = _network(folder, weights="imagenet")
    _same_as_own(model, _features(network, _pixels()), _pixels())

    _train_two_steps(network)

    serving = export.ServingModule(
        network, tuple("abcd"), Task.SINGLE_LABEL, SIDE_PX, SIDE_PX, "squash", False
    )
    output = ExportDir(str(tmp_path))
    export.export(network, serving, output)
    images = _pixels().astype(np.uint8)
    expected = network(images.astype(np.float32), training=False)
    loaded = tf.saved_model.load(output.saved_model_dir).signatures["images"]
    np.testing.assert_allclose(loaded(images=tf.constant(images))["logits"], expected, atol=1e-4)
    again = keras.models.load_model(output.keras_file)
    np.testing.assert_allclose(again(images.astype(np.float32)), expected, atol=1e-4)
    assert ("keras_hub" in network.to_json()) == (family not in _PLAIN)


def _train_two_steps(network):
    options = OptimizerOptions(optimizer="adamw", layer_decay=0.8, ema_momentum=0.9)
    variables = network.trainable_variables
    optimizer = make_optimizer(options, network, variables)
    optimizer.learning_rate = 1e-3

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            logits = network(_pixels(), training=True)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1], logits)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return tf.reduce_mean(loss)

    before = [variable.numpy() for variable in variables]
    losses = [float(step()) for _ in range(2)]
    assert np.isfinite(losses).all()
    changed = [
        not np.array_equal(old, new.numpy()) for old, new in zip(before, variables, strict=True)
    ]
    # Some weights have no gradient: DINO's mask token, keys' biases (softmax cancels them).
    assert np.mean(changed) > 0.8


@pytest.mark.parametrize("family", ["vit", "dinov2"])
def test_position_embeddings_follow_the_image_size(family, presets):
    model, folder = presets(family)
    larger = _network(folder, 2 * SIDE_PX, weights="imagenet")
    own, resized = _embeddings(model), _embeddings(larger)
    np.testing.assert_array_equal(own[0], resized[0])  # Of the class token.
    grid = own[1:].reshape(1, 4, 4, -1)
    expected = tf.image.resize(grid, (8, 8), "bicubic").numpy().reshape(64, -1)
    np.testing.assert_allclose(resized[1:], expected, atol=0.02)
    same = _network(folder, SIDE_PX, weights="imagenet")
    np.testing.assert_array_equal(own, _embeddings(same))


def _embeddings(model):
    wanted = ("interpolated_position_embeddings", "position_embedding/embeddings")
    (found,) = [v for v in model.variables if v.path.endswith(wanted)]
    return found.numpy().reshape(-1, found.shape[-1])


def test_size_that_a_family_does_not_take_is_refused_in_one_line(presets):
    _, folder = presets("vit")
    with pytest.raises(OrchardError, match="divisible by patch size") as raised:
        _network(folder, SIDE_PX + 1, weights="imagenet")
    assert "\n" not in str(raised.value)


def test_find_architecture_reads_size_and_scaling_of_the_image_converter(presets):
    _, folder = presets("vit")
    found = find_architecture(f"keras_hub:{folder}")
    assert found.image_size_px == SIDE_PX
    assert found.preprocessing == Scaling(hub_presets.SCALE, hub_presets.OFFSET)
    assert found.license == ""


def test_license_is_what_the_head_of_the_model_card_says(tmp_path):
    hub_presets.save(hub_presets.make("resnet"), str(tmp_path))
    (tmp_path / "README.md").write_text("---\ntags: [x]\nlicense: apache-2.0\n---\nlicense: mit\n")
    assert find_architecture(f"keras_hub:{tmp_path}").license == "apache-2.0"


def test_weights_none_are_drawn_anew_and_need_no_file(presets, tmp_path):
    model, _ = presets("vit")
    hub_presets.save(model, str(tmp_path))
    for file in tmp_path.glob("*.weights.h5"):
        file.unlink()
    network = _network(tmp_path, 2 * SIDE_PX, weights="none")
    assert network.input_shape == (None, 2 * SIDE_PX, 2 * SIDE_PX, 3)
    with pytest.raises(OrchardError, match="cannot be loaded"):
        _network(tmp_path, weights="imagenet")


def test_preset_without_trained_head_gives_the_pooled_map_of_its_network(presets, tmp_path):
    model, _ = presets("hgnetv2")
    model.backbone.save_to_preset(str(tmp_path))
    hub_presets.converter(model).save_to_preset(str(tmp_path))
    network = _network(tmp_path, weights="imagenet")
    scaled = _pixels() * np.float32(hub_presets.SCALE) + np.float32(hub_presets.OFFSET)
    own = list(model.backbone(scaled).values())[-1]
    np.testing.assert_allclose(_features(network, _pixels()), np.mean(own, axis=(1, 2)), atol=1e-4)


def test_bfloat16_computes_in_it_and_keeps_float32_weights_and_logits(presets):
    _, folder = presets("vit")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = _network(folder, weights="imagenet")
    finally:
        keras.config.set_dtype_policy("float32")
    assert network.get_layer(BACKBONE_LAYER).output.dtype == "bfloat16"
    assert network(_pixels()).dtype == tf.float32
    assert {v.dtype for v in network.trainable_variables} == {"float32"}


@pytest.mark.parametrize(
    "preset, reason", [("no_such_preset", "Unknown preset"), ("{tmp}", "config.json")]
)
def test_preset_that_is_none_is_refused_in_one_line(tmp_path, preset, reason):
    with pytest.raises(OrchardError, match=reason) as raised:
        find_architecture("keras_hub:" + preset.format(tmp=tmp_path))
    assert "\n" not in str(raised.value)


def test_without_the_extra_the_error_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['keras_hub'] = None\n"
        "from trainer.models import find_architecture\n"
        "find_architecture('keras_hub:vit_base')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert "pip install -e '.[hub]'" in done.stderr.splitlines()[-1]


def test_run_of_a_preset_names_it_and_its_license_and_exports_again_without_it(
    presets, tiny_dataset, tmp_path
):
    folder = tmp_path / "preset"
    shutil.copytree(presets("vit")[1], folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    architecture = f"keras_hub:{folder}"
    config = runs.config(
        tiny_dataset,
        architecture,
        tmp_path / "run",
        weights="imagenet",
        image_size="",
        epochs=1,
        layer_decay=0.8,
        ema_momentum=0.9,
    )
    assert loop.train_and_evaluate(config) == 0
    record = RunRecord.load(RunDir(config.run_dir).record_file)
    assert record.architecture == architecture and record.license == "apache-2.0"
    assert record.image_size_px == (SIDE_PX, SIDE_PX)
    assert record.cost.flops_per_image > 0
    report = (tmp_path / "run" / "report.html").read_text()
    assert architecture in report and "apache-2.0" in report

    shutil.rmtree(folder)  # As on another machine, which has nothing but the run.
    ARCHITECTURE_SOURCES["keras_hub"].cache_clear()
    finish.export_only(config.run_dir, "last")
    again = RunRecord.load(RunDir(config.run_dir).export_of(record.best_step).record_file)
    assert again.license == "apache-2.0" and again.scores.keys() == record.scores.keys()
