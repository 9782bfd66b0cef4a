r"""Predict a folder of photographs with an exported ensemble or a single trained network.

    python -m ensemble.predict --model=out/saved_model --images_dir=photos --output=predictions.csv

Needs no dataset. Killed, it goes on where it stopped when it is run again.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from absl import logging
from absl.flags import FLAGS
from tqdm import tqdm

from ensemble.inference import Photo, ResumableRows, list_photos, read_batches
from ensemble.output import write_predictions
from ensemble.submission import (
    SubmissionValues,
    match_ids,
    read_submission,
    submission_values_option,
)
from orchard import cli, flags, storage
from orchard.errors import OrchardError
from orchard.flags import Options, option, required

if TYPE_CHECKING:
    from ensemble.inference import SavedPredictor


@dataclass(frozen=True, kw_only=True)
class PredictOptions(Options):
    """What to predict with what."""

    model: str = field(
        metadata=required("saved_model of ensemble.main or trainer.main, or its folder.")
    )
    images_dir: str = field(
        metadata=required("Folder of JPEG, PNG or WebP files; ids are paths in it.")
    )
    output: str = field(metadata=required("CSV to write."))
    sample_submission: str = option("", "CSV whose columns, ids and order to follow.")
    submission_values: SubmissionValues = submission_values_option()
    batch_size: int = option(32, "Images a step.", at_least=1)
    on_bad: str = option(
        "fail", "What to do about files that are no images.", choices=("fail", "skip")
    )


OPTIONS = (PredictOptions,)


def main() -> None:
    """Write the predictions of a folder and say where they are."""
    options = flags.build(PredictOptions)
    storage.check_writable(options.output)
    if os.path.isdir(options.output):
        raise OrchardError(f"--output={options.output} is a folder; name the CSV file to write")
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    photos = list_photos(options.images_dir)
    # TensorFlow takes seconds to import: not before the flags are known to be good.
    from ensemble.inference import SavedPredictor

    model = SavedPredictor(options.model)
    submission = None
    if options.sample_submission:
        submission = read_submission(
            options.sample_submission, model.class_names, model.task, options.submission_values
        )
        owner = f"--sample_submission={submission.file}"
        match_ids(submission.ids, [image_id for image_id, _ in photos], owner)
    key = f"{model.key} {os.path.abspath(options.images_dir)}"
    partial = ResumableRows(f"{options.output}.partial", key)
    partial.forget_changed(dict(photos))
    bad = _predict(model, photos, partial, options)
    ids = [image_id for image_id, _ in photos if image_id in partial.rows]
    if not ids:
        raise OrchardError(
            f"--images_dir={options.images_dir}: none of {len(photos)} files is usable, such as "
            f"{bad[0].path}: {bad[0].problem}"
        )
    write_predictions(
        options.output,
        ids,
        np.stack([partial.rows[image_id] for image_id in ids]),
        model.class_names,
        model.task,
        thresholds=model.thresholds,
        submission=submission,
    )
    partial.remove()
    for photo in bad:
        print(f"skipped {photo.path}: {photo.problem}")
    if submission is not None and submission.note:
        print(submission.note)
    print(f"{len(ids)} predictions in {options.output}")


def _predict(
    model: SavedPredictor,
    photos: list[tuple[str, str]],
    partial: ResumableRows,
    options: PredictOptions,
) -> list[Photo]:
    """Fill `partial` with every photo; returns those left out under --on_bad=skip."""
    todo = [photo for photo in photos if photo[0] not in partial.rows]
    left_out: list[Photo] = []
    with tqdm(total=len(photos), initial=len(photos) - len(todo), unit="img") as bar, partial:
        for batch in read_batches(todo, options.batch_size):
            good, rows, bad = _predict_batch(model, batch)
            if bad and options.on_bad == "fail":
                raise OrchardError(
                    f"{bad[0].path}: {bad[0].problem}; repair or remove it, or pass --on_bad=skip"
                )
            left_out += bad
            partial.add([photo.image_id for photo in good], rows, [photo.crc32c for photo in good])
            bar.update(len(batch))
    return left_out


def _predict_batch(
    model: SavedPredictor, batch: list[Photo]
) -> tuple[list[Photo], list[np.ndarray], list[Photo]]:
    """(usable photos, their probabilities, photos that are no images)."""
    bad = [photo for photo in batch if photo.problem]
    intact = [photo for photo in batch if not photo.problem]
    good, rows = [], []
    for photo, row in zip(intact, model.predict_jpegs([one.jpeg for one in intact]), strict=True):
        if row is None:
            bad.append(dataclasses.replace(photo, problem="the pixels cannot be decoded"))
        else:
            good.append(photo)
            rows.append(row)
    return good, rows, bad


if __name__ == "__main__":
    cli.run(main, *OPTIONS)
