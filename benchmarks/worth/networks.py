"""Small networks for images of 28 px, to be trained from scratch: three of like price.

A plugin: `--plugins=benchmarks.worth.networks --architecture=worth_cnn --weights=none`.
"""

import keras

from trainer.models import register_architecture

PREPROCESSING = "127/128"
_SIZE_PX = 28


@register_architecture("worth_cnn", image_size_px=_SIZE_PX, preprocessing=PREPROCESSING)
def worth_cnn(image_size_px: tuple[int, int]) -> keras.Model:
    """Plain convolutions."""
    inputs = x = keras.Input((*image_size_px, 3))
    for filters, stride in ((32, 1), (64, 2), (128, 2)):
        x = _conv(x, filters, stride)
    return keras.Model(inputs, x)


@register_architecture("worth_resnet", image_size_px=_SIZE_PX, preprocessing=PREPROCESSING)
def worth_resnet(image_size_px: tuple[int, int]) -> keras.Model:
    """Residual blocks."""
    inputs = x = keras.Input((*image_size_px, 3))
    x = _conv(x, 32, 2)
    for filters, stride in ((32, 1), (64, 2), (64, 1)):
        shortcut = x if stride == 1 else _conv(x, filters, stride, kernel=1, activate=False)
        x = _conv(_conv(x, filters, stride), filters, activate=False)
        x = keras.layers.ReLU()(keras.layers.Add()([x, shortcut]))
    return keras.Model(inputs, x)


@register_architecture("worth_separable", image_size_px=_SIZE_PX, preprocessing=PREPROCESSING)
def worth_separable(image_size_px: tuple[int, int]) -> keras.Model:
    """Convolutions of each channel alone, then of all channels at each pixel."""
    inputs = x = keras.Input((*image_size_px, 3))
    x = _conv(x, 32)
    for filters, stride in ((64, 1), (128, 2), (128, 1), (256, 2)):
        x = keras.layers.DepthwiseConv2D(3, stride, "same", use_bias=False)(x)
        x = _conv(_normalized(x), filters, kernel=1)
    return keras.Model(inputs, x)


def _conv(x, filters: int, stride: int = 1, kernel: int = 3, activate: bool = True):
    x = keras.layers.Conv2D(filters, kernel, stride, "same", use_bias=False)(x)
    return _normalized(x, activate)


def _normalized(x, activate: bool = True):
    # Of 0.9: with Keras' 0.99 the statistics of a training of a few hundred steps lag behind.
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    return keras.layers.ReLU()(x) if activate else x
