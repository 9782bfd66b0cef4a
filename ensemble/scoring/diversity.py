"""How different networks' errors are, and what each network adds to the ensemble.

Kuncheva and Whitaker 2003, "Measures of Diversity in Classifier Ensembles", section 2: of two
networks, how often exactly one is wrong (disagreement), how often both are (double fault), and how
their errors correlate. With many labels each class of each image counts by itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.scoring.bootstrap import difference_interval
from ensemble.scoring.scores import score
from orchard.formats import Task
from trainer.evaluation import hard_targets


@dataclass(frozen=True)
class Pairs:
    """Of each two networks, float64 [networks, networks].

    Attributes:
        disagreement: share of images on which exactly one of them is wrong.
        double_fault: share on which both are; on the diagonal, what the network has wrong.
        correlation: of their errors, -1..1; NaN where one has no errors, or nothing else.
    """

    disagreement: np.ndarray
    double_fault: np.ndarray
    correlation: np.ndarray


@dataclass(frozen=True)
class Addition:
    """What a network adds: the ensemble against the one without it.

    Attributes:
        name: of the network.
        weight: its share.
        without: the score without it; NaN: there would be no weight left.
        gain: how much better the whole is, signed so that > 0 is better.
        low: lower end of the gain's paired 95% interval.
        high: upper end.
        flops_share: of the ensemble's FLOPs an image; None: not known.
    """

    name: str
    weight: float
    without: float
    gain: float
    low: float
    high: float
    flops_share: float | None = None


@dataclass(frozen=True)
class Diversity:
    """What the networks have in common, and what each adds.

    Attributes:
        where: the rows in words.
        metric: what judged.
        score: of the whole ensemble.
        pairs: of the networks, in the order of `additions`.
        additions: of each network.
    """

    where: str
    metric: str
    score: float
    pairs: Pairs
    additions: tuple[Addition, ...]

    @property
    def advice(self) -> str:
        """What follows, in a sentence; "" where there are no numbers."""
        idle = [one for one in self.additions if not one.weight]
        if idle:
            names = " and ".join(one.name for one in idle)
            return f"Drop {names}: without weight, nothing is lost."
        judged = [one for one in self.additions if not np.isnan(one.gain)]
        if not judged:
            return ""
        doubtful = [one for one in judged if not one.low > 0]
        if not doubtful:
            return f"Keep all networks: each adds to {self.metric} beyond chance."
        # Of equals the more expensive one.
        least = min(doubtful, key=lambda one: (one.gain, -(one.flops_share or 0)))
        numbers = (
            f"{self.metric} {self.score:.4f} with it, {least.without:.4f} without, 95% interval of "
            f"what it adds {least.low:+.4f} to {least.high:+.4f}"
        )
        saved = ""
        if least.flops_share is not None:
            saved = f", and a prediction costs {least.flops_share:.0%} less"
        if least.gain <= 0:
            return f"Drop {least.name}: nothing is lost ({numbers}){saved}."
        return f"{least.name} adds the least, and what it adds may be chance ({numbers}){saved}."


def pairs_of(probabilities: np.ndarray, targets: np.ndarray, task: Task) -> Pairs:
    """Compare the errors of networks.

    Args:
        probabilities: float [networks, rows, classes].
        targets: float [rows, classes], all labeled.
        task: what the labels mean.
    """
    true = hard_targets(targets, task)
    if task == Task.SINGLE_LABEL:
        named = probabilities.argmax(axis=2)
        wrong = (named != true.argmax(axis=1)).astype(np.float64)
    else:
        wrong = ((probabilities >= 0.5) != true).reshape(len(probabilities), -1).astype(np.float64)
    both = wrong @ wrong.T / wrong.shape[1]
    errors = np.diag(both)
    covariance = both - np.outer(errors, errors)
    spread = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.where(
            np.outer(spread, spread) > 0, covariance / np.outer(spread, spread), np.nan
        )
    return Pairs(errors[:, None] + errors[None, :] - 2 * both, both, correlation)


def additions_of(
    names: Sequence[str],
    shares: np.ndarray,
    reweighed: Callable[[np.ndarray], np.ndarray],
    metric: str,
    targets: np.ndarray,
    task: Task,
    *,
    flops_shares: Sequence[float | None] | None = None,
    seed: int = 0,
) -> tuple[Addition, ...]:
    """Leave out one network after the other; the others' shares grow in proportion.

    Args:
        names: of the networks.
        shares: float64 [networks], sum 1.
        reweighed: other shares -> probabilities [rows, classes] of the ensemble with them.
        metric: what judges.
        targets: float [rows, classes], all labeled.
        task: what the labels mean.
        flops_shares: of the ensemble's FLOPs, for each network.
        seed: of the bootstrap.
    """
    whole = reweighed(shares)
    nan = float("nan")
    found = []
    for at, (name, share) in enumerate(zip(names, shares.tolist(), strict=True)):
        flops_share = None if flops_shares is None else flops_shares[at]
        others = np.where(np.arange(len(shares)) == at, 0.0, shares)
        if not share or not others.sum():
            gain = 0.0 if not share else nan
            value = score(metric, whole, targets, task) if not share else nan
            found.append(Addition(name, share, value, gain, gain, gain, flops_share))
            continue
        without = reweighed(others / others.sum())
        gains = difference_interval(metric, whole, without, targets, task, seed=seed)
        value = score(metric, without, targets, task)
        found.append(Addition(name, share, value, *gains, flops_share))
    return tuple(found)
