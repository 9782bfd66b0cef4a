"""A trained network as a SavedModel and a .keras file, rebuilt outside any strategy, in float32.

The SavedModel has four signatures. Two give {"logits": float32 [batch, num_classes]}:
`serving_default` takes `image_bytes` (string [batch], encoded images), `images` takes `images`
(uint8 [batch, height, width, 3]) and holds no strings, so that it also runs on a TPU and under XLA.
`probabilities` takes `image_bytes` too and gives what an ensemble's `serving_default` does:
{"probabilities": float32, "class_names": string}, [batch, num_classes] each. `top_k` takes
`image_bytes` and `k` (int32 [batch]) and gives the likeliest: {"classes", "probabilities"},
[batch, largest k]. In the folder for model servers `probabilities` is `serving_default` as well.

Encoded images are turned upright by a JPEG's EXIF.
"""

import json
import os
import tempfile
from collections.abc import Callable

import tensorflow as tf

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import (
    SAVED_MODEL_FILE,
    ExportDir,
    InputSpec,
    RunDir,
    Task,
    fingerprint_saved_model,
)
from trainer.data import upright_decoder
from trainer.keras_module import keras
from trainer.models import batch_norm, load_model, model_of_json, settle_positions
from trainer.results.serving import IMAGE_BYTES, TOP_K, top_classes_in_graph


class ServingModule(tf.Module):
    """A network with its resize, class names, task and image size; what the SavedModel holds.

    Converters, such as LiteRT's, freeze the tf.Variables that a module holds itself, but not those
    within a Keras model. So this module holds the variables itself, and not the model, which would
    save them a second time.
    """

    def __init__(
        self,
        network: keras.Model,
        class_names: tuple[str, ...],
        task: Task,
        height_px: int,
        width_px: int,
        resize: str,
        exact_decode: bool,
    ):
        super().__init__()
        self.weights = [variable.value for variable in network.variables]
        self._logits = lambda images: network(images, training=False)
        self.class_names = tf.Variable(list(class_names), trainable=False)
        self.task = tf.Variable(str(task), trainable=False)
        self._activation = tf.nn.softmax if task == Task.SINGLE_LABEL else tf.math.sigmoid
        self.image_size_px = tf.Variable([height_px, width_px], trainable=False)
        self._size = (height_px, width_px)
        self._resize, self._exact_decode = resize, exact_decode

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The concrete functions to save, by name."""
        images = tf.TensorSpec([None, *self._size, 3], tf.uint8, name="images")
        from_bytes = _trace(self.classify_bytes, IMAGE_BYTES)

        def named_probabilities(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            # Calls the other function: a network's graph is large, and is not saved once more.
            probabilities = self._activation(from_bytes(image_bytes)["logits"])
            # A row for each image: TensorFlow Serving wants one batch size in all outputs.
            names = tf.broadcast_to(self.class_names, tf.shape(probabilities))
            return {"probabilities": probabilities, "class_names": names}

        def top_k(image_bytes: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
            probabilities = self._activation(from_bytes(image_bytes)["logits"])
            return top_classes_in_graph(probabilities, self.class_names, k)

        return {
            "serving_default": from_bytes,
            "images": _trace(self.classify_images, images),
            "probabilities": _trace(named_probabilities, IMAGE_BYTES),
            "top_k": _trace(top_k, IMAGE_BYTES, TOP_K),
        }

    def serving_signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Those for model servers, whose clients want probabilities and names without asking."""
        signatures = self.signatures()
        return {**signatures, "serving_default": signatures["probabilities"]}

    def classify_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded images, string [batch], to logits."""
        spec = InputSpec(*self._size, self._resize, self._exact_decode)
        (images,) = upright_decoder(spec)(image_bytes)
        return self.classify_images(images)

    def classify_images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Images uint8 [batch, height, width, 3] to logits."""
        return {"logits": self._logits(tf.cast(images, tf.float32))}


def _trace(
    function: Callable[..., dict[str, tf.Tensor]], *inputs: tf.TensorSpec
) -> tf.types.experimental.ConcreteFunction:
    return tf.function(function, autograph=False).get_concrete_function(*inputs)


def rebuild_network(run_dir: str) -> keras.Model:
    """The network of a run, its weights drawn anew, in float32, for one device."""
    path = RunDir(run_dir).network_file
    if not storage.exists(path):
        raise OrchardError(f"there is no {path}: {run_dir} is no run directory")
    text = json.dumps(storage.read_json(path))
    keras.config.set_dtype_policy("float32")
    network = model_of_json(text, path)
    batch_norm.synchronize(network, False)
    return network


def load_network(output: ExportDir) -> keras.Model:
    """The network of an export with its weights, in float32, for one device.

    Raises:
        OrchardError: it is not there, or damaged.
    """
    keras.config.set_dtype_policy("float32")
    try:
        network = load_model(output.keras_file)
    except OrchardError as error:
        raise OrchardError(f"{error}; export it again with trainer.main --export_only") from None
    batch_norm.synchronize(network, False)
    return network


def export(network: keras.Model, serving: ServingModule, output: ExportDir) -> str:
    """Write the SavedModel and the Keras model; returns the fingerprint of the SavedModel."""
    with tempfile.TemporaryDirectory(prefix="orchard-export-") as folder:
        local = os.path.join(folder, "network")
        tf.saved_model.save(serving, local, signatures=serving.signatures())
        keras_file = os.path.join(folder, "network.keras")
        settle_positions(network)
        network.save(keras_file)
        fingerprint = fingerprint_saved_model(local)
        storage.replace_tree(local, output.saved_model_dir, last=SAVED_MODEL_FILE)
        with open(keras_file, "rb") as file:
            storage.write_bytes(output.keras_file, file.read())
    return fingerprint
