"""Label sources: the extension point for where ids and labels come from.

A new source is one file in `sources/`, or in a module of `--plugins`, that registers a subclass of
`LabelSource`; `--layout` then has one more choice.
"""

import abc
from dataclasses import dataclass, field

from data_prep.labels.table import LabelOptions, LabelTable
from orchard.registry import Registry


@dataclass(frozen=True)
class SourceOptions:
    """Where the images are, and how to read their labels.

    `csv`, `test_csv` and `test_images_dir` are empty where there is none; `extension` is what an id
    without an ending needs to be a file name.
    """

    images_dir: str
    csv: str = ""
    test_csv: str = ""
    test_images_dir: str = ""
    extension: str = ".jpg"
    labels: LabelOptions = field(default_factory=LabelOptions)


@dataclass(frozen=True)
class ImageTable:
    """Rows of ids, and the folder that holds their images."""

    table: LabelTable
    images_dir: str


@dataclass(frozen=True)
class InputTables:
    """All rows of a dataset: those with labels, and those of the split `test`, without labels.

    `notes` are lines that tell the user what was read.
    """

    labelled: ImageTable
    test: ImageTable | None = None
    notes: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[ImageTable, ...]:
        """The labeled table, then the test table where there is one."""
        return (self.labelled, self.test) if self.test else (self.labelled,)


class LabelSource(abc.ABC):
    """Reads the labels of one dataset.

    Args:
        options: where to read.

    Raises:
        OrchardError: the options contradict the source; nothing was read yet.
    """

    def __init__(self, options: SourceOptions) -> None:
        self.options = options
        self.check()

    @abc.abstractmethod
    def check(self) -> None:
        """Refuse options that do not go with this source.

        Raises:
            OrchardError: they do not.
        """

    @abc.abstractmethod
    def read(self) -> InputTables:
        """The rows of the dataset.

        Raises:
            OrchardError: they cannot be read. What is wrong with single rows is in the `problems`
                of their table instead.
        """


# By the value of `--layout`.
LABEL_SOURCES: Registry[type[LabelSource]] = Registry("layout", "data_prep.labels.sources")
