"""The rows as a table in Markdown, and as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.worth.plans import PLAIN
from benchmarks.worth.scores import SHOWN, Row
from trainer.evaluation import METRICS

_MARKERS = "osD^v<>PX*hpd"


def markdown(rows: Sequence[Row]) -> str:
    """A table a set and number of steps: scores, and gains over plain Keras with intervals."""
    lines = []
    for (name, steps), group in _groups(rows).items():
        lines += [
            f"**{name}**, {steps:,} steps of the first network:",
            "",
            "| | seeds | training, CPU-s | forward passes an image | "
            + " | ".join(f"{metric} | gain" for metric in SHOWN)
            + " |",
            "|---|---|---|---|" + "---|---|" * len(SHOWN),
        ]
        for row in group:
            cells = [row.contender, row.num_seeds, f"{row.cpu_seconds:,.0f}"]
            cells.append(f"{row.networks_an_image:.3g}")
            for metric in SHOWN:
                cells += [f"{row.score(metric):.4f}", _gain(row, metric)]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _gain(row: Row, metric: str) -> str:
    if metric not in row.gains:
        return ""
    gain, low, high = row.gains[metric]
    text = f"{gain:+.4f} ({low:+.4f} to {high:+.4f})"
    return f"**{text}**" if low > 0 or high < 0 else text


def figure(rows: Sequence[Row]) -> Figure:
    """Log loss and AUC against the CPU-seconds of the training, a column of panels a set.

    A contender is drawn where its gain takes the score of plain Keras: scores of some splits or
    seeds alone cannot be compared.
    """
    plain = {(row.set_name, row.steps): row for row in rows if row.contender == PLAIN}
    names = list(dict.fromkeys(row.set_name for row in rows))
    contenders = list(dict.fromkeys(row.contender for row in rows))
    drawn = Figure(figsize=(3.4 * len(names), 7.4), layout="constrained")
    panels = np.atleast_2d(drawn.subplots(2, len(names), squeeze=False))
    for panel_row, metric in zip(panels, ("log_loss", "roc_auc"), strict=True):
        for axes, name in zip(panel_row, names, strict=True):
            for at, contender in enumerate(contenders):
                of = [r for r in rows if r.set_name == name and r.contender == contender]
                axes.plot(
                    [row.cpu_seconds for row in of],
                    [_beside(plain[row.set_name, row.steps], row, metric) for row in of],
                    color="black" if contender == PLAIN else f"C{at - 1}",
                    marker=_MARKERS[at % len(_MARKERS)],
                    linewidth=1,
                    label=contender,
                )
            axes.set(title=name, xlabel="training, CPU-seconds", ylabel=metric)
            axes.set_xlim(0, 1.08 * max(row.cpu_seconds for row in rows if row.set_name == name))
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.25)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return drawn


def _beside(plain: Row, row: Row, metric: str) -> float:
    if row is plain:
        return plain.score(metric)
    sign = 1 if METRICS[metric].higher_is_better else -1
    return plain.score(metric) + sign * row.gains[metric][0]


def save(rows: Sequence[Row], picture: Path) -> None:
    """Write the picture."""
    figure(rows).savefig(picture, dpi=110, facecolor="white")


def _groups(rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.set_name, row.steps), []).append(row)
    return groups
