"""The section of `--explain`: where the networks look in images of the predicted split."""

import shlex

import numpy as np

from ensemble.combine import activate
from ensemble.config import EnsembleConfig
from ensemble.explaining import RecordPhotos, explain_member, keras_network, shown_members
from ensemble.output.explained import Answers, explain_groups, groups_html
from ensemble.output.sections.section import SECTIONS
from ensemble.result import Result
from orchard import html


@SECTIONS.register("explained")
def explained_section(config: EnsembleConfig, result: Result) -> str:
    """Heat maps of the worst errors, the most disputed images and some a class; "" if not asked."""
    if not config.explain:
        return ""
    inputs, records = result.inputs, result.inputs.records
    shown = shown_members(inputs.networks, result.fit.combination.weights)
    members = [inputs.members[at] for at in shown]
    explainers = [explain_member(member, keras_network(member)) for member in members]
    answers = Answers(
        records.ids.tolist(),
        result.probabilities,
        np.stack([activate(result.logits[at], records.task) for at in shown]),
        inputs.targets,
        records.class_names,
        records.task,
        result.thresholds,
    )
    groups = explain_groups(answers, RecordPhotos(records), explainers, config.explain)
    return html.render(
        "ensemble/explained_section.html",
        groups=groups_html(groups, explainers),
        left_out=len(result.fit.combination.weights.nonzero()[0]) - len(shown),
        command=(
            f"python -m ensemble.explain --model={shlex.quote(config.output_dir)} "
            f"--dataset={shlex.quote(config.dataset)} --split={shlex.quote(config.split)} "
            "--output_dir=DIR"
        ),
    )
