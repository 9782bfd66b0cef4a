r"""Show where networks look, and what in training is like their worst errors.

    python -m ensemble.explain --model=out --images_dir=photos --labels_csv=labels.csv \
        --output_dir=explained
    python -m ensemble.explain --model=runs/b0 --dataset=tfds/plants/1.0.0 --split=eval \
        --output_dir=explained

Folders that are named after classes are labels, as for ensemble.predict.
"""

from __future__ import annotations

if __name__ == "__main__":
    from orchard import ctrl_c

    ctrl_c.end_at_once()  # Before the imports, which take a while.

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from absl import logging
from absl.flags import FLAGS

from orchard import cli, flags, progress, storage
from orchard.errors import OrchardError
from orchard.flags import Options, option, required

if TYPE_CHECKING:
    from ensemble.explaining import Explainer, Likeness, Photos
    from ensemble.inference import SavedPredictor
    from ensemble.members import Member
    from ensemble.output.explained import Answers, Group
    from trainer.keras_module import keras

_MAX_USUAL = 500


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(Options):
    """What to explain, and how."""

    model: str = field(
        metadata=required(
            "Output directory of ensemble.main, run directory of trainer.main, or a saved_model."
        )
    )
    images_dir: str = option("", "Folder of JPEG, PNG or WebP files.", common=True)
    labels_csv: str = option(
        "",
        "CSV of labels of --images_dir; without it, folders that are named after classes are "
        "labels.",
    )
    dataset: str = option(
        "",
        "Dataset directory that the networks were trained on; default: where they found it.",
        common=True,
    )
    split: str = option("", "Explain this split of --dataset instead of --images_dir.")
    output_dir: str = field(metadata=required("Folder for the page and the table."))
    per_group: int = option(12, "Images of each kind, at most.", at_least=1)
    neighbors: int = option(
        5,
        "Training images to show beside each error; a network's features of all training images "
        "are computed for them, once. 0: none.",
        at_least=0,
    )
    method: str = option(
        "auto",
        "How networks are asked; auto: by Grad-CAM where they end in a feature map.",
        choices=("auto", "occlusion"),
    )
    batch_size: int = option(32, "Images a step.", at_least=1)
    on_bad: str = option(
        "fail", "What to do about files that are no images.", choices=("fail", "skip")
    )

    def check(self) -> None:
        """Refuse flags that contradict each other, or lack one another."""
        super().check()
        if bool(self.images_dir) == bool(self.split):
            raise OrchardError("give either --images_dir or --split")
        if self.split and not self.dataset:
            raise OrchardError(f"--split={self.split} is of a dataset; give --dataset, too")
        if self.split and self.labels_csv:
            raise OrchardError("--labels_csv is for --images_dir; drop it, a split has its labels")
        storage.check_writable(self.output_dir)


OPTIONS = (ExplainOptions,)


def main() -> None:
    """Explain what the flags say, and print what was found."""
    options = flags.build(ExplainOptions)
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    print("\n".join(explain(options)))


def explain(options: ExplainOptions) -> list[str]:
    """Write the page and the table; returns what was found, in lines.

    Raises:
        OrchardError: images or networks are refused, or another process writes to the folder.
    """
    # TensorFlow takes seconds to import: not before the flags are known to be good.
    from ensemble.explaining import (
        explain_member,
        explain_model,
        keras_network,
        members_behind,
        trained_on,
    )
    from ensemble.inference import SavedPredictor
    from ensemble.output import explained

    model = SavedPredictor(options.model)
    members, notes = members_behind(options.model)
    photos, targets = _photos(options, model, members)
    if seen := trained_on(members, photos, options.split):
        where = f"Trained on images of {options.split}: {', '.join(seen)}"
        notes.append(f"{where}. There memory hides errors.")
    networks = [keras_network(member) for member in members]
    explainers: list[Explainer] = [
        explain_member(member, network, occlusion=options.method == "occlusion")
        for member, network in zip(members, networks, strict=True)
    ] or [explain_model(model, "the model")]
    answers, photos = _answers(model, explainers, photos, targets, options)
    total = sum(len(rows) for *_, rows in explained.chosen_rows(answers, options.per_group))
    # All that is refused was refused; features of the training images are the first to be written.
    with storage.lock_folder(options.output_dir, "choose another --output_dir"):
        with progress.bar("looking", total) as bar:
            groups = explained.explain_groups(
                answers, photos, explainers, options.per_group, lambda: bar.add(1)
            )
        likeness, features = None, None
        if options.neighbors and answers.wrong.any():
            found = _likeness(options, members, networks, explainers, answers, photos, groups)
            if isinstance(found, str):
                notes.append(found)
            else:
                likeness, features = found
        groups = explained.add_neighbors(groups, answers, likeness, features, options.neighbors)
        return _written(options, explainers, answers, groups, notes)


