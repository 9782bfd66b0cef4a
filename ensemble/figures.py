"""The report's figures: Matplotlib without a display, legible on a phone, on white always."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from ensemble.calibrate import Reliability

# More curves than these cannot be told apart, more cells cannot be read.
MAX_CURVES = 10
MAX_CONFUSION_CLASSES = 30
_COLOURS = (
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

    before, after: uncalibrated and calibrated; one alone when nothing was calibrated.
    """
    figure = Figure(figsize=(5, 5.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    top.plot([0, 1], [0, 1], color="#888", linewidth=1, linestyle="--", label="perfect")
    series = [("ensemble" if after is None else "before", before, _COLOURS[1])]
    if after is not None:
        series.append(("after", after, _COLOURS[0]))
    for name, one, colour in series:
        filled = one.count > 0
        label = f"{name} (ECE {one.expected_error:.3f})"
        top.plot(one.confidence[filled], one.accuracy[filled], "o-", color=colour, label=label)
        edges = np.linspace(0, 1, len(one.count) + 1)
        bottom.stairs(one.count, edges, color=colour, fill=one is before, alpha=0.6)
    top.set(ylabel="share that is right", ylim=(0, 1))
    bottom.set(xlabel="confidence", ylabel="count", xlim=(0, 1))
    top.legend(loc="upper left", frameon=False)
    return _plain(figure)


def curves_figure(
    probabilities: np.ndarray, hard: np.ndarray, class_names: Sequence[str], columns: Sequence[int]
) -> Figure:
    """ROC and precision-recall curves of some classes, side by side.

    probabilities: float [rows, classes]. hard: bool [rows, classes]. columns: the classes to draw,
    each with both outcomes among the rows.
    """
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for at, column in enumerate(columns):
        colour = _COLOURS[at % len(_COLOURS)]
        false, true, _ = roc_curve(hard[:, column], probabilities[:, column])
        precision, recall, _ = precision_recall_curve(hard[:, column], probabilities[:, column])
        left.plot(false, true, color=colour, label=class_names[column])
        right.step(recall, precision, color=colour, where="post")
    left.plot([0, 1], [0, 1], color="#888", linewidth=1, linestyle="--")
    left.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    right.set(xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(0, 1.03))
    figure.legend(loc="outside lower center", ncols=min(5, len(columns)), frameon=False)
    return _plain(figure)


def confusion_figure(counts: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Confusion matrix: rows are the true classes, shaded by their share; cells hold counts.

    counts: int [classes, classes].
    """
    size = max(3.5, 0.55 * len(class_names) + 1.5)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for true, row in enumerate(counts):
        for predicted, count in enumerate(row):
            if count:
                colour = "white" if shares[true, predicted] > 0.6 else "#222"
                axes.text(predicted, true, int(count), ha="center", va="center", color=colour)
    ticks = range(len(class_names))
    axes.set_xticks(ticks, class_names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, class_names)
    axes.set(xlabel="predicted", ylabel="true")
    return figure


def _plain(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure
