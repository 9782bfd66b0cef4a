"""What a head is, and the loss that it minimizes.

Shapes: features float32 [n, num_features], standardized; logits [n, num_classes]; targets float32
[n, num_classes], one-hot, multi-hot or soft (0..1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from orchard.formats import Task
from orchard.lazy import lazy_import
from orchard.registry import Registry

if TYPE_CHECKING:
    from scipy import special
else:
    special = lazy_import("scipy.special")

Parameters = np.ndarray  # All weights of a head in one vector, as a solver wants them.


class DenseLayer(NamedTuple):
    """A layer of a head, as Keras' Dense has it.

    Attributes:
        kernel: float32 [inputs, outputs].
        bias: float32 [outputs].
        activation: by its name in Keras; "linear": none.
    """

    kernel: np.ndarray
    bias: np.ndarray
    activation: str


@dataclass(frozen=True)
class HeadLoss:
    """The mean over rows of a cross-entropy, as `trainer.optim.Objective` has it.

    Attributes:
        task: one label an image: softmax; many: the mean over classes of a sigmoid each.
        label_smoothing: see `Objective`.
        class_weights: see `Objective`.
    """

    task: Task
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None

    def cell_weights(self, targets: np.ndarray) -> np.ndarray:
        """What each row, or with many labels each cell, counts: float64 [n, 1 or num_classes]."""
        if self.class_weights is None:
            return np.ones((len(targets), 1))
        weights = np.asarray(self.class_weights)
        if self.task == Task.SINGLE_LABEL:
            return (targets @ weights)[:, None]
        return 1 + (weights - 1) * targets

    def smoothed(self, targets: np.ndarray) -> np.ndarray:
        """The targets with label smoothing."""
        center = 1 / targets.shape[1] if self.task == Task.SINGLE_LABEL else 0.5
        return targets * (1 - self.label_smoothing) + self.label_smoothing * center

    def sum_and_slopes(
        self, logits: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """The sum over rows of the loss, and its derivative by each logit.

        Args:
            logits: float [n, num_classes].
            targets: smoothed.
            weights: of `cell_weights`.
        """
        if self.task == Task.SINGLE_LABEL:
            logs = special.log_softmax(logits, axis=1)
            total = targets.sum(axis=1, keepdims=True)
            loss = -np.sum(weights * targets * logs, dtype=np.float64)
            return float(loss), weights * (np.exp(logs) * total - targets)
        cells = -(targets * special.log_expit(logits) + (1 - targets) * special.log_expit(-logits))
        num_classes = targets.shape[1]
        loss = np.sum(weights * cells, dtype=np.float64) / num_classes
        return float(loss), weights * (special.expit(logits) - targets) / num_classes

    def curvature(
        self, logits: np.ndarray, moved: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """How the slopes change along a direction: the Hessian by the logits, times `moved`.

        Args:
            logits: float [n, num_classes].
            moved: a direction, likewise.
            targets: as in `sum_and_slopes`.
            weights: likewise.
        """
        if self.task == Task.SINGLE_LABEL:
            chances = special.softmax(logits, axis=1)
            centered = moved - np.sum(chances * moved, axis=1, keepdims=True)
            return weights * targets.sum(axis=1, keepdims=True) * chances * centered
        chances = special.expit(logits)
        return weights * chances * (1 - chances) * moved / targets.shape[1]


class Head:
    """From features to logits. All methods are pure functions.

    Attributes:
        decays: the weight decays to choose from, strong ones first.
        start_at: the one of them that is tried first.
        max_held_out: how many of the training rows' inner folds are held out, in turn, to choose.
        is_convex: whether there is one solution, wherever a solver starts; its logits are linear
            in its parameters.
        tolerance: of the solution: the largest part of the gradient.
        max_steps: of L-BFGS, where that is not reached.
    """

    decays: ClassVar[Sequence[float]]
    start_at: ClassVar[float]
    max_held_out: ClassVar[int]
    is_convex: ClassVar[bool]
    tolerance: ClassVar[float]
    max_steps: ClassVar[int]

    def __init__(self, num_features: int, num_classes: int, seed: int):
        self.num_features, self.num_classes, self.seed = num_features, num_classes, seed

    def initial(self) -> Parameters:
        """The weights that a solver starts from."""
        raise NotImplementedError

    def penalty(self, parameters: Parameters) -> tuple[float, Parameters]:
        """Half the squared norm of the kernels, and its gradient: what weight decay multiplies."""
        raise NotImplementedError

    def logits(self, parameters: Parameters, features: np.ndarray) -> np.ndarray:
        """The logits of standardized features, in their dtype."""
        raise NotImplementedError

    def pull_back(
        self, parameters: Parameters, features: np.ndarray, slopes: np.ndarray
    ) -> Parameters:
        """The gradient of a loss by the parameters, from its derivatives by the logits."""
        raise NotImplementedError

    def layers(self, parameters: Parameters) -> list[DenseLayer]:
        """The layers, for standardized features."""
        raise NotImplementedError


HEADS: Registry[type[Head]] = Registry("head", "trainer.heads.kinds")
