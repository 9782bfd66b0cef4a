"""python -m trainer.summary: run directories to one CSV, a row a run, for comparing many."""

import csv
import io
from typing import Any

from absl import flags

from orchard import cli, storage
from orchard.errors import OrchardError
from trainer.config import TrainConfig

_RUNS_DIR = flags.DEFINE_string("runs_dir", "", "Folder of run directories, at any depth.")
_OUTPUT = flags.DEFINE_string("output", "", "CSV to write; default: RUNS_DIR/summary.csv.")

_FIRST_COLUMNS = ("run", "architecture", "image_size_px", "fold", "best_step", "best_metric")


def main() -> None:
    """Collect every finished run under --runs_dir."""
    if not _RUNS_DIR.value:
        raise OrchardError("say where the runs are: --runs_dir=runs")
    rows = collect(_RUNS_DIR.value)
    if not rows:
        raise OrchardError(f"--runs_dir={_RUNS_DIR.value} holds no finished run (no run.json)")
    path = _OUTPUT.value or storage.join(_RUNS_DIR.value, "summary.csv")
    storage.write_bytes(path, csv_text(rows).encode())
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
    if "run.json" in names:
        return [_row(name or ".", storage.read_json(storage.join(folder, "run.json")))]
    return [
        row
        for child in names
        for row in _walk(storage.join(folder, child), f"{name}/{child}" if name else child)
    ]


def _row(name: str, run: dict[str, Any]) -> dict[str, Any]:
    values = {"run": name, **{key: run[key] for key in _FIRST_COLUMNS[1:]}}
    values["image_size_px"] = "x".join(str(side) for side in run["image_size_px"])
    return {**values, **run["scores"], "config": TrainConfig.from_json(run["config"]).flags()}


if __name__ == "__main__":
    cli.run(main)
