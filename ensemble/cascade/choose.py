"""A cascade found on held-out images, and whether what it saves is worth what it loses.

The search sees the images that judge its result, so what it finds always looks good. As with
learned weights, it therefore searches on all images but one part, predicts that part, and
bootstraps the loss against all networks together on images that no search has seen. A cascade
within a loss is used only where the 95% interval of that loss ends below it: a test of
non-inferiority. Several degrees of care are tried, and the cheapest that passes is taken.

Where images are right or wrong, the interval ends at 3 / images or later ("rule of three"): if none
of n went wrong, up to 3 in n may. A bootstrap of images that all agree would say 0.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.cascade.cascade import Cascade, Stage
from ensemble.cascade.plans import Plan, Views, is_cheaper, mean_of, share_of
from ensemble.cascade.search import Goal, search
from ensemble.combine import Combination, fit_temperature, to_logits
from ensemble.fitting import HeldOut, spread_parts
from ensemble.members import FoldGroup
from ensemble.scoring import difference_interval
from orchard.errors import OrchardError
from orchard.progress import Progress

_MIN_ROWS = 20
_NUM_PARTS = 5
_RULE_OF_THREE = 3.0
_CURVE = (0.0, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.95)


@dataclass(frozen=True)
class Wish:
    """What is asked for: the least cost within a loss, or the least loss within a cost.

    Attributes:
        max_loss: of the metric, against all networks together; None: `max_share` is given.
        max_share: of what all networks cost.
    """

    max_loss: float | None = None
    max_share: float | None = None

    @property
    def flag(self) -> str:
        """As it was typed."""
        if self.max_share is None:
            return f"--cascade={self.max_loss:g}"
        return f"--cascade_flops={self.max_share:g}"

    def goals(self) -> list[Goal]:
        """What to search for, with several degrees of care."""
        if self.max_loss is None:
            return [Goal(max_share=self.max_share or 1.0)]
        careful = [Goal(self.max_loss, errors=errors) for errors in (0, 1, 2, 3, 4)]
        return [*careful, Goal(self.max_loss / 2), Goal(0.0)]


@dataclass(frozen=True)
class CurvePoint:
    """A cascade on images that it was not searched on.

    Attributes:
        share: of the FLOPs of all networks.
        loss: of the metric, against all networks; < 0: it is better.
        low: lower end of the loss's 95% paired bootstrap interval.
        high: upper end.
    """

    share: float
    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class FoundCascade:
    """A cascade, and what it does on the held-out images that it was searched on.

    Attributes:
        cascade: of the members.
        stage_names: the networks that run first at each stage.
        left_shares: the share of the images that leaves after each stage.
        flops: an image, mean over the images.
        probabilities: float64 [images, classes].
    """

    cascade: Cascade
    stage_names: tuple[tuple[str, ...], ...]
    left_shares: tuple[float, ...]
    flops: int
    probabilities: np.ndarray


@dataclass(frozen=True)
class CascadeChoice:
    """What came of looking for a cascade.

    Attributes:
        wish: what was asked for.
        metric: what judged.
        num_images: how many held-out images there were.
        found: what is used; None: all networks run for each image.
        verdict: of it, else of the one that came nearest; on images that no search has seen.
        curve: the same for several costs.
        flops_of_all: an image, by all networks.
        cheapest_share: what the cheapest network alone costs of that.
    """

    wish: Wish
    metric: str
    num_images: int
    found: FoundCascade | None
    verdict: CurvePoint
    curve: tuple[CurvePoint, ...]
    flops_of_all: int
    cheapest_share: float

    @property
    def sentence(self) -> str:
        """What came of it, for people."""
        judged = self.verdict
        seen = (
            f"loss in {self.metric} {judged.loss:+.4f}, 95% interval {judged.low:+.4f} to "
            f"{judged.high:+.4f}, on {self.num_images} held-out images, each left out of its search"
        )
        if self.found is not None:
            stages = ", then ".join(" and ".join(names) for names in self.found.stage_names)
            return (
                f"The cascade ({stages}) costs {self.verdict.share:.0%} of the FLOPs of all "
                f"networks ({seen})."
            )
        if self.wish.max_loss is None:
            return (
                f"There is no cascade ({self.wish.flag}): the cheapest network alone costs "
                f"{self.cheapest_share:.2f} of the FLOPs of all, which run for each image."
            )
        # A plan of that loss was found, and is found again whatever the flag says.
        least = math.ceil(max(self.verdict.high, 0.0) * 1e4) / 1e4
        advice = f"--cascade={least:g} has one" if np.isfinite(self.verdict.high) else "drop it"
        return (
            f"There is no cascade ({self.wish.flag}): none was shown to lose so little. The "
            f"nearest costs {self.verdict.share:.0%} of the FLOPs ({seen}); {advice}, or more "
            "held-out images show smaller losses. All networks run for each image."
        )


def choose_cascade(
    combination: Combination,
    network_weights: np.ndarray,
    networks: Sequence[FoldGroup],
    flops: Sequence[int | None],
    held_out: HeldOut,
    representations: np.ndarray,
    *,
    wish: Wish,
    calibrate: bool,
    metric: str,
    seed: int = 0,
) -> CascadeChoice:
    """Search for a cascade of networks, and judge it.

    Args:
        combination: of all members.
        network_weights: float64 [networks].
        networks: which members make up which network.
        flops: of a prediction by each network; None: not known.
        held_out: the images to search on.
        representations: float64 [networks, rows, classes] of them, calibrated as the members are.
        wish: what is asked for.
        calibrate: whether the probabilities of images that leave early are calibrated too; their
            confidence always is.
        metric: what judges.
        seed: of the parts and of the bootstrap.

    Raises:
        OrchardError: there is nothing to choose from, a cost is not known, or too few images.
    """
    used = np.flatnonzero(network_weights).tolist()
    _check(used, networks, flops, held_out, wish)
    costs = np.array([flops[at] for at in used], np.float64)
    temperatures = _Temperatures(
        representations[used], network_weights[used], held_out.targets, combination, calibrate
    )
    views = Views(
        representations[used],
        network_weights[used],
        held_out.targets,
        combination.combiner,
        temperatures,
        metric,
    )
    goals = [*wish.goals(), *(Goal(None, *band) for band in itertools.pairwise(_CURVE))]
    points = _judge(views, costs, goals, seed)
    plans = search(views, costs, goals)
    at, accepted = _accepted(wish, plans, points, len(used))
    found = None
    if accepted:
        own = [networks[one] for one in used]
        found = _found(plans[at], views, costs, combination, own, temperatures)
    # Those of the bands of costs; the wish's own crowd around it.
    of_curve = list(zip(plans, points, strict=True))[len(wish.goals()) :]
    return CascadeChoice(
        wish,
        metric,
        len(held_out.ids),
        found,
        points[at],
        _curve(of_curve, len(used)),
        int(costs.sum()),
        float(costs.min() / costs.sum()),
    )


def _check(
    used: Sequence[int],
    networks: Sequence[FoldGroup],
    flops: Sequence[int | None],
    held_out: HeldOut,
    wish: Wish,
) -> None:
    if len(used) < 2:
        raise OrchardError(
            f"{wish.flag} needs two networks with a weight, and there is one; add one, or drop it"
        )
    for at in used:
        if not flops[at]:
            raise OrchardError(
                f"{wish.flag}: what a prediction by {networks[at].name} costs is not in its "
                "run.json; trainer.main --run_dir=RUN --export_only adds it"
            )
    if len(held_out.ids) < _MIN_ROWS:
        raise OrchardError(
            f"{wish.flag} has {len(held_out.ids)} held-out images, fewer than {_MIN_ROWS}: "
            "nothing can be learned from them; drop it"
        )


class _Temperatures:
    """Those of the mean over any subset of the networks, fitted when they are first asked for."""

    def __init__(
        self,
        representations: np.ndarray,
        weights: np.ndarray,
        targets: np.ndarray,
        combination: Combination,
        calibrate: bool,
    ):
        self._representations, self._weights, self._targets = representations, weights, targets
        self._combination, self._calibrate = combination, calibrate
        self._found: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, networks: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Of the probabilities of images that leave, and of the confidence in them."""
        if networks not in self._found:
            combiner = self._combination.combiner
            if self._calibrate and len(networks) == len(self._weights):
                fitted = self._combination.temperature
            else:
                mean = mean_of(self._representations, self._weights, networks, combiner)
                logits = to_logits(mean, combiner.task)
                fitted = fit_temperature(logits, self._targets, combiner.task)
            own = fitted if self._calibrate else np.ones_like(fitted)
            self._found[networks] = own, fitted
        return self._found[networks]


