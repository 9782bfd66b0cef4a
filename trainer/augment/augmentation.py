"""What an augmentation is: a class whose fields are flags; the host draws, the device applies.

A new one is one file in `trainer.augment.ops`, or in a module that --plugins names; flags, help,
config.json, the contact sheet and the rows of drawn numbers follow from the class. `sharpness` is
a short example, `erase` one with options and draws of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from orchard.flags import Options
from orchard.lazy import lazy_import
from orchard.registry import Registry

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

AUGMENTATIONS: Registry[type[Augmentation]] = Registry("augmentation", "trainer.augment.ops")

# The drawn parameters of a batch: float32 [batch] by name.
Drawn = dict[str, "tf.Tensor"]


@dataclass(frozen=True)
class Reach:
    """How far RandAugment moves a parameter.

    Attributes:
        change: of the parameter, at the greatest magnitude.
        either_sign: up or down by chance, or always as `change` has it.
        place: of its uniform number among RandAugment's own; None, as for all new ones: it has one
            from the stream of its augmentation.
    """

    change: float
    either_sign: bool = True
    place: int | None = None

    def moved(self, value: tf.Tensor, direction: tf.Tensor, strength: float) -> tf.Tensor:
        """The parameter's value after RandAugment.

        Args:
            value: float32 [n], as it was drawn.
            direction: float32 [n], 0 where RandAugment chose others, else 1 or -1.
            strength: 0..1.
        """
        return value + direction * self.change * strength


@dataclass(frozen=True)
class Parameter:
    """A number that is drawn for each image.

    Attributes:
        name: unique among all augmentations.
        neutral: the value that changes nothing; None: it does nothing by itself, such as the place
            of a box that has no size.
        reach: what RandAugment may do to it; None: nothing.
    """

    name: str
    neutral: float | None = 0.0
    reach: Reach | None = None


@dataclass(frozen=True, kw_only=True)
class Augmentation(Options, group="augmentation"):
    """One augmentation, with the values of its options.

    Attributes:
        order: augmentations are applied from the smallest to the largest. Those that come with us:
            geometry 10..40, color 50..90, erase 100, mixing 120..130.
        parameters: what is drawn for an image.
        num_uniforms: how many uniform numbers `draw` makes them of.
        first_uniform: where these are in the row that the oldest augmentations share; None, as for
            all new ones: they are a stream of their own, so that one more changes no other's draws.
        needs_square: whether it takes square images only.
        off: option values that turn it off, if the defaults do not.
        sheet: its rows of the contact sheet: caption to options that show it well.
    """

    order: ClassVar[int]
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    num_uniforms: ClassVar[int] = 0
    first_uniform: ClassVar[int | None] = None
    needs_square: ClassVar[bool] = False
    off: ClassVar[dict[str, Any]] = {}
    sheet: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init_subclass__(cls, group: str = "augmentation") -> None:
        super().__init_subclass__(group)

    @property
    def enabled(self) -> bool:
        """Whether its options ask for it: by default, if any of them is neither 0 nor False."""
        return any(self.flags().values())

    def draw(self, uniforms: tf.Tensor) -> Drawn:
        """The parameters of n images, on the host, in TensorFlow ops.

        It is called even when the augmentation is off; neutral values then replace the result.

        Args:
            uniforms: float32 [n, num_uniforms], 0 <= u < 1.

        Returns:
            float32 [n] for each name in `parameters`.
        """
        return self.neutral(tf.shape(uniforms)[0])

    def neutral(self, count: tf.Tensor) -> Drawn:
        """Parameters that change nothing, for `count` images."""
        return {p.name: tf.fill([count], p.neutral or 0.0) for p in self.parameters}

    def apply(self, images: tf.Tensor, drawn: Drawn, strength: float) -> tf.Tensor:
        """The images, each changed by its own parameters; on the device, compiled by XLA.

        It is called where the augmentation is enabled, or RandAugment may move its parameters.

        Args:
            images: float32 [batch, height, width, 3], 0..255, static but for the batch.
            drawn: its parameters.
            strength: of RandAugment, 0..1; 0: it is off.

        Returns:
            The same shape, type and range.
        """
        return images


class Mixing(Augmentation):
    """An augmentation that mixes an image and its target with those of a partner.

    An image's partner is its neighbor: images 0 and 1 of a batch, 2 and 3, and so on. The order of
    a global batch is random and the same for any number of hosts, and each host and replica gets a
    contiguous part, so as long as a replica's part is even the pairs are the same for any number of
    them, and nothing needs to be exchanged. (Pairing an image with one of the whole batch would
    move every image between chips.)

    Where several are enabled, each image has one of them.
    """

    def mix(
        self, images: tf.Tensor, targets: tf.Tensor, drawn: Drawn
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Images and targets, mixed with `partners` of both; on the device, compiled by XLA.

        Args:
            images: float32 [batch, height, width, 3], 0..255; the batch is static and even.
            targets: float32 [batch, num_classes].
            drawn: its parameters.
        """
        raise NotImplementedError
