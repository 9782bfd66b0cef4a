"""The best cascade on some images: exactly over small sets, greedily over larger ones.

A plan says which networks run at which stage and when an image leaves. Every plan has a cost, the
mean over images of what the networks that see it cost, and a loss, how much worse the metric is
than that of all networks together. A goal turns both into what to minimize.

Where the metric is a mean over images (accuracy, log loss), all thresholds of a grid are looked at:
images are counted by the cell of the grid that their doubts fall into, and sums over the cells
below and above a threshold are the cost and the loss of every combination of thresholds. Of up to
four networks this is done for all ways to cut them into stages, in any order; of more, for all ways
to cut them, in the order of their cost, into up to four stages (three, of very many networks).

For other metrics, greedily: networks join in the order of their cost, and thresholds are raised
step by step, each time the one that loses the least for what it saves, until all images leave at
the first stage. Every plan on the way is looked at.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ensemble.cascade.confidence import Confidence, doubt
from ensemble.combine import Combiner, rescale
from ensemble.scoring import per_row_regrets, regret

MAX_EXACT_NETWORKS = 4
# Thresholds a stage by the number of stages that have one: their product is the grid.
_LEVELS = {1: 512, 2: 96, 3: 28}
_MAX_STAGES = len(_LEVELS) + 1
_MAX_CHAINS = 300
_GREEDY_LEVELS = 10
_SLACK = 1e-12


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


@dataclass(frozen=True)
class Goal:
    """What is wanted of a plan: the least cost within a loss, or the least loss within a cost.

    Attributes:
        max_loss: None: any; then the loss is minimized.
        min_share: smallest cost, as a share of that of all networks.
        max_share: largest cost.
        errors: how many standard errors of its loss a plan must stay below `max_loss`.
    """

    max_loss: float | None = None
    min_share: float = 0.0
    max_share: float = 1.0
    errors: float = 0.0

    def rank(
        self, share: np.ndarray, loss: np.ndarray, error: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What to minimize, and what decides between equal ones; infinite where it is not met."""
        met = (share > self.min_share - _SLACK) & (share <= self.max_share + _SLACK)
        if self.max_loss is not None:
            met &= loss + self.errors * error <= self.max_loss + _SLACK
        first, second = (loss, share) if self.max_loss is None else (share, loss)
        return np.where(met, first, np.inf), second


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

    def assess(self, plan: Plan, costs: np.ndarray) -> tuple[float, float, float]:
        """Share of the cost of all networks, loss, and the loss's standard error (0: unknown)."""
        left = self.left_after(plan)
        share = float(share_of(plan, left, costs))
        if not self.is_mean:
            return share, self.regret(self.predict(plan)) - self.regret_of_all, 0.0
        change = np.zeros(len(left))
        for number, networks in enumerate(plan.prefixes()):
            rows = left == number
            change[rows] = (self._rows_of(networks) - self._rows_of(self.everyone))[rows]
        return share, float(change.mean()), float(change.std() / np.sqrt(len(change)))

    def _rows_of(self, networks: tuple[int, ...]) -> np.ndarray:
        found = self.regrets(networks)
        if found is None:
            raise ValueError(f"{self.metric} is no mean over images")
        return found


def mean_of(
    representations: np.ndarray, weights: np.ndarray, networks: Sequence[int], combiner: Combiner
) -> np.ndarray:
    """Uncalibrated probabilities of some networks, whose weights are scaled to sum 1."""
    chosen = list(networks)
    mean = np.tensordot(weights[chosen] / weights[chosen].sum(), representations[chosen], axes=1)
    return combiner.finish(mean)


def is_cheaper(plan: Plan, num_networks: int) -> bool:
    """Whether it is another than all networks for each image."""
    return len(plan.stages) > 1 or len(plan.stages[0]) < num_networks


def share_of(plan: Plan, left: np.ndarray, costs: np.ndarray) -> float:
    """The cost of images that left after these stages, as a share of that of all networks."""
    spent = np.cumsum([costs[list(stage)].sum() for stage in plan.stages])
    return spent[left].mean() / costs.sum()


