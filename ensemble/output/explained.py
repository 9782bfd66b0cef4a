"""Images with what networks see in them: the worst errors, the most disputed, and some a class."""

import csv
import hashlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_prep.images import thumbnail
from ensemble.combine import to_logits
from ensemble.explaining import (
    Explainer,
    Likeness,
    Photos,
    RecordPhotos,
    Suspicion,
    heat_picture,
    peak,
    plain_picture,
    suspect,
)
from ensemble.output import predictions
from ensemble.output.examples import most_disputed, worst_rows
from ensemble.scoring import shrunken_odds
from orchard import html
from orchard.formats import Task
from trainer.evaluation import hard_targets, row_losses

# A page with a picture of each of more classes is no use.
_MAX_CLASSES = 30
ERRORS = "Worst errors"
_COLUMNS = (
    *("group", "image_id", "label", "predicted", "class"),
    *("member", "peak_x", "peak_y", "suspect"),
)


@dataclass(frozen=True)
class Answers:
    """What models say of images.

    Attributes:
        ids: of the images.
        probabilities: float [images, classes], of the model as a whole.
        members: float [members, images, classes].
        targets: float32 [images, classes], -1 everywhere in unlabeled rows.
        class_names: of the columns.
        task: what the labels mean.
        thresholds: float [classes]: a class is named from its threshold on (many labels).
    """

    ids: Sequence[str]
    probabilities: np.ndarray
    members: np.ndarray
    targets: np.ndarray
    class_names: Sequence[str]
    task: Task
    thresholds: np.ndarray

    @property
    def named(self) -> np.ndarray:
        """Bool [images, classes]: what is predicted."""
        return predictions.named_classes(self.probabilities, self.task, self.thresholds)

    @property
    def labelled(self) -> np.ndarray:
        """Bool [images]."""
        return np.asarray((self.targets >= 0).all(axis=1))

    @property
    def wrong(self) -> np.ndarray:
        """Bool [images]: of the labeled ones, which are not named as their label has it."""
        wrong = (self.named != hard_targets(self.targets, self.task)).any(axis=1)
        return np.where(self.labelled, wrong, False)


@dataclass(frozen=True)
class Look:
    """Where one network looks for one class.

    Attributes:
        name: of the network.
        says: its probability of the class.
        heat: float32 [height, width] of what it sees.
        picture: as a data URI.
    """

    name: str
    says: float
    heat: np.ndarray
    picture: str


@dataclass(frozen=True)
class Neighbor:
    """A training image that is like another image."""

    image_id: str
    label: str
    distance: float
    picture: str


@dataclass(frozen=True)
class Explained:
    """One image.

    Attributes:
        row: of the answers.
        image_id: its id.
        picture: as a data URI.
        label: its true classes in words; empty: not known.
        predicted: likewise.
        loss: of the prediction; None without a label.
        looks: for each class that is asked for, its name and where each network finds it.
        suspicion: of an error: what to look at first.
        neighbors: training images that are most like it, the nearest first.
    """

    row: int
    image_id: str
    picture: str
    label: str
    predicted: str
    loss: float | None
    looks: tuple[tuple[str, tuple[Look, ...]], ...]
    suspicion: Suspicion | None = None
    neighbors: tuple[Neighbor, ...] = ()


@dataclass(frozen=True)
class Group:
    """Images that are shown for one reason."""

    title: str
    note: str
    images: tuple[Explained, ...]


def explain_groups(
    answers: Answers,
    photos: Photos,
    explainers: Sequence[Explainer],
    per_group: int,
    on_image: Callable[[], object] = lambda: None,
) -> tuple[Group, ...]:
    """Ask the networks about the images that are worth it.

    Args:
        answers: what is said of all images.
        photos: the images.
        explainers: the networks, in the order of `answers.members`.
        per_group: images of each kind, at most.
        on_image: called after each.
    """
    groups = []
    for title, note, rows in chosen_rows(answers, per_group):
        images = []
        for row, jpeg in zip(rows, photos.jpegs(rows), strict=True):
            images.append(_explained(answers, row, jpeg, explainers, title == ERRORS))
            on_image()
        groups.append(Group(title, note, tuple(images)))
    return tuple(groups)


def chosen_rows(answers: Answers, per_group: int) -> list[tuple[str, str, list[int]]]:
    """Title, note and rows of each kind of images of which there are any."""
    found: list[tuple[str, str, list[int]]] = []
    labelled = np.flatnonzero(answers.labelled)
    if len(labelled):
        p, targets = answers.probabilities[labelled], answers.targets[labelled]
        worst = worst_rows(p, targets, answers.wrong[labelled], answers.task, per_group)
        found.append((ERRORS, "The greatest loss first.", labelled[worst].tolist()))
    if len(answers.members) > 1:
        rows = most_disputed(answers.members, answers.task, per_group)
        note = "The greatest Jensen-Shannon divergence between the networks' answers first."
        found.append(("Most disputed", note, rows.tolist()))
    whose = np.where(
        answers.labelled[:, None], hard_targets(answers.targets, answers.task), answers.named
    )
    samples = [_sample(answers.ids, whose[:, at]) for at in range(whose.shape[1])]
    note = "By their label, where there is one, else by the prediction; picked by a hash of the id."
    if len(samples) > _MAX_CLASSES:
        note += f" The first {_MAX_CLASSES} of {len(samples)} classes."
    rows_of = [row for row in samples[:_MAX_CLASSES] if row is not None]
    found.append(("One of each class", note, list(dict.fromkeys(rows_of))))
    return [one for one in found if one[2]]


