"""The same step under both runtimes: TensorFlow on one device, jax on one or on eight."""

import os
import shutil

import numpy as np
import pytest

from orchard import storage
from orchard.formats import manifest
from tests.trainer import runs
from trainer.augment import AugmentOptions
from trainer.models import ARCHITECTURES
from trainer.runtime import connect_to_train
from trainer.training.assembly import prepare

# No dropout: XLA's random numbers are not those of TensorFlow's own kernels.
_EVERYTHING = {
    "optimizer": "adamw",
    "weight_decay": 0.05,
    "ema_momentum": 0.9,
    "clip_norm": 0.5,
    "label_smoothing": 0.1,
    "class_weights": "1,2,3",
    "layer_decay": 0.8,
    "augment": AugmentOptions(flips="both", rotate_degrees=20, mixup_alpha=0.4),
    "learning_rate": 0.002,
}


def _losses(config, steps):
    """Losses of the first steps, and the values of all variables after them."""
    run = prepare(config, connect_to_train(config))
    step = run.make_step()
    batches = run.feed.train_batches(0, steps)
    rates = np.full(steps, config.learning_rate, np.float32)
    calls = range(0, steps, step.options.steps_per_call)
    with step.holding_state():
        losses = [step.run(batches, rates[k : k + step.options.steps_per_call]) for k in calls]
    return np.concatenate([one.losses for one in losses]), run.state.arrays()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("backbones") / "plain.keras"
    return runs.tiny_backbone(path, dropout=0.0)


def test_pjrt_step_of_everything_has_fifty_losses_of_tensorflow(
    tmp_path, tiny_dataset, plain, devices
):
    def config(runtime, replicas):
        changes = {**_EVERYTHING, "runtime": runtime, "replicas": replicas, "steps_per_call": 5}
        return runs.config(tiny_dataset, plain, tmp_path, batch_size=16, **changes)

    expected, state = _losses(config("tensorflow", 1), 50)
    got, other = _losses(config("pjrt", 8), 50)
    assert expected[-5:].mean() < 0.9 * expected[:5].mean()
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert state.keys() == other.keys()
    for name, array in state.items():
        assert array.dtype == other[name].dtype
        np.testing.assert_allclose(other[name], array, rtol=5e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "accumulation_steps": 2},
        {"optimizer": "lamb", "batch_norm": "frozen"},
        {"optimizer": "lion", "freeze_epochs": 1, "weights": "imagenet"},
        {"optimizer": "rmsprop", "precision": "mixed_bfloat16"},
    ],
    ids=lambda changes: changes["optimizer"],
)
def test_pjrt_step_of_any_optimizer_has_tensorflows_losses(
    changes, tmp_path, tiny_dataset, plain, devices
):
    losses = [
        _losses(runs.config(tiny_dataset, plain, tmp_path, runtime=runtime, **changes), 4)[0]
        for runtime in ("tensorflow", "pjrt")
    ]
    tolerance = 3e-2 if "precision" in changes else 1e-4
    np.testing.assert_allclose(losses[1], losses[0], rtol=tolerance)


def test_pjrt_step_with_parts_takes_them_from_every_device(tmp_path, tiny_dataset, devices):
    # Without BatchNorm the parts of a batch do not matter.
    backbone = runs.tiny_backbone(tmp_path / "plain.keras", dropout=0.0, batch_norm=False)

    def config(parts, replicas):
        changes = {"runtime": "pjrt", "accumulation_steps": parts, "replicas": replicas}
        # Adam's first step is as long for a gradient of 1e-9 as for any other: rounding would show.
        return runs.config(tiny_dataset, backbone, tmp_path, optimizer="sgd", **changes)

    whole, parts = _losses(config(1, 1), 4)[0], _losses(config(4, 2), 4)[0]
    np.testing.assert_allclose(parts, whole, rtol=1e-3)


def test_pjrt_step_of_many_labels_with_cutmix_has_tensorflows_losses(
    tmp_path, tiny_dataset, plain, devices
):
    dataset = shutil.copytree(tiny_dataset, tmp_path / "many")
    path = os.path.join(dataset, manifest.MANIFEST_FILE)
    storage.write_json(path, storage.read_json(path) | {"task": "multi_label"})
    changes = {
        "augment": AugmentOptions(cutmix_alpha=1.0, mixup_alpha=0.2),
        "loss": "focal",
        "class_weights": "1,2,3",
    }

    def losses(runtime, replicas):
        config = runs.config(
            dataset, plain, tmp_path, runtime=runtime, replicas=replicas, optimizer="sgd", **changes
        )
        return _losses(config, 6)[0]

    np.testing.assert_allclose(losses("pjrt", 4), losses("tensorflow", 1), rtol=1e-4)


def test_pjrt_estimate_of_batch_norm_has_tensorflows_statistics(
    tmp_path, tiny_dataset, plain, devices
):
    def statistics(runtime, replicas):
        changes = {"runtime": runtime, "replicas": replicas, "precise_batch_norm": "on"}
        config = runs.config(tiny_dataset, plain, tmp_path, **changes)
        run = prepare(config, connect_to_train(config))
        with run.evaluation_weights():
            found = {v.path: v.numpy() for v in run.network.weights if "moving_" in v.path}
        assert len(found) == 4
        return found

    expected, got = statistics("tensorflow", 1), statistics("pjrt", 4)
    assert not np.allclose(list(expected.values())[0], 0.0)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_pjrt_step_with_dropout_draws_other_masks_each_step(
    tmp_path, tiny_dataset, tiny_backbone, devices
):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path, runtime="pjrt", dropout=0.5)
    run = prepare(config, connect_to_train(config))
    before = run.state.arrays()
    step = run.make_step()
    with step.holding_state():
        losses = [
            step.run(run.feed.train_batches(0, 1), np.zeros(1, np.float32)).losses[0]
            for _ in range(2)
        ]
    assert losses[0] != losses[1]
    after = run.state.arrays()
    seeds = [
        n for n, a in before.items() if a.dtype.kind in "iu" and not np.array_equal(a, after[n])
    ]
    assert len(seeds) >= 2  # A seed generator's state, and the optimizer's count.


_SMALL = ("mobilenet",)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in _SMALL else pytest.mark.slow)
        for name in ARCHITECTURES
    ],
)
def test_pjrt_step_of_every_network_gives_a_finite_loss(name, tmp_path, tiny_dataset, devices):
    size = str(max(32, ARCHITECTURES[name].min_size_px))
    changes = {"runtime": "pjrt", "replicas": 2, "batch_size": 4, "image_size": size}
    config = runs.config(tiny_dataset, name, tmp_path, **changes)
    losses, _ = _losses(config, 2)
    assert np.isfinite(losses).all()