def search(views: Views, costs: np.ndarray, goals: Sequence[Goal]) -> list[Plan]:
    """The best plan for each goal: all networks at once where no cascade meets it.

    Args:
        views: of the networks, on the images to search on.
        costs: float64 [networks] > 0.
        goals: what is wanted.
    """
    everyone = Plan((views.everyone,), (), Confidence.MAXIMUM)
    best: list[tuple[float, float, Plan]] = []
    for goal in goals:
        first, second = goal.rank(np.ones(1), np.zeros(1), np.zeros(1))
        best.append((float(first[0]), float(second[0]), everyone))
    looked_at = _grids(views, costs) if views.is_mean else _greedy_paths(views, costs)
    for plans, share, loss, error in looked_at:
        for at, goal in enumerate(goals):
            first, second = goal.rank(share, loss, error)
            least = first.min()
            if np.isinf(least) or least > best[at][0] + _SLACK:
                continue
            ties = np.flatnonzero(first.ravel() <= least + _SLACK)
            chosen = ties[np.argmin(second.ravel()[ties])]
            found = (float(least), float(second.ravel()[chosen]))
            # Strictly better, so that of equal ones that with fewer stages stays.
            if found[0] < best[at][0] - _SLACK or found[1] < best[at][1] - _SLACK:
                best[at] = (*found, plans(int(chosen)))
    return [plan for _, _, plan in best]


_Grid = tuple[Callable[[int], Plan], np.ndarray, np.ndarray, np.ndarray]


def _grids(views: Views, costs: np.ndarray) -> Iterator[_Grid]:
    """For each way to cut networks into stages, all thresholds: those of fewer stages first."""
    if views.num_networks <= MAX_EXACT_NETWORKS:
        chains = sorted(ordered_partitions(views.everyone), key=len)
    else:
        chains = cuts_of(_by_cost(views, costs))
    for stages in chains:
        for confidence in Confidence if len(stages) > 1 else ():
            yield _grid(views, costs, stages, confidence)


def _by_cost(views: Views, costs: np.ndarray) -> list[int]:
    """The cheapest network first; of equal ones the best."""
    alone = [views.regret(views.probabilities((one,))) for one in views.everyone]
    return sorted(views.everyone, key=lambda one: (costs[one], alone[one]))


def cuts_of(order: Sequence[int]) -> list[tuple[tuple[int, ...], ...]]:
    """The ways to cut networks into a few stages that keep their order, fewer stages first."""
    chains: list[tuple[tuple[int, ...], ...]] = []
    for cuts_wanted in range(1, _MAX_STAGES):
        found = list(itertools.combinations(range(1, len(order)), cuts_wanted))
        if len(chains) + len(found) > _MAX_CHAINS:
            break
        for where in found:
            ends = (0, *where, len(order))
            chains.append(tuple(tuple(order[a:b]) for a, b in itertools.pairwise(ends)))
    return chains


