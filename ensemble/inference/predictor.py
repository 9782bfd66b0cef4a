"""An exported ensemble, or a single member, as a function from JPEGs to probabilities."""

import hashlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ensemble.inference.one_pass import load_saved_model
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import Task
from trainer.evaluation import metrics

_DEFAULT_THRESHOLD = 0.5


class SavedModel:
    """What `ensemble.main` or the trainer exported.

    class_names: of the columns. task: what the labels mean.
    thresholds: float32 [classes]. key: tells models apart.
    """

    def __init__(self, path: str):
        """Load a model by its own folder, or by the output or run directory around it.

        Raises:
            OrchardError: it is neither, or damaged.
        """
        folder = _find(path)
        self._loaded = load_saved_model(folder, f"--model={path}")
        try:
            self._signature = self._loaded.signatures["serving_default"]
            self._output = next(iter(sorted(self._signature.structured_outputs, reverse=True)))
            self.class_names = [name.decode() for name in self._loaded.class_names.numpy()]
            if self._output == "probabilities":
                self.task = Task(self._loaded.task.numpy().decode())
                self.thresholds = self._loaded.thresholds.numpy()
            else:
                self.task = _task_of_run(path, folder)
                self.thresholds = np.full(len(self.class_names), _DEFAULT_THRESHOLD, np.float32)
        except (KeyError, AttributeError, StopIteration, TypeError, ValueError) as error:
            raise OrchardError(
                f"--model={path} is a SavedModel, but not one of ensemble.main or trainer.main"
            ) from error
        self.key = hashlib.sha256(
            storage.read_bytes(storage.join(folder, "saved_model.pb"))
            + storage.read_bytes(storage.join(folder, "variables", "variables.index"))
        ).hexdigest()
        self._path = path

    def __call__(self, jpegs: Sequence[bytes]) -> np.ndarray:
        """Encoded JPEGs -> probabilities float32 [batch, classes].

        Raises:
            tf.errors.InvalidArgumentError: one of them cannot be decoded.
            OrchardError: the model gives NaN or an infinity.
        """
        output = self._signature(image_bytes=tf.constant(list(jpegs)))[self._output].numpy()
        if not np.isfinite(output).all():
            raise OrchardError(
                f"--model={self._path} gives {self._output} that are not finite; its training has "
                "diverged: take another model"
            )
        if self._output == "probabilities":
            return output
        return metrics.probabilities(output, self.task).astype(np.float32)

    def try_each(self, jpegs: Sequence[bytes]) -> list[np.ndarray | None]:
        """Like a call, but one entry a JPEG: float32 [classes], or None where it is undecodable."""
        if not jpegs:
            return []
        try:
            return list(self(jpegs))
        except tf.errors.InvalidArgumentError:
            if len(jpegs) == 1:
                return [None]
            return [row for jpeg in jpegs for row in self.try_each([jpeg])]


def _find(path: str) -> str:
    for folder in (path.rstrip("/"), storage.join(path, "saved_model")):
        if storage.exists(storage.join(folder, "saved_model.pb")):
            return folder
    raise OrchardError(
        f"--model={path} holds no saved_model.pb; give the saved_model folder of an ensemble or run"
    )


def _task_of_run(path: str, folder: str) -> Task:
    for run in (path, storage.parent(folder)):
        record = storage.join(run, "run.json")
        if storage.exists(record):
            return Task(storage.read_json(record)["task"])
    raise OrchardError(
        f"--model={path} gives logits, but there is no run.json beside it to tell the task; give "
        "the run directory"
    )
