"""What the contenders come to on the test images, and whether it is chance."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from benchmarks.worth import cascades
from benchmarks.worth.cascades import halves
from benchmarks.worth.jobs import Folder, cpu_seconds
from benchmarks.worth.plans import PLAIN, Contender
from ensemble import EnsembleConfig, run
from ensemble.combine import activate, fit_temperature, rescale, to_logits
from ensemble.scoring.scores import as_logits, score
from orchard.formats import Logits, Task, load_logits
from trainer.evaluation import METRICS, draw_counts, resampled_scores

# Log loss of probabilities that a temperature has corrected: what is gained beyond calibration.
CALIBRATED = "log_loss, calibrated"
SHOWN = ("roc_auc", "accuracy", "log_loss", CALIBRATED)
_NUM_DRAWS = 1000


class _Score(NamedTuple):
    """A metric on the test images, and on those of each draw: float64 [draws]."""

    score: float
    drawn: np.ndarray


_Sampled: TypeAlias = dict[str, _Score]  # By metric.


@dataclass(frozen=True)
class Row:
    """A contender on one set, for one number of steps.

    Attributes:
        set_name: the data set.
        steps: what it may spend.
        contender: its name.
        cpu_seconds: training, mean over the repeats, from the start of commands to their end.
        networks_an_image: inference, in forward passes of the set's first network.
        scores: metric -> of each split of the images, and there of each seed.
        gains: metric -> how much better than plain Keras: mean, and the 95% interval.
    """

    set_name: str
    steps: int
    contender: str
    cpu_seconds: float
    networks_an_image: float
    scores: dict[str, list[list[float]]]
    gains: dict[str, tuple[float, float, float]]

    @property
    def num_seeds(self) -> str:
        """Of each split, such as 2+1+1."""
        return "+".join(str(len(of_split)) for of_split in self.scores[SHOWN[0]])

    def score(self, metric: str) -> float:
        """The mean over splits, of means over seeds."""
        return float(np.mean([np.mean(of_split) for of_split in self.scores[metric]]))


class _Tried(NamedTuple):
    """A contender with one seed, on one split."""

    split: int
    sampled: _Sampled
    cpu_seconds: float
    networks_an_image: float


def rows_of(folders: list[Folder], steps: int, repeats: list[list[Contender]]) -> list[Row]:
    """Score the contenders of one set, each on the splits and with the seeds that are finished.

    Args:
        folders: of each split of the set.
        steps: what each may spend.
        repeats: the same contenders, with other seeds.
    """
    rows: list[Row] = []
    plain: dict[tuple[int, int], _Sampled] = {}  # By split and seed.
    for contenders in zip(*repeats, strict=True):
        tried = {
            (folder.split, seed): _try(folder, one, repeats[seed][0])
            for folder in folders
            for seed, one in enumerate(contenders)
            # Without plain Keras there is nothing to compare with.
            if folder.is_finished(repeats[seed][0]) and folder.is_finished(one)
        }
        if not tried:
            continue
        name, ours = contenders[0].name, list(tried.values())
        if name == PLAIN:
            plain = {key: one.sampled for key, one in tried.items()}
        beside = [plain[key] for key in tried]
        splits = sorted({one.split for one in ours})
        rows.append(
            Row(
                folders[0].set_name,
                steps,
                name,
                float(np.mean([one.cpu_seconds for one in ours])),
                float(np.mean([one.networks_an_image for one in ours])),
                {
                    metric: [
                        [one.sampled[metric].score for one in ours if one.split == split]
                        for split in splits
                    ]
                    for metric in SHOWN
                },
                {} if name == PLAIN else {m: _gain(m, ours, beside) for m in SHOWN},
            )
        )
    return rows


def _try(folder: Folder, contender: Contender, plain: Contender) -> _Tried:
    truth = load_logits(str(folder.logits_file(plain.trainings[0])))
    predicted = _predict(folder, contender, truth)
    return _Tried(
        folder.split,
        _sample(predicted.probabilities, truth.targets, folder.split),
        sum(cpu_seconds(folder, training) for training in contender.trainings),
        predicted.networks_an_image,
    )


def _sample(probabilities: np.ndarray, targets: np.ndarray, split: int) -> _Sampled:
    """Each metric, and its values on images drawn with replacement, the same for everybody."""
    counts, task = draw_counts(len(targets), split, _NUM_DRAWS), Task.SINGLE_LABEL
    sampled: _Sampled = {}
    for shown in SHOWN:
        metric, values = _metric(shown), probabilities
        if shown == CALIBRATED:
            values = calibrated_by_halves(probabilities, targets)
        drawn = resampled_scores(metric, *as_logits(metric, values, targets, task), counts)
        sampled[shown] = _Score(float(score(metric, values, targets, task)), drawn)
    return sampled


def calibrated_by_halves(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """With one temperature, fitted on half of the images for the other: float64 [images, classes].

    Args:
        probabilities: float [images, classes].
        targets: float [images, classes], one-hot.
    """
    task, result = Task.SINGLE_LABEL, np.zeros(probabilities.shape)
    parts = halves(targets, seed=0)
    for fitted, scored in (parts, parts[::-1]):
        temperature = fit_temperature(to_logits(probabilities[fitted], task), targets[fitted], task)
        result[scored] = rescale(probabilities[scored], temperature, task)
    return result


def _metric(shown: str) -> str:
    return "log_loss" if shown == CALIBRATED else shown


class _Predicted(NamedTuple):
    """Test images in the order of the truth: float [images, classes], and what one of them cost."""

    probabilities: np.ndarray
    networks_an_image: float


def _predict(folder: Folder, contender: Contender, truth: Logits) -> _Predicted:
    if contender.trainings[0].plain:
        logits = load_logits(str(folder.logits_file(contender.trainings[0]))).logits
        return _Predicted(activate(logits, Task.SINGLE_LABEL), contender.networks_an_image)
    refits = any(training.refits for training in contender.trainings)
    result = run(
        EnsembleConfig(
            members=tuple(str(folder.member_dir(training)) for training in contender.trainings),
            dataset=str(folder.dataset),
            output_dir=str(folder.ensemble),  # One for all: it keeps the logits of members.
            calibrate=contender.calibrated,
            predict_with="refits" if refits else "auto",
            export=False,
        )
    )
    row_of = {image_id: row for row, image_id in enumerate(result.inputs.records.ids.tolist())}
    rows = [row_of[image_id] for image_id in truth.ids.tolist()]
    if not contender.cascade:
        return _Predicted(result.probabilities[rows], contender.networks_an_image)
    flops = np.array([price.flops_per_image for price in result.prices.members])
    probabilities, spent = cascades.cross_fitted(
        result.logits[:, rows],
        truth.ids,
        truth.targets,
        flops,
        contender.networks_an_image * flops.min(),
    )
    return _Predicted(probabilities, spent / flops.min())


def _gain(metric: str, ours: list[_Tried], plain: list[_Sampled]) -> tuple[float, float, float]:
    """Mean over splits; the interval is over their images, and the seeds of each: all drawn."""
    sign = 1.0 if METRICS[_metric(metric)].higher_is_better else -1.0
    gains, draws = [], []
    generator = np.random.default_rng(0)
    for split in sorted({one.split for one in ours}):
        pairs = [
            (one.sampled[metric], other[metric])
            for one, other in zip(ours, plain, strict=True)
            if one.split == split
        ]
        gains.append(np.mean([one.score - other.score for one, other in pairs]))
        by_seed = np.stack([one.drawn - other.drawn for one, other in pairs])
        drawn = generator.integers(len(pairs), size=by_seed.shape)
        draws.append(np.take_along_axis(by_seed, drawn, axis=0).mean(axis=0))
    low, high = np.nanpercentile(sign * np.mean(draws, axis=0), [2.5, 97.5])
    return float(sign * np.mean(gains)), float(low), float(high)


def results_file() -> Path:
    """Where the figures of the documentation are kept."""
    return Path(__file__).resolve().parent.parent / "results" / "worth.json"
