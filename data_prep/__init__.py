"""A label CSV and a folder of images to a sharded TFRecord dataset that TFDS reads.

    from data_prep import PrepConfig, prepare

    dataset = prepare(
        PrepConfig(
            csv="train.csv", images_dir="images", name="plants", version="1.0.0", data_dir="tfds",
            folds=5,
        )
    )

The same as a TFDS builder is `CsvImages`; as a command, `python -m data_prep.main`. Start reading
in `pipeline.py`.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from data_prep.config import PrepConfig
    from data_prep.dataset import CsvImages
    from data_prep.pipeline import prepare

__all__ = ["CsvImages", "PrepConfig", "prepare"]

__getattr__, __dir__ = attach(__name__)