def _sample(ids: Sequence[str], wanted: np.ndarray) -> int | None:
    rows = np.flatnonzero(wanted).tolist()
    return min(rows, key=lambda row: hashlib.sha256(str(ids[row]).encode()).digest(), default=None)


def _explained(
    answers: Answers, row: int, jpeg: bytes, explainers: Sequence[Explainer], is_error: bool
) -> Explained:
    predicted = predictions.class_labels(answers.named[[row]], answers.class_names)[0]
    label, loss = "", None
    if answers.labelled[row]:
        targets = answers.targets[[row]]
        hard = hard_targets(targets, answers.task)
        label = predictions.class_labels(hard, answers.class_names)[0] or "none of the classes"
        logits = to_logits(answers.probabilities[[row]], answers.task)
        loss = float(row_losses(logits, targets, answers.task)[0])
    seen = [one.see(jpeg) for one in explainers]
    classes = asked_classes(answers, row, is_error)
    heats = [one.heat(image, classes) for one, image in zip(explainers, seen, strict=True)]
    looks = []
    for at, column in enumerate(classes):
        looks.append(
            (
                answers.class_names[column],
                tuple(
                    Look(
                        explainer.name,
                        float(answers.members[number, row, column]),
                        heats[number][at],
                        html.image_to_uri(heat_picture(seen[number], heats[number][at])),
                    )
                    for number, explainer in enumerate(explainers)
                ),
            )
        )
    picture = html.image_to_uri(plain_picture(seen[0]))
    return Explained(row, str(answers.ids[row]), picture, label, predicted, loss, tuple(looks))


def asked_classes(answers: Answers, row: int, is_error: bool) -> list[int]:
    """The likeliest class, and of an error the true one; of many, the one that is most wrong."""
    likeliest = int(answers.probabilities[row].argmax())
    if not is_error:
        return [likeliest]
    if answers.task == Task.MULTI_LABEL:
        return [_worst_class(answers, row)]
    return [likeliest, int(answers.targets[row].argmax())]


def _worst_class(answers: Answers, row: int) -> int:
    off = np.abs(answers.probabilities[row] - answers.targets[row])
    differs = answers.named[row] != hard_targets(answers.targets[[row]], answers.task)[0]
    return int(np.where(differs, off, -1.0).argmax())


def add_neighbors(
    groups: Sequence[Group],
    answers: Answers,
    likeness: Likeness | None,
    features: np.ndarray | None,
    count: int,
) -> tuple[Group, ...]:
    """The same groups, in which errors have neighbors, and what to look at first.

    Args:
        groups: of `explain_groups`.
        answers: what is said of all images.
        likeness: to training images; None: there are none to compare with.
        features: float32 [images, n] of the answers' images, of length 1; likewise.
        count: neighbors of each.
    """

    def completed(one: Explained) -> Explained:
        near: list[tuple[int, float]] = []
        if likeness is not None and features is not None:
            near = likeness.training.nearest(features[one.row], one.image_id, count)
        odds, agree = _against_label(answers, one.row)
        records = None if likeness is None else likeness.training.records
        labels = [hard_targets(records.targets[[at]], records.task)[0] for at, _ in near if records]
        found = suspect(
            odds,
            [agree(label) for label in labels],
            near[0][1] if near else None,
            None if likeness is None else likeness.usual,
        )
        pictures = RecordPhotos(records).jpegs([at for at, _ in near]) if records else []
        neighbors = tuple(
            Neighbor(
                str(records.ids[at]) if records else "",
                predictions.class_labels(label[None], answers.class_names)[0],
                distance,
                html.image_to_uri(thumbnail(jpeg)),
            )
            for (at, distance), label, jpeg in zip(near, labels, pictures, strict=True)
        )
        return replace(one, suspicion=found, neighbors=neighbors)

    return tuple(
        replace(group, images=tuple(map(completed, group.images)))
        if group.title == ERRORS
        else group
        for group in groups
    )


def _against_label(answers: Answers, row: int) -> tuple[np.ndarray, Callable[[np.ndarray], bool]]:
    """How sure each member is of the prediction against the label, and which labels agree."""
    members, classes = answers.members[:, row], asked_classes(answers, row, True)
    if answers.task == Task.SINGLE_LABEL:
        predicted, given = classes
        odds = shrunken_odds(members[:, predicted], members[:, given])
        return odds, lambda label: bool(label[predicted])
    (column,) = classes
    has = bool(answers.named[row, column])
    p = members[:, column] if has else 1 - members[:, column]
    return shrunken_odds(p, 1 - p), lambda label: bool(label[column]) == has


def groups_html(groups: Sequence[Group], explainers: Sequence[Explainer]) -> str:
    """The pictures of some groups, for a page that has the base's style."""
    return html.render(
        "ensemble/explained_groups.html",
        groups=groups,
        methods=[(one.name, one.method) for one in explainers],
    )


def peaks_csv(groups: Sequence[Group]) -> bytes:
    """Where each network looks most: shares of the width and height of what it sees, 0..1."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for group in groups:
        for one in group.images:
            who = "" if one.suspicion is None else one.suspicion.suspect
            for name, looks in one.looks:
                for look in looks:
                    known = (group.title, one.image_id, one.label, one.predicted, name, look.name)
                    writer.writerow((*known, *_place(look.heat), who))
    return text.getvalue().encode()


def _place(heat: np.ndarray) -> tuple[str, str]:
    """Empty where nothing speaks for the class."""
    if not heat.max() > 0 or not math.isfinite(float(heat.max())):
        return "", ""
    row, column = peak(heat)
    return f"{(column + 0.5) / heat.shape[1]:.4f}", f"{(row + 0.5) / heat.shape[0]:.4f}"
