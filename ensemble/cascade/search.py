"""The best cascade on some images: exactly over small sets, greedily over larger ones.

Every plan (`plans.py`) has a cost, the mean over images of what the networks that see it cost, and
a loss, how much worse the metric is than that of all networks together. A goal turns both into what
to minimize.

Where the metric is a mean over images (accuracy, log loss), the loss is `estimated_loss`, and all
thresholds of a grid are looked at: images are counted by the cell of the grid that their doubts
fall into, and sums over the cells below and above a threshold are the cost and the loss of every
combination of thresholds. Of up to four networks this is done for all ways to cut them into stages,
in any order; of more, for all ways to cut them, in the order of their cost, into up to four stages
(three, of very many networks).

For other metrics, greedily: networks join in the order of their cost, and thresholds are raised
step by step, each time the one that loses the least for what it saves, until all images leave at
the first stage. Every plan on the way is looked at.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.cascade.confidence import Confidence
from ensemble.cascade.plans import Plan, Views, estimated_loss, simplified

MAX_EXACT_NETWORKS = 4
# Thresholds a stage by the number of stages that have one: their product is the grid.
_LEVELS = {1: 512, 2: 96, 3: 28}
_MAX_STAGES = len(_LEVELS) + 1
_MAX_CHAINS = 300
_GREEDY_LEVELS = 10
_SLACK = 1e-12


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
    share, means = np.zeros(shape), np.zeros((4, *shape))
    spent = np.cumsum([costs[list(stage)].sum() for stage in stages]) / costs.sum()
    for number, networks in enumerate(prefixes):
        share = share + spent[number] * summed(None, number) / count
        if number < depth:  # Who passes all stages gets what all networks say.
            terms = views.change(networks).terms
            means = means + np.stack([summed(term, number) for term in terms]) / count
    loss, error = estimated_loss(means, count)

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
