"""What a training shows while it runs: a bar, metrics.jsonl, and what its loggers are told."""

import json
from collections.abc import Mapping
from typing import Any

from orchard import json_text, storage
from orchard.formats import RunDir, json_safe
from orchard.progress import Progress
from trainer.loggers import Logger, Loggers, LogKind


class MetricsLog(Logger):
    """Lines of JSON, a run's history: {"kind": "train" | "eval" | "event", "step": ..., ...}.

    Lines of steps that a resumed run takes again are removed first, so that a step has one line.
    NaN and infinities are null.
    A remote file cannot grow: it is written anew by `flush`.
    """

    def __init__(self, run_dir: str, resumed_step: int):
        self._path = RunDir(run_dir).metrics_file
        self._lines = read_metrics(run_dir)
        self.back_to(resumed_step)

    def back_to(self, step: int) -> None:
        """Remove the lines of steps after `step`, which will be logged again."""
        self._lines = [line for line in self._lines if line["step"] <= step]
        self.flush()

    def log(self, kind: LogKind, step: int, values: Mapping[str, Any]) -> None:
        """Append a line."""
        line = json_safe({"kind": kind, "step": step, **values})
        self._lines.append(line)
        if not storage.is_remote(self._path):
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def flush(self) -> None:
        """Write the whole file."""
        text = "".join(json.dumps(line) + "\n" for line in self._lines)
        storage.write_bytes(self._path, text.encode())


def read_metrics(run_dir: str) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl, up to one that is none, as a kill cuts off the last."""
    path = RunDir(run_dir).metrics_file
    if not storage.exists(path):
        return []
    lines = []
    for text in storage.read_bytes(path).decode(errors="replace").splitlines():
        try:
            line = json_text.loads(text)
        except ValueError:
            break
        if not isinstance(line, dict) or not {"kind", "step"} <= line.keys():
            break
        lines.append(line)
    return lines


class StepClock:
    """Images a second of the steps alone: compiling, evaluations and saves are left out."""

    def __init__(self) -> None:
        self.steps, self.seconds, self.wait_seconds = 0, 0.0, 0.0
        self.compile_seconds = 0.0

    def add(self, steps: int, seconds: float, wait_seconds: float, compiled: bool) -> None:
        """Count a call; one that traced or compiled is left out of the rate."""
        if compiled:
            self.compile_seconds += seconds
            return
        self.steps += steps
        self.seconds += seconds
        self.wait_seconds += wait_seconds

    def take(self, batch_size: int, waits: bool) -> dict[str, Any]:
        """The rates since the last `take`: images_per_second, data_wait_share, compile_seconds."""
        compiled = (
            {"compile_seconds": round(self.compile_seconds, 2)} if self.compile_seconds else {}
        )
        self.compile_seconds = 0.0
        if not self.seconds:
            return compiled
        rates = {"images_per_second": round(self.steps * batch_size / self.seconds, 2)}
        if waits:
            rates["data_wait_share"] = round(self.wait_seconds / self.seconds, 4)
        self.steps, self.seconds, self.wait_seconds = 0, 0.0, 0.0
        return rates | compiled


class Reporter:
    """The bar and the logs of one process; only the chief's writes anything.

    Args:
        run_dir: where metrics.jsonl is.
        step: where the training begins or goes on.
        total_steps: of the whole training.
        chief: whether this is the first worker.
        bar: whether to show one.
        loggers: what else is told; they have begun.
    """

    def __init__(
        self,
        run_dir: str,
        step: int,
        total_steps: int,
        *,
        chief: bool,
        bar: bool,
        loggers: Logger | None = None,
    ):
        self._log = Loggers([MetricsLog(run_dir, step), loggers or Logger()] if chief else [])
        self._is_chief = chief
        self._show_bar = bar and chief
        self._rates: dict[str, str] = {}  # Of the last line, for the bar.
        self.bar = self._bar(desc="train", total=total_steps, initial=step, unit="step")

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
        self.flush()

    def advance(self, steps: int, loss: float) -> None:
        """Move the bar."""
        self.bar.set_postfix({"loss": f"{loss:.4f}", **self._rates}, refresh=False)
        self.bar.update(steps)

    def back_to(self, step: int) -> None:
        """Set bar and logs back to `step` after a blow-up."""
        self.bar.n = step
        self.bar.refresh()
        self._log.back_to(step)

    def sub_bar(self, total: int, what: str) -> Progress:
        """A bar for something that training waits for."""
        return self._bar(desc=what, total=total, unit=" batches", leave=False)

    def _bar(self, **kwargs: Any) -> Progress:
        return Progress(disable=not self._show_bar, **kwargs)

    def write(self, kind: LogKind, step: int, text: str = "", **values: Any) -> None:
        """One line of metrics.jsonl, its values to the loggers, and `text` above the bar."""
        if "images_per_second" in values:
            self._rates["images/s"] = f"{values['images_per_second']:.4g}"
        if "data_wait_share" in values:
            self._rates["data wait"] = f"{values['data_wait_share']:.1%}"
        self._log.log(kind, step, values)
        if text and self._is_chief:
            Progress.write(text)

    def flush(self) -> None:
        """Write what is buffered."""
        self._log.flush()
