r"""A contact sheet of what the network will see, as PNG.

    python -m trainer.preview --dataset=DIR/NAME/VERSION --output=sheet.png [--split=train] \
        [--image_size=224] [--flips=both --rotate_degrees=15 --mixup_alpha=0.2 ...]

One row an image: as evaluation sees it, then as training sees it in one epoch after another. With
--each there is one row an augmentation instead, which shows it alone.
"""

import dataclasses
import io

import numpy as np
from absl import flags

from orchard import cli, storage
from orchard.errors import OrchardError
from trainer.augment import AugmentOptions
from trainer.config import TrainConfig, parse_image_size
from trainer.data import load_records, split_names

_DATASET = flags.DEFINE_string("dataset", "", "Dataset directory: DATA_DIR/NAME/VERSION.")
_SPLIT = flags.DEFINE_string("split", "", "Splits such as train or fold0; default: the first.")
_OUTPUT = flags.DEFINE_string("output", "", "PNG to write.")
_IMAGE_SIZE = flags.DEFINE_string("image_size", "160", "N or HEIGHTxWIDTH in px.")
_RESIZES = TrainConfig.__dataclass_fields__["resize"].metadata["choices"]
_RESIZE = flags.DEFINE_enum("resize", "squash", _RESIZES, "How an image meets the size.")
_IMAGES = flags.DEFINE_integer("images", 6, "Rows: images of the split, evenly spread.", 2)
_EPOCHS = flags.DEFINE_integer("epochs", 6, "Columns: epochs.", 1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the draws, as in training.")
_EACH = flags.DEFINE_bool("each", False, "One row an augmentation, each alone.")
_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}
_FLAGS = {
    field.name: _DEFINE[field.type](field.name, field.default, field.metadata["help"])
    for field in dataclasses.fields(AugmentOptions)
}


def main() -> None:
    """Write the sheet."""
    if not (_DATASET.value and _OUTPUT.value.lower().endswith(".png")):
        raise OrchardError("pass --dataset=DIR/NAME/VERSION and --output=FILE.png")
    options = AugmentOptions(**{name: flag.value for name, flag in _FLAGS.items()})
    height_px, width_px = parse_image_size(_IMAGE_SIZE.value)
    records = load_records(_DATASET.value, _SPLIT.value or split_names(_DATASET.value)[0])
    if len(records) < 2:
        raise OrchardError(
            f"{_DATASET.value}: split {'+'.join(records.splits)} has one record; mixing wants two: "
            "choose another --split"
        )
    gids = np.unique(np.linspace(0, len(records) - 1, _IMAGES.value).astype(np.int64))
    gids = gids[: len(gids) // 2 * 2]  # Mixing wants pairs.
    # TensorFlow takes seconds to start: after the flags, so that their errors come at once.
    from trainer import contact_sheet

    view = contact_sheet.Viewer(records, gids, (height_px, width_px), _RESIZE.value, _SEED.value)
    if _EACH.value:
        rows = contact_sheet.single_rows(view, _EPOCHS.value)
    else:
        rows = contact_sheet.epoch_rows(view, options, _EPOCHS.value)
    png = io.BytesIO()
    contact_sheet.draw_sheet(rows, height_px, width_px).save(png, "PNG")
    storage.write_bytes(_OUTPUT.value, png.getvalue())
    print(_OUTPUT.value)


if __name__ == "__main__":
    cli.run(main)
