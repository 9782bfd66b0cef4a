"""An exported ensemble, or a single trained network, as a function from images to probabilities."""

import hashlib
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from ensemble.inference.folder import prepare_photo
from ensemble.inference.loading import load_saved_model
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import SAVED_MODEL_FILE, RunDir, RunRecord, Task
from trainer.evaluation import probabilities as activate

_DEFAULT_THRESHOLD = 0.5


class SavedPredictor:
    """What `ensemble.main` or the trainer exported, ready to predict.

        predictor = SavedPredictor("out/saved_model")
        probabilities = predictor.predict(["leaf_1.jpg", "leaf_2.jpg"])
        predictor.class_names[probabilities[0].argmax()]  # "rust"

    Args:
        path: the folder of a SavedModel, or the output or run directory around it, local or gs://.

    Attributes:
        class_names: of the columns.
        task: one label an image, or any number of them.
        thresholds: float32 [classes]: from which probability on a class is named (many labels).
        key: tells models apart.
        has_sets: whether it gives prediction sets.
        member_names: of those whose own probabilities `predict_members` gives; empty: of none.

    Raises:
        OrchardError: it is neither, or damaged.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._path = os.fspath(path)
        folder = _find(self._path)
        model = load_saved_model(folder, f"model {self._path}")
        try:
            self._signature = model.signatures["serving_default"]
            # Of an ensemble {"class_names", "probabilities"}, of a network {"logits"}.
            outputs = self._signature.structured_outputs
            self._output = "probabilities" if "probabilities" in outputs else "logits"
            outputs[self._output]  # A KeyError: it is something else.
            self.has_sets = hasattr(model, "sets_of")
            self.class_names = tuple(name.decode() for name in model.class_names.numpy())
            # Networks that an older version exported do not say their task themselves.
            known = hasattr(model, "task")
            self.task = (
                Task(model.task.numpy().decode()) if known else _task_of_run(self._path, folder)
            )
            names = model.member_names.numpy() if hasattr(model, "member_names") else ()
            self.member_names = tuple(name.decode() for name in names)
            if hasattr(model, "thresholds"):
                self.thresholds = model.thresholds.numpy()
            else:
                self.thresholds = np.full(len(self.class_names), _DEFAULT_THRESHOLD, np.float32)
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise OrchardError(
                f"{self._path} is a SavedModel, but not one of ensemble.main or trainer.main"
            ) from error
        self._model = model  # Its variables live as long as it does.
        self.key = hashlib.sha256(
            storage.read_bytes(storage.join(folder, SAVED_MODEL_FILE))
            + storage.read_bytes(storage.join(folder, "variables", "variables.index"))
        ).hexdigest()

    def predict(
        self, images: Sequence[bytes | str | os.PathLike[str]], batch_size: int = 32
    ) -> np.ndarray:
        """Probabilities of the classes, float32 [images, classes].

        Args:
            images: paths of JPEG, PNG or WebP files, or their contents. As in training, photos that
                a camera turned are turned upright.
            batch_size: images a step.

        Raises:
            OrchardError: one of them cannot be read or is no image, or the model gives NaN or an
                infinity.
        """
        rows = []
        for start in range(0, len(images), batch_size):
            names, jpegs = [], []
            for number, image in enumerate(images[start : start + batch_size], start):
                name = f"image {number}" if isinstance(image, bytes) else os.fspath(image)
                data = image if isinstance(image, bytes) else storage.read_bytes(name)
                photo = prepare_photo(name, name, data)
                if photo.problem:
                    raise OrchardError(f"{name}: {photo.problem}")
                names.append(name)
                jpegs.append(photo.jpeg)
            for name, row in zip(names, self.predict_jpegs(jpegs), strict=True):
                if row is None:
                    raise OrchardError(f"{name}: the pixels cannot be decoded")
                rows.append(row)
        return np.stack(rows) if rows else np.zeros((0, len(self.class_names)), np.float32)

    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """Prediction sets: which classes an image may have, bool [rows, classes].

        Args:
            probabilities: float32 [rows, classes], as the model gives them.

        Raises:
            OrchardError: the model has none.
        """
        if not self.has_sets:
            raise OrchardError(
                f"{self._path} gives no prediction sets; make it with ensemble.main --conformal=0.9"
            )
        return self._model.sets_of(tf.constant(probabilities, tf.float32)).numpy()

    def predict_jpegs(self, jpegs: Sequence[bytes]) -> list[np.ndarray | None]:
        """One batch of upright JPEGs, as `data_prep` makes them.

        Returns:
            Probabilities float32 [classes] of each; None where the pixels cannot be decoded.

        Raises:
            OrchardError: the model gives NaN or an infinity.
        """
        rows = self._rows(jpegs, lambda images: self._signature(image_bytes=images)[self._output])
        if self._output == "probabilities":
            return rows
        return [
            None if row is None else activate(row[np.newaxis], self.task)[0].astype(np.float32)
            for row in rows
        ]

    def predict_members(self, jpegs: Sequence[bytes]) -> list[np.ndarray | None]:
        """One batch of upright JPEGs, as `data_prep` makes them, with what each member says.

        All members run, also where a cascade would have left some out.

        Returns:
            Probabilities float32 [1 + members, classes] of each: of the ensemble, then those of
            `member_names`. None where the pixels cannot be decoded.

        Raises:
            OrchardError: the model gives NaN or an infinity, or knows no members.
        """
        if not self.member_names:
            raise OrchardError(
                f"{self._path} does not tell its members apart; write it again with ensemble.main"
            )
        return self._rows(jpegs, self._members)

    def _rows(
        self, jpegs: Sequence[bytes], function: Callable[[tf.Tensor], tf.Tensor]
    ) -> list[np.ndarray | None]:
        """What a function gives for each JPEG; None for those that it cannot decode."""
        if not jpegs:
            return []
        try:
            output = function(tf.constant(list(jpegs))).numpy()
        except tf.errors.InvalidArgumentError:
            if len(jpegs) == 1:
                return [None]
            return [row for jpeg in jpegs for row in self._rows([jpeg], function)]
        if not np.isfinite(output).all():
            raise OrchardError(
                f"model {self._path} gives {self._output} that are not finite; its training has "
                "diverged: take another model"
            )
        return list(output)

    def _members(self, jpegs: tf.Tensor) -> tf.Tensor:
        output = self._model.signatures["members"](image_bytes=jpegs)
        together = output["probabilities"][:, tf.newaxis]
        return tf.concat([together, output["member_probabilities"]], axis=1)


def _find(path: str) -> str:
    for folder in (path.rstrip("/"), RunDir(path).saved_model_dir):
        if storage.exists(storage.join(folder, SAVED_MODEL_FILE)):
            return folder
    raise OrchardError(
        f"{path} holds no {SAVED_MODEL_FILE}; give the saved_model folder of an ensemble or run"
    )


def _task_of_run(path: str, folder: str) -> Task:
    for run in (path, storage.parent(folder)):
        record = RunDir(run).record_file
        if storage.exists(record):
            return RunRecord.load(record).task
    raise OrchardError(
        f"{path} gives logits, but neither it nor a run.json beside it tells the task; give the "
        "run directory"
    )
