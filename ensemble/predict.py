r"""Predict photographs with an exported ensemble or a single trained network.

    python -m ensemble.predict --model=out/saved_model --images_dir=photos --output=predictions.csv
    python -m ensemble.predict --model=out/saved_model --images=leaf.jpg --output=leaf.csv --top_k=3

Needs no dataset. Killed, it goes on where it stopped when it is run again.
"""

from __future__ import annotations

if __name__ == "__main__":
    from orchard import ctrl_c

    ctrl_c.end_at_once()  # Before the imports, which take a while.

import dataclasses
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from absl import logging
from absl.flags import FLAGS

from data_prep.labels import read_ids
from ensemble.inference import (
    Photo,
    ResumableRows,
    list_photos,
    name_photos,
    read_batches,
    rows_towards,
)
from ensemble.labels import targets_of_csv, targets_of_folders
from ensemble.output import top_classes, write_predictions, write_top_classes
from ensemble.submission import (
    Submission,
    SubmissionValues,
    match_ids,
    read_submission,
    submission_values_option,
)
from orchard import cli, flags, storage
from orchard.errors import OrchardError
from orchard.flags import Options, option, required
from orchard.progress import Progress

if TYPE_CHECKING:
    from ensemble.inference import SavedPredictor

# Predictions of so many images are shown on the screen, and of each so many classes.
_MAX_SHOWN = 10
_SHOWN_CLASSES = 3


@dataclass(frozen=True, kw_only=True)
class PredictOptions(Options):
    """What to predict with what."""

    model: str = field(
        metadata=required("saved_model of ensemble.main or trainer.main, or its folder.")
    )
    images_dir: str = option(
        "", "Folder of JPEG, PNG or WebP files; ids are paths in it.", common=True
    )
    images: tuple[str, ...] = option(
        (), "Single files instead of --images_dir; ids are their names.", common=True
    )
    ids_csv: str = option(
        "", "CSV of the ids in --images_dir to predict, with or without their files' endings."
    )
    output: str = field(metadata=required("CSV to write."))
    sample_submission: str = option("", "CSV whose columns, ids and order to follow.")
    submission_values: SubmissionValues = submission_values_option()
    labels_csv: str = option(
        "",
        "CSV of labels to score with; without it, folders that are named after classes are labels.",
    )
    top_k: int = option(0, "Write only this many of the likeliest classes; 0: all.", at_least=0)
    batch_size: int = option(32, "Images a step.", at_least=1)
    on_bad: str = option(
        "fail", "What to do about files that are no images.", choices=("fail", "skip")
    )

    def check(self) -> None:
        """Refuse flags that contradict each other, or lack one another."""
        super().check()
        if not (self.images_dir or self.images):
            raise OrchardError("--images_dir is required (or --images: single files)")
        if self.images and (self.images_dir or self.ids_csv):
            other = "images_dir" if self.images_dir else "ids_csv"
            raise OrchardError(f"--images and --{other} do not go together; drop one of them")
        if self.top_k and self.sample_submission:
            raise OrchardError(
                "--top_k and --sample_submission do not go together, which has columns of its own; "
                "drop one of them"
            )


OPTIONS = (PredictOptions,)


