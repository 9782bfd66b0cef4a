"""Tiny presets of KerasHub's families, made on the spot: there is no download."""

from collections.abc import Callable
from typing import Any

import keras_hub
import numpy as np

models = keras_hub.models

SIDE_PX = 32
_SHAPE = (SIDE_PX, SIDE_PX, 3)
_TRANSFORMER = {"patch_size": 8, "num_layers": 3, "num_heads": 2, "hidden_dim": 16}
# Other numbers than any default of ours, for each channel.
SCALE, OFFSET = (1 / 58, 1 / 57, 1 / 56), (-2.1, -2.0, -1.8)


def _vit() -> Any:
    return models.ViTBackbone(image_shape=_SHAPE, mlp_dim=32, **_TRANSFORMER)


def _deit() -> Any:
    return models.DeiTBackbone(image_shape=_SHAPE, intermediate_dim=32, **_TRANSFORMER)


def _swin() -> Any:
    return models.SwinTransformerBackbone(
        image_shape=_SHAPE, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4
    )


def _hgnetv2() -> Any:
    return models.HGNetV2Backbone(
        depths=[1, 1],
        embedding_size=8,
        hidden_sizes=[8, 16],
        stem_channels=[3, 8, 8],
        hidden_act="relu",
        use_learnable_affine_block=True,
        stackwise_stage_filters=[(8, 8, 16, 1, 1, 3), (16, 8, 32, 1, 1, 3)],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, False],
        image_shape=_SHAPE,
    )


def _resnet() -> Any:
    return models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 16],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
    )


def _cspnet() -> Any:
    return models.CSPNetBackbone(
        stem_filters=8,
        stem_kernel_size=3,
        stem_strides=1,
        stackwise_depth=[1, 1],
        stackwise_strides=[1, 2],
        stackwise_num_filters=[8, 16],
        block_type="dark_block",
        stage_type="dark",
        bottle_ratio=(1, 1),
        block_ratio=(1, 1),
        expand_ratio=(1, 1),
    )


def _densenet() -> Any:
    return models.DenseNetBackbone(stackwise_num_repeats=[2, 2], growth_rate=8)


def _mobilenet() -> Any:
    return models.MobileNetBackbone(
        stackwise_expansion=[[8], [16, 16]],
        stackwise_num_blocks=[1, 2],
        stackwise_num_filters=[[8], [8, 16]],
        stackwise_kernel_size=[[3], [3, 5]],
        stackwise_num_strides=[[2], [2, 1]],
        stackwise_se_ratio=[[0.25], [None, 0.25]],
        stackwise_activation=[["relu"], ["relu", "hard_swish"]],
        stackwise_padding=[[1], [1, 2]],
        output_num_filters=32,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=24,
        input_num_filters=8,
        image_shape=_SHAPE,
    )


def _efficientnet() -> Any:
    return models.EfficientNetBackbone(
        stackwise_kernel_sizes=[3, 3],
        stackwise_num_repeats=[1, 1],
        stackwise_input_filters=[8, 8],
        stackwise_output_filters=[8, 16],
        stackwise_expansion_ratios=[1, 4],
        stackwise_squeeze_and_excite_ratios=[0.25, 0.25],
        stackwise_strides=[1, 2],
        stackwise_block_types=["v1", "v1"],
        stackwise_force_input_filters=[0, 0],
        stackwise_nores_option=[False, False],
        width_coefficient=1.0,
        depth_coefficient=1.0,
    )


def _mit() -> Any:
    return models.MiTBackbone(
        layerwise_depths=[1, 1],
        image_shape=_SHAPE,
        hidden_dims=[8, 16],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[2, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3],
        layerwise_strides=[4, 2],
    )


def _vgg() -> Any:
    return models.VGGBackbone(
        stackwise_num_repeats=[1, 1], stackwise_num_filters=[8, 8], image_shape=_SHAPE
    )


def _xception() -> Any:
    return models.XceptionBackbone(
        stackwise_conv_filters=[[4, 8], [8, 8]], stackwise_pooling=[True, False]
    )


def _dinov2() -> Any:
    return models.DINOV2Backbone(
        intermediate_dim=32,
        image_shape=_SHAPE,
        position_embedding_shape=_SHAPE,
        num_register_tokens=2,
        **_TRANSFORMER,
    )


def _dinov3() -> Any:
    return models.DINOV3Backbone(intermediate_dim=32, image_shape=_SHAPE, **_TRANSFORMER)


def _siglip() -> Any:
    text = models.SigLIPTextEncoder(
        vocabulary_size=32,
        embedding_dim=16,
        hidden_dim=16,
        num_layers=1,
        num_heads=2,
        intermediate_dim=32,
        max_sequence_length=8,
    )
    vision = models.SigLIPVisionEncoder(image_shape=_SHAPE, intermediate_dim=32, **_TRANSFORMER)
    return models.SigLIPBackbone(vision, text)


_CLASSIFIERS: dict[str, tuple[Callable[[], Any], Any, dict[str, Any]]] = {
    "vit": (_vit, models.ViTImageClassifier, {}),
    "resnet": (_resnet, models.ResNetImageClassifier, {}),
    "deit": (_deit, models.DeiTImageClassifier, {}),
    "swin": (_swin, models.SwinTransformerImageClassifier, {}),
    "hgnetv2": (_hgnetv2, models.HGNetV2ImageClassifier, {}),
    "cspnet": (_cspnet, models.CSPNetImageClassifier, {}),
    "densenet": (_densenet, models.DenseNetImageClassifier, {}),
    "mobilenet_v3": (_mobilenet, models.MobileNetImageClassifier, {"num_features": 24}),
    "efficientnet": (_efficientnet, models.EfficientNetImageClassifier, {}),
    "mit": (_mit, models.MiTImageClassifier, {}),
    "vgg": (_vgg, models.VGGImageClassifier, {"pooling_hidden_dim": 16}),
    "xception": (_xception, models.XceptionImageClassifier, {}),
}
_ENCODERS = {"dinov2": _dinov2, "dinov3": _dinov3, "siglip": _siglip}
FAMILIES = (*_CLASSIFIERS, *_ENCODERS)


def make(family: str) -> Any:
    """A tiny classifier of a family, or its network where it has none; no weight is zero."""
    if family in _ENCODERS:
        model = _ENCODERS[family]()
    else:
        backbone, classifier, settings = _CLASSIFIERS[family]
        model = classifier(backbone=backbone(), num_classes=5, preprocessor=None, **settings)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(variable.numpy() + 0.1 * rng.normal(size=variable.shape).astype(np.float32))
    return model


def save(model: Any, folder: str) -> None:
    """As a preset, with an image converter of its family."""
    model.save_to_preset(folder)
    converter(model).save_to_preset(folder)


def converter(model: Any) -> Any:
    """The image converter of the model's family."""
    family = type(getattr(model, "backbone", model))
    kinds = [k for k in vars(keras_hub.layers).values() if getattr(k, "backbone_cls", 0) is family]
    return kinds[0](image_size=(SIDE_PX, SIDE_PX), scale=list(SCALE), offset=list(OFFSET))
