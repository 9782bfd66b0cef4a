"""BatchNorm statistics of weights that no moving average has followed, from training images."""

import tensorflow as tf

from trainer.keras_module import keras
from trainer.models import batch_norm
from trainer.training.feed import Feed
from trainer.training.step import Batch


class Moments:
    """Re-estimates a network's statistics, again and again ("precise BN"; see `batch_norm`).

    Args:
        network: whose they are.
        layers: those of its batch-normalization layers that get new ones.
        feed: the training images.
    """

    def __init__(
        self,
        network: keras.Model,
        layers: list[keras.layers.BatchNormalization],
        feed: Feed,
    ):
        self._network, self._layers, self._feed = network, layers, feed
        self._batches = feed.moment_batches()
        self._of_batches = feed.accelerator.runtime.over_batches(
            self._forward, axes=[None] * 2 * len(layers)
        )

    def estimate(self) -> None:
        """Set the statistics of the weights as they are."""
        with batch_norm.moments_of_batch(self._layers), self._feed.damage_named():
            batch_norm.estimate(self._layers, self._of_batches(self._batches))

    def _forward(self, batch: Batch) -> list[tf.Tensor]:
        self._network(tf.cast(batch["image"], tf.float32), training=True)
        return batch_norm.moments(self._layers)
