import json
import os

import numpy as np
import pytest
import tensorflow as tf

from orchard import storage
from orchard.formats import ComputeTime, DatasetOfRun, Logits, TrainingCost
from tests.records import run_record
from tests.trainer import runs
from trainer.data.load import load_records
from trainer.results import report


@pytest.fixture
def scored(tiny_dataset):
    records = load_records(tiny_dataset, "fold0")
    logits = 3 * records.targets + np.array([0.1, 0.0, -0.1], np.float32)
    logits[2] = np.roll(logits[2], 1)
    logits[5] = 2 * np.roll(logits[5], 1)
    return records, Logits(records.ids, logits, records.targets, records.class_names)


def _run(config, task="single_label", **changes):
    return run_record(
        architecture=config.architecture,
        dataset=DatasetOfRun("tiny", "1.0.0", "abc123", config.dataset),
        task=task,
        config=config.to_json(),
        **changes,
    )


def test_worst_mistakes_come_with_the_highest_loss_first(scored):
    _, table = scored
    assert list(report.worst_mistakes(table, "single_label", 9)) == [5, 2]
    assert list(report.worst_mistakes(table, "single_label", 1)) == [5]
    assert set(report.worst_mistakes(table, "multi_label", 99)) >= {2, 5}


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_write_makes_a_self_contained_page_that_names_the_mistakes(
    tmp_path, tiny_dataset, scored, task
):
    config = runs.config(tiny_dataset, "mobilenet_v2", tmp_path, dropout=0.25)
    train = {"kind": "train", "step": 3, "loss": 1.0, "learning_rate": 0.1}
    train |= {"images_per_second": 123.4}  # No waits: they are not measured under op determinism.
    evaluation = dict.fromkeys(
        ("log_loss", "accuracy", "balanced_accuracy", "roc_auc", "average_precision", "f1"), 0.5
    )
    lines = [train, {"kind": "eval", "step": 3, **evaluation, "roc_auc": None}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    storage.write_bytes(str(tmp_path / "metrics.jsonl"), text.encode())
    records, table = scored
    report.write(str(tmp_path), _run(config, task), records, table)
    page = (tmp_path / "report.html").read_text()
    assert str(records.ids[5]) in page and "taken for" in page
    assert "--dropout=0.25" in page
    assert all(
        f"{title} over the steps" in page for title in ("Loss", "Learning rate", "Evaluation")
    )
    assert ("threshold" in page) == (task == "multi_label")
    assert "123.4" in page and "waiting for data" not in page
    assert 'src="http' not in page and "<script" not in page


def test_write_without_evaluation_makes_a_page(tmp_path, tiny_dataset):
    config = runs.config(tiny_dataset, "mobilenet_v2", tmp_path)
    report.write(str(tmp_path), _run(config, scores={}), None, None)
    page = (tmp_path / "report.html").read_text()
    assert "mobilenet_v2 on tiny" in page
    assert "training took</dt><dd>unknown" in page


def test_write_of_a_run_whose_cost_is_known_says_it(tmp_path, tiny_dataset):
    config = runs.config(tiny_dataset, "mobilenet_v2", tmp_path)
    time = ComputeTime(200.0, 390.5, 1600.0, "tpu", 8)
    cost = TrainingCost(time, 12_345, 771_629_504, 5_000_000)
    report.write(str(tmp_path), _run(config, scores={}, cost=cost), None, None)
    page = (tmp_path / "report.html").read_text()
    for fact in ("3 min 20 s", "1,600 TPU-s", "8 x tpu", "12,345", "0.772 GFLOPs", "5,000,000"):
        assert f"<dd>{fact}</dd>" in page


def test_write_sample_predictions_shows_the_mistakes_in_tensorboard(tmp_path, tiny_dataset, scored):
    config = runs.config(tiny_dataset, "mobilenet_v2", tmp_path)
    report.write_sample_predictions(str(tmp_path), _run(config), *scored)
    folder = tmp_path / "tensorboard"
    events = tf.compat.v1.train.summary_iterator(str(folder / os.listdir(folder)[0]))
    kinds = {v.tag: v.metadata.plugin_data.plugin_name for e in events for v in e.summary.value}
    # Shown are those whose tag has one kind.
    assert kinds == {"worst_mistakes": "images", "worst_mistakes_table": "text"}
