"""A SavedModel for model servers: a version folder with requests to warm up with.

TensorFlow Serving answers the requests in `assets.extra/tf_serving_warmup_requests` itself before
it says that a model is there, so that nobody waits while graphs are optimized and kernels chosen:
https://www.tensorflow.org/tfx/serving/saved_model_warmup. The file is TFRecords of PredictionLog
messages (tensorflow_serving/apis/prediction_log.proto, predict.proto and model.proto), which are
written here: the package of those messages is there for some versions of TensorFlow alone.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from orchard import storage
from orchard.formats import SAVED_MODEL_FILE, WARMUP_FILE
from orchard.formats.tfrecord import frame, message_field

IMAGE_BYTES = tf.TensorSpec([None], tf.string, name="image_bytes")
TOP_K = tf.TensorSpec([None], tf.int32, name="k")

# What is warmed up: one photo, which nearly all requests are, and some of them together.
_BATCH_SIZES = (1, 8)
_PICTURE_PX = (384, 512)

Signature = Callable[..., Mapping[str, tf.Tensor]]


def save_serving(
    module: tf.Module, signatures: Mapping[str, Signature], path: str, name: str
) -> None:
    """Write a SavedModel with its warm-up requests; it appears whole.

    Args:
        module: to save.
        signatures: its functions by name, concrete or with an input signature.
        path: the version folder, local or gs://.
        name: of the model, in the requests.
    """
    with tempfile.TemporaryDirectory(prefix="orchard-serving-") as folder:
        tf.saved_model.save(module, folder, dict(signatures))
        file = os.path.join(folder, *WARMUP_FILE.split("/"))
        os.makedirs(os.path.dirname(file))
        storage.write_bytes(file, warmup_requests(signatures, name))
        storage.replace_tree(folder, path, last=SAVED_MODEL_FILE)


def warmup_requests(signatures: Mapping[str, Signature], name: str) -> bytes:
    """The content of the file of warm-up requests, for the signatures that take encoded images.

    Args:
        signatures: by name; they take `image_bytes`, and perhaps `k`.
        name: of the model.
    """
    picture = _picture()
    records = []
    for key, signature in signatures.items():
        wanted = _inputs(signature)
        if IMAGE_BYTES.name not in wanted:
            continue
        for batch_size in _BATCH_SIZES:
            values = {IMAGE_BYTES.name: np.array([picture] * batch_size, object)}
            if TOP_K.name in wanted:
                values[TOP_K.name] = np.ones(batch_size, np.int32)
            records.append(frame(_prediction_log(name, key, values)))
    return b"".join(records)


def top_classes_in_graph(
    probabilities: tf.Tensor, class_names: tf.Tensor, k: tf.Tensor
) -> dict[str, tf.Tensor]:
    """The likeliest classes of each image, for the signature `top_k`.

    Servers put requests together to one batch, and want one batch size in all inputs: so each row
    has its own k, and the rows are as wide as the largest.

    Args:
        probabilities: float32 [batch, classes].
        class_names: string [classes].
        k: int32 [batch], how many are wanted for each.

    Returns:
        {"classes": string, "probabilities": float32}, [batch, largest k] each, the likeliest first;
        beyond a row's own k "" and 0.
    """
    widest = tf.clip_by_value(tf.reduce_max(k), 1, tf.shape(class_names)[0])
    values, positions = tf.math.top_k(probabilities, widest)
    is_wanted = tf.range(widest) < k[:, tf.newaxis]
    return {
        "classes": tf.where(is_wanted, tf.gather(class_names, positions), ""),
        "probabilities": tf.where(is_wanted, values, 0.0),
    }


def _inputs(signature: Any) -> Mapping[str, tf.TensorSpec]:
    if hasattr(signature, "get_concrete_function"):
        signature = signature.get_concrete_function()
    positional, named = signature.structured_input_signature
    return {spec.name: spec for spec in (*positional, *named.values())}


def _prediction_log(name: str, key: str, values: Mapping[str, np.ndarray]) -> bytes:
    """PredictionLog{predict_log{request{model_spec{name, signature_name}, inputs}}}."""
    model_spec = message_field(1, name.encode()) + message_field(3, key.encode())
    request = message_field(1, model_spec)
    for field, value in values.items():
        tensor = tf.make_tensor_proto(value).SerializeToString(deterministic=True)
        request += message_field(2, message_field(1, field.encode()) + message_field(2, tensor))
    return message_field(6, message_field(1, request))


def _picture() -> bytes:
    """A JPEG of a few kB, larger than what networks take, as photos are."""
    height, width = _PICTURE_PX
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256], -1)
    return tf.io.encode_jpeg(tf.constant(pixels, tf.uint8), quality=80).numpy()
