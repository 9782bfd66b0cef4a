"""mlflow: flags, numbers, report and scores in MLflow Tracking.

Where that is, says MLflow's own environment: MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME.
"""

import os
import posixpath
import time
from collections.abc import Mapping
from typing import Any

from absl import logging

from orchard import storage
from orchard.errors import OrchardError, in_one_line
from orchard.formats import RunDir, RunRecord
from trainer.loggers.logger import LOGGERS, LoggedRun, Logger, LogKind

_EXPERIMENT = "orchard"
# Of one request, as MLflow's servers limit them.
_MAX_METRICS = 1000
_MAX_PARAMS = 100
# A server that is away may cost a tenth of the training's time: a request waits minutes for it.
_WAIT_FACTOR = 10


@LOGGERS.register("mlflow")
class MLflowLogger(Logger):
    """One MLflow run a training, also where that goes on after an interruption.

    A server that cannot be reached at the start ends the training then; later it does not: numbers
    wait for the next flush. Any exception counts as that: MLflow's stores raise what they like.
    """

    def __init__(self) -> None:
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise OrchardError(
                "--loggers=mlflow needs MLflow: pip install -c constraints.txt -e '.[mlflow]'"
            ) from None
        try:
            self._client = MlflowClient()
        except Exception as error:
            where = os.environ.get("MLFLOW_TRACKING_URI", "MLflow's own choice")
            raise self._refused(where, error) from error
        self._waiting: list[Any] = []  # Metrics, the oldest first.
        self._away_until = 0.0

    def begin(self, run: LoggedRun) -> None:
        """Create the run in MLflow, or find the one that this training began with."""
        self._run_dir = run.run_dir
        try:
            self._run_id = self._begun_run() or self._new_run(run)
            self._client.update_run(self._run_id, status="RUNNING")
            self._log_flags(run.flags)
        except Exception as error:
            raise self._refused(self._client.tracking_uri, error) from error

    def _refused(self, where: str, error: Exception) -> OrchardError:
        return OrchardError(
            f"--loggers=mlflow: {where} refuses or cannot be reached ({in_one_line(error)}); "
            "correct MLFLOW_TRACKING_URI, or train without it"
        )

    def _begun_run(self) -> str | None:
        path = self._own_file()
        if not storage.exists(path):
            return None
        begun = storage.read_json(path)
        return begun["run_id"] if begun["tracking_uri"] == self._client.tracking_uri else None

    def _new_run(self, run: LoggedRun) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        parts = run.run_dir.rstrip("/").split("/")
        made = self._client.create_run(
            experiment,
            run_name=posixpath.join(*parts[-2:]),  # Of --fold=all: runs/b0/fold1.
            tags={"orchard.run_dir": run.run_dir},
        )
        begun = {"tracking_uri": self._client.tracking_uri, "run_id": made.info.run_id}
        storage.write_json(self._own_file(), begun)
        return made.info.run_id

    def _log_flags(self, flags: Mapping[str, Any]) -> None:
        """Every flag as a parameter; MLflow lets none change, so that a change is a tag."""
        from mlflow.entities import Param, RunTag

        before = self._client.get_run(self._run_id).data.params
        values = {name: _text(value) for name, value in flags.items()}
        new = [Param(name, value) for name, value in values.items() if name not in before]
        for at in range(0, len(new), _MAX_PARAMS):
            self._client.log_batch(self._run_id, params=new[at : at + _MAX_PARAMS])
        changed = [
            RunTag(f"changed.{name}", value)
            for name, value in values.items()
            if before.get(name, value) != value
        ]
        if changed:
            self._client.log_batch(self._run_id, tags=changed)

    def _own_file(self) -> str:
        return storage.join(self._run_dir, "mlflow.json")

    def log(self, kind: LogKind, step: int, values: Mapping[str, Any]) -> None:
        """Keep the numbers among the values for the next flush."""
        self._keep(kind, step, values)

    def _keep(self, prefix: str, step: int, values: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric

        now_milliseconds = int(time.time() * 1000)
        self._waiting += [
            Metric(f"{prefix}/{name}", float(value), now_milliseconds, step)
            for name, value in values.items()
            if isinstance(value, int | float)
        ]

    def back_to(self, step: int) -> None:
        """Drop what was not sent; what was, stands beside the steps that are taken again."""
        self._waiting = [metric for metric in self._waiting if metric.step <= step]

    def flush(self) -> None:
        """Send what waits, unless the server was away a moment ago."""
        if time.monotonic() >= self._away_until:
            self._send()

    def _send(self) -> None:
        began = time.monotonic()
        try:
            while self._waiting:
                self._client.log_batch(self._run_id, metrics=self._waiting[:_MAX_METRICS])
                del self._waiting[:_MAX_METRICS]
        except Exception as error:
            took = time.monotonic() - began
            self._away_until = time.monotonic() + _WAIT_FACTOR * took
            logging.warning(
                "mlflow: %d numbers wait, %s does not take them: %s",
                len(self._waiting),
                self._client.tracking_uri,
                in_one_line(error),
            )

    def end(self, record: RunRecord | None) -> None:
        """Send the rest; of a finished run also the exported step's scores and the report."""
        if record is not None:
            scores = {name: value for name, value in record.scores.items() if value is not None}
            self._keep("exported", record.best_step, scores)
        self._send()
        try:
            if record is not None:
                with storage.local_copy(RunDir(self._run_dir).report_file) as path:
                    self._client.log_artifact(self._run_id, path)
            status = "KILLED" if record is None else "FINISHED"
            self._client.set_terminated(self._run_id, status)
        except Exception as error:
            logging.warning("mlflow: the end is not in it: %s", in_one_line(error))


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
