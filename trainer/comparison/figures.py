"""What the page of comparison draws: learning curves on one plot, scores against costs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchard.html import CURVE_COLORS
from trainer.comparison.pairs import Scored
from trainer.evaluation import METRICS

NUM_COLORS = len(CURVE_COLORS)  # The other curves are gray.
_OTHERS = "#c4c9c6"
# Costs that are so many times apart need a logarithmic axis.
_WIDE = 20


def curves(scored: Sequence[Scored], metric: str) -> Figure | None:
    """Training loss and evaluations of `metric` over the epochs, a color an entry.

    Args:
        scored: the best first.
        metric: of evaluations.

    Returns:
        None where no run has a history, as heads on frozen features.
    """
    histories = [
        [points for lines in one.entry.histories if (points := _Points(lines, metric))]
        for one in scored
    ]
    if not any(histories):
        return None
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    losses, evaluations = figure.subplots(1, 2)
    # The best on top.
    for rank, (one, parts) in reversed(list(enumerate(zip(scored, histories, strict=True)))):
        style = _style(rank)
        for number, points in enumerate(parts):
            label = one.entry.name if number == 0 and rank < NUM_COLORS else None
            losses.plot(*points.losses, **style, label=label)
            evaluations.plot(*points.scores, "o-", markersize=3, **style)
    losses.set(title="training loss", xlabel="epoch")
    evaluations.set(title=f"{metric} of evaluations", xlabel="epoch")
    _finish(figure)
    handles, labels = losses.get_legend_handles_labels()
    figure.legend(
        handles[::-1],
        labels[::-1],
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize="small",
    )
    return figure


class _Points:
    """What a run's metrics.jsonl says, over the epochs; false where that is nothing."""

    def __init__(self, lines: list[dict[str, Any]], metric: str) -> None:
        train = [line for line in lines if line["kind"] == "train" and line.get("epoch")]
        # Evaluations have steps alone; epochs are proportional to them.
        per_step = train[-1]["epoch"] / train[-1]["step"] if train else np.nan
        evals = [line for line in lines if line["kind"] == "eval"]
        self.losses = [line["epoch"] for line in train], [_number(line["loss"]) for line in train]
        self.scores = (
            [line["step"] * per_step for line in evals],
            [_number(line.get(metric)) for line in evals],
        )
        self._has_any = bool(train)

    def __bool__(self) -> bool:
        return self._has_any


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def costs(scored: Sequence[Scored], metric: str) -> Figure | None:
    """Scores with their intervals against what trainings took.

    Returns:
        None where fewer than two entries have both, or their costs are in different units.
    """
    points = [
        (rank, one, one.entry.time)
        for rank, one in enumerate(scored)
        if one.entry.time is not None and not np.isnan(one.scores[metric])
    ]
    units = {time.unit for _, _, time in points}
    if len(points) < 2 or len(units) > 1:
        return None
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.subplots()
    for rank, one, time in reversed(points):
        value, (low, high) = one.scores[metric], one.intervals[metric]
        # An interval of percentiles need not hold the score itself.
        errors = [[max(0.0, value - low)], [max(0.0, high - value)]]
        axes.errorbar(time.charged_seconds, value, yerr=errors, fmt="o", capsize=3, **_style(rank))
    better = "higher" if METRICS[metric].higher_is_better else "lower"
    axes.set(xlabel=f"training, {units.pop()}", ylabel=f"{metric} ({better} is better)")
    taken = [time.charged_seconds for _, _, time in points]
    if max(taken) > _WIDE * min(taken) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.margins(x=0.1)
    _finish(figure)
    return figure


def _style(rank: int) -> dict[str, Any]:
    if rank < NUM_COLORS:
        return {"color": CURVE_COLORS[rank], "zorder": 3}
    return {"color": _OTHERS, "zorder": 2}


def color(rank: int) -> str:
    """The color of the entry that is `rank` places behind the best."""
    return CURVE_COLORS[rank] if rank < NUM_COLORS else _OTHERS


def _finish(figure: Figure) -> None:
    axes: Axes
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
