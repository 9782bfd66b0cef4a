"""`CsvImages`: the same preparation as a TFDS builder.

    from data_prep.dataset import CsvImages

    Plants = CsvImages.define("plants", csv="train.csv", images_dir="images", folds=5)

    if __name__ == "__main__":
        builder = Plants(data_dir="tfds")
        builder.download_and_prepare()
        dataset = builder.as_dataset(split="fold0+fold1", as_supervised=True)

The guard is needed in a script: the worker processes import it again, as everywhere in Python where
they cannot be forked, and without it each would begin to prepare. In a module of its own, the
definition is what `tfds build` takes.
"""

import dataclasses
import os
import sys
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_builder

from data_prep import pipeline
from data_prep.config import PrepConfig
from data_prep.labels import LABEL_SOURCES
from data_prep.publish import features, refuse_registered_name, supervised_keys
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import FEATURES_FILE, load_manifest


class CsvImages(
    dataset_builder.FileReaderBuilder,
    skip_registration=True,  # type: ignore[call-arg]
):
    """Base of the builders that `define` makes.

    Preparing runs the engine of `data_prep.main`, which leaves the same bytes, resumes where it was
    stopped and refuses to read what it did not finish; TFDS's own writer is not involved.
    """

    SETTINGS: ClassVar[dict[str, Any]] = {}

    @classmethod
    def define(
        cls, name: str, *, images_dir: str, version: str = "1.0.0", **settings: Any
    ) -> type["CsvImages"]:
        """A builder class, registered with TFDS under `name`.

        Args:
            name: as `--name` of `data_prep.main`.
            images_dir: as `--images_dir`.
            version: as `--version`.
            **settings: further fields of `data_prep.config.PrepConfig`, such as `csv`.

        Raises:
            OrchardError: a setting is impossible, or TFDS has a dataset of that name.
            ValueError: this process has defined that name already.
        """
        settings = {"images_dir": images_dir, **settings}
        try:
            PrepConfig(name=name, version=version, data_dir="unknown", **settings)
        except TypeError as error:
            raise OrchardError(f"CsvImages.define({name!r}): {error}") from error
        refuse_registered_name(name, {one.name for one in CsvImages.__subclasses__()})
        class_name = "".join(part.capitalize() for part in name.split("_"))
        body = {
            "name": name,
            "VERSION": tfds.core.Version(version),
            "SETTINGS": settings,
            # TFDS, `tfds build` included, looks for the builder in the module that defined it.
            "__module__": sys._getframe(1).f_globals.get("__name__", __name__),
            "__doc__": f"The dataset {name!r} of the images in {images_dir}.",
        }
        return type(class_name, (CsvImages,), body)

    def config(self) -> PrepConfig:
        """The settings with which this builder prepares."""
        return PrepConfig(
            name=self.name,
            version=str(self.version),
            data_dir=os.fspath(self.data_dir_root),
            **self.SETTINGS,
        )

    def _info(self) -> tfds.core.DatasetInfo:
        # A prepared dataset needs its CSV no more: it may be read on another machine.
        data_dir = os.fspath(self.data_dir)
        if storage.exists(storage.join(data_dir, FEATURES_FILE)):
            manifest = load_manifest(data_dir)
            task, class_names = manifest.task, manifest.class_names
            has_targets = manifest.has_targets
        else:
            config = self.config()
            table = LABEL_SOURCES[config.layout](config.source_options).read().labelled.table
            task, class_names = table.task, table.class_names
            has_targets = not table.targets.are_classes
        info = tfds.core.DatasetInfo(
            builder=self,
            features=features(task, class_names, has_targets),
            supervised_keys=supervised_keys(task),
        )
        # TFDS has it as an argument of builders; ours know it from their settings.
        info.set_file_format(self.config().file_format)
        return info

    def download_and_prepare(
        self,
        *,
        download_dir: str | None = None,
        download_config: tfds.download.DownloadConfig | None = None,
        file_format: str | None = None,
        **unused: Any,
    ) -> None:
        """Prepare the dataset, unless it is there and undamaged.

        Args:
            download_dir: nothing is downloaded.
            download_config: of it, `download_mode` says whether to replace what is there.
            file_format: None or the one of the settings, `tfrecord` or `array_record`.
            **unused: TFDS's other options, which concern its own writer.

        Raises:
            OrchardError: as the command would print it.
        """
        del download_dir, unused
        wanted = self.config().file_format
        asked = getattr(file_format, "value", file_format)
        if asked not in (None, wanted):
            raise OrchardError(
                f"file_format={asked}: the settings say {wanted}; pass file_format to define"
            )
        self._download_and_prepare(None, download_config)
        self.info.read_from_directory(os.fspath(self.data_dir))

    def _download_and_prepare(
        self, dl_manager: object, download_config: tfds.download.DownloadConfig | None = None
    ) -> None:
        del dl_manager
        config = self.config()
        if download_config is not None and download_config.download_mode.overwrite_dataset:
            config = dataclasses.replace(config, overwrite=True)
        pipeline.prepare(config, own_names={self.name})
