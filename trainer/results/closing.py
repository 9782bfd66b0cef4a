"""What a training says on the screen when it is finished: its cost, scores, and what to do next."""

import posixpath
import shlex

from orchard.formats import RunDir, RunRecord, SplitKind, is_part
from orchard.quantities import format_number, format_seconds
from trainer.config import TrainConfig
from trainer.data import split_names
from trainer.evaluation import metric_names


def closing_lines(config: TrainConfig, record: RunRecord) -> list[str]:
    """What it took, scores of the exported step, the report and the next command."""
    names = dict.fromkeys([record.best_metric, *metric_names(record.task, main=True)])
    scores = [(name, record.scores.get(name)) for name in names]
    shown = "  ".join(f"{name} {score:.4f}" for name, score in scores if score is not None)
    lines = [
        f"run finished: {config.run_dir}",
        f"exported: step {record.best_step}" + (f": {shown}" if shown else ", without scores"),
        f"report: {RunDir(config.run_dir).report_file}",
    ]
    time = record.cost.time if record.cost else None
    if time is not None:
        charged = f"{format_number(time.charged_seconds)} {time.unit}"
        lines.insert(1, f"took: {format_seconds(time.wall_seconds)}, {charged}")
    if not is_part(posixpath.basename(config.run_dir.rstrip("/"))):
        lines.append(f"next: {next_command(config)}")
    return lines


def next_command(config: TrainConfig) -> str:
    """Predict the test images, where there are any, or compare this run with others."""
    run_dir = config.run_dir.rstrip("/")
    names = split_names(config.dataset)
    split = next((one for one in (SplitKind.TEST, SplitKind.HOLDOUT) if one in names), None)
    if split:
        flags = {"members": run_dir, "dataset": config.dataset, "output_dir": f"{run_dir}-ensemble"}
        if split != SplitKind.TEST:
            flags["split"] = split
        module = "ensemble.main"
    else:
        flags = {"runs_dir": posixpath.dirname(run_dir) or "."}
        module = "trainer.summary"
    words = [shlex.quote(f"--{name}={value}") for name, value in flags.items()]
    return " ".join(["python -m", module, *words])
