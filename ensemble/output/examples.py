"""Single images for the report: where members disagree, and the ensemble's worst mistakes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ensemble.combine import to_logits
from orchard.formats import Task, tfrecord
from orchard.html import image_to_uri
from trainer.data import RecordTable, read_few
from trainer.evaluation import row_losses

_THUMBNAIL_PX = 160
_TINY = 1e-12


@dataclass(frozen=True)
class Example:
    """One image of the report.

    Attributes:
        image_id: its id.
        picture: as a data URI.
        place: where its record lies.
        true: its true classes in words.
        lines: what each model says of it.
    """

    image_id: str
    picture: str
    place: str
    true: str
    lines: tuple[str, ...]


def disagreement(member_probabilities: np.ndarray, task: Task) -> np.ndarray:
    """How much members differ on each row: generalized Jensen-Shannon divergence in nats.

    The mean over members of KL(p_m || mean p) (Lin 1991, "Divergence measures based on the Shannon
    entropy"); many-label tasks take the mean over classes of the two-outcome divergence.

    Args:
        member_probabilities: float [members, rows, classes].
        task: what the labels mean.

    Returns:
        float64 [rows]; 0 where all agree.
    """
    p = np.clip(member_probabilities, _TINY, 1.0)
    mean = p.mean(axis=0)
    divergence = (p * np.log(p / mean)).sum(axis=2)
    if task == Task.MULTI_LABEL:
        q = np.clip(1.0 - member_probabilities, _TINY, 1.0)
        divergence = (p * np.log(p / mean) + q * np.log(q / q.mean(axis=0))).mean(axis=2)
    return divergence.mean(axis=0)


def most_disputed(member_probabilities: np.ndarray, task: Task, count: int) -> np.ndarray:
    """Rows where members differ most, the greatest difference first."""
    values = disagreement(member_probabilities, task)
    order = np.argsort(-values, kind="stable")[:count]
    return order[values[order] > 0]


def worst_rows(
    probabilities: np.ndarray, targets: np.ndarray, wrong: np.ndarray, task: Task, count: int
) -> np.ndarray:
    """Wrong rows with the greatest loss first; wrong: bool [rows]."""
    losses = np.where(wrong, row_losses(to_logits(probabilities, task), targets, task), -np.inf)
    return np.argsort(-losses, kind="stable")[: min(count, int(wrong.sum()))]


def make_examples(
    rows: Sequence[int],
    records: RecordTable,
    csv_rows: dict[str, int],
    true_labels: Sequence[str],
    lines: Sequence[Sequence[str]],
) -> list[Example]:
    """Pictures and places of some rows of the record table.

    Args:
        rows: of the table.
        records: the table.
        csv_rows: id -> row of the label CSV.
        true_labels: one entry a row.
        lines: likewise.
    """
    return [
        Example(
            image_id=str(records.ids[row]),
            picture=_thumbnail(records, row),
            place=_place(records, row, csv_rows),
            true=true,
            lines=tuple(texts),
        )
        for row, true, texts in zip(rows, true_labels, lines, strict=True)
    ]


def _place(records: RecordTable, row: int, csv_rows: dict[str, int]) -> str:
    file = records.files[records.file_index[row]].rsplit("/", 1)[-1]
    csv_row = csv_rows.get(str(records.ids[row]))
    source = "" if csv_row is None else f", CSV row {csv_row}"
    return f"{file}, at {records.form.describe(records.offsets[row])}{source}"


def _thumbnail(records: RecordTable, row: int) -> str:
    (payload,) = read_few(records, [row])
    encoded = tfrecord.Example(payload).bytes_of(records.image_key)
    with Image.open(io.BytesIO(encoded)) as image:
        small = image.convert("RGB")
        small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=85)
    return image_to_uri(buffer.getvalue())
