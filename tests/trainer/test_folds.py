import dataclasses
import os
import shutil
import time

import numpy as np
import pytest

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import FoldsRecord, RunRecord
from orchard.formats.logits import load_logits, save_logits
from tests.records import run_record, training_meta
from tests.trainer import runs
from trainer import folds, summary
from trainer.data.load import load_records
from trainer.loop import train_and_evaluate
from trainer.saved_config import SavedConfig

_CLASSES = ("a", "b", "c")
_BEST_STEPS = {"0": 9, "1": 18, "2": 14}  # Of 18, in batches of 8 of 36 records.


@pytest.fixture
def config(tmp_path, tiny_dataset):
    return runs.config(tiny_dataset, "mobilenet_v2", tmp_path / "cv", fold="all", image_size="32")


def _stand_in(trained, stop_at=None):
    """A training that writes what the folds need, with a score that depends on the fold.

    Args:
        trained: gets the fold of each, or the config of a refit.
        stop_at: the fold, or the folder of a refit, that is not finished.
    """

    def train(config, started):
        del started
        if stop_at in (config.fold, os.path.basename(config.run_dir)):
            return 75
        if config.fold == "none":
            trained.append(config)
            return 0
        trained.append(config.fold)
        resolved = dataclasses.replace(training_meta(0).resolved, batch_size=config.batch_size)
        SavedConfig(config, resolved).save()
        records = load_records(config.dataset, f"fold{config.fold}")
        logits = 4 * records.targets
        logits[: int(config.fold)] *= -1
        path = os.path.join(config.run_dir, "eval_logits", f"fold{config.fold}.npz")
        save_logits(path, records.ids, logits, records.targets, _CLASSES)
        accuracy = 1 - int(config.fold) / len(records)
        record = run_record(
            fold=config.fold,
            train_split="+".join(f"fold{k}" for k in range(3) if str(k) != config.fold),
            best_step=_BEST_STEPS[config.fold],
            scores={"accuracy": accuracy, "log_loss": 0.1},
            config=config.to_json(),
        )
        record.save(os.path.join(config.run_dir, "run.json"))
        return 0

    return train


def test_train_all_where_one_training_is_and_the_reverse_are_refused(config, tmp_path):
    alone = tmp_path / "alone"
    storage.write_json(str(alone / "network.json"), {})
    changed = dataclasses.replace(config, run_dir=str(alone))
    with pytest.raises(OrchardError, match="holds a single training; choose another --run_dir"):
        folds.train_all(changed, time.monotonic(), _stand_in([]))
    assert folds.train_all(config, time.monotonic(), _stand_in([], stop_at="1")) == 75
    with pytest.raises(
        OrchardError,
        match=r"--refit; choose .* one of them: .*/fold0$",
    ):
        train_and_evaluate(dataclasses.replace(config, fold="0"))


def test_train_all_trains_every_fold_and_scores_them_together(config, capsys):
    trained = []
    assert folds.train_all(config, time.monotonic(), _stand_in(trained)) == 0
    assert trained == ["0", "1", "2"]
    table = storage.read_json(os.path.join(config.run_dir, "folds.json"))
    values = np.array([1, 1 - 1 / 18, 1 - 2 / 18])
    assert table["mean"]["accuracy"] == pytest.approx(values.mean())
    assert table["spread"]["accuracy"] == pytest.approx(values.std(ddof=1))
    assert table["pooled"]["accuracy"] == pytest.approx(values.mean())
    pooled = load_logits(os.path.join(config.run_dir, "out_of_fold.npz"))
    assert len(np.unique(pooled.ids)) == 54
    *rows, report, following = capsys.readouterr().out.splitlines()[-5:]
    assert report == f"report: {config.run_dir}/report.html"
    assert following.startswith("next: python -m trainer.summary --runs_dir=")
    assert rows[0].split() == "fold 0 fold 1 fold 2 mean spread pooled".split()
    assert rows[1].split() == [
        "accuracy",
        "1.0000",
        "0.9444",
        "0.8889",
        "0.9444",
        "0.0556",
        "0.9444",
    ]


def test_summarize_score_that_is_nan_is_null_and_left_out_of_the_mean(config):
    folds.train_all(config, time.monotonic(), _stand_in([]))
    scores = [{"accuracy": 0.5, "roc_auc": None}, {"accuracy": 1.0, "roc_auc": 0.75}]
    described = [run_record(fold=str(k), scores=s) for k, s in enumerate(scores)]
    path = os.path.join(config.run_dir, "fold0", "eval_logits", "fold0.npz")
    summary = folds.summarize(described, [load_logits(path)], 3.0)
    assert summary.mean == {"accuracy": 0.75, "roc_auc": 0.75}
    assert summary.spread == {"accuracy": pytest.approx(0.3536, abs=1e-4), "roc_auc": None}
    assert "nan" in folds.table(summary).splitlines()[2]


def test_train_all_stopped_fold_stops_with_its_status(config):
    trained = []
    assert folds.train_all(config, time.monotonic(), _stand_in(trained, stop_at="1")) == 75
    assert trained == ["0"]
    assert not os.path.exists(os.path.join(config.run_dir, "folds.json"))


