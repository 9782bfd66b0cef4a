import dataclasses

import pytest

from ensemble import pipeline
from ensemble.config import EnsembleConfig
from orchard.errors import OrchardError
from tests.ensemble.builders import make_dataset, make_member, make_world, world_config


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("inputs"))


def test_run_with_weights_split_that_a_member_trained_on_is_refused(world, tmp_path):
    with pytest.raises(OrchardError, match=r"a was trained on fold1 .* use --weights_split"):
        pipeline.run(world_config(world, tmp_path, weights="greedy", weights_split="fold1"))
    assert not (tmp_path / "logits").exists()


def test_run_with_weights_split_without_labels_is_refused_before_predicting(world, tmp_path):
    with pytest.raises(OrchardError, match="--weights_split=test has no labeled image"):
        pipeline.run(world_config(world, tmp_path, weights="greedy", weights_split="test"))
    assert not (tmp_path / "logits").exists()


def test_run_with_calibration_of_a_fold_that_no_other_covers_is_refused(world, tmp_path):
    for fold, (train, evaluated) in enumerate((("fold1", "fold0"), ("fold0", "fold1"))):
        path = tmp_path / "net" / f"fold{fold}"
        make_member(path, world[1], seed=5 + fold, train_split=train, eval_split=evaluated)
    members = (str(tmp_path / "net"), str(world[0] / "a"))
    config = dataclasses.replace(world_config(world, tmp_path / "out"), members=members)
    with pytest.raises(OrchardError, match=r"net/fold1: .*\(fold1\), so --calibrate cannot fit"):
        pipeline.run(dataclasses.replace(config, calibrate=True))
    assert len(pipeline.run(config).inputs.held_out.ids) == 40


def test_run_with_labels_csv_of_an_unknown_image_is_refused(world, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("image_id,label\ntest_0000,scab\nnobody,rust\n")
    with pytest.raises(OrchardError, match="names 'nobody'"):
        pipeline.run(world_config(world, tmp_path / "out", labels_csv=str(bad)))
    bad.write_text("image_id,label\ntest_0000,mildew\n")
    with pytest.raises(OrchardError, match="row 2 .*'mildew'"):
        pipeline.run(world_config(world, tmp_path / "out", labels_csv=str(bad)))
    assert not (tmp_path / "out").exists()


def test_run_with_thresholds_that_do_not_fit_the_classes_is_refused(tmp_path):
    make_dataset(tmp_path / "leaves", {"fold0": 4, "fold1": 4, "test": 2}, "multi_label")
    make_member(tmp_path / "m", tmp_path / "leaves", task="multi_label")
    for text, words in (("0.5,0.5", "or 3: one a class"), ("1.5", "between 0 and 1")):
        with pytest.raises(OrchardError, match=words):
            pipeline.run(
                EnsembleConfig(
                    members=(str(tmp_path / "m"),),
                    dataset=str(tmp_path / "leaves"),
                    split="test",
                    output_dir=str(tmp_path / "out"),
                    thresholds=text,
                )
            )
