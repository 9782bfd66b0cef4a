r"""A contact sheet of what the network will see, as PNG.

    python -m trainer.preview --dataset=DIR/NAME/VERSION --output=sheet.png [--split=train] \
        [--image_size=224] [--flips=both --rotate_degrees=15 --mixup_alpha=0.2 ...]

One row an image: as evaluation sees it, then as training sees it in one epoch after another. With
--each there is one row an augmentation instead, which shows it alone.
"""

import dataclasses

import numpy as np
import tensorflow as tf
from absl import flags
from PIL import Image, ImageDraw

from data_prep import cli, storage, tfrecord
from data_prep.errors import OrchardError
from trainer import augment, augment_draw, decode, readers
from trainer.augment_options import AugmentOptions
from trainer.config import parse_image_size
from trainer.records import RecordTable, load_records

_DATASET = flags.DEFINE_string("dataset", "", "Dataset directory: DATA_DIR/NAME/VERSION.")
_SPLIT = flags.DEFINE_string("split", "", "Splits such as train or fold0; default: the first.")
_OUTPUT = flags.DEFINE_string("output", "", "PNG to write.")
_IMAGE_SIZE = flags.DEFINE_string("image_size", "160", "N or HEIGHTxWIDTH in px.")
_RESIZE = flags.DEFINE_enum("resize", "squash", decode.RESIZES, "How an image meets the size.")
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
# What --each shows, one after the other, at strengths that can be seen.
_SINGLE = {
    "flips": AugmentOptions(flips="both"),
    "quarter turns": AugmentOptions(flips="none", quarter_turns=True),
    "random crops": AugmentOptions(flips="none", crop_min_area=0.2),
    "rotation": AugmentOptions(flips="none", rotate_degrees=30),
    "shear": AugmentOptions(flips="none", shear=0.3),
    "zoom": AugmentOptions(flips="none", zoom=0.4),
    "translation": AugmentOptions(flips="none", translate=0.3),
    "brightness": AugmentOptions(flips="none", brightness=0.6),
    "contrast": AugmentOptions(flips="none", contrast=0.8),
    "saturation": AugmentOptions(flips="none", saturation=1.0),
    "erasing": AugmentOptions(flips="none", erase=1.0),
    "RandAugment": AugmentOptions(flips="none", randaugment_ops=2),
    "mixup": AugmentOptions(flips="none", mixup_alpha=1.0),
    "cutmix": AugmentOptions(flips="none", cutmix_alpha=1.0),
}
_GAP_PX = 6
_TEXT_LINES, _TEXT_PX = 2, 26


