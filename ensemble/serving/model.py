"""The model that is served: photos as a dataset would hold them, in batches, to named outputs."""

import io
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from data_prep.images import ImageOptions
from ensemble.inference import SavedPredictor, prepare_photo
from ensemble.serving import rest
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import SAVED_MODEL_FILE

_STRING, _FLOAT, _INT, _BOOL = "DT_STRING", "DT_FLOAT", "DT_INT32", "DT_BOOL"


class ServedModel:
    """An exported ensemble, or a single network, behind TensorFlow Serving's names.

    Args:
        path: of the SavedModel, of the run or ensemble around it, or of a version folder.
        name: that clients call it.
        max_pixels: of one image.

    Attributes:
        version: the number of its folder, else 1.
        signatures: that clients may name.

    Raises:
        OrchardError: there is none, or it is damaged.
    """

    def __init__(self, path: str, name: str, max_pixels: int):
        self.name, self.predictor = name, SavedPredictor(path)
        whole = path if storage.is_remote(path) else os.path.abspath(path)
        number = re.search(r"/([1-9][0-9]*)/*$", whole)
        is_version = storage.exists(storage.join(path, SAVED_MODEL_FILE))
        self.version = number[1] if number and is_version else "1"
        self._options = ImageOptions(max_pixels=max_pixels)
        self.signatures = [rest.DEFAULT, rest.TOP_K]
        if self.predictor.member_names:
            self.signatures.append(rest.MEMBERS)

    def prepare(self, images: Sequence[bytes]) -> list[bytes]:
        """Files as a dataset would hold them: upright JPEGs.

        Raises:
            RequestError: one of them is no image, or a too large one.
        """
        jpegs = []
        for at, image in enumerate(images):
            photo = prepare_photo(f"image {at}", f"image {at}", image, self._options)
            if photo.problem:
                raise rest.RequestError(f"image {at}: {photo.problem}")
            jpegs.append(photo.jpeg)
        return jpegs

    def warm_up(self, max_batch: int) -> None:
        """Answer a few requests, so that the first client does not wait for graphs and kernels."""
        jpeg = prepare_photo("", "", _gray_png(), self._options).jpeg
        for batch in sorted({1, max_batch}):
            self.predict([jpeg] * batch)
            if rest.MEMBERS in self.signatures:
                self.predict_members([jpeg] * batch)

    def predict(self, jpegs: Sequence[bytes]) -> list[np.ndarray | None]:
        """Probabilities float32 [classes] of each JPEG; None where it cannot be decoded."""
        return self.predictor.predict_jpegs(jpegs)

    def predict_members(self, jpegs: Sequence[bytes]) -> list[np.ndarray | None]:
        """Probabilities float32 [1 + members, classes] of each: the ensemble's, then members'."""
        return self.predictor.predict_members(jpegs)

    def outputs(self, request: rest.Predict, rows: Sequence[np.ndarray | None]) -> dict[str, list]:
        """The named outputs of a request.

        Args:
            request: what was asked.
            rows: of `predict`, or of `predict_members` for the signature of that name.

        Raises:
            RequestError: an image cannot be decoded.
        """
        found = []
        for at, row in enumerate(rows):
            if row is None:
                raise rest.RequestError(f"image {at}: the pixels cannot be decoded")
            found.append(row)
        names = list(self.predictor.class_names)
        if request.signature == rest.TOP_K:
            tops = zip(found, request.top_k, strict=True)
            pairs = [rest.top_classes(row, names, k) for row, k in tops]
            return {"classes": [p[0] for p in pairs], "probabilities": [p[1] for p in pairs]}
        stacked = np.stack(found)
        outputs: dict[str, list] = {}
        if request.signature == rest.MEMBERS:
            members = list(self.predictor.member_names)
            outputs["member_probabilities"] = rest.numbers(stacked[:, 1:])
            outputs["member_names"] = [members] * len(found)
            stacked = stacked[:, 0]
        outputs |= {"probabilities": rest.numbers(stacked), "class_names": [names] * len(found)}
        if self.predictor.has_sets:
            outputs["in_set"] = self.predictor.sets(stacked).tolist()
        return outputs

    def metadata(self) -> dict[str, Any]:
        """What it takes and gives, as TensorFlow Serving says it."""
        classes, members = len(self.predictor.class_names), len(self.predictor.member_names)
        image = {"image_bytes": (_STRING, [-1])}
        given = {"probabilities": (_FLOAT, [-1, classes]), "class_names": (_STRING, [-1, classes])}
        if self.predictor.has_sets:
            given["in_set"] = (_BOOL, [-1, classes])
        top = {"classes": (_STRING, [-1, -1]), "probabilities": (_FLOAT, [-1, -1])}
        own = {
            "member_probabilities": (_FLOAT, [-1, members, classes]),
            "member_names": (_STRING, [-1, members]),
        }
        known: Mapping[str, Mapping] = {
            rest.DEFAULT: {"inputs": image, "outputs": given},
            rest.TOP_K: {"inputs": {**image, "k": (_INT, [-1])}, "outputs": top},
            rest.MEMBERS: {"inputs": image, "outputs": {**given, **own}},
        }
        return rest.metadata(self.name, self.version, {key: known[key] for key in self.signatures})


def check_name(name: str) -> None:
    """Refuse names that do not fit into a path."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise OrchardError(f"--name={name}: give letters, digits, and . _ - between them")


def _gray_png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (512, 384), (128, 128, 128)).save(buffer, "PNG")
    return buffer.getvalue()
