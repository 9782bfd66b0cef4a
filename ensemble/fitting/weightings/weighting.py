"""What a way to find weights is: a class with one method, from held-out rows to weights."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensemble.combine import Combiner, LogLinear
from orchard.registry import Registry


@dataclass(frozen=True)
class Selection:
    """What greedy selection picked.

    Attributes:
        order: networks in the order picked, up to the best prefix.
        trajectory: the regret (lower is better) after each pick.
        weights: float64 [networks], sum 1.
    """

    order: tuple[int, ...]
    trajectory: tuple[float, ...]
    weights: np.ndarray


@dataclass(frozen=True)
class Weights:
    """How much each network counts.

    Attributes:
        shares: float64 [networks], at least 0, sum 1.
        combiners: of the networks, of one class; None: those of `--combine`.
        note: how they came about, for people: a clause that goes on after "--weights=NAME: ".
        selection: the picks, where there were any.
    """

    shares: np.ndarray
    combiners: tuple[LogLinear, ...] | None = None
    note: str = ""
    selection: Selection | None = None


@dataclass(frozen=True)
class Sample:
    """Held-out rows to find weights on.

    Attributes:
        represent: combiner -> what it averages, float64 [networks, all rows, classes].
        all_targets: float32 [all rows, classes].
        combiner: that of `--combine`.
        metric: what the weights are for.
        seed: of whatever is drawn.
        rows: int64, those of the sample among all.
    """

    represent: Callable[[Combiner], np.ndarray]
    all_targets: np.ndarray
    combiner: Combiner
    metric: str
    seed: int
    rows: np.ndarray

    def take(self, rows: np.ndarray) -> "Sample":
        """Some of the rows, by their place among those of the sample."""
        values = vars(self) | {"rows": self.rows[rows]}
        return Sample(**values)

    @property
    def targets(self) -> np.ndarray:
        """Labels, float32 [rows, classes]."""
        return self.all_targets[self.rows]

    @property
    def representations(self) -> np.ndarray:
        """What `--combine` averages: float64 [networks, rows, classes]."""
        return self.represent(self.combiner)[:, self.rows]

    @property
    def log_probabilities(self) -> np.ndarray:
        """Of one label an image; log-odds of many: float64 [networks, rows, classes]."""
        return self.represent(LogLinear(self.combiner.task))[:, self.rows]

    @property
    def num_networks(self) -> int:
        """How many networks there are."""
        return len(self.represent(self.combiner))

    def combine(self, weights: Weights) -> np.ndarray:
        """Probabilities of the ensemble with these weights: float64 [rows, classes]."""
        mean = np.tensordot(weights.shares, self.represented(weights), axes=1)
        return (weights.combiners or (self.combiner,))[0].finish(mean)

    def represented(self, weights: Weights) -> np.ndarray:
        """What is averaged by these shares: float64 [networks, rows, classes]."""
        if weights.combiners is None:
            return self.representations
        logs = zip(weights.combiners, self.log_probabilities, strict=True)
        return np.stack([combiner.represent(one) for combiner, one in logs])


class Weighting(ABC):
    """A way to find weights. They are used where they beat simpler ones beyond chance.

    Attributes:
        complexity: `--weights=auto` tries the simplest first; None: it doesn't try this one.
        combines: the names of `--combine` that it goes with; empty: all.
    """

    complexity: ClassVar[int | None] = None
    combines: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def find(self, sample: Sample) -> Weights:
        """The weights.

        Raises:
            OrchardError: these rows have none.
        """


WEIGHTINGS: Registry[type[Weighting]] = Registry(
    "way to find weights", package="ensemble.fitting.weightings"
)


def uniform_weights(count: int) -> np.ndarray:
    """Equal shares: float64 [count]."""
    return np.full(count, 1.0 / count)
