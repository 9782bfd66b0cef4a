"""Whether a change helps, such as test-time views, on held-out images with and without it."""

from dataclasses import dataclass

import numpy as np

from ensemble.combine import Combiner
from ensemble.fitting.held_out import HeldOut
from ensemble.scoring import difference_interval

_MIN_ROWS = 20


@dataclass(frozen=True)
class ChangeVerdict:
    """Whether an ensemble is better with a change than without.

    Attributes:
        metric: what judged.
        gain: the difference of the scores, signed so that > 0 is better.
        low: lower end of the gain's 95% bootstrap interval.
        high: upper end.
        num_images: how many there were.
    """

    metric: str
    gain: float
    low: float
    high: float
    num_images: int

    @property
    def trusted(self) -> bool:
        """Whether the gain is beyond chance."""
        return self.num_images >= _MIN_ROWS and self.low > 0

    def __str__(self) -> str:
        return (
            f"gain in {self.metric} {self.gain:+.4f}, {self.low:+.4f} to {self.high:+.4f}, on "
            f"{self.num_images} held-out images"
        )


def judge_change(
    before: HeldOut,
    after: HeldOut,
    *,
    combiner: Combiner,
    weights: np.ndarray,
    metric: str,
    seed: int,
) -> ChangeVerdict:
    """Compare the ensemble after a change with the one before, nothing fitted.

    Args:
        before: held-out logits, such as those of images as they are.
        after: others of the same images and networks, such as means over views.
        combiner: how members are combined.
        weights: float64 [networks], sum 1.
        metric: what judges.
        seed: of the bootstrap.
    """
    ids = np.intersect1d(before.ids, after.ids)

    def combined(held_out: HeldOut) -> np.ndarray:
        plain = np.ones((len(held_out.logits), 1))
        mean = np.tensordot(weights, held_out.representations(plain, combiner), axes=1)
        return combiner.finish(mean)[np.searchsorted(held_out.ids, ids)]

    targets = after.targets[np.searchsorted(after.ids, ids)]
    found = difference_interval(
        metric, combined(after), combined(before), targets, combiner.task, seed=seed
    )
    return ChangeVerdict(metric, *found, len(ids))
