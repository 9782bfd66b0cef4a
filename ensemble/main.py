r"""Predict a split with an ensemble of trained networks.

    python -m ensemble.main --members=runs/b7,runs/b6 --dataset=DIR/plant_pathology/1.0.0 \
        --split=test --output_dir=out

The output directory then holds predictions.csv, weights.json, report.html, saved_model/ (the whole
ensemble as one SavedModel) and logits/ (the cache that makes a second run cheap).
"""

if __name__ == "__main__":
    from orchard import ctrl_c

    ctrl_c.end_at_once()  # Before the imports, which take a while.

import posixpath
import shlex
from typing import TYPE_CHECKING

from absl import logging
from absl.flags import FLAGS

from ensemble.config import EnsembleConfig
from orchard import cli, flags, storage
from orchard.formats import EnsembleDir

if TYPE_CHECKING:
    from ensemble.result import Result


OPTIONS = (EnsembleConfig,)


def main() -> None:
    """Build the ensemble of the flags, and say where it is and what it is worth."""
    settings = flags.build(EnsembleConfig)
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # TensorFlow lists every variable that it saves.
    # TensorFlow takes seconds to import: not before the flags are known to be good.
    from ensemble import pipeline
    from ensemble.scoring import scoreboard_text

    result = pipeline.run(settings)
    for board in (result.split_board, result.held_out_board):
        if board is not None:
            print(scoreboard_text(board) + "\n")
    for line in remarks(settings, result):
        print(line)
    folder = EnsembleDir(settings.output_dir)
    paths = [folder.predictions_file, folder.record_file, folder.report_file, folder.card_file]
    paths += [folder.held_out_predictions_file] * (result.fit.out_of_fold is not None)
    paths += [*pipeline.soft_labels(settings, result)]
    paths += [folder.saved_model_dir] * settings.export
    paths += [storage.join(folder.path, one.name) for one in result.exported]
    names = [posixpath.basename(path) for path in paths]
    if settings.serving:
        paths.append(settings.serving_dir)
        names.append("serving")
    for name, path in zip(names, paths, strict=True):
        print(f"{name:<{max(map(len, names))}}  {path}")
    if settings.export:
        print(
            "predict other images: python -m ensemble.predict "
            f"--model={shlex.quote(folder.saved_model_dir)} --images_dir=FOLDER "
            "--output=predictions.csv"
        )


def remarks(settings: EnsembleConfig, result: "Result") -> list[str]:
    """What the user might miss in the result of `pipeline.run`, one sentence a line."""
    lines = []
    lines += _trials(result)
    if result.inputs.runs.note:
        lines.append(result.inputs.runs.note)
    if result.cheapest is not None:
        lines.append(result.cheapest.sentence)
    if result.diversity is not None and result.diversity.advice:
        lines.append(result.diversity.advice)
    if result.inputs.views.note:
        lines.append(result.inputs.views.note)
    if result.cascade is not None:
        lines.append(result.cascade.sentence)
    if result.sets is not None:
        lines.append(result.sets.sentence)
    lines += [one.sentence for one in result.exported]
    lines += result.caveats
    if settings.soft_labels and result.inputs.held_out is None:
        lines.append(
            "No out-of-fold soft labels, which distillation wants, were written: there are no "
            "held-out images."
        )
    submission = result.inputs.submission
    if submission is not None and submission.note:
        lines.append(submission.note)
    if result.left_out:
        lines.append(f"{result.left_out} predictions are not in the sample submission.")
    return lines


def _trials(result: "Result") -> list[str]:
    """What learned weights are worth, and which are used."""
    learned, lines = result.fit.learned, list[str]()
    if learned is None:
        return lines
    for trial in learned.trials:
        if trial.verdict is None:
            continue
        name = trial.name.capitalize()
        if trial.verdict.trusted:
            used = f" ({', '.join(_shares(result))})" if trial is learned.chosen else ""
            lines.append(
                f"{name} weights{used} beat {trial.over} ones: {result.inputs.metric} gains "
                f"{trial.verdict}."
            )
        else:
            lines.append(
                f"{name} weights do not beat {trial.over} ones beyond chance (gain "
                f"{trial.verdict}): {trial.over} it is."
            )
    return lines


def _shares(result: "Result") -> list[str]:
    networks = zip(result.inputs.networks, result.fit.network_weights, strict=True)
    return [f"{network.name} {weight:.3f}" for network, weight in networks if weight]


if __name__ == "__main__":
    cli.run(main, *OPTIONS)
