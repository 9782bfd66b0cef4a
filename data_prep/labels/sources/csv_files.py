"""`--layout=csv`: a CSV of ids and labels, and perhaps one of the ids of the split `test`."""

from data_prep.images import file_name, find_files
from data_prep.labels.csv_table import IMAGE_COLUMNS, CsvTable, find_image_column
from data_prep.labels.other_tables import read_table
from data_prep.labels.source import LABEL_SOURCES, ImageTable, InputTables, LabelSource
from data_prep.labels.table import LabelTable, labels_of_csv, read_ids
from orchard import storage
from orchard.errors import OrchardError

_MAX_NAMES_SHOWN = 20
_IDS_TRIED = 20


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
        csv = read_table(options.csv)
        self._refuse_ids_without_files(csv)
        table = labels_of_csv(csv, options.labels)
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
                ignored = ", ".join(name or "(unnamed)" for name in one.table.ignored_columns)
                notes.append(f"{one.table.file}: ignored columns {ignored}")
        return InputTables(labelled, test, tuple(notes))

    def _refuse_ids_without_files(self, csv: CsvTable) -> None:
        """Where no id has a file, but the values of another column have: name that column."""
        options = self.options
        if options.labels.image_column is not None or storage.is_remote(options.images_dir):
            return
        wanted = find_image_column(csv, None)

        def has_files(column: str) -> bool:
            sample = [cell for cell in csv.column(column)[:_IDS_TRIED] if cell]
            found = find_files(options.images_dir, sample, options.extension)
            return 2 * len(found.missing) < len(sample)

        sample = csv.column(wanted)
        if has_files(wanted) or not any(sample):
            return
        others = [name for name in csv.header if name != wanted and has_files(name)]
        if others:
            raise OrchardError(
                f"{csv.file}: there is no image {sample[0]!r} (column {wanted!r}), but column "
                f"{others[0]!r} has the names of images, such as {csv.column(others[0])[0]!r}; "
                f"pass --image_column={others[0]}"
            )

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
