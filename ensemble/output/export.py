"""Members, weights and temperatures as ONE SavedModel that needs neither this code nor their runs.

Signatures, both -> {"probabilities": float32, "class_names": string}, [batch, classes] each:

    serving_default   image_bytes: string [batch], encoded JPEGs, turned upright by their EXIF
    images            images: uint8 [batch, height, width, 3], RGB of any one size

`class_names` repeats for each row because TensorFlow Serving wants one batch size in all outputs.
With prediction sets there is also "in_set": bool [batch, classes]. Two more take `image_bytes`:

    members           the same and {"member_probabilities": float32 [batch, members, classes],
                      "member_names": string [batch, members]}: what each member says by itself,
                      with the ensemble's views but without its temperature; all members run
    top_k             and k: int32 [batch] -> {"classes": string, "probabilities": float32}, [batch,
                      largest k]: the likeliest first, and beyond a row's own k "" and 0

With a cascade, later members see only the images that earlier ones are not sure of, so shapes
depend on the images. XLA, and so TPUs, cannot compile that, as they cannot compile the decoder and
the resize of these two. For them there is a third signature of the same probabilities, in which all
members see all images, -> {"probabilities", and "in_set" where there are sets}:

    static            images_HEIGHTxWIDTH: uint8 [batch, height, width, 3], one for each input size

The loaded object also has `class_names` (string [classes]), `member_names` (string [members]),
`task` (string) and `thresholds` (float32 [classes]: a class of a many-label task is named from its
threshold on), and with prediction sets the function `sets_of` (probabilities float32 [rows,
classes] -> bool).
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from ensemble.combine import Rule, activate_in_graph
from ensemble.conformal import SetMethod
from ensemble.inference import LoadedMember, mean_logits
from ensemble.members import Member
from orchard import storage
from orchard.formats import SAVED_MODEL_FILE, InputSpec
from trainer.data import fit_image, upright_decoder
from trainer.results import IMAGE_BYTES, TOP_K, Signature, save_serving, top_classes_in_graph


def _traced(*inputs: tf.TensorSpec) -> Callable[[Callable[..., Any]], Any]:
    return functools.partial(tf.function, input_signature=inputs, autograph=False)


class EnsembleModel(tf.Module):
    """Members and everything after them; what `save_ensemble` writes.

    Members without weight are left out.

    Args:
        members: the runs; their SavedModels are loaded.
        rule: how they make the probabilities.
        class_names: of the columns.
        thresholds: float [classes].
        tta: views of an image whose logits are averaged.
        sets: makes prediction sets; None: there are none.
    """

    def __init__(
        self,
        members: Sequence[Member],
        rule: Rule,
        class_names: Sequence[str],
        thresholds: np.ndarray,
        tta: str,
        sets: SetMethod | None = None,
    ):
        super().__init__(name="ensemble")
        self._rule, self._sets = rule, sets
        self._inputs = {at: members[at].input for at in rule.members}
        networks = {at: LoadedMember(members[at]) for at in rule.members}
        # Not an attribute: a Module would look for what to save in it.
        self._run = lambda at, images: mean_logits(networks[at], images, tta)
        # What a Module holds is saved, if it holds variables: a constant would be lost.
        self.members = [network.saved_model for network in networks.values()]
        # Converters freeze those that it holds itself: a member's may lie within its Keras model.
        self.weights = [v for network in networks.values() for v in network.variables]
        self.class_names = tf.Variable(list(class_names), trainable=False)
        names = [members[at].name for at in rule.members]
        self.member_names = tf.Variable(names, trainable=False)
        self.task = tf.Variable(str(rule.combiner.task), trainable=False)
        self.thresholds = tf.Variable(thresholds, trainable=False, dtype=tf.float32)
        if sets is not None:
            shape = tf.TensorSpec([None, len(class_names)], tf.float32, name="probabilities")
            self.sets_of = tf.function(sets.sets_in_graph, input_signature=[shape], autograph=False)

    @property
    def signatures(self) -> dict[str, Signature]:
        """What is saved, by name."""
        found = {
            "serving_default": self.serve,
            "images": self.images,
            "members": self.by_member,
            "top_k": self.top_k,
        }
        return {**found, "static": self.static_signature()} if self._rule.is_dynamic else found

    @_traced(IMAGE_BYTES)
    def serve(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded JPEGs, string [batch] -> probabilities and class names."""
        return self._outputs(self._rule.predict_in_graph(self._encoded(image_bytes)))

    @_traced(IMAGE_BYTES, TOP_K)
    def top_k(self, image_bytes: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded JPEGs, string [batch], and how many classes of each -> the likeliest ones."""
        probabilities = self.serve(image_bytes)["probabilities"]
        return top_classes_in_graph(probabilities, self.class_names, k)

    @_traced(IMAGE_BYTES)
    def by_member(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded JPEGs, string [batch] -> what `serve` gives, and what each member says."""
        logits = self._encoded(image_bytes).logits(self._rule.members)
        probabilities = self._rule.predict_in_static_graph(_KnownLogits(logits))
        task = self._rule.combiner.task
        own = [activate_in_graph(logits[at], task) for at in self._rule.members]
        shape = [tf.shape(probabilities)[0], len(own)]
        return {
            **self._outputs(probabilities),
            "member_probabilities": tf.stack(own, axis=1),
            "member_names": tf.broadcast_to(self.member_names, shape),
        }

    @_traced(tf.TensorSpec([None, None, None, 3], tf.uint8, name="images"))
    def images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Images uint8 [batch, height, width, 3] -> probabilities and class names."""
        batch = _Batch(images, _fit, self._inputs, self._run, {})
        return self._outputs(self._rule.predict_in_graph(batch))

    @property
    def static_inputs(self) -> dict[str, InputSpec]:
        """What `static_signature` takes, by name: one input for each size."""
        names: dict[str, InputSpec] = {}
        for spec in dict.fromkeys(self._inputs.values()):
            name = f"images_{spec.height_px}x{spec.width_px}"
            names[f"{name}_{spec.resize}_{len(names)}" if name in names else name] = spec
        return names

    def static_signature(self) -> tf.types.experimental.ConcreteFunction:
        """All members on all images that have their sizes already: what XLA compiles."""
        names = self.static_inputs

        def static(**images: tf.Tensor) -> dict[str, tf.Tensor]:
            ready = {spec: images[name] for name, spec in names.items()}
            batch = _Batch(None, None, self._inputs, self._run, ready)
            return self._numbers(self._rule.predict_in_static_graph(batch))

        return tf.function(static, autograph=False).get_concrete_function(
            **{
                name: tf.TensorSpec([None, spec.height_px, spec.width_px, 3], tf.uint8, name)
                for name, spec in names.items()
            }
        )

    def _encoded(self, image_bytes: tf.Tensor) -> _Batch:
        return _Batch(image_bytes, _decode, self._inputs, self._run, {})

    def _outputs(self, probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
        names = tf.broadcast_to(self.class_names, tf.shape(probabilities))
        return {**self._numbers(probabilities), "class_names": names}

    def _numbers(self, probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
        if self._sets is None:
            return {"probabilities": probabilities}
        return {"probabilities": probabilities, "in_set": self._sets.sets_in_graph(probabilities)}


class _Batch:
    """Images that members can be asked about; each is brought to a size once.

    Args:
        images: encoded, or pixels of any one size; None where all sizes are ready.
        bring_to_sizes: what makes of them uint8 [batch, height, width, 3], one an input.
        inputs: member -> what it takes.
        run: member, images of its size -> logits.
        ready: images of the sizes that are there already.
    """

    def __init__(
        self,
        images: tf.Tensor | None,
        bring_to_sizes: Callable[[tf.Tensor, Sequence[InputSpec]], Sequence[tf.Tensor]] | None,
        inputs: Mapping[int, InputSpec],
        run: Callable[[int, tf.Tensor], tf.Tensor],
        ready: dict[InputSpec, tf.Tensor],
    ):
        self._images, self._bring_to_sizes = images, bring_to_sizes
        self._inputs, self._run, self._ready = inputs, run, ready

    def logits(self, members: Sequence[int]) -> dict[int, tf.Tensor]:
        """Logits of these members."""
        wanted = dict.fromkeys(self._inputs[at] for at in members)
        missing = [spec for spec in wanted if spec not in self._ready]
        if missing and self._bring_to_sizes is not None:
            images = self._bring_to_sizes(self._images, missing)
            self._ready |= zip(missing, images, strict=True)
        return {at: self._run(at, self._ready[self._inputs[at]]) for at in members}

    def take(self, rows: tf.Tensor) -> _Batch:
        """The images at these positions."""
        ready = {spec: tf.gather(images, rows) for spec, images in self._ready.items()}
        taken = tf.gather(self._images, rows)
        return _Batch(taken, self._bring_to_sizes, self._inputs, self._run, ready)


def _decode(image_bytes: tf.Tensor, specs: Sequence[InputSpec]) -> Sequence[tf.Tensor]:
    return upright_decoder(*specs)(image_bytes)


def _fit(images: tf.Tensor, specs: Sequence[InputSpec]) -> Sequence[tf.Tensor]:
    def fit(spec: InputSpec) -> tf.Tensor:
        size = (spec.height_px, spec.width_px)
        return tf.map_fn(
            lambda one: fit_image(one, *size, spec.resize, spec.exact_decode),
            images,
            fn_output_signature=tf.TensorSpec([*size, 3], tf.uint8),
        )

    return [fit(spec) for spec in specs]


@dataclass(frozen=True)
class _KnownLogits:
    """Images whose members have run."""

    known: Mapping[int, tf.Tensor]

    def logits(self, members: Sequence[int]) -> dict[int, tf.Tensor]:
        """Logits of these members."""
        return {at: self.known[at] for at in members}

    def take(self, rows: tf.Tensor) -> _KnownLogits:
        """The images at these positions."""
        return _KnownLogits({at: tf.gather(one, rows) for at, one in self.known.items()})


def save_ensemble(model: EnsembleModel, path: str) -> None:
    """Write the SavedModel, which appears whole."""
    with tempfile.TemporaryDirectory(prefix="orchard-export-") as folder:
        tf.saved_model.save(model, folder, model.signatures)
        storage.replace_tree(folder, path, last=SAVED_MODEL_FILE)


def save_ensemble_for_serving(model: EnsembleModel, path: str, name: str) -> None:
    """Write it for model servers: the same SavedModel, with requests to warm up with.

    Args:
        model: what to write.
        path: the version folder.
        name: of the model.
    """
    save_serving(model, model.signatures, path, name)
