"""Records to batches, in an order that is a pure function of (seed, epoch).

Readers give checked bytes, `decode` makes pixels of them, the pipeline makes batches.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.data import pipeline
    from trainer.data.decode import (
        SCALES,
        CropRange,
        RandomCrop,
        decode_image,
        decode_sizes,
        fit_image,
        smallest_scale,
    )
    from trainer.data.gcs_reads import read_options
    from trainer.data.load import all_folds, load_records, set_gcs_read_options, split_names
    from trainer.data.options import ALL_FOLDS, RESIZES, DatasetOptions, InputOptions, ReadOptions
    from trainer.data.order import OrderOptions, TrainOrder
    from trainer.data.pipeline import (
        ViewDraw,
        damage_named,
        encoded_batches,
        eval_batches,
        train_batches,
        view_batches,
    )
    from trainer.data.readers import FileSource, read_few, read_records
    from trainer.data.records import RecordTable, check_labelled
    from trainer.data.soft_labels import mix_soft_labels
    from trainer.data.upright import decode_upright, upright_decoder

__all__ = [
    "ALL_FOLDS",
    "CropRange",
    "DatasetOptions",
    "FileSource",
    "InputOptions",
    "OrderOptions",
    "RESIZES",
    "RandomCrop",
    "ReadOptions",
    "RecordTable",
    "SCALES",
    "TrainOrder",
    "ViewDraw",
    "all_folds",
    "check_labelled",
    "damage_named",
    "decode_image",
    "decode_sizes",
    "decode_upright",
    "encoded_batches",
    "eval_batches",
    "fit_image",
    "load_records",
    "mix_soft_labels",
    "pipeline",
    "read_few",
    "read_options",
    "read_records",
    "set_gcs_read_options",
    "smallest_scale",
    "split_names",
    "train_batches",
    "upright_decoder",
    "view_batches",
]

__getattr__, __dir__ = attach(__name__)
