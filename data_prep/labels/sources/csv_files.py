"""`--layout=csv`: a CSV of ids and labels, and perhaps one of the ids of the split `test`."""

from data_prep.images import file_name
from data_prep.labels.csv_table import IMAGE_COLUMNS
from data_prep.labels.source import LABEL_SOURCES, ImageTable, InputTables, LabelSource
from data_prep.labels.table import LabelTable, read_ids, read_labels
from orchard import storage
from orchard.errors import OrchardError

_MAX_NAMES_SHOWN = 20


@LABEL_SOURCES.register("csv")
class CsvSource(LabelSource):
    """Reads `--csv` and `--test_csv`."""

    def check(self) -> None:
        """Refuse options without a CSV."""
        if not self.options.csv:
            raise OrchardError("--csv is required (or --layout=folders: one folder a class)")
        if self.options.test_images_dir and not self.options.test_csv:
            raise OrchardError("--test_images_dir needs --test_csv")

    def read(self) -> InputTables:
        """Read both CSVs.

        Raises:
            OrchardError: a CSV cannot be read, or has no header.
        """
        options = self.options
        table = read_labels(options.csv, options.labels)
        labelled = ImageTable(table, options.images_dir)
        notes = [
            f"{table.file}: {len(table.ids)} rows, ids in column {table.image_column!r}, labels of "
            f"shape {table.shape!r}, {describe_classes(table)}"
        ]
        test = None
        if options.test_csv:
            column = options.labels.image_column or table.image_column
            ids = read_ids(options.test_csv, column, table.class_names, table.task)
            notes.append(
                f"{ids.file}: {len(ids.ids)} rows, ids in column {ids.image_column!r}, no labels"
            )
            test = ImageTable(ids, options.test_images_dir or options.images_dir)
        tables = InputTables(labelled, test)
        for one in tables.all:
            self._refuse_no_header(one)
            if one.table.ignored_columns:
                notes.append(
                    f"{one.table.file}: ignored columns {', '.join(one.table.ignored_columns)}"
                )
        return InputTables(labelled, test, tuple(notes))

    def _refuse_no_header(self, one: ImageTable) -> None:
        """Without a header, the first image would be taken for the columns' names, and be lost."""
        column = one.table.image_column
        if column in (*IMAGE_COLUMNS, self.options.labels.image_column):
            return
        file = file_name(column, self.options.extension)
        if storage.exists(storage.join(one.images_dir, file)):
            raise OrchardError(
                f"{one.table.file}, row 1: {column!r} is an image ({file}), where the columns' "
                f"names belong; put a header above it, or, if it is one, pass "
                f"--image_column={column}"
            )


def describe_classes(table: LabelTable) -> str:
    """Task and classes of a table, in one phrase."""
    names = ", ".join(table.class_names[:_MAX_NAMES_SHOWN])
    more = ", ..." if len(table.class_names) > _MAX_NAMES_SHOWN else ""
    return f"{table.task}, {len(table.class_names)} classes: {names}{more}"
