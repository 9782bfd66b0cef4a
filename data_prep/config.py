"""What to prepare, and how: the frozen form of the command's flags."""

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from data_prep.images import ImageOptions
from data_prep.labels import LABEL_SOURCES, LabelOptions, SourceOptions
from orchard.errors import OrchardError
from orchard.formats import Task

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")

# They decide where things are, how fast they are made or whether at all, but not one byte of the
# data. (What --decode_check has --on_bad=skip leave out is in the fingerprint as bad rows.)
_NO_EFFECT_ON_BYTES = frozenset(
    "layout csv images_dir test_csv test_images_dir data_dir name version workers overwrite engine "
    "beam_options decode_check".split()
)


@dataclass(frozen=True)
class PrepConfig:
    """Settings of one dataset; the flags of `data_prep.main` have the same names and say more.

    Lists are taken for tuples.

    Raises:
        OrchardError: on construction, when values are impossible or contradict each other.
    """

    images_dir: str
    name: str
    version: str
    data_dir: str
    layout: str = "csv"
    csv: str = ""
    image_column: str | None = None
    label_columns: tuple[str, ...] = ()
    label_shape: str = "auto"
    task: str = "auto"
    class_names: tuple[str, ...] = ()
    extension: str = ".jpg"
    test_csv: str | None = None
    test_images_dir: str | None = None
    folds: int = 0
    eval_fraction: float = 0.0
    group_column: str | None = None
    near_duplicates: bool = False
    short_side_px: int = 0
    max_side_px: int = 0
    square_px: int = 0
    jpeg_quality: int = 95
    jpeg_chroma: str = "4:2:0"
    max_pixels: int = 100_000_000
    decode_check: bool = False
    on_bad: str = "fail"
    shard_mb: int = 128
    hosts: int = 1
    workers: int = 0
    engine: str = "local"
    beam_options: str = ""
    overwrite: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        self._check_text()
        for flag in ("images_dir", "name", "version", "data_dir"):
            _check(bool(getattr(self, flag)), f"--{flag} is required")
        _check(
            _NAME.fullmatch(self.name),
            f"--name={self.name}: use lower-case letters, digits and underscores, a letter first",
        )
        _check(
            _VERSION.fullmatch(self.version),
            f"--version={self.version}: three numbers are needed, such as 1.0.0",
        )
        self._check_choices()
        self._check_numbers()
        LABEL_SOURCES[self.layout](self.source_options)

    def _check_text(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            # Python has bytes of the command line that it cannot decode as lone surrogates.
            _check(
                not _SURROGATE.search(text),
                f"--{field.name.removesuffix('_px')}={text!r} is not UTF-8; rename it, or run in a "
                "locale of UTF-8, such as LC_ALL=C.UTF-8",
            )

    def _check_choices(self) -> None:
        for flag, choices in (
            ("label_shape", ("auto", "columns", "name", "names")),
            ("task", ("auto", *Task)),
            ("jpeg_chroma", ("4:2:0", "4:4:4")),
            ("on_bad", ("fail", "skip")),
            ("engine", ("local", "beam")),
        ):
            value = getattr(self, flag)
            _check(value in choices, f"--{flag}={value}: choose one of {', '.join(choices)}")
        _check(
            not self.extension or self.extension.startswith("."),
            f"--extension={self.extension}: it starts with a dot, such as .jpg",
        )
        _check(
            not self.beam_options or self.engine == "beam",
            "--beam_options needs --engine=beam",
        )
        _check(
            len(set(self.class_names)) == len(self.class_names),
            f"--class_names={','.join(self.class_names)}: a name is there twice",
        )

    def _check_numbers(self) -> None:
        _check(self.folds == 0 or self.folds >= 2, f"--folds={self.folds}: at least 2 folds, or 0")
        _check(
            0 <= self.eval_fraction < 1,
            f"--eval_fraction={self.eval_fraction}: a number of at least 0 and below 1 is needed",
        )
        _check(
            not (self.folds and self.eval_fraction),
            "--folds and --eval_fraction exclude each other: choose one",
        )
        _check(
            sum(map(bool, (self.short_side_px, self.max_side_px, self.square_px))) <= 1,
            "--short_side, --max_side and --square exclude each other: choose one",
        )
        for flag, low, high in (
            ("short_side_px", 0, 65_500),
            ("max_side_px", 0, 65_500),
            ("square_px", 0, 65_500),
            ("jpeg_quality", 1, 100),
            ("max_pixels", 1, 1 << 32),
            ("shard_mb", 1, 100_000),
            ("hosts", 1, 100_000),
            ("workers", 0, 10_000),
            ("seed", 0, (1 << 32) - 1),
        ):
            value = getattr(self, flag)
            shown = flag.removesuffix("_px")
            _check(low <= value <= high, f"--{shown}={value}: choose a number from {low} to {high}")

    @property
    def image_options(self) -> ImageOptions:
        """The settings that concern single images."""
        return ImageOptions(
            max_pixels=self.max_pixels,
            short_side_px=self.short_side_px,
            max_side_px=self.max_side_px,
            square_px=self.square_px,
            jpeg_quality=self.jpeg_quality,
            jpeg_chroma=self.jpeg_chroma,
        )

    @property
    def source_options(self) -> SourceOptions:
        """The settings that say where labels and images are."""
        return SourceOptions(
            images_dir=self.images_dir,
            csv=self.csv,
            test_csv=self.test_csv or "",
            test_images_dir=self.test_images_dir or "",
            extension=self.extension,
            labels=LabelOptions(
                image_column=self.image_column,
                label_columns=self.label_columns,
                label_shape=self.label_shape,
                task=self.task,
                class_names=self.class_names,
                group_column=self.group_column,
            ),
        )

    def settings(self) -> dict[str, Any]:
        """What decides the bytes besides the inputs' content, as JSON values."""
        return {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in dataclasses.fields(self)
            if field.name not in _NO_EFFECT_ON_BYTES
            for value in (getattr(self, field.name),)
        }


def default_settings() -> dict[str, Any]:
    """`PrepConfig.settings` where nothing was chosen."""
    return PrepConfig("x", "x", "1.0.0", "x", csv="x").settings()


def _check(condition: object, message: str) -> None:
    if not condition:
        raise OrchardError(message)
