"""`--layout=folders`: the folder of an image is its class, and no CSV is needed.

`--images_dir` holds one folder a class, or `train` and `test` with such folders; `test` may hold
images directly, too. The images of `test` are the split `test`, which has no labels.

The dataset is, byte for byte, that of the CSV that says the same: a header `image_id,label`, then a
row an image, sorted by their paths within `--images_dir`, which are the ids (`cat/001.jpg`). For
`test` it is a `--test_csv` with the one column `image_id` (`test/001.jpg`). Row numbers in messages
and in the index are those of this CSV.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from data_prep.images import is_image_name, is_litter
from data_prep.labels.csv_table import CsvTable, parse_csv
from data_prep.labels.source import LABEL_SOURCES, ImageTable, InputTables, LabelSource
from data_prep.labels.sources.csv_files import describe_classes
from data_prep.labels.table import ids_of_csv, labels_of_csv, rows_as_csv
from orchard import storage
from orchard.errors import OrchardError

_TRAIN, _TEST = "train", "test"


@dataclass(frozen=True)
class _Folder:
    """A folder's content, sorted, without litter; `path` is its place in the images folder."""

    path: str
    folders: tuple[str, ...]
    images: tuple[str, ...]

    def paths(self) -> list[str]:
        return [_join(self.path, image) for image in self.images]


@LABEL_SOURCES.register("folders")
class FolderSource(LabelSource):
    """Reads the labels from the names of folders."""

    def check(self) -> None:
        """Refuse what only a CSV can have."""
        options, labels = self.options, self.options.labels
        for flag, value in (
            ("csv", options.csv),
            ("test_csv", options.test_csv),
            ("test_images_dir", options.test_images_dir),
            ("image_column", labels.image_column),
            ("label_columns", ",".join(labels.label_columns)),
            ("group_column", labels.group_column),
            ("split_column", labels.split_column),
            ("time_column", labels.time_column),
            ("label_delimiter", labels.label_delimiter),
        ):
            if value:
                raise OrchardError(
                    f"--{flag}={value} does not go with --layout=folders, which reads no CSV; "
                    "leave one of them out"
                )
        if labels.label_shape not in ("auto", "name"):
            raise OrchardError(
                f"--label_shape={labels.label_shape}: with --layout=folders each image has the one "
                "class of its folder; leave it out"
            )

    def read(self) -> InputTables:
        """List all folders.

        Raises:
            OrchardError: they are not one folder of images a class.
        """
        root = self._list("")
        if set(root.folders) in ({_TRAIN}, {_TRAIN, _TEST}):
            self._refuse_images(root)
            classes = self._classes(self._list(_TRAIN))
            test = self._test_images() if _TEST in root.folders else []
        else:
            classes, test = self._classes(root), []
        rows = sorted((path, name) for name, folder in classes.items() for path in folder.paths())
        csv = self._as_csv(("image_id", "label"), rows)
        table = labels_of_csv(csv, replace(self.options.labels, label_shape="name"))
        notes = [
            f"{self.options.images_dir}: {len(rows)} images in one folder a class, "
            f"{describe_classes(table)}"
        ]
        labelled = ImageTable(table, self.options.images_dir)
        if not test:
            return InputTables(labelled, None, tuple(notes))
        ids = ids_of_csv(
            self._as_csv(("image_id",), [(path,) for path in test]),
            "image_id",
            table.class_names,
            table.task,
        )
        notes.append(f"{self._show(_TEST)}: {len(test)} images without labels: the split `test`")
        return InputTables(labelled, ImageTable(ids, self.options.images_dir), tuple(notes))

    def _classes(self, parent: _Folder) -> dict[str, _Folder]:
        """The folders of the classes, by name."""
        self._refuse_images(parent)
        if not parent.folders:
            raise OrchardError(
                f"{self._show(parent.path)} is empty; --layout=folders needs one folder a class "
                "there, with images in it"
            )
        return {name: self._images(_join(parent.path, name)) for name in parent.folders}

    def _test_images(self) -> list[str]:
        """The images of `test`, which lie there directly or in folders; sorted by their paths."""
        test = self._list(_TEST)
        if test.images and not test.folders:
            return test.paths()
        # Their names would be labels; the split `test` has none.
        return sorted(path for folder in self._classes(test).values() for path in folder.paths())

    def _images(self, path: str) -> _Folder:
        parent, _, name = path.rpartition("/")
        if name != name.strip():
            raise OrchardError(
                f"{self._show(parent)}: {name!r} cannot be a class name: it has a space at an end; "
                "rename the folder"
            )
        folder = self._list(path)
        if folder.folders:
            raise OrchardError(
                f"{self._show(path)} holds the folder {folder.folders[0]!r}, but a class is one "
                "folder of images; move its images up (beside `train`, only `test` may hold "
                "classes: for other held-out images pass --eval_fraction)"
            )
        if not folder.images:
            raise OrchardError(
                f"{self._show(path)} holds no image, so class {name!r} has none; remove the folder"
            )
        return folder

    def _refuse_images(self, folder: _Folder) -> None:
        if folder.images:
            beside = " beside its folders" if folder.folders else ""
            raise OrchardError(
                f"{self._show(folder.path)} holds {len(folder.images)} images{beside}, the first "
                f"is {folder.images[0]!r}; --layout=folders needs each in the folder of its class"
            )

    def _list(self, path: str) -> _Folder:
        """What is in a folder.

        Raises:
            OrchardError: there is no such folder, or it holds a file that is no image.
        """
        place = storage.join(self.options.images_dir, path) if path else self.options.images_dir
        if not storage.exists(place):
            raise OrchardError(f"{place}: no such folder of images; correct --images_dir")
        folders, images = [], []
        for name in storage.list_names(place):
            if is_litter(name):
                continue
            if not _can_stand_in_csv(name):
                raise OrchardError(
                    f"{place}: the name {name!r} is not UTF-8, or has a line break; rename it"
                )
            if is_image_name(name, self.options.extension):
                images.append(name)
            elif _is_folder(storage.join(place, name)):
                folders.append(name)
            else:
                raise OrchardError(
                    f"{storage.join(place, name)} is no image by its name; remove it, or, if it is "
                    "one, name its ending in --extension"
                )
        return _Folder(path, tuple(folders), tuple(images))

    def _as_csv(self, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> CsvTable:
        return parse_csv(rows_as_csv(header, rows), self.options.images_dir.rstrip("/"))

    def _show(self, path: str) -> str:
        return storage.join(self.options.images_dir, path) if path else self.options.images_dir


def _join(folder: str, name: str) -> str:
    """A path within the images folder, which has `/` on every system."""
    return f"{folder}/{name}" if folder else name


def _is_folder(place: str) -> bool:
    # In a bucket a folder is what has something in it.
    return os.path.isdir(place) or bool(storage.list_names(place))


def _can_stand_in_csv(name: str) -> bool:
    """Whether a name is UTF-8 (Python has other bytes as lone surrogates) and of one line."""
    return not re.search(r"[\r\n\ud800-\udfff]", name)
