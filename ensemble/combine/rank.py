"""The combiner `rank`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ensemble.combine.activation import log_odds, log_odds_in_graph
from ensemble.combine.combiner import COMBINERS, Combiner
from orchard.lazy import lazy_import

if TYPE_CHECKING:
    from typing import Self

    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

_NUM_KNOTS = 257


@dataclasses.dataclass(frozen=True)
class RankReference:
    """Piecewise linear distribution functions of one member's log-odds, one for each class.

    Attributes:
        values: float64 [knots, classes], non-decreasing along knots: log-odds.
        levels: float64 of the same shape, 0..1: the share of rows below each value (equal values
            share their mean level, as tied ranks do).
    """

    values: np.ndarray
    levels: np.ndarray


@COMBINERS.register("rank")
@dataclasses.dataclass(frozen=True)
class RankMean(Combiner):
    """Mean over members of F(activation(logits)), F being their distribution over some rows.

    F is kept for each class, so the result is a mean quantile in 0..1 that orders the images of a
    class (column-wise AUC); rows do not sum to 1. It is kept over the log-odds of the
    probabilities: the same ranks without their crowding at 0 and 1.
    """

    summary: ClassVar[str] = "mean rank among the images; ranks are no probabilities"
    gives_probabilities: ClassVar[bool] = False
    caveat: ClassVar[str] = (
        "Mean ranks order the images of a class, not the classes of an image: the classes that "
        "they name say little."
    )

    reference: RankReference | None = None
    """The rows to rank among; None: those that are given."""

    def fitted_to(self, logits: np.ndarray) -> Self:
        """A combiner that ranks new images among these rows."""
        return dataclasses.replace(self, reference=rank_reference(log_odds(logits, self.task)))

    def represent(self, logits: np.ndarray) -> np.ndarray:
        """Where each probability stands among those of the reference, 0..1."""
        odds = log_odds(logits, self.task)
        return quantiles(odds, self.reference or rank_reference(odds))

    def finish(self, mean: np.ndarray) -> np.ndarray:
        """The mean is the result."""
        return mean

    def represent_in_graph(self, logits: tf.Tensor) -> tf.Tensor:
        """Where each probability stands among those of the reference."""
        if self.reference is None:
            raise ValueError("call fitted_to first: a batch alone has no ranks")
        return quantiles_in_graph(log_odds_in_graph(logits, self.task), self.reference)

    def finish_in_graph(self, mean: tf.Tensor) -> tf.Tensor:
        """The mean is the result."""
        return mean


def rank_reference(odds: np.ndarray) -> RankReference:
    """Distribution functions of log-odds float [rows, classes], at most 257 knots each.

    The level of the i-th smallest of n values is i / (n - 1); with more rows than knots the
    quantiles at evenly spaced levels are kept.
    """
    grid = np.linspace(0.0, 1.0, max(2, min(len(odds), _NUM_KNOTS)))
    values = np.quantile(odds, grid, axis=0)
    levels = np.empty_like(values)
    for column in range(values.shape[1]):
        _, run, counts = np.unique(values[:, column], return_inverse=True, return_counts=True)
        levels[:, column] = (np.bincount(run, weights=grid) / counts)[run]
    return RankReference(values, levels)


def quantiles(odds: np.ndarray, reference: RankReference) -> np.ndarray:
    """Where log-odds [rows, classes] stand among those of the reference: float64 in 0..1.

    Linear between knots, clipped outside them.
    """
    result = np.empty(odds.shape, np.float64)
    for column in range(odds.shape[1]):
        values, first = np.unique(reference.values[:, column], return_index=True)
        levels = reference.levels[first, column]
        result[:, column] = np.interp(odds[:, column], values, levels)
    return result


def quantiles_in_graph(odds: tf.Tensor, reference: RankReference) -> tf.Tensor:
    """`quantiles` of log-odds float32 [batch, classes]."""
    knots = tf.constant(reference.values.T, tf.float32)  # [classes, knots]
    heights = tf.constant(reference.levels.T, tf.float32)
    columns = tf.transpose(odds)  # [classes, batch]
    upper = tf.searchsorted(knots, columns, side="right")
    upper = tf.clip_by_value(upper, 1, len(reference.values) - 1)
    low, high = (tf.gather(knots, at, batch_dims=1) for at in (upper - 1, upper))
    start, end = (tf.gather(heights, at, batch_dims=1) for at in (upper - 1, upper))
    # Equal knots share one level, so the share along them doesn't matter.
    share = tf.clip_by_value(tf.math.divide_no_nan(columns - low, high - low), 0.0, 1.0)
    return tf.transpose(start + share * (end - start))
