"""What members, networks and the ensemble cost: training, and FLOPs of a prediction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.members import Cast, Member
from orchard.formats import Price, TrainingCost, total_time
from orchard.quantities import format_number

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Prices:
    """What everything in an ensemble costs.

    Attributes:
        members: of each run.
        networks: of each network: of the training of all its runs, folds that vouch for refits
            too, and of a prediction by those that predict.
        ensemble: of the training of all these, and of a prediction by those that have a weight: the
            others are left out of the exported model.
    """

    members: tuple[Price, ...]
    networks: tuple[Price, ...]
    ensemble: Price


def ensemble_prices(cast: Cast, vouching: Cast, weights: np.ndarray, num_views: int) -> Prices:
    """The prices of all members, networks and the ensemble.

    Args:
        cast: the runs that predict, and their networks.
        vouching: the runs that these are judged by, of the same networks: themselves, or their
            folds, without which nobody knew how long to train.
        weights: float [members that predict].
        num_views: of an image, each of which goes through every network.
    """
    costs = _costs(cast.members)
    used = [cost for cost, weight in zip(costs, weights, strict=True) if weight]
    networks, everyone = [], []
    for network, judged_by in zip(cast.networks, vouching.networks, strict=True):
        predicting = [cast.members[m] for m in network.members]
        # Each once: most runs vouch for themselves.
        trained = {one.path: one for one in predicting}
        trained |= {one.path: one for one in (vouching.members[m] for m in judged_by.members)}
        everyone += _costs(trained.values())
        networks.append(price(_costs(trained.values()), _costs(predicting), num_views))
    return Prices(
        tuple(price([cost], [cost], num_views) for cost in costs),
        tuple(networks),
        price(everyone, used, num_views),
    )


def _costs(members: Iterable[Member]) -> list[TrainingCost | None]:
    return [member.cost for member in members]


def price(
    trained: Sequence[TrainingCost | None], used: Sequence[TrainingCost | None], num_views: int = 1
) -> Price:
    """The sum of costs; what is not known of one is not known of all.

    Args:
        trained: what had to be trained.
        used: what predicts.
        num_views: of each image.
    """
    time = total_time([cost.time if cost else None for cost in trained])
    flops = None
    passes = [cost.flops_per_image if cost else None for cost in used]
    if None not in passes:
        flops = num_views * sum(one for one in passes if one is not None)
    if time is None:
        return Price(flops_per_image=flops)
    return Price(time.charged_seconds, time.unit, flops)


def inference_text(of: Price) -> str:
    """GFLOPs of a prediction, for tables."""
    return UNKNOWN if of.flops_per_image is None else format_number(of.flops_per_image / 1e9)


def training_text(of: Price) -> str:
    """Seconds of training with their unit, for tables."""
    return UNKNOWN if of.train_seconds is None else f"{format_number(of.train_seconds)} {of.unit}"
