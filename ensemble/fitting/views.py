"""Whether test-time views help, on held-out images that were predicted with and without them."""

from dataclasses import dataclass

import numpy as np

from ensemble.combine import Combiner
from ensemble.fitting.held_out import HeldOut
from ensemble.scoring import difference_interval

_MIN_ROWS = 20


@dataclass(frozen=True)
class ViewsVerdict:
    """Whether views beat the image alone.

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


def judge_views(
    alone: HeldOut,
    views: HeldOut,
    *,
    combiner: Combiner,
    weights: np.ndarray,
    metric: str,
    seed: int,
) -> ViewsVerdict:
    """Compare the ensemble of views with the ensemble of images as they are, nothing fitted.

    Args:
        alone: held-out logits of the images.
        views: mean logits of the views of the same images.
        combiner: how members are combined.
        weights: float64 [networks], sum 1.
        metric: what judges.
        seed: of the bootstrap.
    """
    ids = np.intersect1d(alone.ids, views.ids)

    def combined(held_out: HeldOut) -> np.ndarray:
        plain = np.ones((len(held_out.logits), 1))
        mean = np.tensordot(weights, held_out.representations(plain, combiner), axes=1)
        return combiner.finish(mean)[np.searchsorted(held_out.ids, ids)]

    targets = views.targets[np.searchsorted(views.ids, ids)]
    found = difference_interval(
        metric, combined(views), combined(alone), targets, combiner.task, seed=seed
    )
    return ViewsVerdict(metric, *found, len(ids))
