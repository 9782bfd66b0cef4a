"""Compare many runs: a table, and a CSV with a row a run.

    python -m trainer.summary --runs_dir=runs

It has the scores, what training and predicting cost, and the flags in which the runs differ.
"""

if __name__ == "__main__":
    from orchard import ctrl_c

    ctrl_c.end_at_once()  # Before the imports, which take a while.

import csv
import io
import posixpath
from dataclasses import dataclass, field
from typing import Any

from orchard import cli, flags, storage
from orchard.errors import OrchardError
from orchard.flags import Options, option, required
from orchard.formats import RunDir, RunRecord, TrainingCost
from trainer.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class SummaryOptions(Options):
    """Which runs, and where to write."""

    runs_dir: str = field(metadata=required("Folder of run directories, at any depth."))
    output: str = option("", "CSV to write; default: RUNS_DIR/summary.csv.")


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


def collect(folder: str, name: str = "") -> list[dict[str, Any]]:
    """A row for each run.json under `folder`: scores, and flags that differ between the runs."""
    rows = _walk(folder, name)
    flag_names = sorted({flag for row in rows for flag in row["config"]})
    differing = [
        flag for flag in flag_names if len({str(row["config"].get(flag)) for row in rows}) > 1
    ]
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


def _walk(folder: str, name: str) -> list[dict[str, Any]]:
    names = storage.list_names(folder)
    record = RunDir(folder).record_file
    if posixpath.basename(record) in names:
        return [_row(name or ".", RunRecord.load(record))]
    return [
        row
        for child in names
        for row in _walk(storage.join(folder, child), f"{name}/{child}" if name else child)
    ]


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