def _judge(views: Views, costs: np.ndarray, goals: Sequence[Goal], seed: int) -> list[CurvePoint]:
    """For each goal, what is searched without a part of the images, on that part; all parts."""
    parts = spread_parts(views.targets, _NUM_PARTS, seed)
    predicted = np.empty((len(goals), *views.targets.shape))
    shares = np.zeros(len(goals))
    for part in Progress(range(_NUM_PARTS), desc="checking cascades", delay=5, leave=False):
        left_out = np.flatnonzero(parts == part)
        new = views.take(left_out)
        found = search(views.take(np.flatnonzero(parts != part)), costs, goals)
        for at, plan in enumerate(found):
            predicted[at, left_out] = new.predict(plan)
            left = new.left_after(plan)
            shares[at] += share_of(plan, left, costs) * len(left_out) / len(parts)
    everyone = views.probabilities(views.everyone)
    values = views.regrets(views.everyone)
    binary = values is not None and bool(np.isin(values, (0.0, 1.0)).all())
    floor = _RULE_OF_THREE / len(parts) if binary else -np.inf
    points = []
    for share, probabilities in zip(shares, predicted, strict=True):
        gain, low, high = difference_interval(
            views.metric, probabilities, everyone, views.targets, views.combiner.task, seed=seed
        )
        # 0.0 - x, so that no loss is 0 and not -0.
        points.append(CurvePoint(float(share), 0.0 - gain, 0.0 - high, max(0.0 - low, floor)))
    return points


