"""What a loss is: a class whose fields are flags, with a formula for each of the two tasks.

A new one is one file in `trainer.optim.losses`, or in a module that --plugins names; --loss, the
flags of its fields, help and config.json follow from the class. `focal` is an example with an
option. Label smoothing and class weights are not its business: see `Objective`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchard.flags import Options
from orchard.registry import Registry
from orchard.registry_options import RegistryOptions

if TYPE_CHECKING:
    import tensorflow as tf

LOSSES: Registry[type[Loss]] = Registry("loss", "trainer.optim.losses")


@dataclass(frozen=True, kw_only=True)
class Loss(Options, group="optimization"):
    """How far logits are from targets, which may be soft."""

    def __init_subclass__(cls, group: str = "optimization") -> None:
        super().__init_subclass__(group)

    def one_label(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """The loss of each image where it has one label, in TensorFlow ops.

        Args:
            logits: float32 [batch, num_classes], whose softmax are the probabilities.
            targets: float32 [batch, num_classes], 0..1.

        Returns:
            float32 [batch].
        """
        raise NotImplementedError

    def many_labels(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """The loss of each class of each image, where it may have any number of labels.

        Args:
            logits: float32 [batch, num_classes], whose sigmoids are the probabilities.
            targets: float32 [batch, num_classes], 0..1.

        Returns:
            float32 [batch, num_classes].
        """
        raise NotImplementedError


@dataclass(frozen=True, init=False, repr=False)
class LossOptions(RegistryOptions[Loss]):
    """The options of all losses.

    >>> LossOptions(focal_gamma=1.5).focal_gamma
    1.5

    Raises:
        OrchardError: on construction, when a value is impossible.
    """

    registry = LOSSES
