"""A label CSV and a folder of images to a TFRecord dataset.

    python -m data_prep.main --csv=train.csv --images_dir=images --name=plants --version=1.0.0
    --data_dir=DIR

Run again with the same flags it goes on where it stopped, and changes nothing once it has finished.
"""

from absl import flags

from data_prep.config import PrepConfig
from data_prep.pipeline import prepare
from orchard import cli

_CSV = flags.DEFINE_string(
    "csv", "", "CSV of image ids and labels: a local path or a URL (gs://, s3://, ...)"
)
_IMAGES_DIR = flags.DEFINE_string(
    "images_dir", "", "Folder of the images: a local path or a URL (gs://, s3://, ...)"
)
_LAYOUT = flags.DEFINE_string(
    "layout", "csv", "csv: --csv has the labels; folders: --images_dir has one folder a class"
)
_NAME = flags.DEFINE_string("name", "", "Name of the dataset: [a-z][a-z0-9_]*, none of TFDS's own")
_VERSION = flags.DEFINE_string("version", "", "Version of the dataset: X.Y.Z")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "Where datasets lie; this one in DATA_DIR/NAME/VERSION"
)
_TEST_CSV = flags.DEFINE_string(
    "test_csv", "", "CSV of the ids of the split `test`, which has no labels"
)
_TEST_IMAGES_DIR = flags.DEFINE_string(
    "test_images_dir", "", "With --test_csv: folder of its images; default: --images_dir"
)
_IMAGE_COLUMN = flags.DEFINE_string(
    "image_column", "", "Column of the ids; default: image_id, image, ... or the first"
)
_LABEL_COLUMNS = flags.DEFINE_list(
    "label_columns", [], "Columns of the labels; default: all others"
)
_LABEL_SHAPE = flags.DEFINE_string(
    "label_shape",
    "auto",
    "auto, or columns (one a class), name (one class a row), names (several, by spaces)",
)
_TASK = flags.DEFINE_string("task", "auto", "auto, single_label or multi_label")
_CLASS_NAMES = flags.DEFINE_list(
    "class_names", [], "All classes, in their order; default: those found, sorted"
)
_EXTENSION = flags.DEFINE_string(
    "extension", ".jpg", "What an id without an ending needs to be a file name"
)
_FOLDS = flags.DEFINE_integer("folds", 0, "Cut into this many stratified splits fold0, fold1, ...")
_EVAL_FRACTION = flags.DEFINE_float(
    "eval_fraction", 0.0, "Or hold this share out as split `eval`, the rest is `train`"
)
_GROUP_COLUMN = flags.DEFINE_string(
    "group_column",
    "",
    "With --folds or --eval_fraction: rows with one value here stay in one split",
)
_NEAR_DUPLICATES = flags.DEFINE_bool(
    "near_duplicates", False, "Keep images that look alike in one split, too"
)
_SHORT_SIDE = flags.DEFINE_integer(
    "short_side", 0, "Shrink to this many pixels on the short side; 0: do not"
)
_MAX_SIDE = flags.DEFINE_integer(
    "max_side", 0, "Or shrink to this many pixels on the long side; 0: do not"
)
_SQUARE = flags.DEFINE_integer(
    "square",
    0,
    "Or shrink both sides to this many pixels, whatever the aspect: what the trainer's "
    "--resize=squash does at each reading, once; 0: do not",
)
_JPEG_QUALITY = flags.DEFINE_integer(
    "jpeg_quality", 95, "Quality of what has to be encoded: 1 to 100"
)
_JPEG_CHROMA = flags.DEFINE_string(
    "jpeg_chroma", "4:2:0", "Chroma of what has to be encoded: 4:2:0 or 4:4:4"
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels", 100_000_000, "Refuse larger images: a broken header or a bomb"
)
_DECODE_CHECK = flags.DEFINE_bool(
    "decode_check", False, "Decode every image before anything is written"
)
_ON_BAD = flags.DEFINE_string(
    "on_bad", "fail", "Bad rows: fail (write nothing) or skip (leave them out)"
)
_SHARD_MB = flags.DEFINE_integer("shard_mb", 128, "Largest mean size of a shard, in MB")
_HOSTS = flags.DEFINE_integer(
    "hosts", 1, "Most hosts that will read: the number of shards is a multiple"
)
_WORKERS = flags.DEFINE_integer("workers", 0, "Processes; 0: one a core")
_ENGINE = flags.DEFINE_string("engine", "local", "local (a process pool) or beam (Apache Beam)")
_BEAM_OPTIONS = flags.DEFINE_string(
    "beam_options", "", "Beam's own flags, in one string, for --engine=beam"
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Replace the dataset of this name and version, whole or damaged"
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of order and splits")


def _config() -> PrepConfig:
    return PrepConfig(
        layout=_LAYOUT.value,
        csv=_CSV.value,
        images_dir=_IMAGES_DIR.value,
        name=_NAME.value,
        version=_VERSION.value,
        data_dir=_DATA_DIR.value,
        image_column=_IMAGE_COLUMN.value or None,
        label_columns=tuple(_LABEL_COLUMNS.value),
        label_shape=_LABEL_SHAPE.value,
        task=_TASK.value,
        class_names=tuple(_CLASS_NAMES.value),
        extension=_EXTENSION.value,
        test_csv=_TEST_CSV.value or None,
        test_images_dir=_TEST_IMAGES_DIR.value or None,
        folds=_FOLDS.value,
        eval_fraction=_EVAL_FRACTION.value,
        group_column=_GROUP_COLUMN.value or None,
        near_duplicates=_NEAR_DUPLICATES.value,
        short_side_px=_SHORT_SIDE.value,
        max_side_px=_MAX_SIDE.value,
        square_px=_SQUARE.value,
        jpeg_quality=_JPEG_QUALITY.value,
        jpeg_chroma=_JPEG_CHROMA.value,
        max_pixels=_MAX_PIXELS.value,
        decode_check=_DECODE_CHECK.value,
        on_bad=_ON_BAD.value,
        shard_mb=_SHARD_MB.value,
        hosts=_HOSTS.value,
        workers=_WORKERS.value,
        engine=_ENGINE.value,
        beam_options=_BEAM_OPTIONS.value,
        overwrite=_OVERWRITE.value,
        seed=_SEED.value,
    )


def main() -> int:
    """Prepare the dataset of the flags."""
    prepare(_config())
    return 0


if __name__ == "__main__":
    cli.run(main)