def _accepted(
    wish: Wish, plans: Sequence[Plan], points: Sequence[CurvePoint], num_networks: int
) -> tuple[int, bool]:
    """Which goal's plan is used, and whether it is; if none is, that which came nearest.

    Every goal, also one of another cost, is a degree of care: what passes within the loss counts.
    """
    cheaper = [at for at, plan in enumerate(plans) if is_cheaper(plan, num_networks)]
    if wish.max_loss is None:
        return 0, 0 in cheaper
    passed = [at for at in cheaper if points[at].high <= wish.max_loss]
    if passed:
        return min(passed, key=lambda at: (points[at].share, points[at].high)), True
    # Not of the wish's own goals: another wish, to which the sentence advises, has others.
    of_curve = range(len(wish.goals()), len(points))
    nearest = [at for at in cheaper if at in of_curve] or of_curve
    return min(nearest, key=lambda at: (points[at].high, points[at].share)), False


def _curve(found: Sequence[tuple[Plan, CurvePoint]], num_networks: int) -> tuple[CurvePoint, ...]:
    """What is cheaper than all networks and was judged, by its cost."""
    points = {
        point.share: point
        for plan, point in found
        if is_cheaper(plan, num_networks) and np.isfinite(point.loss)
    }
    return tuple(points[share] for share in sorted(points))


def _found(
    plan: Plan,
    views: Views,
    costs: np.ndarray,
    combination: Combination,
    networks: Sequence[FoldGroup],
    temperatures: _Temperatures,
) -> FoundCascade:
    """The cascade of a plan, and what it does on the images of `views`."""
    stages = []
    doubts = (*plan.max_doubts, float("inf"))
    for stage, ran, max_doubt in zip(plan.stages, plan.prefixes(), doubts, strict=True):
        members = tuple(sorted(member for one in stage for member in networks[one].members))
        stages.append(Stage(members, *temperatures(ran), max_doubt))
    left = views.left_after(plan)
    return FoundCascade(
        Cascade(combination, tuple(stages), plan.confidence),
        tuple(tuple(networks[one].name for one in stage) for stage in plan.stages),
        tuple((np.bincount(left, minlength=len(plan.stages)) / len(left)).tolist()),
        round(share_of(plan, left, costs) * float(costs.sum())),
        views.predict(plan),
    )
