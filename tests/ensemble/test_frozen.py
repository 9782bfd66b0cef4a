"""Two heads on frozen features and a trained network: one ensemble, one SavedModel."""

import dataclasses
import os

import numpy as np
import pytest

from ensemble import EnsembleConfig, SavedPredictor, run
from orchard.formats import RunDir, load_logits
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


def test_ensemble_of_frozen_and_trained_members_is_one_saved_model(members, tmp_path):
    from orchard.formats import tfrecord

    dataset, paths = members
    result = run(
        EnsembleConfig(
            members=tuple(paths),
            dataset=dataset,
            split="fold0",
            output_dir=str(tmp_path / "out"),
        )
    )
    records = load_records(dataset, "fold0")
    images = tmp_path / "images"
    os.makedirs(images)
    for image_id, payload in zip(records.ids, read_few(records, list(range(18))), strict=True):
        (images / f"{image_id}.jpg").write_bytes(tfrecord.Example(payload).bytes_of("image"))
    predictor = SavedPredictor(str(tmp_path / "out"))
    served = predictor.predict([str(images / f"{image_id}.jpg") for image_id in records.ids])
    np.testing.assert_allclose(served, result.probabilities, atol=1e-5)
    logits = [load_logits(RunDir(path).eval_logits_file("fold0")).logits for path in paths]
    mean = np.mean(logits, axis=0)
    wanted = np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(served, wanted, atol=1e-4)
