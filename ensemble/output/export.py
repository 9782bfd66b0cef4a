"""Members, weights and temperatures as ONE SavedModel that needs neither this code nor their runs.

Signatures, both -> {"probabilities": float32, "class_names": string}, [batch, classes] each:

    serving_default   image_bytes: string [batch], encoded JPEGs
    images            images: uint8 [batch, height, width, 3], RGB of any one size

`class_names` repeats for each row because TensorFlow Serving wants one batch size in all outputs.
The loaded object also has `class_names` (string [classes]), `task` (string) and `thresholds`
(float32 [classes]: a class of a many-label task is named from its threshold on).
"""

import tempfile
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ensemble.combine import Combination, combined_in_graph
from ensemble.inference import load_network, mean_logits
from ensemble.members import InputSpec, Member
from orchard import storage
from trainer.data import decode_image, fit_image


class EnsembleModel(tf.Module):
    """Members and everything after them; what `save` writes."""

    def __init__(
        self,
        members: Sequence[Member],
        combination: Combination,
        class_names: Sequence[str],
        thresholds: np.ndarray,
        tta: str,
    ):
        """Load the members that have a weight; those without one are left out of the model."""
        super().__init__(name="ensemble")
        self._combination = combination
        self._tta = tta
        self._inputs = [member.input for member in members]
        self._networks = [
            load_network(member) if weight > 0 else None
            for member, weight in zip(members, combination.weights, strict=True)
        ]
        # What a Module holds is saved, if it holds variables: a constant would be lost.
        self.members = [network.loaded for network in self._networks if network is not None]
        self.class_names = tf.Variable(list(class_names), trainable=False)
        self.task = tf.Variable(combination.task, trainable=False)
        self.thresholds = tf.Variable(thresholds, trainable=False, dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serve(self, image_bytes):
        """Encoded JPEGs, string [batch] -> probabilities and class names."""

        def decoded(spec: InputSpec) -> tf.Tensor:
            return _each(image_bytes, spec, decode_image)

        return self._outputs(decoded)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def images(self, images):
        """Images uint8 [batch, height, width, 3] -> probabilities and class names."""

        def resized(spec: InputSpec) -> tf.Tensor:
            return _each(images, spec, fit_image)

        return self._outputs(resized)

    def _outputs(self, images_for) -> dict[str, tf.Tensor]:
        used = [spec for spec, net in zip(self._inputs, self._networks, strict=True) if net]
        images = {spec: images_for(spec) for spec in dict.fromkeys(used)}
        logits = [
            None if network is None else mean_logits(network, images[spec], self._tta)
            for spec, network in zip(self._inputs, self._networks, strict=True)
        ]
        probabilities = combined_in_graph(logits, self._combination)
        names = tf.broadcast_to(self.class_names, tf.shape(probabilities))
        return {"probabilities": probabilities, "class_names": names}


def save_ensemble(model: EnsembleModel, path: str) -> None:
    """Write the SavedModel, which appears whole."""
    signatures = {"serving_default": model.serve, "images": model.images}
    with tempfile.TemporaryDirectory(prefix="orchard-export-") as folder:
        tf.saved_model.save(model, folder, signatures)
        storage.replace_tree(folder, path, last="saved_model.pb")


def _each(batch: tf.Tensor, spec: InputSpec, function) -> tf.Tensor:
    size = [spec.height_px, spec.width_px, 3]
    return tf.map_fn(
        lambda one: function(one, spec.height_px, spec.width_px, spec.resize, spec.exact_decode),
        batch,
        fn_output_signature=tf.TensorSpec(size, tf.uint8),
    )
