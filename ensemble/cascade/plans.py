"""What the best cascade is looked for among: plans, and what each costs and says of some images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ensemble.cascade.confidence import Confidence, doubt
from ensemble.combine import Combiner, rescale
from ensemble.scoring import expected_regrets, per_row_regrets, regret

# Standard errors; three, since the least of thousands of plans is sought.
_BEYOND_ERRORS = 3.0


@dataclass(frozen=True)
class Plan:
    """A cascade of networks.

    Attributes:
        stages: the networks that run first at each stage.
        max_doubts: of all stages but the last: images of at most this doubt leave.
        confidence: what the doubts are of.
    """

    stages: tuple[tuple[int, ...], ...]
    max_doubts: tuple[float, ...]
    confidence: Confidence

    def prefixes(self) -> list[tuple[int, ...]]:
        """The networks that have run after each stage, sorted."""
        return [
            tuple(sorted(one for stage in self.stages[: number + 1] for one in stage))
            for number in range(len(self.stages))
        ]


def simplified(plan: Plan) -> Plan:
    """The same without stages that nobody leaves after, or that nobody reaches."""
    stages: list[tuple[int, ...]] = []
    doubts: list[float] = []
    waiting: tuple[int, ...] = ()
    for stage, max_doubt in zip(plan.stages, (*plan.max_doubts, np.inf), strict=True):
        waiting = (*waiting, *stage)
        if max_doubt > 0:
            stages.append(waiting)
            doubts.append(max_doubt)
            waiting = ()
        if np.isinf(max_doubt):
            break
    return Plan(tuple(stages), tuple(doubts[:-1]), plan.confidence)


def is_cheaper(plan: Plan, num_networks: int) -> bool:
    """Whether it is another than all networks for each image."""
    return len(plan.stages) > 1 or len(plan.stages[0]) < num_networks


def share_of(plan: Plan, left: np.ndarray, costs: np.ndarray) -> float:
    """The cost of images that left after these stages, as a share of that of all networks."""
    spent = np.cumsum([costs[list(stage)].sum() for stage in plan.stages])
    return spent[left].mean() / costs.sum()


@dataclass(frozen=True)
class Change:
    """How much worse images fare by some networks than by all: float64 [rows] each.

    Attributes:
        seen: by their labels.
        expected: by what all networks together say of them, without looking at labels.
    """

    seen: np.ndarray
    expected: np.ndarray

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """What `estimated_loss` needs, summed over some rows: float64 [4]."""
        return self.terms[:, rows].sum(axis=1)

    @cached_property
    def terms(self) -> np.ndarray:
        """Of each row: float64 [4, rows]."""
        rest = self.seen - self.expected
        return np.stack([self.expected, rest, rest**2, self.seen**2])


def estimated_loss(means: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A plan's loss, and the standard error of its loss by labels.

    Labels are few: where a plan and all networks part on 50 of 2,000 images, chance alone moves its
    accuracy by 0.0035 (one standard error), and the best of thousands is the luckiest. What all
    networks together expect of each plan has no such chance, but cannot know where some of them
    know better than all. So the loss is what is expected, corrected by how far labels contradict it
    beyond three standard errors (soft thresholding: Donoho & Johnstone 1994, "Ideal spatial
    adaptation by wavelet shrinkage", section 2).

    Args:
        means: of `Change.terms` over images: float64 [4, ...].
        count: of images.
    """
    expected, rest, rest_squares, seen_squares = means
    rest_error = np.sqrt(np.maximum(rest_squares - rest**2, 0.0) / count)
    error = np.sqrt(np.maximum(seen_squares - (expected + rest) ** 2, 0.0) / count)
    beyond = np.maximum(np.abs(rest) - _BEYOND_ERRORS * rest_error, 0.0)
    return expected + np.sign(rest) * beyond, error


