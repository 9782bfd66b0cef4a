"""Compare many runs: a table, and a CSV with a row a run.

    python -m trainer.summary --runs_dir=runs --compare=runs/compare.html

It has the scores, what training and predicting cost, and the flags in which the runs differ. The
page of --compare says how far any two of them are from chance.
"""

if __name__ == "__main__":
    from orchard import ctrl_c

    ctrl_c.end_at_once()  # Before the imports, which take a while.

import csv
import io
import shlex
from dataclasses import dataclass, field
from typing import Any

from orchard import cli, flags, storage
from orchard.errors import OrchardError
from orchard.flags import Options, option, required
from orchard.formats import RunDir, RunRecord, TrainingCost
from trainer import comparison
from trainer.config import TrainConfig
from trainer.evaluation import metric_names


def _metrics() -> tuple[str, ...]:
    return ("", *metric_names())  # Not at import: those of --plugins come later.


@dataclass(frozen=True, kw_only=True)
class SummaryOptions(Options):
    """Which runs, and where to write."""

    runs_dir: str = field(metadata=required("Folder of run directories, at any depth."))
    output: str = option("", "CSV to write; default: RUNS_DIR/summary.csv.")
    compare: str = option(
        "",
        "Page to write, such as RUNS_DIR/compare.html: scores with intervals, any two runs on the "
        "same images, learning curves, costs.",
    )
    metric: str = option(
        "",
        "What orders the runs on the page of --compare; default: accuracy, or roc_auc for many "
        "labels.",
        choices=_metrics,
    )
    hparams: str = option(
        "",
        "Folder to write for TensorBoard's tab HPARAMS, which tensorboard --logdir=FOLDER shows: "
        "the flags that differ, scores and costs.",
    )

    def check(self) -> None:
        """Refuse a metric that nothing asks for."""
        super().check()
        if self.metric and not self.compare:
            raise OrchardError(
                f"--metric={self.metric} orders the page of --compare; give --compare=FILE.html"
            )


OPTIONS = (SummaryOptions,)


def main() -> None:
    """Collect every finished run under --runs_dir."""
    options = flags.build(SummaryOptions)
    rows = collect(options.runs_dir)
    if not rows:
        raise OrchardError(f"--runs_dir={options.runs_dir} holds no finished run (no run.json)")
    path = options.output or storage.join(options.runs_dir, "summary.csv")
    storage.write_bytes(path, csv_text(rows).encode())
    print(table(rows))
    print(f"{len(rows)} runs: {path}")
    if options.compare or options.hparams:
        entries = comparison.read_entries(options.runs_dir)
        if options.compare:
            comparison.write_page(options.compare, options.runs_dir, entries, options.metric)
            print(f"comparison: {options.compare}")
        if options.hparams:
            comparison.write_hparams(options.hparams, entries)
            print(f"HParams: tensorboard --logdir={shlex.quote(options.hparams)}")


def collect(folder: str) -> list[dict[str, Any]]:
    """A row for each run.json under `folder`: scores, and flags that differ between the runs."""
    rows = [
        _row(name, RunRecord.load(RunDir(path).record_file))
        for name, path in comparison.find_runs(folder)
    ]
    differing = sorted(comparison.differing([row["config"] for row in rows]))
    for row in rows:
        config = row.pop("config")
        row.update({f"--{flag}": config.get(flag) for flag in differing if flag != "run_dir"})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as text for a terminal, a line a run; fractions to four places."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (columns, *cells)
    ]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1 else f"{value:.6g}"


def csv_text(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV; a column that a row lacks stays empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _row(name: str, run: RunRecord) -> dict[str, Any]:
    return {
        "run": name,
        "architecture": run.architecture,
        "image_size_px": "x".join(str(side) for side in run.image_size_px),
        "fold": run.fold,
        "best_step": run.best_step,
        "best_metric": run.best_metric,
        **run.scores,
        **_cost_columns(run.cost),
        "config": TrainConfig.from_json(run.config).flags(),
    }


def _cost_columns(cost: TrainingCost | None) -> dict[str, Any]:
    """None in the columns of what is not known."""
    time = cost.time if cost else None
    flops = cost.flops_per_image if cost else None
    return {
        "wall_seconds": time.wall_seconds if time else None,
        "cpu_seconds": time.cpu_seconds if time else None,
        "device_seconds": time.device_seconds if time else None,
        "gflops_per_image": None if flops is None else flops / 1e9,
    }


if __name__ == "__main__":
    cli.run(main, *OPTIONS)
