"""The report's figures: Matplotlib without a display, legible on a phone, on white always."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from trainer.evaluation import Reliability

# More curves than these cannot be told apart, more cells cannot be read.
MAX_CURVES = 10
MAX_CONFUSION_CLASSES = 30
_COLORS = (
    "#1b6ca8",
    "#c8553d",
    "#2f7d4f",
    "#8d5fb0",
    "#b8860b",
    "#4a9a9a",
    "#a33b6b",
    "#5b6b3a",
    "#6f5a4c",
    "#3d4f8a",
)


def reliability_figure(before: Reliability, after: Reliability | None) -> Figure:
    """Accuracy against confidence, and how many predictions each bin holds.

    Args:
        before: uncalibrated.
        after: calibrated; None where nothing was.
    """
    figure = Figure(figsize=(5, 5.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    top.plot([0, 1], [0, 1], color="#888", linewidth=1, linestyle="--", label="perfect")
    series = [("ensemble" if after is None else "before", before, _COLORS[1])]
    if after is not None:
        series.append(("after", after, _COLORS[0]))
    for name, one, color in series:
        filled = one.count > 0
        label = f"{name} (ECE {one.expected_error:.3f})"
        top.plot(one.confidence[filled], one.accuracy[filled], "o-", color=color, label=label)
        edges = np.linspace(0, 1, len(one.count) + 1)
        bottom.stairs(one.count, edges, color=color, fill=one is before, alpha=0.6)
    top.set(ylabel="share that is right", ylim=(-0.02, 1.02))
    bottom.set(xlabel="confidence", ylabel="count", xlim=(-0.02, 1.02))
    top.legend(loc="upper left", frameon=False)
    return _plain(figure)


def roc_figure(
    probabilities: np.ndarray, hard: np.ndarray, class_names: Sequence[str], columns: Sequence[int]
) -> Figure:
    """ROC curves of some classes.

    Args:
        probabilities: float [rows, classes].
        hard: bool [rows, classes]: which classes are there.
        class_names: of the columns.
        columns: the classes to draw, each with both outcomes among the rows.
    """
    figure, axes = _curves("false positive rate", "true positive rate", "ROC")
    for at, column in enumerate(columns):
        false, true, _ = roc_curve(hard[:, column], probabilities[:, column])
        axes.plot(false, true, color=_COLORS[at % len(_COLORS)], label=class_names[column])
    axes.plot([0, 1], [0, 1], color="#888", linewidth=1, linestyle="--")
    return _with_legend(figure, len(columns))


def precision_recall_figure(
    probabilities: np.ndarray, hard: np.ndarray, class_names: Sequence[str], columns: Sequence[int]
) -> Figure:
    """Precision-recall curves of some classes; arguments as for `roc_figure`."""
    figure, axes = _curves("recall", "precision", "Precision and recall")
    for at, column in enumerate(columns):
        precision, recall, _ = precision_recall_curve(hard[:, column], probabilities[:, column])
        color = _COLORS[at % len(_COLORS)]
        axes.step(recall, precision, color=color, where="post", label=class_names[column])
    return _with_legend(figure, len(columns))


def _curves(x: str, y: str, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y, title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return figure, axes


def _with_legend(figure: Figure, num_curves: int) -> Figure:
    figure.legend(loc="outside lower center", ncols=min(3, num_curves), frameon=False)
    return _plain(figure)


def _plain(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure
