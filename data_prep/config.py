"""What to prepare, and how, as one frozen, validated value: the flags of `data_prep.main`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from data_prep import labels
from data_prep.images import ImageOptions
from data_prep.labels import LabelOptions, SourceOptions
from orchard.errors import OrchardError
from orchard.flags import Flag, Kind, Options, option, required, select
from orchard.formats import RECORD_FORMATS, TFRECORD, Task

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_MAX_SIDE_PX = 65_500  # libjpeg's limit.
_LATER_SETTINGS = frozenset(
    {
        "label_delimiter",
        "split_column",
        "holdout_fraction",
        "fold_repeats",
        "time_column",
        "file_format",
    }
)


def _layouts() -> Iterable[str]:
    return labels.LABEL_SOURCES


@dataclass(frozen=True, kw_only=True)
class PrepConfig(Options):
    """One dataset.

    >>> config = PrepConfig(
    ...     csv="train.csv", images_dir="images", name="plants", version="1.0.0", data_dir="tfds",
    ...     folds=5, label_columns=("rust", "scab"),
    ... )
    >>> config.settings()["folds"]
    5

    A flag of kind BOOKKEEPING decides where things are, how fast they are made or whether at all,
    but not one byte of the data. (What --decode_check has --on_bad=skip leave out is in the
    fingerprint as bad rows.)

    Raises:
        OrchardError: on construction, when values are impossible or contradict each other.
    """

    images_dir: str = field(
        metadata=required(
            "Folder of the images: a local path or a URL (gs://, s3://, ...).",
            group="input",
            kind=Kind.BOOKKEEPING,
        )
    )
    name: str = field(
        metadata=required(
            "Name of the dataset: [a-z][a-z0-9_]*, none of TFDS's own.",
            group="dataset",
            kind=Kind.BOOKKEEPING,
        )
    )
    version: str = field(
        metadata=required("Version of the dataset: X.Y.Z.", group="dataset", kind=Kind.BOOKKEEPING)
    )
    data_dir: str = field(
        metadata=required(
            "Folder of all datasets; this one goes to DATA_DIR/NAME/VERSION.",
            group="dataset",
            kind=Kind.BOOKKEEPING,
        )
    )
    layout: str = option(
        "csv",
        "Where the labels are: in --csv, or in the names of the folders in --images_dir.",
        group="input",
        choices=_layouts,
        kind=Kind.BOOKKEEPING,
    )
    csv: str = option(
        "",
        "Table of image ids and labels: CSV, .parquet or .jsonl (an object a line); a local path "
        "or a URL (gs://, s3://, ...).",
        group="input",
        kind=Kind.BOOKKEEPING,
        common=True,
    )
    image_column: str | None = option(
        None,
        "Column of the ids; default: image_id, image, ... or the first.",
        group="labels",
        multiline=True,
    )
    label_columns: tuple[str, ...] = option(
        (),
        "Columns of the labels; default: all others.",
        group="labels",
        multiline=True,
    )
    label_shape: str = option(
        "auto",
        "How the CSV gives labels: columns (one a class), name (one class a row), names (several, "
        "separated by spaces or --label_delimiter, or a list).",
        group="labels",
        choices=("auto", "columns", "name", "names"),
    )
    label_delimiter: str = option(
        "",
        "What is between the names in one cell, such as | or a comma: the labels are names.",
        group="labels",
        multiline=True,
    )
    task: str = option(
        "auto", "One label an image, or any number.", group="labels", choices=("auto", *Task)
    )
    class_names: tuple[str, ...] = option(
        (), "All classes, in their order; default: those found, sorted.", group="labels"
    )
    label_fixes: str = option(
        "",
        "Decisions about doubtful labels (label_fixes.csv of ensemble.label_issues) to apply.",
        group="labels",
        kind=Kind.BOOKKEEPING,
    )
    extension: str = option(
        ".jpg", "Ending of the image files, for ids that have none.", group="input"
    )
    follow_symlinks: bool = option(
        False,
        "Follow links that lead out of the images folder, such as into a store.",
        group="input",
        kind=Kind.BOOKKEEPING,
    )
    test_csv: str | None = option(
        None,
        "CSV (or .parquet, .jsonl) of the ids of the split `test`, which has no labels.",
        group="input",
        kind=Kind.BOOKKEEPING,
        common=True,
    )
    test_images_dir: str | None = option(
        None,
        "With --test_csv: folder of its images; default: --images_dir.",
        group="input",
        kind=Kind.BOOKKEEPING,
    )
    folds: int = option(
        0,
        "Cut into this many stratified splits fold0, fold1, ...; 0: do not.",
        group="splits",
        at_least=0,
        common=True,
    )
    eval_fraction: float = option(
        0.0,
        "Instead of --folds: hold this share out as the split `eval`; the rest is `train`.",
        group="splits",
        at_least=0,
        below=1,
        common=True,
    )
    holdout_fraction: float = option(
        0.0,
        "Also hold this share out as the split `holdout`, with its labels: no fold has it, so that "
        "it can judge what all folds were used to choose.",
        group="splits",
        at_least=0,
        below=1,
    )
    fold_repeats: int = option(
        1,
        "With --folds: deal the rows out so many times, each with a seed of its own; trainer.main "
        "--fold_repeat takes the later ones.",
        group="splits",
        at_least=1,
        at_most=100,
    )
    group_column: str | None = option(
        None,
        "With --folds, --eval_fraction or --holdout_fraction: rows with the same value stay in one "
        "split.",
        group="splits",
        multiline=True,
    )
    split_column: str | None = option(
        None,
        "Instead of --folds: column of each row's split: train, eval, test (which loses its "
        "labels) or the number of a fold; a column such as is_valid may hold True or False.",
        group="splits",
        multiline=True,
    )
    time_column: str | None = option(
        None,
        "Column of dates or numbers: splits follow each other in time instead of being stratified; "
        "eval and holdout are the latest rows, fold0 the earliest.",
        group="splits",
        multiline=True,
    )
    near_duplicates: bool = option(
        False, "Keep images that look alike in one split, too.", group="splits"
    )
    short_side_px: int = option(
        0,
        "Shrink to this many pixels on the short side; 0: do not.",
        group="images",
        name="short_side",
        at_least=0,
        at_most=_MAX_SIDE_PX,
        common=True,
    )
    max_side_px: int = option(
        0,
        "Instead: shrink to this many pixels on the long side; 0: do not.",
        group="images",
        name="max_side",
        at_least=0,
        at_most=_MAX_SIDE_PX,
    )
    square_px: int = option(
        0,
        "Instead: shrink both sides to this many pixels, whatever the aspect: what the trainer's "
        "--resize=squash does at each reading, once; 0: do not.",
        group="images",
        name="square",
        at_least=0,
        at_most=_MAX_SIDE_PX,
    )
    jpeg_quality: int = option(
        95, "JPEG quality of images that are re-encoded.", group="images", at_least=1, at_most=100
    )
    jpeg_chroma: str = option(
        "4:2:0",
        "Chroma sampling of images that are re-encoded.",
        group="images",
        choices=("4:2:0", "4:4:4"),
    )
    max_pixels: int = option(
        100_000_000,
        "Refuse images of more pixels: broken headers and decompression bombs.",
        group="images",
        at_least=1,
        at_most=1 << 32,
    )
    decode_check: bool = option(
        False,
        "Decode every image before anything is written.",
        group="images",
        kind=Kind.BOOKKEEPING,
    )
    on_bad: str = option(
        "fail",
        "What to do about bad rows: fail (write nothing) or skip (leave them out).",
        group="images",
        choices=("fail", "skip"),
        common=True,
    )
    file_format: str = option(
        TFRECORD.name,
        "Form of the shards: tfrecord, or array_record for random access with tfds.data_source and "
        "grain, which need no TensorFlow.",
        group="shards",
        choices=tuple(RECORD_FORMATS),
    )
    shard_mb: int = option(
        128,
        "Largest mean size of a shard, in MB.",
        group="shards",
        at_least=1,
        at_most=100_000,
    )
    hosts: int = option(
        1,
        "Most hosts that will read it; the number of shards is a multiple of this.",
        group="shards",
        at_least=1,
        at_most=100_000,
    )
    workers: int = option(
        0,
        "Processes; 0: one a core.",
        group="hardware",
        at_least=0,
        at_most=10_000,
        kind=Kind.BOOKKEEPING,
    )
    engine: str = option(
        "local",
        "local (a process pool) or beam (Apache Beam).",
        group="hardware",
        choices=("local", "beam"),
        kind=Kind.BOOKKEEPING,
    )
    beam_options: str = option(
        "",
        "Beam's own flags, in one string, for --engine=beam.",
        group="hardware",
        multiline=True,
        kind=Kind.BOOKKEEPING,
    )
    overwrite: bool = option(
        False,
        "Replace the dataset of this name and version, whole or damaged.",
        group="dataset",
        kind=Kind.BOOKKEEPING,
    )
    seed: int = option(
        0, "Seed of order and splits.", group="splits", at_least=0, at_most=2**32 - 1
    )
    extends: str = option(
        "",
        "Older version to grow from, DATA_DIR/NAME/X.Y.Z: its records keep their splits, its "
        "shards are taken over where nothing changed, and only images of new ids are opened.",
        group="dataset",
        kind=Kind.BOOKKEEPING,
    )

    def missing_flags(self) -> list[Flag]:
        """Of `--layout=csv`, `--csv` too."""
        missing = super().missing_flags()
        if missing and self.layout == "csv" and not self.csv:
            missing.insert(0, next(flag for flag in self.flag_fields() if flag.field == "csv"))
        return missing

    def check(self) -> None:
        """Refuse names that TFDS cannot have, and flags that exclude or lack one another."""
        super().check()
        self._check_dataset()
        self._check_labels()
        self._check_splits()
        if self.beam_options and self.engine != "beam":
            raise OrchardError("--beam_options needs --engine=beam")
        if sum(map(bool, (self.short_side_px, self.max_side_px, self.square_px))) > 1:
            raise OrchardError(
                "--short_side, --max_side and --square exclude each other: choose one"
            )
        labels.LABEL_SOURCES[self.layout](self.source_options)

    def _check_dataset(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise OrchardError(
                f"--name={self.name}: use lower-case letters, digits and underscores, a letter "
                "first"
            )
        if not _VERSION.fullmatch(self.version):
            raise OrchardError(f"--version={self.version}: give three numbers, such as 1.0.0")
        if self.extension and not self.extension.startswith("."):
            raise OrchardError(f"--extension={self.extension}: it starts with a dot, such as .jpg")

    def _check_labels(self) -> None:
        if self.label_delimiter and self.label_shape not in ("auto", "names"):
            raise OrchardError(
                f"--label_delimiter={self.label_delimiter} does not go with "
                f"--label_shape={self.label_shape}: leave one of them out"
            )
        if len(set(self.class_names)) < len(self.class_names):
            raise OrchardError(f"--class_names={','.join(self.class_names)}: a name appears twice")

    def _check_splits(self) -> None:
        if self.folds == 1:
            raise OrchardError("--folds=1: give at least 2 folds, or 0 for none")
        if self.folds and self.eval_fraction:
            raise OrchardError("--folds and --eval_fraction exclude each other: choose one")
        if self.fold_repeats > 1 and (not self.folds or self.time_column):
            raise OrchardError(
                f"--fold_repeats={self.fold_repeats} needs --folds, and no --time_column, by which "
                "the folds are always the same: leave it out"
            )
        if self.time_column and not (self.folds or self.eval_fraction or self.holdout_fraction):
            raise OrchardError(
                f"--time_column={self.time_column} orders splits, and there is only one: add "
                "--eval_fraction, --holdout_fraction or --folds"
            )
        if self.eval_fraction + self.holdout_fraction >= 1:
            raise OrchardError(
                f"--eval_fraction={self.eval_fraction:g} and --holdout_fraction="
                f"{self.holdout_fraction:g} leave nothing to train on: make them smaller"
            )
        for flag in (
            "folds",
            "eval_fraction",
            "holdout_fraction",
            "group_column",
            "time_column",
            "test_csv",
        ):
            if self.split_column and getattr(self, flag):
                raise OrchardError(
                    f"--split_column={self.split_column} says which split each row is in, and "
                    f"excludes --{flag}: choose one"
                )
        if self.extends and self.time_column:
            raise OrchardError(
                f"--time_column={self.time_column} orders all rows anew, and --extends keeps old "
                "rows where they are: leave --extends out"
            )

    @property
    def image_options(self) -> ImageOptions:
        """The settings that concern single images."""
        return select(ImageOptions, self)

    @property
    def source_options(self) -> SourceOptions:
        """The settings that say where labels and images are."""
        return select(
            SourceOptions,
            self,
            test_csv=self.test_csv or "",
            test_images_dir=self.test_images_dir or "",
            labels=select(LabelOptions, self),
        )

    def settings(self) -> dict[str, Any]:
        """What decides the bytes besides the inputs' content, as JSON values.

        Settings that came later are there only where they were chosen: a dataset without them has
        the same fingerprint as ever.
        """
        return {
            flag.field: list(value) if isinstance(value, tuple) else value
            for flag in self.flag_fields()
            if flag.kind is not Kind.BOOKKEEPING
            for value in (getattr(self, flag.field),)
            if value != flag.default or flag.field not in _LATER_SETTINGS
        }


def default_settings() -> dict[str, Any]:
    """`PrepConfig.settings` where nothing was chosen."""
    needed = PrepConfig(csv="x", images_dir="x", name="x", version="1.0.0", data_dir="x")
    return needed.settings()
