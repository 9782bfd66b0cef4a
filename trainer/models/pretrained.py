"""Backbones and weights from files: cut off the head, load, start anew."""

import re
from collections.abc import Sequence

from orchard import storage
from orchard.errors import OrchardError, in_one_line
from orchard.formats import RunDir, RunRecord
from trainer.keras_module import keras

_NO_PATHS = ("imagenet", "none", "auto")
_HEAD_LAYERS = (
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.Activation,
    keras.layers.Softmax,
)
# Within pages, of which the first line says nothing.
_NO_CLASS = re.compile(r"Could not locate class '[^']*'|No module named '[^']*'")
_SCALING_LAYERS = (keras.layers.Rescaling, keras.layers.Normalization)


def load_model(path: str) -> keras.Model:
    """The model in a .keras file, wherever `orchard.storage` reads.

    Raises:
        OrchardError: there is no such file, or Keras cannot read it.
    """
    if not storage.exists(path):
        raise OrchardError(f"{path} does not exist")
    with storage.local_copy(path) as local:
        try:
            return keras.models.load_model(local, compile=False)
        except Exception as error:  # Of a damaged file Keras raises whatever it stumbles over.
            raise OrchardError(f"{path}: not a Keras 3 model file ({in_one_line(error)})") from None


def model_of_json(text: str, path: str) -> keras.Model:
    """A model from the JSON of its layers, its weights drawn anew, in float32.

    Args:
        text: as `keras.Model.to_json` gives it.
        path: where it was read from.

    Raises:
        OrchardError: it is none, or a layer is of a class that is not to be had here.
    """
    try:
        model = keras.models.model_from_json(_json_with_policy(text, "float32"))
        if isinstance(model, keras.Model):
            return model
        reason = f"it is a {type(model).__name__}"
    except Exception as error:  # As in `load_model`.
        reason = in_one_line(error)
        if missing := _NO_CLASS.search(str(error)):
            raise OrchardError(
                f"{path}: a layer of the network is not to be had here ({missing[0]}); install "
                "what it comes from, such as '.[hub]' for keras_hub:PRESET, or name its module in "
                "--plugins"
            ) from None
    raise OrchardError(f"{path} holds no network ({reason}); it was damaged or edited")


def load_backbone(path: str, name: str, image_size_px: tuple[int, int]) -> keras.Model:
    """The features of the classifier in a .keras file, for images of the given size.

    The layers after the last feature map's pooling (Dense, Dropout, activations) are removed; a
    model that ends in a feature map gets global average pooling. A network saved by this trainer
    gives its own backbone, preprocessing included.

    Args:
        path: the file, wherever `orchard.storage` reads.
        name: what the backbone is called.
        image_size_px: height and width of the images.
    """
    model = _under_policy(load_model(path))
    _check_one_input_and_output(path, model)
    without_head = keras.Model(model.inputs, _features(model))
    return as_backbone(path, without_head, name, image_size_px)


def _under_policy(model: keras.Model) -> keras.Model:
    """The model under the current dtype policy."""
    policy = keras.config.dtype_policy().name
    if policy == "float32":
        return model
    weights = model.get_weights()
    model = keras.models.model_from_json(_json_with_policy(model.to_json(), policy))
    model.set_weights(weights)
    return model


def as_backbone(
    origin: str, model: keras.Model, name: str, image_size_px: tuple[int, int]
) -> keras.Model:
    """`model` under another name, its feature map averaged if it ends in one.

    Args:
        origin: what to call the model in errors.
        model: from images to features [batch, n] or a feature map [batch, rows, columns, n].
        name: what the backbone is called.
        image_size_px: height and width of the images.

    Raises:
        OrchardError: it is something else, or takes images of another size.
    """
    _check_one_input_and_output(origin, model)
    features = model.outputs[0]
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D()(features)
    if len(features.shape) != 2:
        raise OrchardError(
            f"{origin}: expected features [batch, n] before the head, found shape {features.shape}"
        )
    backbone = keras.Model(model.inputs, features, name=name)
    shape, wanted = backbone.input_shape, (*image_size_px, 3)
    if len(shape) != 4 or any(s not in (None, w) for s, w in zip(shape[1:], wanted, strict=True)):
        raise OrchardError(
            f"{origin} takes images of {shape[1:]}, not the {wanted} of --image_size; use its size"
        )
    return backbone


def _json_with_policy(text: str, policy: str) -> str:
    """A model's JSON with another dtype policy for the layers that have the usual ones.

    Keras keeps the policy with each layer, so that the global one does not reach a loaded model.
    """
    return re.sub(
        r'("class_name": "DTypePolicy", "config": \{"name": ")(?:float32|mixed_bfloat16)(")',
        rf"\g<1>{policy}\g<2>",
        text,
    )


