"""What labels say of many rows: a number a class, or the class alone where that says it all."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchard.errors import OrchardError
from orchard.formats.arrow_columns import numbers
from orchard.formats.kinds import Task

if TYPE_CHECKING:
    import pandas
    import pyarrow

# Of more classes than these, one hard label an image is kept as the class's number: its vector
# would be larger than many an image.
MAX_DENSE_CLASSES = 256


@dataclass(frozen=True, eq=False)
class Targets:
    """The labels of n rows.

    Attributes:
        values: float32 [n, num_classes]: one-hot, multi-hot or soft 0..1; -1 everywhere in an
            unlabeled row. Or int32 [n]: the class of each row; -1 in an unlabeled row.
        num_classes: how many classes there are.
    """

    values: np.ndarray
    num_classes: int

    @classmethod
    def of_matrix(cls, matrix: np.ndarray) -> "Targets":
        """Those of float32 [n, num_classes]."""
        return cls(matrix, matrix.shape[1])

    @classmethod
    def of_present(
        cls, rows: np.ndarray, labels: np.ndarray, num_rows: int, num_classes: int, task: Task
    ) -> "Targets":
        """Hard labels; classes alone where they are many and one a row.

        Args:
            rows: int64 [labels], the row of each label.
            labels: int64 [labels], the class of each label.
            num_rows: how many rows there are.
            num_classes: how many classes there are.
            task: what labels mean.
        """
        if task == Task.SINGLE_LABEL and num_classes > MAX_DENSE_CLASSES:
            classes = np.full(num_rows, -1, np.int32)
            classes[rows] = labels
            return cls(classes, num_classes)
        matrix = np.zeros((num_rows, num_classes), np.float32)
        matrix[rows, labels] = 1
        return cls(matrix, num_classes)

    @classmethod
    def unlabeled_rows(cls, num_rows: int, num_classes: int) -> "Targets":
        """Rows without labels."""
        return cls(np.full(num_rows, -1, np.int32), num_classes)

    @classmethod
    def of_index(cls, records: "pandas.DataFrame", num_classes: int) -> "Targets":
        """Those in rows of a dataset's index (`load_records`): at least one.

        Raises:
            OrchardError: one is none of the classes.
        """
        if "label" in records:
            return cls._of_labels(records["label"].to_numpy(np.int32), num_classes)
        return cls.of_matrix(np.stack(list(records["target"])).astype(np.float32))

    @classmethod
    def of_arrow(cls, records: "pyarrow.Table", num_classes: int) -> "Targets":
        """As `of_index`, of an index as `manifest.read_index` gives it."""
        if "label" in records.column_names:
            return cls._of_labels(numbers(records["label"]).astype(np.int32), num_classes)
        values = numbers(records["target"]).astype(np.float32)
        return cls.of_matrix(values.reshape(len(records), num_classes))

    @classmethod
    def _of_labels(cls, labels: np.ndarray, num_classes: int) -> "Targets":
        wrong = labels[(labels < -1) | (labels >= num_classes)]
        if len(wrong):
            raise OrchardError(
                f"records.parquet was damaged: {wrong[0]} is none of {num_classes} classes; "
                "prepare the dataset again"
            )
        return cls(labels, num_classes)

    @classmethod
    def concatenate(cls, parts: Sequence["Targets"]) -> "Targets":
        """The rows of parts of one form, one part after the other."""
        return cls(np.concatenate([part.values for part in parts]), parts[0].num_classes)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray) -> "Targets":
        return dataclasses.replace(self, values=self.values[rows])

    @property
    def are_classes(self) -> bool:
        """Whether the class alone is kept."""
        return self.values.ndim == 1

    @property
    def unlabeled(self) -> np.ndarray:
        """Which rows have no label: bool [n]."""
        return (self.values if self.are_classes else self.values[:, 0]) < 0

    @property
    def matrix(self) -> np.ndarray:
        """float32 [n, num_classes], as in `values`; made anew where that has the class alone."""
        if not self.are_classes:
            return self.values
        matrix = np.zeros((len(self), self.num_classes), np.float32)
        labeled = np.flatnonzero(self.values >= 0)
        matrix[labeled, self.values[labeled]] = 1
        matrix[self.values < 0] = -1
        return matrix

    @property
    def largest(self) -> np.ndarray:
        """The class with the largest value of each row: int64 [n]."""
        return self.values.astype(np.int64) if self.are_classes else self.values.argmax(1)

    @property
    def sums(self) -> np.ndarray:
        """The sum over the rows, all labeled or none, of each class: float64 [num_classes]."""
        if self.are_classes:
            return self._class_counts().astype(np.float64)
        return self.values.sum(0, dtype=np.float64)

    @property
    def counts(self) -> np.ndarray:
        """In how many rows each class is present, with at least 0.5: int64 [num_classes]."""
        return self._class_counts() if self.are_classes else (self.values >= 0.5).sum(0)

    def _class_counts(self) -> np.ndarray:
        return np.bincount(self.values[self.values >= 0], minlength=self.num_classes)

    def present(self, num_classes: int) -> np.ndarray:
        """Which of the first classes are present, with at least 0.5: bool [n, num_classes]."""
        if self.are_classes:
            return self.values[:, None] == np.arange(num_classes)
        return self.values[:, :num_classes] >= 0.5

    def classes_of(self, row: int) -> list[int]:
        """The classes that are present in a row, with at least 0.5."""
        if not self.are_classes:
            return np.flatnonzero(self.values[row] >= 0.5).tolist()
        return [] if self.values[row] < 0 else [int(self.values[row])]

    def key_of(self, row: int) -> bytes:
        """Equal for rows with equal labels, among targets of one form; empty: unlabeled."""
        value = self.values[row]
        return b"" if value.flat[0] < 0 else value.tobytes()

    def without(self, rows: np.ndarray) -> "Targets":
        """The same with some rows, bool [n], unlabeled."""
        mask = rows if self.are_classes else rows[:, None]
        nothing = self.values.dtype.type(-1)
        return dataclasses.replace(self, values=np.where(mask, nothing, self.values))

    def with_labels(self, labels: Mapping[int, Sequence[int]]) -> "Targets":
        """The same, with other hard labels in some rows: their classes, one where that is all."""
        values = self.values.copy()
        for row, classes in labels.items():
            if self.are_classes:
                (values[row],) = classes
            else:
                values[row] = 0
                values[row, list(classes)] = 1
        return dataclasses.replace(self, values=values)

    def compacted(self, task: Task, used: np.ndarray | None = None) -> "Targets":
        """The classes alone, where there are many and the rows used say no more than that.

        Args:
            task: what the labels mean.
            used: the rows that count, bool [n]; default: all. The others become unlabeled.
        """
        if self.are_classes or task != Task.SINGLE_LABEL or self.num_classes <= MAX_DENSE_CLASSES:
            return self
        classes = np.where(self.unlabeled, -1, self.largest).astype(np.int32)
        if used is not None:
            classes[~used] = -1
        compact = Targets(classes, self.num_classes)
        rows = slice(None) if used is None else used
        return compact if np.array_equal(compact.matrix[rows], self.values[rows]) else self

    def in_form(self, are_classes: bool) -> "Targets":
        """The same rows, as classes or as a matrix; to classes only where no row is labeled."""
        if are_classes == self.are_classes:
            return self
        if not are_classes:
            return Targets.of_matrix(self.matrix)
        if not self.unlabeled.all():
            raise ValueError("labels in a matrix have no form as classes; compact them instead")
        return Targets.unlabeled_rows(len(self), self.num_classes)
