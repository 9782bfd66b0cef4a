"""What reports draw: curves over the steps, the confusion of classes, confidence and truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from orchard.formats import Logits
from orchard.lazy import lazy_import
from trainer.evaluation import Reliability

# They take a second, which the first step of a training would wait for.
if TYPE_CHECKING:
    from matplotlib import figure as plots
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from sklearn import metrics
else:
    plots, metrics = lazy_import("matplotlib.figure"), lazy_import("sklearn.metrics")

_FIRST_COLOR, _SECOND_COLOR = "#c8553d", "#1b6ca8"


def curves(lines: list[dict[str, Any]], best_step: int) -> dict[str, Figure]:
    """Loss, learning rate and evaluation scores over the steps: figures by title."""
    train = [line for line in lines if line["kind"] == "train"]
    evals = [line for line in lines if line["kind"] == "eval"]
    steps = [line["step"] for line in train]
    eval_steps = [line["step"] for line in evals]

    losses, axes = _axes()
    axes.plot(steps, [line["loss"] for line in train], label="training")
    if evals:
        # Of the same kind as the training loss for plain cross-entropy of one label.
        axes.plot(eval_steps, [line["log_loss"] for line in evals], "o-", label="evaluation")
    axes.legend(fontsize="small")

    rates, axes = _axes()
    axes.plot(steps, [line["learning_rate"] for line in train], color="tab:gray")
    drawn = {"Loss": losses, "Learning rate": rates}
    if evals:
        drawn["Evaluation"], axes = _axes()
        for name in ("accuracy", "balanced_accuracy", "roc_auc", "average_precision", "f1"):
            values = [line[name] for line in evals]
            axes.plot(eval_steps, values, "o-", label=name.replace("_", " "), markersize=3)
        axes.axvline(best_step, color="tab:gray", linestyle=":", label="best")
        axes.legend(fontsize="small")
    return drawn


def _axes() -> tuple[Figure, Axes]:
    figure = plots.Figure(figsize=(4.2, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    return figure, axes


def confusion(scored: Logits) -> Figure:
    """How often each true class (row) was taken for each class (column)."""
    true, predicted = np.argmax(scored.targets, axis=1), np.argmax(scored.logits, axis=1)
    counts = metrics.confusion_matrix(true, predicted, labels=range(len(scored.class_names)))
    return confusion_figure(counts, scored.class_names)


def confusion_figure(counts: np.ndarray, class_names: Sequence[str]) -> Figure:
    """A confusion matrix, each row shaded by its shares.

    Args:
        counts: int [true classes, predicted classes].
        class_names: of both.
    """
    side = 2.5 + 0.35 * len(class_names)
    figure = plots.Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Greens", vmin=0, vmax=1)
    for row, column in np.argwhere(counts):
        color = "white" if share[row, column] > 0.6 else "black"
        cell = str(counts[row, column])
        axes.text(column, row, cell, ha="center", va="center", color=color, fontsize="small")
    axes.set_xticks(range(len(class_names)), class_names, rotation=90)
    axes.set_yticks(range(len(class_names)), class_names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return figure


def reliability_figure(diagrams: Mapping[str, Reliability]) -> Figure:
    """Accuracy against confidence, and how many predictions each bin holds.

    Args:
        diagrams: one or two, by what to call them.
    """
    figure = plots.Figure(figsize=(5, 5.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    top.plot([0, 1], [0, 1], color="#888", linewidth=1, linestyle="--", label="perfect")
    for at, (name, one) in enumerate(diagrams.items()):
        color = (_FIRST_COLOR, _SECOND_COLOR)[at]
        filled = one.count > 0
        label = f"{name} (ECE {one.expected_error:.3f})"
        top.plot(one.confidence[filled], one.accuracy[filled], "o-", color=color, label=label)
        edges = np.linspace(0, 1, len(one.count) + 1)
        bottom.stairs(one.count, edges, color=color, fill=at == 0, alpha=0.6)
    top.set(ylabel="share that is right", ylim=(-0.02, 1.02))
    bottom.set(xlabel="confidence", ylabel="count", xlim=(-0.02, 1.02))
    top.legend(loc="upper left", frameon=False)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure
