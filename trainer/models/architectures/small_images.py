"""Networks for images of 28 to 64 px, whose first layers keep the size: ImageNet's quarter it.

They have no pretrained weights.
"""

from typing import TYPE_CHECKING

from orchard.lazy import lazy_import
from trainer.models.preprocessing import SYMMETRIC
from trainer.models.registry import register_architecture

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("trainer.keras_module")

_SIZE_PX = 32
# Trainings from scratch on few small images are short: 10 steps of memory settle in 500.
_MOMENTUM = 0.9


def _convolution(
    x: "keras.KerasTensor", filters: int, strides: int = 1, kernel_px: int = 3
) -> "keras.KerasTensor":
    return keras.layers.Conv2D(
        filters,
        kernel_px,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)


def _normalized(x: "keras.KerasTensor", filters: int, strides: int = 1) -> "keras.KerasTensor":
    """A 3x3 convolution and batch normalization."""
    x = _convolution(x, filters, strides)
    return keras.layers.BatchNormalization(momentum=_MOMENTUM)(x)


def _convolved(x: "keras.KerasTensor", filters: int, strides: int = 1) -> "keras.KerasTensor":
    return keras.layers.ReLU()(_normalized(x, filters, strides))


def _activated(x: "keras.KerasTensor") -> "keras.KerasTensor":
    """Batch normalization and ReLU."""
    return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=_MOMENTUM)(x))


@register_architecture("resnet20", image_size_px=_SIZE_PX, preprocessing=SYMMETRIC, min_size_px=8)
def resnet20(image_size_px: tuple[int, int]) -> "keras.Model":
    """He et al. 2016, "Deep Residual Learning", section 4.2: n = 3, 0.27 M weights.

    Its shortcuts have no weights (option A): where the size halves and the channels double, they
    are subsampled and padded with zeros.
    """
    images = keras.Input((*image_size_px, 3))
    x = _convolved(images, 16)
    for filters in (16, 32, 64):
        for _ in range(3):
            more = filters - x.shape[-1]
            residual = _convolved(x, filters, strides=2 if more else 1)
            if more:
                x = keras.layers.MaxPooling2D(1, strides=2, padding="same")(x)
                x = keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (more // 2, more // 2)))
            x = keras.layers.ReLU()(keras.layers.Add()([x, _normalized(residual, filters)]))
    return keras.Model(images, x)


@register_architecture("resnet9", image_size_px=_SIZE_PX, preprocessing=SYMMETRIC, min_size_px=8)
def resnet9(image_size_px: tuple[int, int]) -> "keras.Model":
    """Two residual blocks between convolutions that pool, 0.61 M weights.

    After Page 2018, "How to Train Your ResNet", of a quarter to half its width.
    """
    images = keras.Input((*image_size_px, 3))
    x = _convolved(images, 32)
    x = keras.layers.MaxPooling2D(2)(_convolved(x, 64))
    x = keras.layers.Add()([x, _convolved(_convolved(x, 64), 64)])
    x = keras.layers.MaxPooling2D(2)(_convolved(x, 128))
    x = keras.layers.MaxPooling2D(2)(_convolved(x, 128))
    x = keras.layers.Add()([x, _convolved(_convolved(x, 128), 128)])
    return keras.Model(images, x)


@register_architecture("vgg_small", image_size_px=_SIZE_PX, preprocessing=SYMMETRIC, min_size_px=8)
def vgg_small(image_size_px: tuple[int, int]) -> "keras.Model":
    """Pairs of 3x3 convolutions of 32, 64 and 128 channels, each pooled, 0.29 M weights.

    After Simonyan and Zisserman 2015, "Very Deep Convolutional Networks", with batch normalization
    and without its dense layers.
    """
    x = images = keras.Input((*image_size_px, 3))
    for filters in (32, 64, 128):
        x = keras.layers.MaxPooling2D(2)(_convolved(_convolved(x, filters), filters))
    return keras.Model(images, x)


@register_architecture(
    "wide_resnet10_2", image_size_px=_SIZE_PX, preprocessing=SYMMETRIC, min_size_px=8
)
def wide_resnet10_2(image_size_px: tuple[int, int]) -> "keras.Model":
    """Zagoruyko and Komodakis 2016, "Wide Residual Networks": depth 10, width 2, 0.30 M weights.

    One block of two convolutions a group, activated before each (He et al. 2016, "Identity
    Mappings"); shortcuts between groups are 1x1 convolutions.
    """
    images = keras.Input((*image_size_px, 3))
    x = _convolution(images, 16)
    for filters, strides in ((32, 1), (64, 2), (128, 2)):
        active = _activated(x)
        residual = _convolution(active, filters, strides)
        residual = _convolution(_activated(residual), filters)
        shortcut = _convolution(active, filters, strides, kernel_px=1)
        x = keras.layers.Add()([shortcut, residual])
    return keras.Model(images, _activated(x))
