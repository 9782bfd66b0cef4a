"""Who is asked where it looks: a member, by Grad-CAM where it can be, or a whole model."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol

import numpy as np
import tensorflow as tf
from PIL import Image

from ensemble.combine import to_logits
from ensemble.explaining.grad_cam import GradCam
from ensemble.explaining.occlusion import occlusion_heat
from ensemble.inference import LoadedMember, SavedPredictor
from ensemble.members import FoldGroup, Member
from orchard.errors import OrchardError
from orchard.formats import InputSpec, RunDir
from trainer.data import decode_image
from trainer.keras_module import keras
from trainer.results import export

# A whole model takes photos of any size: large ones are shrunk, since each is asked about 82 times.
_MAX_SIDE_PX = 256
# More pictures side by side cannot be compared, and each network takes memory.
_MAX_SHOWN = 6


def shown_members(networks: Sequence[FoldGroup], weights: np.ndarray) -> list[int]:
    """The members to ask: the first of each network, then the second ones, six at most.

    Args:
        networks: which members make up which.
        weights: float [members]; those without any are left out.
    """
    parts = [[at for at in network.members if weights[at] > 0] for network in networks]
    in_turn = [at for row in zip_longest(*parts) for at in row if at is not None]
    return sorted(in_turn[:_MAX_SHOWN])


class Explainer(Protocol):
    """Something that can be asked about images."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def method(self) -> str:
        """How it is asked, in a few words."""

    def see(self, jpeg: bytes) -> np.ndarray:
        """What it is shown of a photo: uint8 [height, width, 3]."""

    def logits(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """What it says of images that it sees: float32 [images, classes]."""

    def heat(self, image: np.ndarray, classes: Sequence[int]) -> np.ndarray:
        """Where in an image it finds each class: float32 [classes, height, width], >= 0."""


def explain_member(
    member: Member, network: keras.Model | None = None, *, occlusion: bool = False
) -> Explainer:
    """Grad-CAM of a member's Keras model, or occlusion of its SavedModel where that has no map.

    Args:
        member: to ask.
        network: its Keras model, see `keras_network`; None: there is none.
        occlusion: whether to cover parts of the image all the same.
    """
    if network is None:
        return _Covered(member, "occlusion (its Keras model cannot be loaded)")
    if occlusion:
        return _Covered(member, "occlusion")
    try:
        return _Mapped(member.name, member.input, network, GradCam(network))
    except ValueError:
        return _Covered(member, "occlusion (the network has no last feature map)")


def explain_model(model: SavedPredictor, name: str) -> Explainer:
    """Occlusion of a model as a whole."""
    return _Whole(model, name)


def keras_network(member: Member) -> keras.Model | None:
    """The Keras model that a member's run left; None: it has none, or none that loads here."""
    try:
        return export.load_network(RunDir(member.path))
    except OrchardError:
        return None


@dataclass(frozen=True)
class _Mapped:
    """A network that ends in a feature map."""

    name: str
    input: InputSpec
    network: keras.Model
    grad_cam: GradCam
    method: str = "Grad-CAM"

    def see(self, jpeg: bytes) -> np.ndarray:
        return _decoded(jpeg, self.input)

    def logits(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        return self.network(tf.cast(np.asarray(images), tf.float32), training=False).numpy()

    def heat(self, image: np.ndarray, classes: Sequence[int]) -> np.ndarray:
        return self.grad_cam.heat(image, classes)


class _Covered:
    """A member whose SavedModel is asked about images with a part covered."""

    def __init__(self, member: Member, method: str):
        self.name, self.method = member.name, method
        self._member, self._network = member, LoadedMember(member)

    def see(self, jpeg: bytes) -> np.ndarray:
        return _decoded(jpeg, self._member.input)

    def logits(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        return self._network(tf.constant(np.asarray(images))).numpy()

    def heat(self, image: np.ndarray, classes: Sequence[int]) -> np.ndarray:
        return occlusion_heat(self.logits, image, classes, self._member.task)


class _Whole:
    """A model of which no more is known than what it answers."""

    method = "occlusion"

    def __init__(self, model: SavedPredictor, name: str):
        self.name, self._model = name, model

    def see(self, jpeg: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(jpeg)) as image:
            small = image.convert("RGB")
            small.thumbnail((_MAX_SIDE_PX, _MAX_SIDE_PX))
            return np.asarray(small)

    def logits(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        # By way of files: the model brings them to its members' sizes itself. PNG loses nothing.
        rows = self._model.predict_jpegs([_png(image) for image in images])
        return to_logits(np.stack([row for row in rows if row is not None]), self._model.task)

    def heat(self, image: np.ndarray, classes: Sequence[int]) -> np.ndarray:
        return occlusion_heat(self.logits, image, classes, self._model.task)


def _decoded(jpeg: bytes, spec: InputSpec) -> np.ndarray:
    return decode_image(
        tf.constant(jpeg), spec.height_px, spec.width_px, spec.resize, spec.exact_decode
    ).numpy()


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