def ordered_partitions(networks: Sequence[int]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """All ways to cut some networks into stages."""
    if not networks:
        yield ()
        return
    count = len(networks)
    for mask in range(1, 1 << count):
        first = tuple(one for at, one in enumerate(networks) if mask >> at & 1)
        rest = tuple(one for at, one in enumerate(networks) if not mask >> at & 1)
        for later in ordered_partitions(rest):
            yield (first, *later)


def _grid(
    views: Views, costs: np.ndarray, stages: tuple[tuple[int, ...], ...], confidence: Confidence
) -> _Grid:
    """Share, loss and its error for every combination of thresholds: float64 [levels, ...]."""
    depth = len(stages) - 1
    plan = Plan(stages, (0.0,) * depth, confidence)
    prefixes = plan.prefixes()
    every = views.regrets(views.everyone)
    levels, cells = [], []
    for networks in prefixes[:-1]:
        found = views.doubts(networks, confidence)
        levels.append(cuts(found, _LEVELS[depth]))
        # The first level at which the image leaves; at the last one, infinity, all do.
        cells.append(np.searchsorted(levels[-1], found, side="left"))
    shape = tuple(map(len, levels))
    cell = np.ravel_multi_index(tuple(cells), shape)

    def summed(values: np.ndarray | None, last: int) -> np.ndarray:
        """Sum over the images that leave at stage `last`, for all thresholds at once."""
        grid = np.bincount(cell, values, np.prod(shape)).reshape(shape).astype(np.float64)
        for axis in range(depth):
            until = np.cumsum(grid, axis=axis)
            of_all = np.take(until, [-1], axis=axis)
            if axis < last:  # They did not leave here.
                grid = of_all - until
            else:  # They left here, or never came here.
                grid = until if axis == last else of_all
        return grid

    count = len(views.targets)
    share, loss, squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    spent = np.cumsum([costs[list(stage)].sum() for stage in stages]) / costs.sum()
    for number, networks in enumerate(prefixes):
        share = share + spent[number] * summed(None, number) / count
        own = views.regrets(networks)
        if own is None or every is None:
            raise ValueError("an exact search needs a metric that is a mean over images")
        if number < depth:  # Who passes all stages gets what all networks say.
            change = own - every
            loss = loss + summed(change, number) / count
            squares = squares + summed(change**2, number) / count
    error = np.sqrt(np.maximum(squares - loss**2, 0.0) / count)

    def plan_at(index: int) -> Plan:
        where = np.unravel_index(index, shape)
        doubts = tuple(float(one[at]) for one, at in zip(levels, where, strict=True))
        return simplified(Plan(stages, doubts, confidence))

    return plan_at, share, loss, error


def cuts(doubts: np.ndarray, count: int) -> np.ndarray:
    """Thresholds between doubts, ascending: at most `count`, from "nobody leaves" to "all do".

    They lie halfway between neighbors, so that float32 decides as float64 does.
    """
    values = np.unique(doubts)
    between = (values[1:] + values[:-1]) / 2
    # By rank among the images, not among the values: many may share one.
    if len(between) > count - 2:
        ranks = np.linspace(0, 1, count)[1:-1]
        at = np.searchsorted(between, np.quantile(doubts, ranks, method="lower"))
        between = between[np.unique(np.minimum(at, len(between) - 1))]
    return np.concatenate([[0.0], between, [np.inf]])


def _greedy_paths(views: Views, costs: np.ndarray) -> Iterator[_Grid]:
    """Plans on the way from all networks for each image to the cheapest one alone."""
    order = _by_cost(views, costs)
    for confidence in Confidence:
        plans: list[Plan] = []
        figures: list[tuple[float, float, float]] = []
        for plan, found in _greedy_path(views, costs, order, confidence):
            plans.append(plan)
            figures.append(found)
        if plans:
            share, loss, error = map(np.array, zip(*figures, strict=True))
            yield plans.__getitem__, share, loss, error


def _greedy_path(
    views: Views, costs: np.ndarray, order: list[int], confidence: Confidence
) -> Iterator[tuple[Plan, tuple[float, float, float]]]:
    prefixes = [tuple(sorted(order[: size + 1])) for size in range(len(order) - 1)]
    levels = [cuts(views.doubts(one, confidence), _GREEDY_LEVELS) for one in prefixes]
    at = [0] * len(prefixes)
    now = (1.0, 0.0, 0.0)
    while True:
        moves = []
        for stage, own in enumerate(levels):
            if at[stage] + 1 < len(own):
                raised = [*at[:stage], at[stage] + 1, *at[stage + 1 :]]
                doubts = tuple(float(one[level]) for one, level in zip(levels, raised, strict=True))
                plan = simplified(Plan(tuple((one,) for one in order), doubts, confidence))
                figures = views.assess(plan, costs)
                yield plan, figures
                moves.append((_price_of_move(now, figures), raised, figures))
        if not moves or now[0] <= costs[order[0]] / costs.sum() + _SLACK:
            return
        _, at, now = min(moves, key=lambda move: move[0])


def _price_of_move(
    now: tuple[float, float, float], then: tuple[float, float, float]
) -> tuple[float, float]:
    """What a move loses for each share of the cost that it saves; the greater saving if equal."""
    saved = now[0] - then[0]
    return (then[1] - now[1]) / saved if saved > 0 else np.inf, -saved


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