def main() -> None:
    """Write the predictions of photographs, and say where they are and how good."""
    options = flags.build(PredictOptions)
    storage.check_writable(options.output)
    if os.path.isdir(options.output):
        raise OrchardError(f"--output={options.output} is a folder; name the CSV file to write")
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    if options.images:
        photos = name_photos(options.images)
    else:
        photos = list_photos(options.images_dir)
    # TensorFlow takes seconds to import: not before the flags are known to be good.
    from ensemble.inference import SavedPredictor

    model = SavedPredictor(options.model)
    if options.ids_csv:
        photos = _of_csv(options.ids_csv, photos, model)
    submission = None
    if options.sample_submission:
        submission = read_submission(
            options.sample_submission, model.class_names, model.task, options.submission_values
        )
        owner = f"--sample_submission={submission.file}"
        match_ids(submission.ids, [image_id for image_id, _ in photos], owner)
    # Before the images are predicted, so that a bad CSV is refused at once.
    targets = _targets(options, photos, model)
    place = os.path.abspath(options.images_dir) if options.images_dir else "files"
    key = f"{model.key} {place}"
    with rows_towards(options.output, key) as partial:
        partial.forget_changed(dict(photos))
        bad = _predict(model, photos, partial, options)
        ids = [image_id for image_id, _ in photos if image_id in partial.rows]
        if not ids:
            raise OrchardError(
                f"none of {len(photos)} files is usable, such as {bad[0].path}: {bad[0].problem}"
            )
        probabilities = np.stack([partial.rows[image_id] for image_id in ids])
        _write(model, ids, probabilities, submission, options)
        partial.remove()
    for photo in bad:
        print(f"skipped {photo.path}: {photo.problem}")
    if len(ids) <= _MAX_SHOWN:
        for line in _top_lines(ids, probabilities, model, options.top_k or _SHOWN_CLASSES):
            print(line)
    if targets is not None:
        used = np.array([image_id in partial.rows for image_id, _ in photos])
        _print_scores(probabilities, targets[used], model)
    if submission is not None and submission.note:
        print(submission.note)
    print(f"{len(ids)} predictions in {options.output}")


def _write(
    model: SavedPredictor,
    ids: list[str],
    probabilities: np.ndarray,
    submission: Submission | None,
    options: PredictOptions,
) -> None:
    """The CSV."""
    if options.top_k:
        write_top_classes(options.output, ids, probabilities, model.class_names, options.top_k)
        return
    write_predictions(
        options.output,
        ids,
        probabilities,
        model.class_names,
        model.task,
        thresholds=model.thresholds,
        submission=submission,
        sets=model.sets(probabilities) if model.has_sets else None,
    )


def _of_csv(
    path: str, photos: list[tuple[str, str]], model: SavedPredictor
) -> list[tuple[str, str]]:
    """The photos that a CSV names, with its ids and in its order."""
    table = read_ids(path, None, model.class_names, model.task)
    if table.problems:
        problem = table.problems[0]
        raise OrchardError(f"--ids_csv={path}, row {problem.row}: {problem.detail}")
    rows = match_ids(table.ids, [image_id for image_id, _ in photos], f"--ids_csv={path}")
    return [(image_id, photos[row][1]) for image_id, row in zip(table.ids, rows, strict=True)]


def _targets(
    options: PredictOptions, photos: list[tuple[str, str]], model: SavedPredictor
) -> np.ndarray | None:
    """Labels float32 [photos, classes], -1 everywhere where there are none; None: none at all."""
    ids, paths = zip(*photos, strict=True)
    if options.labels_csv:
        return targets_of_csv(options.labels_csv, ids, model.class_names, model.task, others=True)
    return targets_of_folders(paths, model.class_names, model.task)


def _print_scores(probabilities: np.ndarray, targets: np.ndarray, model: SavedPredictor) -> None:
    from ensemble.scoring import scores_text

    labelled = (targets >= 0).all(axis=1)
    if labelled.any():
        where = f"{int(labelled.sum())} labeled images"
        print(scores_text(where, probabilities[labelled], targets[labelled], model.task))


def _top_lines(
    ids: list[str], probabilities: np.ndarray, model: SavedPredictor, top_k: int
) -> list[str]:
    """For each image its likeliest classes: "leaf_1: rust 0.93, scab 0.05"."""
    lines: list[list[str]] = [[] for _ in ids]
    for names, values in top_classes(probabilities, model.class_names, top_k):
        for line, name, value in zip(lines, names, values, strict=True):
            line.append(f"{name} {value:.2f}")
    return [f"{image_id}: {', '.join(line)}" for image_id, line in zip(ids, lines, strict=True)]


def _predict(
    model: SavedPredictor,
    photos: list[tuple[str, str]],
    partial: ResumableRows,
    options: PredictOptions,
) -> list[Photo]:
    """Fill `partial` with every photo; returns those left out under --on_bad=skip."""
    todo = [photo for photo in photos if photo[0] not in partial.rows]
    left_out: list[Photo] = []
    known = len(photos) - len(todo)
    with Progress(total=len(photos), initial=known, unit=" images") as bar, partial:
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
