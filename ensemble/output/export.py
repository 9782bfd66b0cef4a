"""Members, weights and temperatures as ONE SavedModel that needs neither this code nor their runs.

Signatures, both -> {"probabilities": float32, "class_names": string}, [batch, classes] each:

    serving_default   image_bytes: string [batch], encoded JPEGs
    images            images: uint8 [batch, height, width, 3], RGB of any one size

`class_names` repeats for each row because TensorFlow Serving wants one batch size in all outputs.
The loaded object also has `class_names` (string [classes]), `task` (string) and `thresholds`
(float32 [classes]: a class of a many-label task is named from its threshold on).
"""

import tempfile
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from ensemble.combine import Combination
from ensemble.inference import LoadedMember, mean_logits
from ensemble.members import Member
from orchard import storage
from orchard.formats import SAVED_MODEL_FILE, InputSpec
from trainer.data import decode_image, fit_image


class EnsembleModel(tf.Module):
    """Members and everything after them; what `save_ensemble` writes.

    Members without weight are left out.

    Args:
        members: the runs; their SavedModels are loaded.
        combination: of the members.
        class_names: of the columns.
        thresholds: float [classes].
        tta: views of an image whose logits are averaged.
    """

    def __init__(
        self,
        members: Sequence[Member],
        combination: Combination,
        class_names: Sequence[str],
        thresholds: np.ndarray,
        tta: str,
    ):
        super().__init__(name="ensemble")
        weighted = {at: members[at] for at in np.flatnonzero(combination.weights).tolist()}
        networks = {at: LoadedMember(member) for at, member in weighted.items()}

        def combined(images_for: Callable[[InputSpec], tf.Tensor]) -> tf.Tensor:
            specs = dict.fromkeys(member.input for member in weighted.values())
            images = {spec: images_for(spec) for spec in specs}
            logits = {
                at: mean_logits(networks[at], images[member.input], tta)
                for at, member in weighted.items()
            }
            return combination.in_graph(logits)

        self._combined = combined
        # What a Module holds is saved, if it holds variables: a constant would be lost.
        self.members = [network.saved_model for network in networks.values()]
        # Converters freeze those that it holds itself: a member's may lie within its Keras model.
        self.weights = [v for network in networks.values() for v in network.variables]
        self.class_names = tf.Variable(list(class_names), trainable=False)
        self.task = tf.Variable(str(combination.combiner.task), trainable=False)
        self.thresholds = tf.Variable(thresholds, trainable=False, dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serve(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded JPEGs, string [batch] -> probabilities and class names."""
        return self._outputs(image_bytes, decode_image)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Images uint8 [batch, height, width, 3] -> probabilities and class names."""
        return self._outputs(images, fit_image)

    def _outputs(
        self, batch: tf.Tensor, bring_to_size: Callable[..., tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        def images_for(spec: InputSpec) -> tf.Tensor:
            return tf.map_fn(
                lambda one: bring_to_size(
                    one, spec.height_px, spec.width_px, spec.resize, spec.exact_decode
                ),
                batch,
                fn_output_signature=tf.TensorSpec([spec.height_px, spec.width_px, 3], tf.uint8),
            )

        probabilities = self._combined(images_for)
        names = tf.broadcast_to(self.class_names, tf.shape(probabilities))
        return {"probabilities": probabilities, "class_names": names}


def save_ensemble(model: EnsembleModel, path: str) -> None:
    """Write the SavedModel, which appears whole."""
    signatures = {"serving_default": model.serve, "images": model.images}
    with tempfile.TemporaryDirectory(prefix="orchard-export-") as folder:
        tf.saved_model.save(model, folder, signatures)
        storage.replace_tree(folder, path, last=SAVED_MODEL_FILE)