def _written(
    options: ExplainOptions,
    explainers: Sequence[Explainer],
    answers: Answers,
    groups: Sequence[Group],
    notes: Sequence[str],
) -> list[str]:
    """Writes the page and the table; what was found, in lines."""
    from ensemble.explaining import Suspect
    from ensemble.output import explained
    from orchard import html

    suspects = [one.suspicion.suspect for group in groups for one in group.images if one.suspicion]
    counts = [(str(one), suspects.count(one)) for one in Suspect if suspects.count(one)]
    summary = _summary(answers, len(suspects))
    page = html.render(
        "ensemble/explained.html",
        model=options.model,
        where=options.images_dir or f"split {options.split} of {options.dataset}",
        summary=summary,
        num_images=len(answers.ids),
        num_networks=len(explainers),
        suspects=counts,
        notes=notes,
        groups=explained.groups_html(groups, explainers),
    )
    table_file = storage.join(options.output_dir, "explained.csv")
    page_file = storage.join(options.output_dir, "explained.html")
    storage.write_bytes(table_file, explained.peaks_csv(groups))
    storage.write_bytes(page_file, page.encode())
    lines = [summary]
    if counts:
        listed = ", ".join(f"the {name} of {number}" for name, number in counts)
        lines.append(f"of the {len(suspects)} worst errors look first at {listed}")
    lines += notes
    lines += [f"{explainer.name}: {explainer.method}" for explainer in explainers]
    return [*lines, f"explained.csv   {table_file}", f"explained.html  {page_file}"]


def _summary(answers: Answers, shown: int) -> str:
    labelled = int(answers.labelled.sum())
    if not labelled:
        return f"{len(answers.ids)} images without labels: no errors are known."
    wrong = int(answers.wrong.sum())
    return (
        f"{wrong} of {labelled} labeled images are predicted wrongly; the {shown} with the "
        "greatest loss are shown."
        if wrong
        else f"All {labelled} labeled images are predicted rightly."
    )


def _photos(
    options: ExplainOptions, model: SavedPredictor, members: Sequence[Member]
) -> tuple[Photos, np.ndarray]:
    """The images, and their labels float32 [images, classes], -1 where there are none."""
    from ensemble.explaining import FolderPhotos, RecordPhotos
    from ensemble.inference import list_photos
    from ensemble.labels import targets_of_csv, targets_of_folders
    from ensemble.members import check_dataset
    from trainer.data import load_records, set_gcs_read_options

    if options.split:
        set_gcs_read_options(options.dataset)
        records = load_records(options.dataset, options.split)
        check_dataset(members, records.class_names, records.task, records.fingerprint, True)
        if records.class_names != model.class_names:
            raise OrchardError(
                f"{options.dataset} has other classes than {options.model}; give the dataset that "
                "it was trained on"
            )
        return RecordPhotos(records), records.targets
    files = list_photos(options.images_dir)
    ids, paths = zip(*files, strict=True)
    if options.labels_csv:
        targets = targets_of_csv(
            options.labels_csv, ids, model.class_names, model.task, others=True
        )
    else:
        found = targets_of_folders(paths, model.class_names, model.task)
        targets = np.full((len(ids), len(model.class_names)), -1, np.float32)
        targets = targets if found is None else found
    return FolderPhotos(files), targets