class Views:
    """What every subset of the networks says of some images, computed when it is first asked.

    Args:
        representations: float64 [networks, rows, classes].
        weights: float64 [networks], of those alone that may run, all > 0.
        targets: float [rows, classes].
        combiner: of the networks.
        temperatures: of the mean over a subset: its own probabilities', and its confidence's.
        metric: what judges.
    """

    def __init__(
        self,
        representations: np.ndarray,
        weights: np.ndarray,
        targets: np.ndarray,
        combiner: Combiner,
        temperatures: Callable[[tuple[int, ...]], tuple[np.ndarray, np.ndarray]],
        metric: str,
    ):
        self._representations, self._weights = representations, weights
        self.targets, self.combiner, self.metric = targets, combiner, metric
        self._temperatures = temperatures
        self._doubts: dict[tuple[int, ...], dict[Confidence, np.ndarray]] = {}
        self._regrets: dict[tuple[int, ...], np.ndarray | None] = {}
        self._changes: dict[tuple[int, ...], Change] = {}

    def take(self, rows: np.ndarray) -> "Views":
        """The same of some of the rows."""
        return Views(
            self._representations[:, rows],
            self._weights,
            self.targets[rows],
            self.combiner,
            self._temperatures,
            self.metric,
        )

    @property
    def num_networks(self) -> int:
        """How many networks there are."""
        return len(self._representations)

    def mean(self, networks: Sequence[int], rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Uncalibrated probabilities of some networks together: float64 [rows, classes]."""
        return mean_of(self._representations[:, rows], self._weights, networks, self.combiner)

    def probabilities(
        self, networks: tuple[int, ...], rows: np.ndarray | slice = slice(None)
    ) -> np.ndarray:
        """What images get that leave after these networks: float64 [rows, classes]."""
        own, _ = self._temperatures(networks)
        return rescale(self.mean(networks, rows), own, self.combiner.task)

    def doubts(self, networks: tuple[int, ...], confidence: Confidence) -> np.ndarray:
        """How unsure these networks are of each image: float64 [rows]."""
        if networks not in self._doubts:
            _, temperature = self._temperatures(networks)
            task = self.combiner.task
            sure = rescale(self.mean(networks), temperature, task)
            self._doubts[networks] = {kind: doubt(sure, task, kind) for kind in Confidence}
        return self._doubts[networks][confidence]

    def regrets(self, networks: tuple[int, ...]) -> np.ndarray | None:
        """Float64 [rows] whose mean is the metric's regret; None where it is no such mean."""
        if networks not in self._regrets:
            self._regrets[networks] = per_row_regrets(
                self.metric, self.probabilities(networks), self.targets, self.combiner.task
            )
        return self._regrets[networks]

    @cached_property
    def everyone(self) -> tuple[int, ...]:
        """All networks."""
        return tuple(range(self.num_networks))

    @cached_property
    def is_mean(self) -> bool:
        """Whether the metric is a mean over images."""
        return self.regrets(self.everyone) is not None

    @cached_property
    def regret_of_all(self) -> float:
        """That of all networks together."""
        return self.regret(self.probabilities(self.everyone))

    def regret(self, probabilities: np.ndarray) -> float:
        """The metric, turned so that less is better."""
        return regret(self.metric, probabilities, self.targets, self.combiner.task)

    def left_after(self, plan: Plan) -> np.ndarray:
        """The stage that each image leaves after: int64 [rows]."""
        left = np.full(len(self.targets), len(plan.stages) - 1)
        # From the last stage to the first: an earlier one that lets it go has the say.
        steps = list(zip(plan.prefixes(), plan.max_doubts, strict=False))
        for number, (networks, max_doubt) in reversed(list(enumerate(steps))):
            left[self.doubts(networks, plan.confidence) <= max_doubt] = number
        return left

    def predict(self, plan: Plan) -> np.ndarray:
        """Probabilities by a plan: float64 [rows, classes]."""
        left = self.left_after(plan)
        result = np.empty(self.targets.shape)
        for number, networks in enumerate(plan.prefixes()):
            rows = np.flatnonzero(left == number)
            result[rows] = self.probabilities(networks, rows)
        return result

    def change(self, networks: tuple[int, ...]) -> Change:
        """What it means for images to leave after these networks; for metrics that are a mean."""
        if networks not in self._changes:
            seen = self._rows_of(networks) - self._rows_of(self.everyone)
            one, every = self._expected(networks), self._expected(self.everyone)
            expected = seen if one is None or every is None else one - every
            self._changes[networks] = Change(seen, expected)
        return self._changes[networks]

    def assess(self, plan: Plan, costs: np.ndarray) -> tuple[float, float, float]:
        """Share of the cost of all networks, loss, and the loss's standard error (0: unknown)."""
        left = self.left_after(plan)
        share = float(share_of(plan, left, costs))
        if not self.is_mean:
            return share, self.regret(self.predict(plan)) - self.regret_of_all, 0.0
        sums = [
            self.change(networks).sums(left == at) for at, networks in enumerate(plan.prefixes())
        ]
        loss, error = estimated_loss(np.sum(sums, axis=0) / len(left), len(left))
        return share, float(loss), float(error)

    def _rows_of(self, networks: tuple[int, ...]) -> np.ndarray:
        found = self.regrets(networks)
        if found is None:
            raise ValueError(f"{self.metric} is no mean over images")
        return found

    def _expected(self, networks: tuple[int, ...]) -> np.ndarray | None:
        probabilities, task = self.probabilities(networks), self.combiner.task
        return expected_regrets(self.metric, probabilities, self._beliefs, task)

    @cached_property
    def _beliefs(self) -> np.ndarray:
        """What all networks say of each image, calibrated: float64 [rows, classes]."""
        _, temperature = self._temperatures(self.everyone)
        return rescale(self.mean(self.everyone), temperature, self.combiner.task)


def mean_of(
    representations: np.ndarray, weights: np.ndarray, networks: Sequence[int], combiner: Combiner
) -> np.ndarray:
    """Uncalibrated probabilities of some networks, whose weights are scaled to sum 1."""
    chosen = list(networks)
    mean = np.tensordot(weights[chosen] / weights[chosen].sum(), representations[chosen], axes=1)
    return combiner.finish(mean)
