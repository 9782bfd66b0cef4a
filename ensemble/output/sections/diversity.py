"""The section on diversity: how networks' errors differ, and what each network adds."""

import numpy as np

from ensemble.config import EnsembleConfig
from ensemble.output.sections.section import SECTIONS
from ensemble.result import Result
from orchard import html
from orchard.formats import Task

# More cells than of so many networks cannot be read.
_MAX_NETWORKS = 12


@SECTIONS.register("diversity")
def diversity(config: EnsembleConfig, result: Result) -> str:
    """What each network adds, and the matrix of their errors; "" of one network."""
    found = result.diversity
    if found is None:
        return ""
    shown = min(len(found.additions), _MAX_NETWORKS)
    pairs = found.pairs
    matrix = [
        [
            {
                "correlation": pairs.correlation[row, column],
                # The closer two networks are, the darker: errors in common are no help.
                "shade": float(np.nan_to_num(np.clip(pairs.correlation[row, column], 0, 1))),
                "disagreement": pairs.disagreement[row, column],
                "double_fault": pairs.double_fault[row, column],
            }
            for column in range(shown)
        ]
        for row in range(shown)
    ]
    return html.render(
        "ensemble/diversity.html",
        found=found,
        names=[one.name for one in found.additions[:shown]],
        matrix=matrix,
        left_out=len(found.additions) - shown,
        multi_label=result.inputs.records.task == Task.MULTI_LABEL,
    )