def main(argv: list[str]) -> None:
    """Write the sheet."""
    del argv
    if not (_DATASET.value and _OUTPUT.value.lower().endswith(".png")):
        raise OrchardError("pass --dataset=DIR/NAME/VERSION and --output=FILE.png")
    options = AugmentOptions(**{name: flag.value for name, flag in _FLAGS.items()})
    height_px, width_px = parse_image_size(_IMAGE_SIZE.value)
    records = load_records(_DATASET.value, _SPLIT.value or _first_split(_DATASET.value))
    gids = np.unique(np.linspace(0, len(records) - 1, _IMAGES.value).astype(np.int64))
    gids = gids[: len(gids) // 2 * 2]  # Mixing wants pairs.
    view = _Viewer(records, gids, height_px, width_px)
    rows = _single_rows(view) if _EACH.value else _epoch_rows(view, options)
    sheet = draw_sheet(rows, height_px, width_px)
    storage.write_bytes(_OUTPUT.value, tf.io.encode_png(np.asarray(sheet)).numpy())
    print(_OUTPUT.value)


class _Viewer:
    """Some records, as evaluation and as training see them."""

    def __init__(self, records: RecordTable, gids: np.ndarray, height_px: int, width_px: int):
        self.records, self.gids = records, gids
        self._size = (height_px, width_px)
        examples = readers.read_few(records, gids)
        self._encoded = [tfrecord.decode_example(e)[records.image_key][0] for e in examples]

    def plain(self) -> np.ndarray:
        """The images as evaluation sees them, uint8 [n, height, width, 3]."""
        return np.stack([decode.decode_image(e, *self._size, _RESIZE.value) for e in self._encoded])

    def augmented(self, epoch: int, options: AugmentOptions) -> tuple[np.ndarray, np.ndarray]:
        """The images and targets of an epoch, uint8 [n, height, width, 3] and [n, num_classes]."""
        images = self._cropped(epoch, options) if options.crops else self.plain()
        parameters = augment.draw(_SEED.value, epoch, self.gids, options)
        changed = augment.apply(images, parameters, options)
        targets = np.maximum(self.records.targets[self.gids], 0)
        changed, targets = augment.mix(changed, tf.constant(targets), parameters, options)
        return np.asarray(changed + 0.5).astype(np.uint8), np.asarray(targets)

    def _cropped(self, epoch: int, options: AugmentOptions) -> np.ndarray:
        draws = augment_draw.draw_crops(_SEED.value, epoch, self.gids)
        crop_range = decode.CropRange(options.crop_min_area, options.crop_max_aspect)
        return np.stack(
            [
                decode.decode_image(e, *self._size, crop_draws=d, crop_range=crop_range)
                for e, d in zip(self._encoded, draws, strict=True)
            ]
        )

    def caption(self, target: np.ndarray) -> str:
        """The classes of a target, the largest first, with their shares where they are mixed."""
        largest_first = [c for c in np.argsort(-target, kind="stable") if target[c] > 0.005]
        shares = [(self.records.class_names[c], target[c]) for c in largest_first]
        return "\n".join(n if share > 0.995 else f"{n} {share:.2f}" for n, share in shares)


Cell = tuple[str, np.ndarray]


def _epoch_rows(view: _Viewer, options: AugmentOptions) -> list[list[Cell]]:
    plain = view.plain()
    rows = [
        [(str(view.records.ids[gid]), image)] for gid, image in zip(view.gids, plain, strict=True)
    ]
    for epoch in range(_EPOCHS.value):
        images, targets = view.augmented(epoch, options)
        for row, image, target in zip(rows, images, targets, strict=True):
            row.append((view.caption(target), image))
    return rows


def _single_rows(view: _Viewer) -> list[list[Cell]]:
    rows = []
    for name, options in _SINGLE.items():
        epochs = [view.augmented(epoch, options) for epoch in range(_EPOCHS.value)]
        cells = [(view.caption(targets[0]), images[0]) for images, targets in epochs]
        rows.append([(name, view.plain()[0]), *cells])
    return rows


def draw_sheet(rows: list[list[Cell]], height_px: int, width_px: int) -> Image.Image:
    """Lays out captioned images, uint8 [height, width, 3], in a grid."""
    step_y, step_x = height_px + _TEXT_PX + _GAP_PX, width_px + _GAP_PX
    size = (step_x * max(map(len, rows)) + _GAP_PX, step_y * len(rows) + _GAP_PX)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for y, row in enumerate(rows):
        for x, (caption, image) in enumerate(row):
            corner = (_GAP_PX + x * step_x, _GAP_PX + y * step_y)
            pen.text(corner, _shortened(pen, caption, width_px), fill="black")
            sheet.paste(Image.fromarray(image), (corner[0], corner[1] + _TEXT_PX))
    return sheet


def _shortened(pen: ImageDraw.ImageDraw, text: str, width_px: int) -> str:
    lines = text.split("\n")[:_TEXT_LINES]
    for number, line in enumerate(lines):
        while pen.textlength(lines[number]) > width_px:
            line = lines[number] = line[:-1]
    return "\n".join(lines)


def _first_split(dataset_dir: str) -> str:
    from data_prep.manifest import load_manifest

    return next(iter(load_manifest(dataset_dir).splits))


if __name__ == "__main__":
    cli.run(main)
