"""The report's figures: Matplotlib without a display, legible on a phone, on white always."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from ensemble.scoring import CandidateKind, Entry
from orchard.html import CURVE_COLORS
from trainer.evaluation import METRICS

# Marker, its size and color.
_KINDS = {
    CandidateKind.MEMBER: ("o", 5, "#8aa9c4"),
    CandidateKind.NETWORK: ("s", 6, "#2f7d4f"),
    CandidateKind.ENSEMBLE: ("*", 12, "#c8553d"),
}
_MAX_NAMED_POINTS = 12
MAX_CURVES = len(CURVE_COLORS)
# More cells cannot be read.
MAX_CONFUSION_CLASSES = 30


def price_figure(entries: Sequence[Entry], metric: str) -> Figure | None:
    """Scores against what a prediction and what training cost, each in a panel of its own.

    Args:
        entries: of a scoreboard.
        metric: its metric.

    Returns:
        None where fewer than two entries have both a score and a cost.
    """
    scored = [one for one in entries if not np.isnan(one.scores[metric])]
    inference = [
        (one, one.candidate.price.flops_per_image / 1e9)
        for one in scored
        if one.candidate.price.flops_per_image
    ]
    training = [
        (one, one.candidate.price.train_seconds)
        for one in scored
        if one.candidate.price.train_seconds
    ]
    units = {one.candidate.price.unit for one, _ in training}
    panels = {"GFLOPs an image": inference}
    if len(units) == 1:
        panels[f"training, {units.pop()}"] = training
    panels = {label: points for label, points in panels.items() if len(points) > 1}
    if not panels:
        return None
    figure = Figure(figsize=(5 * len(panels), 4.6), layout="constrained")
    drawn = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (label, points) in zip(drawn, panels.items(), strict=True):
        _draw_points(axes, points, metric)
        axes.set(xlabel=label, xscale="log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter("")
        axes.margins(x=0.18)
    better = "higher" if METRICS[metric].higher_is_better else "lower"
    drawn[0].set_ylabel(f"{metric} ({better} is better)")
    handles, labels = drawn[0].get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    figure.legend(
        named.values(), named, loc="outside lower center", ncols=len(named), frameon=False
    )
    return plain(figure)


def _draw_points(axes: Axes, points: Sequence[tuple[Entry, float]], metric: str) -> None:
    for entry, cost in points:
        candidate, score = entry.candidate, entry.scores[metric]
        marker, size, color = _KINDS[candidate.kind]
        low, high = entry.intervals.get(metric, (score, score))
        axes.errorbar(
            cost,
            score,
            # A percentile interval may lie beside its score.
            yerr=[[max(0.0, score - low)], [max(0.0, high - score)]],
            fmt=marker,
            markersize=size,
            color=color,
            elinewidth=1,
            capsize=2,
            label=candidate.kind.value,
        )
        if candidate.kind != CandidateKind.MEMBER or len(points) <= _MAX_NAMED_POINTS:
            axes.annotate(
                candidate.name,
                (cost, score),
                # Two sides, since the ensemble costs little more than its most expensive network.
                xytext=(6, 5) if candidate.kind == CandidateKind.ENSEMBLE else (-5, -10),
                ha="left" if candidate.kind == CandidateKind.ENSEMBLE else "right",
                textcoords="offset points",
                fontsize="x-small",
            )


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
        axes.plot(
            false, true, color=CURVE_COLORS[at % len(CURVE_COLORS)], label=class_names[column]
        )
    axes.plot([0, 1], [0, 1], color="#888", linewidth=1, linestyle="--")
    return _with_legend(figure, len(columns))


def precision_recall_figure(
    probabilities: np.ndarray, hard: np.ndarray, class_names: Sequence[str], columns: Sequence[int]
) -> Figure:
    """Precision-recall curves of some classes; arguments as for `roc_figure`."""
    figure, axes = _curves("recall", "precision", "Precision and recall")
    for at, column in enumerate(columns):
        precision, recall, _ = precision_recall_curve(hard[:, column], probabilities[:, column])
        color = CURVE_COLORS[at % len(CURVE_COLORS)]
        axes.step(recall, precision, color=color, where="post", label=class_names[column])
    return _with_legend(figure, len(columns))


def _curves(x: str, y: str, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y, title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return figure, axes


def _with_legend(figure: Figure, num_curves: int) -> Figure:
    figure.legend(loc="outside lower center", ncols=min(3, num_curves), frameon=False)
    return plain(figure)


def plain(figure: Figure) -> Figure:
    """The same, in the report's style."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure
