"""Sets fitted on held-out images, and how far they keep their promise on others.

What is promised holds for new images that come from where the held-out ones came from. How far it
is kept is measured on held-out images, each by sets that were fitted without it: five fits, each
without a fifth of the images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.cascade import Confidence, doubt
from ensemble.conformal.method import SET_METHODS, SetMethod
from ensemble.fitting import spread_parts
from orchard.errors import OrchardError
from orchard.formats import Task
from trainer.evaluation import hard_targets, mean_interval

_NUM_PARTS = 5
AUTO_METHOD = "auto"
_DEFAULTS = {Task.SINGLE_LABEL: "raps", Task.MULTI_LABEL: "risk_control"}
_ANSWERED = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


@dataclass(frozen=True)
class ClassCoverage:
    """Images of one class.

    Attributes:
        name: of the class.
        num_images: held-out images that have it.
        covered: share of them whose set has it; NaN without any.
        mean_size: classes in their sets; NaN without any.
    """

    name: str
    num_images: int
    covered: float
    mean_size: float


@dataclass(frozen=True)
class ConformalSets:
    """Sets, and how far they keep their promise.

    Attributes:
        name: of the method, in the registry.
        method: fitted on all held-out images.
        level: what is promised.
        num_images: how many held-out images there were.
        kept: mean of what is promised, on images that the sets were not fitted on.
        low: lower end of its 95% bootstrap interval.
        high: upper end.
        mean_size: classes in a set.
        sizes: the share of the images by the size of their sets: float64 [classes + 1].
        by_class: the same for the images of each class.
        answered: shares of the images, those of the greatest confidence first, and how many of
            them are right: float64 [images] each.
    """

    name: str
    method: SetMethod
    level: float
    num_images: int
    kept: float
    low: float
    high: float
    mean_size: float
    sizes: np.ndarray
    by_class: tuple[ClassCoverage, ...]
    answered: tuple[np.ndarray, np.ndarray]

    def right_at(self, share: float) -> float:
        """How many are right of this share of the images, those of the greatest confidence."""
        shares, right = self.answered
        return float(right[max(int(np.searchsorted(shares, share - 1e-9)), 0)])

    @property
    def sentence(self) -> str:
        """What came of it, for people."""
        promise = type(self.method).promise.format(level=self.level)
        shown = ", ".join(f"{self.right_at(share):.1%} at {share:.0%}" for share in _ANSWERED[:4])
        return (
            f"Prediction sets: {promise}; on held-out images that they were not fitted on it is "
            f"{self.kept:.4f} ({self.low:.4f} to {self.high:.4f}), with {self.mean_size:.2f} "
            f"classes a set. Of the images that are answered, the surest first, are right: {shown}."
        )


def method_for(name: str, task: Task) -> tuple[str, type[SetMethod]]:
    """The method of that name, or the task's own for "auto".

    Raises:
        OrchardError: it is for another task.
    """
    found = _DEFAULTS[task] if name == AUTO_METHOD else name
    if SET_METHODS[found].task != task:
        fitting = ", ".join(one for one, kind in SET_METHODS.items() if kind.task == task)
        raise OrchardError(
            f"--conformal_method={name} is not for {task} datasets; use {AUTO_METHOD} or {fitting}"
        )
    return found, SET_METHODS[found]


def check_level(level: float, num_images: int) -> None:
    """Raise OrchardError where there are too few held-out images for a level."""
    needed = int(np.ceil(2 / (1 - level) - 1e-9))
    if num_images < needed:
        raise OrchardError(
            f"--conformal={level:g} needs {needed} held-out images, and there are {num_images}; "
            f"--conformal={1 - 2 / num_images:.2g} or less will do"
            if num_images > 2
            else f"--conformal={level:g} needs {needed} held-out images, not {num_images}; drop it"
        )


def calibrate_sets(
    probabilities: np.ndarray,
    targets: np.ndarray,
    class_names: Sequence[str],
    task: Task,
    *,
    level: float,
    method: str = AUTO_METHOD,
    seed: int = 0,
) -> ConformalSets:
    """Fit sets on held-out images, and measure them.

    Args:
        probabilities: float64 [rows, classes] of images that no network trained on.
        targets: float [rows, classes].
        class_names: of the columns.
        task: what the labels mean.
        level: what is promised, above 0 and below 1.
        method: of the registry, or "auto".
        seed: of the parts.

    Raises:
        OrchardError: the method is for another task, or there are too few images.
    """
    name, kind = method_for(method, task)
    check_level(level, len(targets))
    parts = spread_parts(targets, _NUM_PARTS, seed)
    sets = np.empty(targets.shape, bool)
    for part in range(_NUM_PARTS):
        fitted_on, left_out = parts != part, parts == part
        fitted = kind.fit(probabilities[fitted_on], targets[fitted_on], level, seed)
        sets[left_out] = fitted.sets(probabilities[left_out])
    true = hard_targets(targets, task)
    kept = kind.kept(sets, true)
    known = kept[~np.isnan(kept)]
    sizes = sets.sum(axis=1)
    return ConformalSets(
        name,
        kind.fit(probabilities, targets, level, seed),
        level,
        len(targets),
        float(known.mean()) if len(known) else float("nan"),
        *mean_interval(known, seed=seed),
        float(sizes.mean()),
        np.bincount(sizes, minlength=targets.shape[1] + 1) / len(sizes),
        tuple(
            ClassCoverage(
                class_name,
                int(of_class.sum()),
                float(sets[of_class, at].mean()) if of_class.any() else float("nan"),
                float(sizes[of_class].mean()) if of_class.any() else float("nan"),
            )
            for at, (class_name, of_class) in enumerate(zip(class_names, true.T, strict=True))
        ),
        risk_coverage(probabilities, true, task),
    )


def risk_coverage(
    probabilities: np.ndarray, targets: np.ndarray, task: Task
) -> tuple[np.ndarray, np.ndarray]:
    """Of the surest images, from one to all: their share of all, and how many of them are right.

    El-Yaniv & Wiener 2010, "On the Foundations of Noise-free Selective Classification": the
    selective risk is 1 - what is right. Images of equal confidence count as one step's mean.

    Args:
        probabilities: float [rows, classes].
        targets: bool [rows, classes].
        task: what the labels mean.
    """
    named = hard_targets(probabilities, task) if task == Task.SINGLE_LABEL else probabilities >= 0.5
    right = (named == targets).all(axis=1).astype(np.float64)
    unsure = doubt(probabilities, task, Confidence.MAXIMUM)
    _, group = np.unique(unsure, return_inverse=True)
    mean = np.bincount(group, right) / np.bincount(group)
    order = np.argsort(unsure, kind="stable")
    count = np.arange(1, len(order) + 1)
    return count / len(order), np.cumsum(mean[group][order]) / count
