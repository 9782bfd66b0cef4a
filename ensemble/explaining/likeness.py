"""What training showed a network that is like an image, and what that says of its errors.

Images are compared by the features that enter a network's head, scaled to length 1: their distance
is 1 less the cosine. Features of a trained network lie close where it says the same, so that an
error's neighbors mostly have the predicted class, whoever is wrong. So neighbors alone accuse no
label: all networks have to be sure of their answer, too.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ensemble.inference import ResumableRows, images_of
from ensemble.members import Member
from ensemble.scoring import OVERWHELMING_ODDS
from orchard import storage
from orchard.formats import TextEnum
from trainer.data import RecordTable
from trainer.keras_module import keras
from trainer.models import BACKBONE_LAYER

# Of images that are named rightly so many are nearer to training than what counts as far from it.
_USUAL = 0.95
_MIN_USUAL = 20
_MOST = 0.6


class Suspect(TextEnum):
    """Who may be wrong."""

    LABEL = "label"
    PHOTO = "photo"
    NETWORK = "network"


@dataclass(frozen=True)
class Suspicion:
    """What to look at first where a prediction is wrong, and why.

    Attributes:
        suspect: the first to look at.
        why: in a sentence.
    """

    suspect: Suspect
    why: str


@dataclass(frozen=True)
class TrainingFeatures:
    """Features of the images that a network was trained on.

    Attributes:
        records: the images.
        features: float32 [records, n], of length 1.
    """

    records: RecordTable
    features: np.ndarray

    def nearest(self, feature: np.ndarray, image_id: str, count: int) -> list[tuple[int, float]]:
        """(row, distance) of the records most like an image, the nearest first, without itself.

        Args:
            feature: float32 [n], of length 1.
            image_id: of the image.
            count: how many.
        """
        distances = 1.0 - self.features @ feature
        distances[self.records.ids == image_id] = np.inf
        order = np.argsort(distances, kind="stable")[:count]
        return [(int(row), max(0.0, float(distances[row]))) for row in order if distances[row] < 9]


@dataclass(frozen=True)
class Likeness:
    """Training images, and how near to them images usually are.

    Attributes:
        training: the images.
        usual: the distance to the nearest of them that 95% of rightly named images do not exceed;
            None: too few are known to be named rightly.
    """

    training: TrainingFeatures
    usual: float | None

    @classmethod
    def of(
        cls, training: TrainingFeatures, features: np.ndarray, ids: Sequence[str], right: np.ndarray
    ) -> "Likeness":
        """Likeness by images of which some are named rightly.

        Args:
            training: what they are compared with.
            features: float32 [images, n], of length 1.
            ids: of the images.
            right: bool [images].
        """
        rows = np.flatnonzero(right).tolist()
        if len(rows) < _MIN_USUAL:
            return cls(training, None)
        nearest = [training.nearest(features[row], ids[row], 1) for row in rows]
        return cls(training, float(np.quantile([one[0][1] for one in nearest if one], _USUAL)))


def suspect(
    odds: np.ndarray,
    neighbors: Sequence[bool],
    nearest: float | None,
    usual: float | None,
) -> Suspicion:
    """What to look at first, of an image whose prediction differs from its label.

    Args:
        odds: float [members], of the prediction against the label, shrunken.
        neighbors: whether the labels of the nearest training images agree with the prediction.
        nearest: distance of the nearest one; None: it is not known.
        usual: see `Likeness`.
    """
    if nearest is not None and usual is not None and nearest > usual:
        return Suspicion(
            Suspect.PHOTO,
            f"it is farther from all training images ({nearest:.3f}) than 95% of the rightly "
            f"named ones ({usual:.3f})",
        )
    sure, agree = odds >= OVERWHELMING_ODDS, sum(neighbors)
    near = f"{agree} of {len(neighbors)} neighbors have the predicted label" if neighbors else ""
    if sure.all() and agree >= _MOST * len(neighbors):
        who = f"all {len(sure)} networks are" if len(sure) > 1 else "the network is"
        return Suspicion(Suspect.LABEL, f"{who} sure of it" + (f", and {near}" if near else ""))
    if sure.all():
        return Suspicion(Suspect.NETWORK, f"it is sure of it, but only {near}")
    who = f"only {int(sure.sum())} of {len(sure)} networks are" if sure.any() else "no network is"
    return Suspicion(Suspect.NETWORK, f"{who} sure of it" + (f"; {near}" if near else ""))


def backbone_of(network: keras.Model) -> keras.Model | None:
    """From images to what enters the head; None of a network that has another form."""
    tensor = network.outputs[0]
    while True:
        # Not the layer's own `output`: it may have been applied more than once.
        operation, node = tensor._keras_history[:2]
        if operation.name == BACKBONE_LAYER:
            return keras.Model(network.inputs, tensor)
        before = operation._inbound_nodes[node].input_tensors
        if len(before) != 1:
            return None
        (tensor,) = before


def compute_features(
    backbone: keras.Model,
    member: Member,
    records: RecordTable,
    cache_dir: str,
    batch_size: int,
    on_batch: Callable[[int], object] = lambda count: None,
) -> np.ndarray:
    """Features of records, float32 [records, n], of length 1; a killed computation goes on.

    Args:
        backbone: of the member's network.
        member: whose it is.
        records: the images.
        cache_dir: where features are kept.
        batch_size: images a step.
        on_batch: called with the number of images done.
    """
    splits = hashlib.sha256("+".join(records.splits).encode()).hexdigest()[:8]
    key = f"features-{member.fingerprint[:16]}-{records.fingerprint[:16]}-{splits}"
    ids = records.ids.tolist()
    with ResumableRows(storage.join(cache_dir, key), key) as kept:
        missing = [row for row, image_id in enumerate(ids) if image_id not in kept.rows]
        on_batch(len(ids) - len(missing))
        for rows, images in _batches(records.take(np.array(missing, np.int64)), member, batch_size):
            found = normalized(backbone(tf.cast(images, tf.float32), training=False).numpy())
            kept.add([ids[missing[row]] for row in rows], found[: len(rows)])
            on_batch(len(rows))
    return np.stack([kept.rows[image_id] for image_id in ids])


def normalized(features: np.ndarray) -> np.ndarray:
    """Features [n, width] scaled to length 1."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.maximum(length, 1e-12)).astype(np.float32)


def _batches(
    records: RecordTable, member: Member, batch_size: int
) -> Iterator[tuple[list[int], tf.Tensor]]:
    if not len(records.ids):
        return
    with images_of(records, member.input, batch_size) as batches:
        for rows, images in batches:
            numbers = rows.numpy()
            yield numbers[numbers >= 0].tolist(), images
