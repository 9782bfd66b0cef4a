"""The section `cascade`: who leaves after which network, and what that saves and loses."""

import numpy as np
from matplotlib.figure import Figure

from ensemble.cascade import CascadeChoice, Confidence
from ensemble.config import EnsembleConfig
from ensemble.output.figures import plain
from ensemble.output.sections.section import SECTIONS
from ensemble.result import Result
from orchard import html
from orchard.quantities import format_number

_CONFIDENCES = {
    Confidence.MAXIMUM: "the probability of the likeliest answer",
    Confidence.MARGIN: "the probability of the likeliest answer less that of the second likeliest",
}


@SECTIONS.register("cascade")
def cascade_section(config: EnsembleConfig, result: Result) -> str:
    """Stages, their thresholds, and the curve of cost and loss; empty without a cascade."""
    choice = result.cascade
    if choice is None:
        return ""
    return html.render(
        "ensemble/cascade.html",
        choice=choice,
        split=config.split,
        stages=_stages(choice, result),
        confidence=choice.found and _CONFIDENCES[choice.found.cascade.confidence],
        figure=html.figure_to_uri(curve_figure(choice)),
        of_all=format_number(choice.flops_of_all / 1e9),
        own=choice.found and format_number(choice.found.flops / 1e9),
    )


def _stages(choice: CascadeChoice, result: Result) -> list[tuple[str, str, str, str]]:
    """Networks, threshold, and who leaves, of the held-out images and of the predicted ones."""
    found = choice.found
    if found is None:
        return []
    stages = found.cascade.stages
    _, left = found.cascade.staged(result.logits)
    counts = np.bincount(left, minlength=len(stages)) / max(1, len(left))
    rows = []
    for number, (names, stage) in enumerate(zip(found.stage_names, stages, strict=True)):
        last = number == len(stages) - 1
        rows.append(
            (
                ("" if number == 0 else "and ") + ", ".join(names),
                "all that are left" if last else f"a confidence of {_confidence(stage.max_doubt)}",
                f"{found.left_shares[number]:.1%}",
                f"{counts[number]:.1%}",
            )
        )
    return rows


def _confidence(max_doubt: float) -> str:
    """As many digits as tell it from 1."""
    digits = max(3, 2 - int(np.floor(np.log10(max_doubt))))
    return f"{1 - max_doubt:.{digits}f} or more"


def curve_figure(choice: CascadeChoice) -> Figure:
    """Loss against cost, with 95% intervals; what is used is marked."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    points = [one for one in choice.curve if np.isfinite(one.low) and np.isfinite(one.high)]
    if points:
        loss = np.array([one.loss for one in points])
        below, above = loss - [one.low for one in points], [one.high for one in points] - loss
        axes.errorbar(
            [one.share for one in points],
            loss,
            # A percentile interval may lie beside its score.
            yerr=np.maximum([below, above], 0.0),
            fmt="o-",
            markersize=4,
            color="#2f7d4f",
            elinewidth=1,
            capsize=2,
            label="least loss found for a cost",
        )
    axes.axhline(0, color="#888", linewidth=1, linestyle="--", label="all networks, each image")
    if choice.wish.max_loss is not None:
        axes.axhline(
            choice.wish.max_loss, color="#c8553d", linewidth=1, linestyle=":", label="--cascade"
        )
    if choice.found is not None:
        used = choice.verdict
        axes.plot(used.share, used.loss, "*", markersize=14, color="#c8553d", label="used")
    axes.set(
        xlabel="FLOPs an image, share of all networks'",
        ylabel=f"loss in {choice.metric} against all networks",
    )
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return plain(figure)
