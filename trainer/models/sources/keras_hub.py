"""Presets of KerasHub: `--architecture=keras_hub:PRESET`, what KerasHub's `from_preset` takes.

PRESET is a name that KerasHub knows, kaggle://..., hf://... (Keras, timm and Transformers alike)
or a directory that `save_to_preset` wrote. The features are what the preset's classifier gives to
its last dense layer. Families without a classifier give their class token, or what their own
pooling makes of the patches.
"""

import contextlib
import functools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from orchard.errors import OrchardError, in_one_line
from orchard.lazy import lazy_import
from trainer.models.preprocessing import Scaling
from trainer.models.registry import Architecture, register_architecture_source

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("trainer.keras_module")

# Families without a classifier, or presets without one's weights, whose first token is the class.
_CLASS_TOKEN_FIRST = ("DeiTBackbone", "DINOV2Backbone", "DINOV3Backbone", "CLIPVisionEncoder")
# What the families call the size of their images in their configs; DINOv2 also has the size that
# its position embeddings are of.
_SHAPE_KEYS = ("image_shape", "input_shape", "position_embedding_shape")


@register_architecture_source("keras_hub")
@functools.cache
def find_preset(preset: str) -> Architecture:
    """The vision network of a preset; reads its small files, but no weights.

    Raises:
        OrchardError: KerasHub is not installed, or cannot read the preset.
    """
    hub = _keras_hub(preset)
    with _in_one_line(preset):
        converter = hub.layers.ImageConverter.from_preset(preset)
    size = converter.image_size if converter is not None else None
    return Architecture(
        build=functools.partial(_build, preset, False),
        build_imagenet=functools.partial(_build, preset, True),
        image_size_px=size[0] if size and size[0] == size[1] else None,
        preprocessing=None if converter is None else _scaling(converter),
        license=_license(preset),
    )


def _keras_hub(preset: str) -> Any:
    try:
        import keras_hub
    except ModuleNotFoundError as error:
        raise OrchardError(
            f"--architecture=keras_hub:{preset} needs KerasHub, and {error.name} is not installed: "
            "where Orchard's setup.py is, pip install -e '.[hub]' (on a TPU VM see BUILD.md)"
        ) from None
    return keras_hub


@contextlib.contextmanager
def _in_one_line(preset: str) -> Iterator[None]:
    try:
        yield
    # Kaggle's and Hugging Face's clients raise what they like, also where there is no network.
    except Exception as error:
        raise OrchardError(
            f"--architecture=keras_hub:{preset} cannot be loaded ({in_one_line(error)}); give a "
            "preset of KerasHub, hf://OWNER/NAME, kaggle://OWNER/MODEL/keras/VARIANT, or the "
            "directory of a preset, which needs no network"
        ) from None


def _scaling(converter: Any) -> Scaling:
    """What the preset's image converter does to pixels; to resize is the trainer's own job."""

    def numbers(value: Any, default: float) -> float | tuple[float, ...]:
        value = np.asarray(default if value is None else value, np.float64)
        return float(value) if value.ndim == 0 else tuple(value.ravel().tolist())

    return Scaling(numbers(converter.scale, 1.0), numbers(converter.offset, 0.0))


def _license(preset: str) -> str:
    """What the head of the preset's README.md (a "model card") says; empty: nothing."""
    from keras_hub.src.utils import preset_utils

    try:
        with open(
            preset_utils.get_file(preset, preset_utils.README_FILE), encoding="utf-8"
        ) as file:
            head = re.match(r"---\n(.*?)\n---", file.read(), re.DOTALL)
    except Exception:  # There is none, or whatever Kaggle's and Hugging Face's clients raise.
        return ""
    said = re.search(r"^license:\s*(\S+)", head[1], re.MULTILINE) if head else None
    return said[1].strip("\"'") if said else ""


def _build(preset: str, load_weights: bool, image_size_px: tuple[int, int]) -> "keras.Model":
    """The preset's network from images to features, for images of the given size."""
    hub = _keras_hub(preset)
    with _in_one_line(preset):
        model = _load(hub, preset, load_weights)
        if _fixed_sizes_px(model) - {image_size_px}:
            model = _for_size(model, image_size_px, load_weights)
        images = keras.Input((*image_size_px, 3), name="images")
        features = _features(hub, model)
        return keras.Model(images, features(images))


def _load(hub: Any, preset: str, load_weights: bool) -> "keras.Model":
    """The preset's classifier; where it has none, its network, or of two the one that sees."""
    from keras_hub.src.utils import preset_utils

    loader = preset_utils.get_preset_loader(preset)
    classifiers = preset_utils.list_subclasses(hub.models.ImageClassifier)
    if not any(one.backbone_cls is loader.check_backbone_class() for one in classifiers):
        network = hub.models.Backbone.from_preset(preset, load_weights=load_weights)
        return getattr(network, "vision_encoder", network)
    load = functools.partial(
        hub.models.ImageClassifier.from_preset,
        preset,
        load_weights=load_weights,
        preprocessor=None,
    )
    model = load(num_classes=1)  # Without the weights of its head.
    if len(_before_last_dense(model).weights) == len(model.backbone.weights):
        return model
    # It learned more than the network and the last layer, where the preset has it.
    if isinstance(loader, preset_utils.KerasPresetLoader):
        if not preset_utils.check_file_exists(preset, preset_utils.TASK_WEIGHTS_FILE):
            return model.backbone
    return load()


def _network_config(config: dict[str, Any]) -> dict[str, Any]:
    """Of a classifier's config the part that is its network's; else the config itself."""
    return config["backbone"]["config"] if "backbone" in config else config


