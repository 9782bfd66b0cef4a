"""A fitted cascade, as a function of members' logits: in NumPy, and in the exported model.

Wang et al. 2020, "Wisdom of Committees: An Overlooked Approach To Faster and More Accurate Models"
(arXiv 2012.01988), section 4: a model predicts, and where its confidence is below a threshold the
next one is averaged with it, and so on. Here a stage may add several members at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ensemble.cascade.confidence import Confidence, doubt, doubt_in_graph
from ensemble.combine import Combination, Combiner, MemberBatch, rescale
from orchard.lazy import lazy_import

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")


@dataclass(frozen=True)
class Stage:
    """What runs next, and who leaves after it.

    Attributes:
        members: that run here and did not run before.
        temperature: float64 [1] or [classes]: divides the log-odds of the mean so far, for the
            probabilities of images that leave here.
        confidence_temperature: likewise, for the confidence.
        max_doubt: images leave whose doubt, 1 - confidence, is at most this; of the last stage all.
    """

    members: tuple[int, ...]
    temperature: np.ndarray
    confidence_temperature: np.ndarray
    max_doubt: float


@dataclass(frozen=True)
class Cascade:
    """Members in stages.

    Attributes:
        combination: of all members; of what it says, the mean over some of them is taken.
        stages: in order.
        confidence: what a stage's threshold is about.
    """

    combination: Combination
    stages: tuple[Stage, ...]
    confidence: Confidence

    @property
    def combiner(self) -> Combiner:
        """What all members share."""
        return self.combination.combiner

    @property
    def is_dynamic(self) -> bool:
        """Later members see only the images that are left."""
        return len(self.stages) > 1

    @property
    def members(self) -> tuple[int, ...]:
        """All members that may run, in their order."""
        return tuple(sorted(member for stage in self.stages for member in stage.members))

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Logits float [members, rows, classes] -> probabilities float64 [rows, classes]."""
        return self.staged(logits)[0]

    def staged(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The probabilities, and the stage that each row left after: int64 [rows], from 0."""
        combiner, task = self.combiner, self.combiner.task
        result = np.empty(logits.shape[1:])
        left = np.full(logits.shape[1], len(self.stages) - 1)
        rows = np.arange(logits.shape[1])
        total, weight = np.zeros(logits.shape[1:]), np.zeros(())
        for number, stage in enumerate(self.stages):
            for member in stage.members:
                total = total + self.combination.weighted(member, logits[member, rows])
                weight = weight + self.combination.weights[member]
            mean = combiner.finish(total / weight)
            result[rows] = rescale(mean, stage.temperature, task)
            if number == len(self.stages) - 1:
                break
            sure = rescale(mean, stage.confidence_temperature, task)
            stays = doubt(sure, task, self.confidence) > stage.max_doubt
            left[rows[~stays]] = number
            rows, total = rows[stays], total[stays]
        return result, left

    def predict_in_graph(self, batch: MemberBatch) -> tf.Tensor:
        """The same in TensorFlow ops: later members see only the images that are left.

        Shapes depend on the images, which XLA cannot compile: see `predict_in_static_graph`.

        Returns:
            float32 [batch, classes].
        """
        return self._further(0, batch, None)

    def _further(self, number: int, batch: MemberBatch, total: tf.Tensor | None) -> tf.Tensor:
        """What the stages from this one on make of images whose members so far sum to `total`."""
        total = self._add(number, batch, total)
        probabilities = self._finished(number, total)
        if number == len(self.stages) - 1:
            return probabilities
        rest = tf.where(self._stays(number, total))[:, 0]

        def go_on() -> tf.Tensor:
            deeper = self._further(number + 1, batch.take(rest), tf.gather(total, rest))
            return tf.tensor_scatter_nd_update(probabilities, rest[:, tf.newaxis], deeper)

        # Not only to save time: some layers cannot do with no image at all.
        return tf.cond(tf.size(rest) > 0, go_on, lambda: probabilities)

    def predict_in_static_graph(self, batch: MemberBatch) -> tf.Tensor:
        """The same probabilities with shapes that are known before: all members see all images.

        It saves nothing, but XLA compiles it, for TPUs or under `jit_compile`.
        """
        total: tf.Tensor | None = None
        result = None
        stays = None
        for number in range(len(self.stages)):
            total = self._add(number, batch, total)
            here = self._finished(number, total)
            result = here if stays is None else tf.where(stays[:, tf.newaxis], here, result)
            if number < len(self.stages) - 1:
                now = self._stays(number, total)
                stays = now if stays is None else stays & now
        return result

    def _add(self, number: int, batch: MemberBatch, total: tf.Tensor | None) -> tf.Tensor:
        members = self.stages[number].members
        found = batch.logits(members)
        terms = [self.combination.weighted_in_graph(one, found[one]) for one in members]
        return tf.add_n(terms if total is None else [total, *terms])

    def _mean(self, number: int, total: tf.Tensor) -> tf.Tensor:
        ran = [member for stage in self.stages[: number + 1] for member in stage.members]
        weight = np.sum([self.combination.weights[member] for member in ran], axis=0)
        return total / np.asarray(weight, np.float32)

    def _finished(self, number: int, total: tf.Tensor) -> tf.Tensor:
        mean = self._mean(number, total)
        temperature = self.stages[number].temperature
        return self.combiner.calibrate_in_graph(mean, temperature)

    def _stays(self, number: int, total: tf.Tensor) -> tf.Tensor:
        combiner, stage = self.combiner, self.stages[number]
        mean = self._mean(number, total)
        sure = combiner.calibrate_in_graph(mean, stage.confidence_temperature)
        found = doubt_in_graph(sure, combiner.task, self.confidence)
        return found > np.float32(stage.max_doubt)
