"""The logger of MLflow, with MLflow's own store of files."""

import dataclasses

import pytest

from orchard.errors import OrchardError
from tests.records import run_record
from trainer.loggers import LOGGERS, LoggedRun

mlflow = pytest.importorskip("mlflow")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Where MLflow keeps runs in this test; its database would take seconds to make."""
    uri = (tmp_path / "store").as_uri()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "plants")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return mlflow.MlflowClient(uri)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "b0" / "fold1").mkdir(parents=True)
    (tmp_path / "b0" / "fold1" / "report.html").write_text("<p>a report")
    flags = {"learning_rate": 0.1, "epochs": 4.0, "loggers": ("mlflow",)}
    return LoggedRun(str(tmp_path / "b0" / "fold1"), flags, 0, 20, lambda reason: None)


def _kept(store):
    experiment = store.get_experiment_by_name("plants")
    return store.search_runs([experiment.experiment_id])


def test_finished_training_is_one_run_with_flags_numbers_scores_and_report(store, run):
    logger = LOGGERS["mlflow"]()
    logger.begin(run)
    logger.log("train", 10, {"loss": 0.5, "epoch": 2})
    logger.log("eval", 20, {"accuracy": 0.75, "roc_auc": float("nan"), "best": True})
    logger.log("event", 20, {"event": "stopped", "reason": "SIGTERM"})
    logger.flush()
    logger.end(run_record(scores={"accuracy": 0.75, "roc_auc": None}, best_step=20))
    (kept,) = _kept(store)
    assert (kept.info.run_name, kept.info.status) == ("b0/fold1", "FINISHED")
    assert kept.data.params == {"learning_rate": "0.1", "epochs": "4.0", "loggers": "mlflow"}
    metrics = kept.data.metrics
    assert (metrics["train/loss"], metrics["eval/accuracy"]) == (0.5, 0.75)
    assert metrics["exported/accuracy"] == 0.75 and "exported/roc_auc" not in metrics
    history = store.get_metric_history(kept.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(10, 0.5)]
    assert [file.path for file in store.list_artifacts(kept.info.run_id)] == ["report.html"]


def test_training_that_goes_on_goes_on_with_its_run_and_tags_a_changed_flag(store, run):
    first = LOGGERS["mlflow"]()
    first.begin(run)
    first.log("train", 10, {"loss": 0.5})
    first.end(None)
    assert _kept(store)[0].info.status == "KILLED"
    second = LOGGERS["mlflow"]()
    second.begin(dataclasses.replace(run, step=10, flags={**run.flags, "epochs": 8.0}))
    second.log("train", 20, {"loss": 0.25})
    second.flush()
    (kept,) = _kept(store)
    assert kept.info.status == "RUNNING" and kept.data.params["epochs"] == "4.0"
    assert kept.data.tags["changed.epochs"] == "8.0"
    history = store.get_metric_history(kept.info.run_id, "train/loss")
    assert [point.step for point in history] == [10, 20]


def test_numbers_of_steps_that_come_again_are_not_sent_twice(store, run):
    logger = LOGGERS["mlflow"]()
    logger.begin(run)
    for step in (10, 20):
        logger.log("train", step, {"loss": 0.5})
    logger.back_to(10)
    logger.log("train", 20, {"loss": 0.25})
    logger.flush()
    history = store.get_metric_history(_kept(store)[0].info.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(10, 0.5), (20, 0.25)]


def test_server_that_goes_away_costs_a_warning_and_what_waits_is_sent_at_the_end(
    store, run, tmp_path, caplog
):
    logger = LOGGERS["mlflow"]()
    logger.begin(run)
    logger.log("train", 10, {"loss": 0.5})
    (tmp_path / "store").rename(tmp_path / "away")
    logger.flush()
    assert "mlflow: 1 numbers wait" in caplog.text
    (tmp_path / "away").rename(tmp_path / "store")
    logger.end(None)
    (kept,) = _kept(store)
    assert kept.data.metrics == {"train/loss": 0.5} and kept.info.status == "KILLED"


def test_store_that_cannot_be_used_is_refused_in_one_line_before_the_first_step(run, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    with pytest.raises(OrchardError, match="correct MLFLOW_TRACKING_URI"):
        logger = LOGGERS["mlflow"]()
        logger.begin(run)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(
        OrchardError, match=r"--loggers=mlflow needs MLflow: pip install .*\[mlflow\]"
    ):
        LOGGERS["mlflow"]()