def _fixed_sizes_px(model: "keras.Model") -> set[tuple[int, int]]:
    """Heights and widths of images that the network was built for; none: it takes any."""
    config = _network_config(model.get_config())
    shapes = [config[key] for key in _SHAPE_KEYS if config.get(key)]
    return {(shape[0], shape[1]) for shape in shapes if None not in shape[:2]}


def _for_size(model: "keras.Model", size_px: tuple[int, int], with_weights: bool) -> "keras.Model":
    """The same network for images of another size."""
    config = model.get_config()
    network = _network_config(config)
    for key in _SHAPE_KEYS:
        if network.get(key):
            network[key] = (*size_px, 3)
    resized = type(model).from_config(config)
    if with_weights:
        patch = network.get("patch_size")
        rows, columns = patch if isinstance(patch, (tuple, list)) else (patch, patch)
        grid = (size_px[0] // rows, size_px[1] // columns) if rows and columns else None
        _copy_weights(model, resized, grid)
    return resized


def _copy_weights(
    source: "keras.Model", target: "keras.Model", grid: tuple[int, int] | None
) -> None:
    """Give a network the weights of another one, which was built for images of another size.

    Args:
        source: has the weights.
        target: gets them.
        grid: its rows and columns of patches; None: it has no patches of one size.
    """
    by_place = {_place(variable): variable for variable in source.variables}
    antialias = getattr(source, "antialias_in_interpolation", False)
    for variable, old in zip(target.variables, source.variables, strict=True):
        if variable.shape == old.shape:
            variable.assign(old)
        elif "int" in str(variable.dtype):  # The numbers of the positions.
            continue
        elif "position" in variable.path and grid:
            # DINOv2 keeps what it was trained with beside what it uses.
            trained = by_place.get(_place(variable).replace("interpolated_", ""), old)
            variable.assign(_resample(trained.numpy(), variable.shape, grid, antialias))
        else:
            raise ValueError(
                f"its {variable.path} is {tuple(old.shape)}, and for this --image_size would be "
                f"{tuple(variable.shape)}"
            )


def _place(variable: "keras.Variable") -> str:
    """Its path within the model."""
    return variable.path.partition("/")[2]


def _resample(
    positions: np.ndarray, shape: tuple[int, ...], grid: tuple[int, int], antialias: bool
) -> Any:
    """Position embeddings for another grid of patches, by bicubic interpolation.

    As Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", section 3.2, do it.

    Args:
        positions: [..., tokens, width]; tokens that are no patches come first.
        shape: of the result.
        grid: its rows and columns of patches.
        antialias: whether frequencies are cut that a smaller grid cannot hold.
    """
    width = positions.shape[-1]
    flat = positions.reshape(-1, width)
    num_first = int(np.prod(shape[:-1])) - grid[0] * grid[1]
    first, patches = flat[:num_first], flat[num_first:]
    side = round(len(patches) ** 0.5)
    if side * side != len(patches):
        raise ValueError("its images are not square, and its position embeddings no square grid")
    resized = keras.ops.image.resize(
        patches.reshape(1, side, side, width), grid, interpolation="bicubic", antialias=antialias
    )
    return np.concatenate([first, np.asarray(resized).reshape(-1, width)]).reshape(shape)


def _features(hub: Any, model: "keras.Model") -> "keras.Model":
    """From images to what enters the last dense layer of a classifier, or to pooled tokens."""
    if isinstance(model, hub.models.ImageClassifier):
        return _of_plain_layers(hub, _before_last_dense(model))
    images = keras.Input(model.inputs[0].shape[1:])
    named = {model.inputs[0].name: images}
    outputs = model(named if isinstance(model.input, dict) else images)
    return _of_plain_layers(hub, keras.Model(images, _pooled(model, outputs)))


def _before_last_dense(classifier: "keras.Model") -> "keras.Model":
    head = classifier.layers[-1]
    if isinstance(head, keras.Sequential):  # VGG's.
        features = classifier.backbone(classifier.input)
        for layer in head.layers[:-1]:
            features = layer(features)
        return keras.Model(classifier.input, features)
    features, layers = classifier.outputs[0], list(classifier.layers)
    while isinstance(layers[-1], (keras.layers.Dense, keras.layers.Dropout)):
        features = layers.pop().input
    return keras.Model(classifier.inputs, features)


def _pooled(model: "keras.Model", outputs: Any) -> "keras.KerasTensor":
    if isinstance(outputs, dict):  # A pyramid: its smallest map.
        outputs = list(outputs.values())[-1]
    if len(outputs.shape) == 4:
        return keras.layers.GlobalAveragePooling2D()(outputs)
    if len(outputs.shape) == 2:  # It pools by itself.
        return outputs
    has_class_token = getattr(model, "use_class_token", type(model).__name__ in _CLASS_TOKEN_FIRST)
    return outputs[:, 0] if has_class_token else keras.layers.GlobalAveragePooling1D()(outputs)


def _of_plain_layers(hub: Any, model: "keras.Model") -> "keras.Model":
    """The same model, in which a network of Keras' own layers alone is no class of KerasHub's.

    Its .keras file then loads without KerasHub.
    """

    def plain(layer: "keras.layers.Layer") -> "keras.layers.Layer":
        if not isinstance(layer, hub.models.Backbone):
            return layer
        parts = layer._flatten_layers(include_self=False)
        if not all(type(part).__module__.startswith("keras.") for part in parts):
            return layer
        return keras.Model(layer.inputs, layer.outputs, name=layer.name)

    return keras.models.clone_model(model, clone_function=plain)
