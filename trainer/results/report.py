"""report.html of a run: scores, curves, classes, confusion, worst mistakes. Reads files only."""

import io
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from orchard import html, storage
from orchard.formats import Logits, RunDir, RunRecord, Task, TrainingCost, tfrecord
from orchard.quantities import format_flops, format_number, format_seconds
from trainer.config import TrainConfig
from trainer.data import RecordTable
from trainer.evaluation import (
    hard_predictions,
    hard_targets,
    per_class_table,
    probabilities,
    row_losses,
)
from trainer.models import is_from_source
from trainer.results import figures
from trainer.training import read_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MISTAKES = 24
_THUMBNAIL_PX = 192
_MAX_CONFUSION_CLASSES = 40


def write(run_dir: str, run: RunRecord, records: RecordTable | None, scored: Logits | None) -> None:
    """Write the report.

    Args:
        run_dir: where metrics.jsonl is and report.html goes.
        run: what is reported.
        records: the evaluation records, in the order of `scored`; None without an evaluation.
        scored: the logits of the best evaluation; None without one.
    """
    lines = read_metrics(run_dir)
    text = html.render(
        "trainer/report.html",
        run=run,
        facts=_facts(run, lines),
        curves=_drawn(figures.curves(lines, run.best_step)) if lines else {},
        events=[line for line in lines if line["kind"] == "event"],
        evaluation=_evaluation(run, records, scored) if records is not None and scored else None,
        settings=_changed_settings(run.config),
    )
    storage.write_bytes(RunDir(run_dir).report_file, text.encode())


def _drawn(by_title: "dict[str, Figure]") -> dict[str, str]:
    return {title: html.figure_to_uri(figure) for title, figure in by_title.items()}


def write_sample_predictions(
    run_dir: str, run: RunRecord, records: RecordTable, scored: Logits
) -> None:
    """The worst mistakes as pictures, and what was predicted as text, for TensorBoard."""
    import tensorflow as tf

    rows = worst_mistakes(scored, run.task, _MISTAKES)
    if not len(rows):
        return
    said = [_mistake(records, scored, run.task, row) for row in rows]
    lines = [f"| {m['id']} | {m['true']} | {m['predicted']} |" for m in said]
    table = "\n".join(["| id | is | taken for |", "|---|---|---|", *lines])
    squares = np.stack([_square(_thumbnail(records, row)) for row in rows])
    writer = tf.summary.create_file_writer(RunDir(run_dir).tensorboard_dir)
    with writer.as_default(step=run.best_step):
        tf.summary.image("worst_mistakes", squares, max_outputs=len(squares))
        # A tag of its own: TensorBoard shows neither where one tag has two kinds of data.
        tf.summary.text("worst_mistakes_table", table)
    writer.close()


def _square(jpeg: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(jpeg))
    return np.asarray(ImageOps.pad(image, (_THUMBNAIL_PX, _THUMBNAIL_PX)))


def worst_mistakes(scored: Logits, task: Task, count: int) -> np.ndarray:
    """Rows that are wrong, those with the highest loss first."""
    right = hard_predictions(scored.logits, task) == hard_targets(scored.targets, task)
    losses = row_losses(scored.logits, scored.targets, task)
    losses = np.where(right.all(axis=1), -np.inf, losses)
    order = np.argsort(-losses, kind="stable")[:count]
    return order[np.isfinite(losses[order])]


def _evaluation(run: RunRecord, records: RecordTable, scored: Logits) -> dict[str, Any]:
    task = run.task
    return {
        "split": run.eval_split,
        "count": len(scored.ids),
        "scores": run.scores,
        "classes": class_rows(scored, task),
        "confusion": confusion_uri(scored, task),
        "mistakes": [
            _mistake(records, scored, task, row) for row in worst_mistakes(scored, task, _MISTAKES)
        ],
    }


def confusion_uri(scored: Logits, task: Task) -> str | None:
    """The confusion matrix as a picture; None for many labels, or too many classes to read."""
    if task != Task.SINGLE_LABEL or len(scored.class_names) > _MAX_CONFUSION_CLASSES:
        return None
    return html.figure_to_uri(figures.confusion(scored))