def _answers(
    model: SavedPredictor,
    explainers: Sequence[Explainer],
    photos: Photos,
    targets: np.ndarray,
    options: ExplainOptions,
) -> tuple[Answers, Photos]:
    """What model and members say of all images that can be read, and those images."""
    from ensemble.combine import activate
    from ensemble.output.explained import Answers

    kept: list[int] = []
    whole: list[np.ndarray] = []
    parts: list[np.ndarray] = []
    with progress.bar("predicting", len(photos.ids)) as bar:
        for start in range(0, len(photos.ids), options.batch_size):
            rows = list(range(start, min(start + options.batch_size, len(photos.ids))))
            if options.on_bad == "skip":
                jpegs, problems = photos.readable(rows)
                for problem in problems:
                    bar.print(f"skipped {problem}")
            else:
                jpegs = dict(zip(rows, photos.jpegs(rows), strict=True))
            good = [row for row in rows if row in jpegs]
            found = model.predict_jpegs([jpegs[row] for row in good])
            for row, one in zip(good, found, strict=True):
                if one is None and options.on_bad == "fail":
                    raise OrchardError(
                        f"{photos.ids[row]}: the pixels cannot be decoded; repair or remove it, "
                        "or pass --on_bad=skip"
                    )
            good = [row for row, one in zip(good, found, strict=True) if one is not None]
            whole += [one for one in found if one is not None]
            kept += good
            if len(explainers) > 1 and good:
                parts.append(
                    np.stack(
                        [
                            activate(one.logits([one.see(jpegs[row]) for row in good]), model.task)
                            for one in explainers
                        ]
                    )
                )
            bar.add(len(rows))
    if not kept:
        raise OrchardError(f"none of {len(photos.ids)} images is usable")
    probabilities = np.stack(whole).astype(np.float64)
    members = np.concatenate(parts, axis=1) if parts else probabilities[np.newaxis]
    photos = photos.take(kept)
    answers = Answers(
        photos.ids,
        probabilities,
        members,
        targets[kept],
        model.class_names,
        model.task,
        model.thresholds,
    )
    return answers, photos


def _likeness(
    options: ExplainOptions,
    members: Sequence[Member],
    networks: Sequence[keras.Model | None],
    explainers: Sequence[Explainer],
    answers: Answers,
    photos: Photos,
    groups: Sequence[Group],
) -> tuple[Likeness, np.ndarray] | str:
    """Training images to compare errors with, and the images' features; or why there are none."""
    import tensorflow as tf

    from ensemble.explaining import (
        Likeness,
        TrainingFeatures,
        backbone_of,
        compute_features,
        normalized,
        training_records,
    )
    from ensemble.output.explained import ERRORS

    backbones = [None if one is None else backbone_of(one) for one in networks]
    at = next((number for number, one in enumerate(backbones) if one is not None), None)
    backbone = None if at is None else backbones[at]
    if at is None or backbone is None:
        return "There are no neighbors: no network's Keras model is there to compare images by."
    member = members[at]
    records = training_records(member, photos, options.dataset)
    if records is None:
        return (
            f"There are no neighbors: the training images are not in {member.dataset_path} any "
            "more; give --dataset."
        )
    with progress.bar(f"features of {member.train_split}", len(records.ids)) as bar:
        features = compute_features(
            backbone,
            member,
            records,
            storage.join(options.output_dir, "features"),
            options.batch_size,
            bar.add,
        )
    right = np.flatnonzero(answers.labelled & ~answers.wrong)
    right = right[:: -(-len(right) // _MAX_USUAL) or 1]
    errors = [one.row for group in groups if group.title == ERRORS for one in group.images]
    wanted = sorted({*right.tolist(), *errors})
    own = np.zeros((len(answers.ids), features.shape[1]), np.float32)
    for start in range(0, len(wanted), options.batch_size):
        rows = wanted[start : start + options.batch_size]
        images = np.stack([explainers[at].see(jpeg) for jpeg in photos.jpegs(rows)])
        own[rows] = normalized(backbone(tf.cast(images, tf.float32), training=False).numpy())
    known = np.zeros(len(answers.ids), bool)
    known[right] = True
    likeness = Likeness.of(TrainingFeatures(records, features), own, answers.ids, known)
    return likeness, own


if __name__ == "__main__":
    cli.run(main, *OPTIONS)
