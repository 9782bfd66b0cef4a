"""The section `conformal`: prediction sets, and how many answers are right of the surest images."""

import numpy as np
from matplotlib.figure import Figure

from ensemble.config import EnsembleConfig
from ensemble.conformal import ConformalSets
from ensemble.output.figures import plain
from ensemble.output.sections.section import SECTIONS
from ensemble.result import Result
from orchard import html
from orchard.formats import Task
from trainer.evaluation import hard_targets

_ANSWERED = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
_MAX_SIZES = 12


@SECTIONS.register("conformal")
def conformal_section(config: EnsembleConfig, result: Result) -> str:
    """Coverage, sizes and the risk-coverage curve; empty without sets."""
    sets = result.sets
    if sets is None:
        return ""
    return html.render(
        "ensemble/conformal.html",
        sets=sets,
        kind=type(sets.method),
        promise=type(sets.method).promise.format(level=sets.level),
        parameters=", ".join(
            f"{name.replace('_', ' ')} {value:.6g}" for name, value in vars(sets.method).items()
        ),
        many=result.inputs.records.task == Task.MULTI_LABEL,
        split=config.split,
        on_split=_on_split(sets, result),
        sizes=html.bars(_sizes(sets)),
        answered=[(share, sets.right_at(share)) for share in _ANSWERED],
        figure=html.figure_to_uri(risk_coverage_figure(sets)),
    )


def _on_split(sets: ConformalSets, result: Result) -> tuple[float, float, int] | None:
    """What is kept of the promise on the predicted split, the mean size, and on how many images."""
    targets = result.inputs.targets
    labelled = (targets >= 0).all(axis=1)
    if not labelled.any():
        return None
    found = sets.method.sets(result.probabilities[labelled])
    true = hard_targets(targets[labelled], result.inputs.records.task)
    kept = type(sets.method).kept(found, true)
    if np.isnan(kept).all():
        return None
    return float(np.nanmean(kept)), float(found.sum(axis=1).mean()), int(labelled.sum())


def _sizes(sets: ConformalSets) -> dict[str, float]:
    """Shares by size, the large ones together."""
    shares = {str(size): float(share) for size, share in enumerate(sets.sizes[:_MAX_SIZES])}
    if len(sets.sizes) > _MAX_SIZES:
        shares[f"{_MAX_SIZES} or more"] = float(sets.sizes[_MAX_SIZES:].sum())
    return {size: share for size, share in shares.items() if share}


def risk_coverage_figure(sets: ConformalSets) -> Figure:
    """How many answers are right of the surest images, by how many are answered."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    shares, right = sets.answered
    # A vector drawing with a point for each of many images would be megabytes.
    at = np.unique(np.linspace(0, len(shares) - 1, min(len(shares), 500)).astype(int))
    axes.plot(shares[at], right[at], color="#1b6ca8")
    marked = sets.right_at(0.8)
    axes.plot(0.8, marked, "o", color="#c8553d")
    axes.annotate(
        f"at 80% answered, {marked:.1%} right",
        (0.8, marked),
        xytext=(-8, -16),
        ha="right",
        textcoords="offset points",
    )
    axes.set(xlabel="share of the images that is answered, the surest first", ylabel="right")
    return plain(figure)