def class_rows(scored: Logits, task: Task) -> list[dict[str, Any]]:
    """The scores of each class, for a table."""
    rows = per_class_table(scored.logits, scored.targets, task, scored.class_names)
    if task == Task.SINGLE_LABEL:  # The largest probability decides.
        rows = [{k: v for k, v in row.items() if k != "threshold"} for row in rows]
    return rows


def _mistake(records: RecordTable, scored: Logits, task: Task, row: int) -> dict[str, str]:
    chances = probabilities(scored.logits[row : row + 1], task)[0]
    predicted = hard_predictions(scored.logits[row : row + 1], task)[0]
    true = hard_targets(scored.targets[row : row + 1], task)[0]

    def named(chosen: np.ndarray) -> str:
        return ", ".join(scored.class_names[i] for i in np.flatnonzero(chosen)) or "nothing"

    shown = chances[predicted].max() if predicted.any() else chances.max()
    return {
        "id": str(scored.ids[row]),
        "picture": html.image_to_uri(_thumbnail(records, row)),
        "true": named(true),
        "predicted": f"{named(predicted)} ({shown:.0%})",
    }


def _thumbnail(records: RecordTable, row: int) -> bytes:
    from trainer.data import read_few  # It imports TensorFlow.

    (payload,) = read_few(records, [row])
    encoded = tfrecord.Example(payload).bytes_of(records.image_key)
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _facts(run: RunRecord, lines: list[dict[str, Any]]) -> dict[str, str]:
    rates = [line["images_per_second"] for line in lines if line.get("images_per_second")]
    waits = [line["data_wait_share"] for line in lines if "data_wait_share" in line]
    facts = {
        **network_facts(run),
        "trained on": run.train_split,
    }
    if run.soup is not None:
        used = sum(one.used for one in run.soup.ingredients)
        facts["mean of weights"] = f"{used} of {len(run.soup.ingredients)}, {run.soup.recipe}"
    elif run.head is not None:
        facts["head"] = f"{run.head.kind}, on {run.head.num_features:,} frozen features"
        facts["views of an image"] = str(run.head.feature_views)
    else:
        facts["best step"] = f"{run.best_step} of {lines[-1]['step'] if lines else run.best_step}"
    if rates:
        facts["images a second"] = f"{np.median(rates):.4g}"
    if waits:  # They are not measured under op determinism.
        facts["waiting for data"] = f"{np.median(waits):.1%}"
    return facts | cost_facts(run.cost)


def network_facts(run: RunRecord) -> dict[str, str]:
    """The network and its images, for the head of a report."""
    name, preset = run.architecture, is_from_source(run.architecture)
    facts = {
        "architecture": name if preset else os.path.basename(name),
        "image size": "x".join(str(side) for side in run.image_size_px) + " px",
    }
    if preset:
        facts["license of its weights"] = run.license or "the preset does not say"
    return facts


def cost_facts(cost: TrainingCost | None) -> dict[str, str]:
    """What training took and a prediction takes, for the head of a report."""
    if cost is None:
        return {"training took": "unknown"}
    facts, time, flops = {}, cost.time, cost.flops_per_image
    facts["training took"] = "unknown" if time is None else format_seconds(time.wall_seconds)
    if time is not None:
        facts["its compute"] = f"{format_number(time.charged_seconds)} {time.unit}"
        facts["trained on devices"] = f"{time.num_devices} x {time.device_kind}"
    images = cost.train_images
    facts["training images"] = "unknown" if images is None else f"{images:,}"
    facts["an image costs"] = "unknown" if flops is None else format_flops(flops)
    facts["parameters"] = f"{cost.num_parameters:,}"
    return facts


def _changed_settings(config: dict[str, Any]) -> str:
    defaults = {flag.name: flag.default for flag in TrainConfig.flag_fields()}
    flags = TrainConfig.from_json(config).flags()
    return "\n".join(f"--{n}={value}" for n, value in flags.items() if value != defaults[n])
