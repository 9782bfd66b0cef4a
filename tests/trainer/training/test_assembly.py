import dataclasses

import numpy as np
import pytest

from orchard.errors import OrchardError
from tests.trainer import runs
from tests.trainer.datasets import jpeg, smooth_image, write_dataset
from trainer.runtime import connect_to_train
from trainer.training.assembly import prepare


def _prepare(config):
    return prepare(config, connect_to_train(config))


def test_prepare_of_a_fold_holds_it_out(tmp_path, tiny_dataset, tiny_backbone):
    run = _prepare(runs.config(tiny_dataset, tiny_backbone, tmp_path))
    assert run.plan.splits.train == "fold1+fold2" and run.plan.splits.evaluate == "fold0"
    assert len(run.train_records) == 36 and len(run.eval_records) == 18
    assert run.network.output_shape == (None, runs.NUM_CLASSES)
    assert run.state.progress.step == 0


def test_prepare_of_no_fold_holds_nothing_out(tmp_path, tiny_dataset, tiny_backbone):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path, fold="none")
    run = _prepare(config)
    assert len(run.train_records) == 54
    assert run.eval_records is None and run.evaluation is None


def test_prepare_of_splits_that_share_records_is_refused_naming_one(
    tmp_path, tiny_dataset, tiny_backbone
):
    config = runs.config(
        tiny_dataset,
        tiny_backbone,
        tmp_path,
        fold="",
        train_split="fold0+fold1",
        eval_split="fold1",
    )
    with pytest.raises(OrchardError, match="^18 records are in the training and the evaluation"):
        _prepare(config)


def test_prepare_of_unlabeled_records_is_refused(tmp_path, tiny_backbone):
    images = [jpeg(smooth_image(i, 16, 16)) for i in range(8)]
    labels = [0, 1, 0, -1, 0, 1, 0, 1]
    dataset = write_dataset(
        tmp_path / "data", images, labels, splits={"train": range(4), "eval": range(4, 8)}
    )
    with pytest.raises(OrchardError, match="1 of 4 records of train have no label, first 'r3'"):
        _prepare(runs.config(dataset, tiny_backbone, tmp_path / "run", fold=""))


def test_prepare_class_weights_are_of_the_records_trained_on(tmp_path, tiny_backbone):
    images = [jpeg(smooth_image(i, 16, 16)) for i in range(8)]
    dataset = write_dataset(
        tmp_path / "data",
        images,
        [0, 0, 0, 1, 1, 1, 1, 1],
        splits={"train": range(4), "eval": range(4, 8)},
    )
    config = runs.config(
        dataset, tiny_backbone, tmp_path / "run", fold="", class_weights="balanced", batch_size=4
    )
    weights = _prepare(config).objective.class_weights
    np.testing.assert_allclose(weights, [4 / (2 * 3), 4 / (2 * 1)], rtol=1e-6)


def test_prepare_soft_labels_change_the_targets_of_training_alone(
    tmp_path, tiny_dataset, tiny_backbone
):
    plain = _prepare(runs.config(tiny_dataset, tiny_backbone, tmp_path / "plain"))
    table = ["image_id," + ",".join(plain.train_records.class_names)]
    table += [f"{name},0.2,0.3,0.5" for name in plain.train_records.ids]
    (tmp_path / "soft.csv").write_text("\n".join(table))
    config = dataclasses.replace(
        plain.config,
        run_dir=str(tmp_path / "soft"),
        soft_labels=str(tmp_path / "soft.csv"),
        soft_labels_weight=1.0,
    )
    run = _prepare(config)
    np.testing.assert_allclose(run.train_records.targets, [[0.2, 0.3, 0.5]] * 36, rtol=1e-6)
    np.testing.assert_array_equal(run.eval_records.targets, plain.eval_records.targets)