def scales_its_input(backbone: keras.Model) -> bool:
    """Whether a layer of the model (nested ones included) rescales or normalizes its input."""
    layers = backbone._flatten_layers(include_self=False)
    return any(isinstance(layer, _SCALING_LAYERS) for layer in layers)


def is_run(weights: str) -> bool:
    """Whether --weights names the directory of a finished training."""
    return weights not in _NO_PATHS and storage.exists(RunDir(weights).record_file)


def keeps_head(weights: str, class_names: Sequence[str]) -> bool:
    """Whether --weights brings a head: that of a run on the same classes, a single layer.

    Args:
        weights: the flag.
        class_names: those to train for, in the logits' order.
    """
    if not is_run(weights):
        return False
    record = RunRecord.load(RunDir(weights).record_file)
    one_layer = record.head is None or record.head.kind == "linear"
    return one_layer and record.class_names == tuple(class_names)


def load_into(backbone: keras.Model, path: str) -> None:
    """Load weights into a backbone, wherever `orchard.storage` reads.

    Args:
        backbone: to load into.
        path: a .weights.h5 file, a legacy .h5, a .keras of the same backbone, or a run directory.

    Raises:
        OrchardError: it is none of these, or of another network.
    """
    if not storage.exists(path):
        raise OrchardError(f"--weights={path} does not exist; give imagenet, none, a run or a file")
    if is_run(path):
        path = RunDir(path).keras_file
    if not path.endswith((".keras", ".h5")):
        raise OrchardError(
            f"--weights={path} is no .keras or .weights.h5 file, and holds no finished run (there "
            "is no run.json); give one of these"
        )
    try:
        if path.endswith(".keras"):
            donor = load_model(path)
            names = [layer.name for layer in donor.layers]
            donor = donor.get_layer(backbone.name) if backbone.name in names else donor
            backbone.set_weights(donor.get_weights())
        else:
            with storage.local_copy(path) as local:
                backbone.load_weights(local)
    except OrchardError:
        raise
    except Exception as error:  # As in `load_model`.
        raise OrchardError(
            f"--weights={path} does not fit the network without its head ({in_one_line(error)}); "
            "give weights of this network, or --weights=none"
        ) from None


def backbone_of_run(
    run_dir: str, architecture: str, name: str, image_size_px: tuple[int, int]
) -> keras.Model | None:
    """The backbone of a run, with layers that only its pretrained weights asked for.

    EfficientNet with ImageNet weights scales its input once more, for one.

    Args:
        run_dir: a finished run's.
        architecture: what it should be of.
        name: of the layer that is the backbone.
        image_size_px: height and width of the images.

    Returns:
        None where the run is of another architecture, or of images of another size.
    """
    if RunRecord.load(RunDir(run_dir).record_file).architecture != architecture:
        return None
    donor = _under_policy(load_model(RunDir(run_dir).keras_file))
    backbone = donor.get_layer(name)
    fits = tuple(backbone.input_shape[1:3]) in (image_size_px, (None, None))
    return backbone if fits else None


def load_head(layer: keras.layers.Layer, run_dir: str) -> None:
    """Give the layer of the logits the weights that a run's has.

    Args:
        layer: to load into.
        run_dir: a run that `keeps_head` is true of.
    """
    donor = load_model(RunDir(run_dir).keras_file)
    layer.set_weights(donor.get_layer(layer.name).get_weights())


def settle_positions(network: keras.Model) -> None:
    """Let a .keras file keep the position embeddings that were trained.

    KerasHub's DINOv2 keeps two, trains one and loads the other; whether they differ it decides by
    the sign of a sum (version 0.32). The trainer builds it with both of one size.
    """
    for layer in network._flatten_layers(include_self=False):
        trained = getattr(layer, "interpolated_position_embeddings", None)
        if trained is not None and trained.shape == layer.position_embeddings.shape:
            layer.position_embeddings.assign(trained)


def reinitialize(model: keras.Model) -> None:
    """Draw every weight anew from the initializers that the model was built with."""
    fresh = keras.models.clone_model(model)
    model.set_weights(fresh.get_weights())


def _features(model: keras.Model) -> keras.KerasTensor:
    """The tensor that enters the head: what is left after peeling head layers off the end."""
    features, layers = model.outputs[0], list(model.layers)
    while len(layers) > 1 and isinstance(layers[-1], _HEAD_LAYERS):
        features = layers.pop().input
    return features


def _check_one_input_and_output(origin: str, model: object) -> None:
    if not isinstance(model, keras.Model) or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise OrchardError(
            f"{origin}: a backbone must be a Keras model of one input and one output"
        )
