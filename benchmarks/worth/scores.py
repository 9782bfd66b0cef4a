"""What the contenders come to on the test images, and whether it is chance."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.worth.jobs import Folder, cpu_seconds
from benchmarks.worth.plans import PLAIN, Contender
from ensemble import EnsembleConfig, run
from ensemble.combine import activate
from ensemble.scoring.bootstrap import draw_counts, resampled_scores
from ensemble.scoring.scores import score
from orchard.formats import Logits, Task, load_logits
from trainer.evaluation import METRICS

SHOWN = ("roc_auc", "accuracy", "log_loss")
_NUM_DRAWS = 1000


@dataclass(frozen=True)
class Row:
    """A contender on one set, for one number of steps.

    Attributes:
        set_name: the data set.
        steps: what it may spend.
        contender: its name.
        cpu_seconds: training, mean over the repeats, from the start of commands to their end.
        networks_an_image: inference, in forward passes of the set's first network.
        scores: metric -> of each repeat.
        gains: metric -> how much better than plain Keras: mean, and the 95% interval.
    """

    set_name: str
    steps: int
    contender: str
    cpu_seconds: float
    networks_an_image: float
    scores: dict[str, list[float]]
    gains: dict[str, tuple[float, float, float]]


def rows_of(folder: Folder, steps: int, repeats: list[list[Contender]]) -> list[Row]:
    """Score the contenders of one set.

    Args:
        folder: of the set.
        steps: what each may spend.
        repeats: the same contenders, with other seeds.
    """
    found: list[Row] = []
    if not repeats:
        return found
    truth = load_logits(str(folder.logits_file(repeats[0][0].trainings[0])))
    plain = [_probabilities(folder, one[0], truth) for one in repeats]
    for contenders in zip(*repeats, strict=True):
        ours = [_probabilities(folder, one, truth) for one in contenders]
        seconds = [
            sum(cpu_seconds(folder, training) for training in one.trainings) for one in contenders
        ]
        scores, gains = {}, {}
        for metric in SHOWN:
            of = [score(metric, p, truth.targets, Task.SINGLE_LABEL) for p in ours]
            scores[metric] = [float(value) for value in of]
            if contenders[0].name != PLAIN:
                gains[metric] = _gain(metric, ours, plain, truth.targets)
        first = contenders[0]
        found.append(
            Row(
                folder.name,
                steps,
                first.name,
                float(np.mean(seconds)),
                first.networks_an_image,
                scores,
                gains,
            )
        )
    return found


def _probabilities(folder: Folder, contender: Contender, truth: Logits) -> np.ndarray:
    """Of the test images, in the order of `truth`: float [images, classes]."""
    if contender.trainings[0].plain:
        logits = load_logits(str(folder.logits_file(contender.trainings[0]))).logits
        return activate(logits, Task.SINGLE_LABEL)
    refits = any(training.refits for training in contender.trainings)
    result = run(
        EnsembleConfig(
            members=tuple(str(folder.run_dir(training)) for training in contender.trainings),
            dataset=str(folder.dataset),
            output_dir=str(folder.ensemble),  # One for all: it keeps the logits of members.
            calibrate=contender.calibrated,
            predict_with="refits" if refits else "auto",
            export=False,
        )
    )
    order = np.argsort(result.inputs.records.ids)
    return result.probabilities[order[np.argsort(np.argsort(truth.ids))]]


def _gain(
    metric: str, ours: list[np.ndarray], plain: list[np.ndarray], targets: np.ndarray
) -> tuple[float, float, float]:
    """Mean over the repeats; the interval is over images and repeats, drawn with replacement."""
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    counts = draw_counts(len(targets), 0, _NUM_DRAWS)
    by_repeat = np.stack(
        [
            resampled_scores(metric, one, targets, Task.SINGLE_LABEL, counts)
            - resampled_scores(metric, other, targets, Task.SINGLE_LABEL, counts)
            for one, other in zip(ours, plain, strict=True)
        ]
    )
    generator = np.random.default_rng(0)
    drawn = generator.integers(len(ours), size=by_repeat.shape)
    draws = sign * np.take_along_axis(by_repeat, drawn, axis=0).mean(axis=0)
    mean = sign * np.mean(
        [
            score(metric, one, targets, Task.SINGLE_LABEL)
            - score(metric, other, targets, Task.SINGLE_LABEL)
            for one, other in zip(ours, plain, strict=True)
        ]
    )
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return float(mean), float(low), float(high)


def results_file() -> Path:
    """Where the figures of the documentation are kept."""
    return Path(__file__).resolve().parent.parent / "results" / "worth.json"
