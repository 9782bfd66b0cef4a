import dataclasses

import numpy as np
import pandas as pd
import pytest

from ensemble import pipeline
from tests.ensemble.builders import CLASS_NAMES, make_dataset, make_world, world_config


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("result"))


def test_run_for_a_metric_without_a_value_names_no_best_member(world, tmp_path):
    labels = tmp_path / "rust.csv"
    labels.write_text("image_id,label\n" + "".join(f"test_{i:04d},rust\n" for i in range(37)))
    config = world_config(world, tmp_path / "out", metric="roc_auc", labels_csv=str(labels))
    assert pipeline.run(config).split_board.verdict.startswith("There is no verdict")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "nan" not in page.split("<h2>Scores on split")[1].split("</table>")[0]
    assert page.count("(best)") == 1  # of the held-out images


def test_run_on_images_that_members_trained_on_has_a_caveat(world, tmp_path):
    result = pipeline.run(world_config(world, tmp_path, split="fold1"))
    assert result.caveats[0].startswith("Members trained on fold1")
    assert "show memory, not skill" in (tmp_path / "report.html").read_text()


def test_run_on_another_datasets_split_of_the_same_name_has_no_caveat(world, tmp_path):
    make_dataset(tmp_path / "new" / "1.0.0", {"fold1": 9}, seed=5)
    config = world_config(world, tmp_path, dataset=str(tmp_path / "new" / "1.0.0"), split="fold1")
    result = pipeline.run(dataclasses.replace(config, allow_other_dataset=True))
    assert result.split_board is not None
    assert result.caveats == []


def test_run_on_images_that_weights_were_fitted_on_has_a_caveat(world, tmp_path):
    result = pipeline.run(world_config(world, tmp_path, split="fold0", calibrate=True))
    assert "fitted on 40 images of the predicted split" in result.caveats[0]
    assert "flatter it" in (tmp_path / "report.html").read_text()
    assert pipeline.run(world_config(world, tmp_path, split="fold0")).caveats == []


def test_run_with_labels_of_some_images_scores_those(world, tmp_path):
    some = tmp_path / "some.csv"
    some.write_text("".join(world[2].read_text().splitlines(keepends=True)[:16]))
    result = pipeline.run(world_config(world, tmp_path / "out", labels_csv=str(some)))
    assert len(result.split_board.targets) == 15


def test_run_with_soft_targets_scores_their_likeliest_class(tmp_path, world):
    soft = tmp_path / "soft.csv"
    labels = pd.read_csv(world[2])
    table = pd.DataFrame({"image_id": labels["image_id"]})
    for name in CLASS_NAMES:
        table[name] = np.where(labels["label"] == name, 0.8, 0.1)
    table.to_csv(soft, index=False)
    hard = pipeline.run(world_config(world, tmp_path / "hard", labels_csv=str(world[2])))
    mixed = pipeline.run(world_config(world, tmp_path / "soft", labels_csv=str(soft)))
    scores = [r.split_board.ensemble.scores for r in (hard, mixed)]
    assert scores[0]["accuracy"] == scores[1]["accuracy"]
    assert scores[0]["log_loss"] != scores[1]["log_loss"]
