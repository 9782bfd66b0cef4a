"""Heads on frozen features and a trained network: one ensemble, one SavedModel."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from ensemble import EnsembleConfig, SavedPredictor, run
from orchard.formats import RunDir, load_logits
from tests.ensemble.serving.conftest import Served, listening
from tests.trainer import runs as tiny
from tests.trainer.features import runs
from trainer.augment import AugmentOptions
from trainer.data import load_records, read_few
from trainer.loop import train_and_evaluate


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    folder = tmp_path_factory.mktemp("members")
    dataset = tiny.tiny_dataset(folder / "tiny" / "1.0.0")
    backbone = tiny.tiny_backbone(folder / "tiny.keras")
    linear = runs.config(dataset, backbone, folder / "linear")
    views = {"feature_views": 2, "augment": AugmentOptions(flips="both")}
    mlp = dataclasses.replace(linear, run_dir=str(folder / "mlp"), head="mlp", **views)
    tuned = tiny.config(dataset, backbone, folder / "tuned", weights="imagenet", epochs=1)
    configs = [linear, mlp, dataclasses.replace(tuned, eval_every_epochs=1)]
    for config in configs:
        assert train_and_evaluate(config) == 0
    return dataset, [config.run_dir for config in configs]


@pytest.fixture(scope="module")
def jpegs(members):
    """Id to encoded image of the held-out records."""
    from orchard.formats import tfrecord

    records = load_records(members[0], "fold0")
    payloads = read_few(records, list(range(len(records))))
    return {
        str(image_id): tfrecord.Example(payload).bytes_of("image")
        for image_id, payload in zip(records.ids, payloads, strict=True)
    }


def _mean_of(paths):
    """Probabilities by the mean of the members' held-out logits."""
    logits = [load_logits(RunDir(path).eval_logits_file("fold0")).logits for path in paths]
    mean = np.mean(logits, axis=0)
    return np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True)


def test_ensemble_of_frozen_and_trained_members_is_one_saved_model_and_served(
    members, jpegs, tmp_path
):
    pytest.importorskip("uvicorn")
    from ensemble.serving import Limits, ServedModel

    dataset, paths = members
    output_dir = str(tmp_path / "out")
    config = EnsembleConfig(
        members=tuple(paths), dataset=dataset, split="fold0", output_dir=output_dir
    )
    result = run(config)
    files = []
    for image_id, content in jpegs.items():
        files.append(str(tmp_path / f"{image_id}.jpg"))
        (tmp_path / f"{image_id}.jpg").write_bytes(content)
    predicted = SavedPredictor(output_dir).predict(files)
    np.testing.assert_allclose(predicted, result.probabilities, atol=1e-5)
    np.testing.assert_allclose(predicted, _mean_of(paths), atol=1e-4)

    model = ServedModel(output_dir, "plants", 250_000)
    with listening(model, Limits()) as port:
        status, answer = Served(port, model, []).predict(
            list(jpegs.values()), "/v1/models/plants:predict"
        )
    assert status == 200
    served = [row["probabilities"] for row in answer["predictions"]]
    np.testing.assert_allclose(served, predicted, atol=1e-5)


def test_ensemble_with_a_keras_hub_preset_needs_no_keras_hub_to_predict(members, jpegs, tmp_path):
    pytest.importorskip("keras_hub", reason="the extra [hub] is not installed")
    from tests.trainer.models.sources import hub_presets

    dataset, (*_, tuned) = members
    preset, run_dir, output_dir = (str(tmp_path / name) for name in ("vit", "run", "out"))
    hub_presets.save(hub_presets.make("vit"), preset)
    config = runs.config(dataset, f"keras_hub:{preset}", run_dir, image_size="32")
    assert train_and_evaluate(config) == 0
    result = run(
        EnsembleConfig(
            members=(run_dir, tuned), dataset=dataset, split="fold0", output_dir=output_dir
        )
    )
    np.testing.assert_allclose(result.probabilities, _mean_of([run_dir, tuned]), atol=1e-5)

    np.save(tmp_path / "images.npy", np.array(list(jpegs.values()), object), allow_pickle=True)
    code = (
        "import sys; sys.modules.update(keras_hub=None, keras=None)\n"
        "import numpy as np, tensorflow as tf\n"
        f"folder = {str(tmp_path)!r}\n"
        "images = np.load(folder + '/images.npy', allow_pickle=True)\n"
        "model = tf.saved_model.load(folder + '/out/saved_model')\n"
        "answer = model.signatures['serving_default'](image_bytes=tf.constant(list(images)))\n"
        "np.save(folder + '/served.npy', answer['probabilities'])"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    served = np.load(tmp_path / "served.npy")
    np.testing.assert_allclose(served, result.probabilities, atol=1e-5)
