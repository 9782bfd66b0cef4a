"""The report's section on labels that held-out images make doubtful."""

import shlex

import numpy as np

from ensemble.config import EnsembleConfig
from ensemble.doubts import doubt
from ensemble.output.sections.section import SECTIONS
from ensemble.result import Result
from orchard import html
from trainer.evaluation import hard_targets

_MAX_LISTED = 10


@SECTIONS.register("label_issues")
def label_issues(config: EnsembleConfig, result: Result) -> str:
    """The most doubtful labels, and the command that shows all of them with their pictures."""
    found, records = result.fit.out_of_fold, result.inputs.records
    if found is None or not config.combiner.gives_probabilities:
        return ""
    held_out, task = found.held_out, records.task
    given = hard_targets(held_out.targets, task)
    doubts = doubt(found.probabilities, given, task)
    listed = np.flatnonzero(doubts.flagged)
    listed = listed[np.argsort(-doubts.scores[listed], kind="stable")]

    def named(present: np.ndarray) -> str:
        classes = [records.class_names[at] for at in np.flatnonzero(present)]
        return ", ".join(classes) or "none of the classes"

    return html.render(
        "ensemble/doubtful_labels.html",
        num_doubtful=len(listed),
        num_judged=len(held_out.ids),
        expected=doubts.expected,
        rows=[
            (
                str(held_out.ids[row]),
                named(given[row]),
                named(doubts.suggested[row]),
                f"{np.exp(doubts.scores[row]):.3g} to 1",
            )
            for row in listed[:_MAX_LISTED].tolist()
        ],
        command=(
            f"python -m ensemble.label_issues --members={shlex.quote(','.join(config.members))} "
            f"--dataset={shlex.quote(result.inputs.members[0].dataset_path)} --output_dir=DIR"
        ),
    )
