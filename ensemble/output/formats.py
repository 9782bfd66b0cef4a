"""Writes the formats that were asked for, runs each in its runtime, and compares.

A file that has to agree with the SavedModel and does not is not written. What a quantized one loses
is measured on images with labels, paired, with an interval.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ensemble.config import EnsembleConfig
from ensemble.fitting import guard
from ensemble.formats import EXPORT_FORMATS, ExportedFile, PixelFunction, Pixels, Written
from ensemble.inference import images_of
from ensemble.inputs import Inputs
from ensemble.output.export import EnsembleModel
from ensemble.output.predictions import named_classes
from ensemble.scoring import score
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import EnsembleDir, InputSpec
from trainer.data import RecordTable, load_records, set_gcs_read_options

# Probabilities of another runtime may differ by so much.
MOST_DIFFERENT = 1e-4
_CALIBRATION_IMAGES, _COMPARED_IMAGES = 128, 512
_BATCH_SIZE = 32
PIXELS_FILE = "pixels.py"


@dataclass(frozen=True)
class FormatsPlan:
    """What the formats are made and judged with.

    Attributes:
        names: of the formats; none: there is nothing to do.
        calibration: images of training; None: there is nothing to do.
        compared: images to compare on; likewise.
        targets: of these, -1 where there are no labels.
        metric: what judges.
    """

    names: tuple[str, ...] = ()
    calibration: RecordTable | None = None
    compared: RecordTable | None = None
    targets: np.ndarray | None = None
    metric: str = ""


def plan_formats(config: EnsembleConfig, inputs: Inputs) -> FormatsPlan:
    """Find the images, before anything is computed.

    Raises:
        OrchardError: a format's packages are not installed, or the training images are not there.
    """
    if not config.formats:
        return FormatsPlan()
    for name in config.formats:
        EXPORT_FORMATS[name].check()
    first = inputs.members[0]
    same = inputs.records.fingerprint == first.dataset_fingerprint
    dataset = config.dataset if same else first.dataset_path
    if not same and not storage.exists(dataset):
        raise OrchardError(
            f"--formats: the members' own dataset is not in {dataset}, and integers are calibrated "
            "on images of training; put it there, or drop --formats"
        )
    set_gcs_read_options(dataset)
    training = load_records(dataset, first.train_split)
    compared, targets = inputs.records, inputs.targets
    if not (targets >= 0).all(axis=1).any() and first.eval_split:
        compared = load_records(dataset, first.eval_split)
        targets = compared.targets
    rows = _spread(np.flatnonzero((targets >= 0).all(axis=1)), _COMPARED_IMAGES)
    if not len(rows):
        rows = _spread(np.arange(len(targets)), _COMPARED_IMAGES)
    return FormatsPlan(
        config.formats,
        training.take(_spread(np.arange(len(training)), _CALIBRATION_IMAGES)),
        compared.take(rows),
        targets[rows],
        inputs.metric,
    )


def remove_formats(folder: EnsembleDir) -> None:
    """Remove what an earlier run wrote."""
    files = [name for _, one in EXPORT_FORMATS.items() for name in one.files]
    for name in (*files, PIXELS_FILE):
        storage.remove_tree(storage.join(folder.path, name))


def write_formats(
    plan: FormatsPlan, model: EnsembleModel, config: EnsembleConfig, thresholds: np.ndarray
) -> tuple[ExportedFile, ...]:
    """Write the files beside the SavedModel, and say how they compare with it.

    Args:
        plan: of `plan_formats`.
        model: what is written.
        config: where to, and what judges.
        thresholds: float [classes]: from which probability on a class is named (many labels).

    Raises:
        OrchardError: a file does not agree with the SavedModel.
    """
    if plan.calibration is None or plan.compared is None or plan.targets is None:
        return ()
    function = _pixel_function(model)
    calibration = _decoded(plan.calibration, function.inputs)
    compared = _decoded(plan.compared, function.inputs)
    reference = _predicted(function, compared)

    def one_by_one() -> Iterator[Pixels]:
        for row in range(len(plan.calibration or ())):
            yield {name: images[row : row + 1] for name, images in calibration.items()}

    files = []
    for name in plan.names:
        for written in EXPORT_FORMATS[name].write(function, one_by_one):
            found = _compared(written, compared, reference, plan, config, thresholds)
            storage.write_bytes(storage.join(config.output_dir, written.name), written.content)
            files.append(found)
    code = importlib.resources.files("ensemble.formats") / PIXELS_FILE
    storage.write_bytes(storage.join(config.output_dir, PIXELS_FILE), code.read_bytes())
    return tuple(files)


def _pixel_function(model: EnsembleModel) -> PixelFunction:
    static = model.static_signature()

    def probabilities(**images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": static(**images)["probabilities"]}

    shapes = static.structured_input_signature[1]
    concrete = tf.function(probabilities, autograph=False).get_concrete_function(**shapes)
    return PixelFunction(concrete, model, model.static_inputs)


def _compared(
    written: Written,
    images: Pixels,
    reference: np.ndarray,
    plan: FormatsPlan,
    config: EnsembleConfig,
    thresholds: np.ndarray,
) -> ExportedFile:
    found = written.predict(images)
    most = float(np.abs(found - reference).max())
    if written.exact and not most <= MOST_DIFFERENT:
        raise OrchardError(
            f"{written.name} does not agree with the SavedModel: probabilities differ by "
            f"{most:.2g} in {written.runtime}, more than {MOST_DIFFERENT:g}; it is not written. "
            "Drop its format from --formats"
        )
    assert plan.compared is not None and plan.targets is not None
    task = plan.compared.task
    named = named_classes(found, task, thresholds) != named_classes(reference, task, thresholds)
    gain = ""
    ours = theirs = None
    metric = plan.metric
    if not written.exact and (plan.targets >= 0).all():
        verdict = guard(found, reference, metric, plan.targets, task, seed=config.seed)
        gain = str(verdict)
        ours = score(metric, found, plan.targets, task)
        theirs = score(metric, reference, plan.targets, task)
    return ExportedFile(
        name=written.name,
        runtime=written.runtime,
        num_bytes=len(written.content),
        num_images=len(reference),
        where="+".join(plan.compared.splits),
        most_different=most,
        renamed=float(named.any(axis=1).mean()),
        exact=written.exact,
        metric=metric if ours is not None else "",
        score=ours,
        score_before=theirs,
        gain=gain,
    )


def _predicted(function: PixelFunction, images: Pixels) -> np.ndarray:
    count = len(next(iter(images.values())))
    return np.concatenate(
        [
            function.function(
                **{name: tf.constant(one[at : at + _BATCH_SIZE]) for name, one in images.items()}
            )["probabilities"].numpy()
            for at in range(0, count, _BATCH_SIZE)
        ]
    )


def _decoded(records: RecordTable, inputs: Mapping[str, InputSpec]) -> Pixels:
    """The images at every size: uint8 [records, height, width, 3] of each input."""
    found = {}
    for name, spec in inputs.items():
        parts = []
        with images_of(records, spec, _BATCH_SIZE) as batches:
            for rows, images in batches:
                parts.append(images.numpy()[rows.numpy() >= 0])
        found[name] = np.concatenate(parts)
    return found


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    """At most so many of the rows, evenly."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(int)]