def test_train_all_with_refit_trains_on_all_rows_for_the_length_that_the_folds_found(
    config, capsys
):
    trained = []
    config = dataclasses.replace(config, refit=2, seed=5)
    assert folds.train_all(config, time.monotonic(), _stand_in(trained)) == 0
    assert trained[:3] == ["0", "1", "2"]
    # 9, 18 and 14 steps of 4.5 an epoch.
    assert [(each.epochs, each.seed, each.refit) for each in trained[3:]] == [
        (3.11, 5, 0),
        (3.11, 6, 0),
    ]
    assert [os.path.relpath(each.run_dir, config.run_dir) for each in trained[3:]] == [
        "refit0",
        "refit1",
    ]
    assert FoldsRecord.load(os.path.join(config.run_dir, "folds.json")).found_epochs == 3.11
    printed = capsys.readouterr().out
    assert "the folds exported their steps after 2, 4, 3.11 epochs: refits take 3.11\n" in printed
    assert printed.splitlines()[-1].startswith("next: python -m trainer.summary")
    page = open(os.path.join(config.run_dir, "report.html")).read()
    assert "of 3.11 epochs" in page and "2 of 2 are not finished yet" in page


def test_train_all_of_refits_alone_trains_seeds_on_all_rows_as_long_as_said(config):
    trained = []
    config = dataclasses.replace(config, fold="none", refit=2, min_steps=70, seed=5)
    assert folds.train_all(config, time.monotonic(), _stand_in(trained)) == 0
    assert [(one.seed, one.fold, one.min_steps, one.refit) for one in trained] == [
        (5, "none", 70, 0),
        (6, "none", 70, 0),
    ]
    assert [os.path.basename(one.run_dir) for one in trained] == ["refit0", "refit1"]
    assert not os.path.exists(os.path.join(config.run_dir, "folds.json"))


def test_train_all_stopped_refit_stops_with_its_status_and_keeps_the_folds_scores(config, capsys):
    trained = []
    config = dataclasses.replace(config, refit=2)
    stand_in = _stand_in(trained, stop_at="refit1")
    assert folds.train_all(config, time.monotonic(), stand_in) == 75
    assert len(trained) == 4
    assert os.path.exists(os.path.join(config.run_dir, "out_of_fold.npz"))
    assert "next:" not in capsys.readouterr().out


def test_train_all_of_networks_goes_on_and_a_larger_refit_adds_what_it_lacks(
    tmp_path, tiny_dataset, tiny_backbone, capsys
):
    config = runs.config(
        tiny_dataset, tiny_backbone, tmp_path / "cv", fold="all", refit=1, epochs=2
    )
    assert folds.train_all(config, time.monotonic()) == 0
    before = capsys.readouterr().out
    assert "training on 54 records of fold0+fold1+fold2" in before
    assert before.count("next:") == 1
    first = tmp_path / "cv" / "refit0" / "run.json"
    record = RunRecord.load(str(first))
    assert (record.fold, record.train_split, record.eval_split) == (
        "none",
        "fold0+fold1+fold2",
        None,
    )
    assert record.scores == {}
    written = first.stat().st_mtime_ns
    shutil.rmtree(tmp_path / "cv" / "fold1" / "saved_model")  # Not looked at: the run is finished.
    assert folds.train_all(dataclasses.replace(config, refit=2), time.monotonic()) == 0
    after = capsys.readouterr().out
    assert after.count("finished already, nothing to do") == 4
    assert "refit 1 of 2, seed 1" in after
    assert first.stat().st_mtime_ns == written
    assert (tmp_path / "cv" / "refit1" / "saved_model").is_dir()
    page = (tmp_path / "cv" / "report.html").read_text()
    links = ["fold0", "fold1", "fold2", "refit0", "refit1"]
    assert [name for name in links if f'<a href="{name}/report.html">' in page] == links
    assert all((tmp_path / "cv" / name / "report.html").exists() for name in links)
    images = sum(
        RunRecord.load(str(tmp_path / "cv" / n / "run.json")).cost.train_images for n in links
    )
    assert f"<dt>training images</dt><dd>{images:,}</dd>" in page
    assert "Confusion" in page and "calibration error" in page and "not finished" not in page


def test_train_all_dataset_without_folds_is_refused(config, tmp_path):
    dataset = runs.tiny_dataset(tmp_path / "one" / "1.0.0", folds=1)
    with pytest.raises(OrchardError, match="--folds=5"):
        folds.train_all(dataclasses.replace(config, dataset=dataset), time.monotonic(), None)


def test_summary_of_folds_has_a_row_for_each_run_and_the_flags_that_differ(config):
    folds.train_all(config, time.monotonic(), _stand_in([]))
    config_with_dots = dataclasses.replace(config, run_dir=f"{config.run_dir}/rate.0.001")
    folds.train_all(config_with_dots, time.monotonic(), _stand_in([]))
    assert [row["run"] for row in summary.collect(config.run_dir)][3:] == [
        "rate.0.001/fold0",
        "rate.0.001/fold1",
        "rate.0.001/fold2",
    ]
    shutil.rmtree(config_with_dots.run_dir)
    rows = summary.collect(config.run_dir)
    assert [row["run"] for row in rows] == ["fold0", "fold1", "fold2"]
    assert [row["--fold"] for row in rows] == ["0", "1", "2"]
    assert "--seed" not in rows[0]
    text = summary.csv_text(rows)
    assert text.splitlines()[0].startswith("run,architecture,image_size_px,fold")
    assert len(text.splitlines()) == 4
