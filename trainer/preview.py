r"""A contact sheet of what the network will see, as PNG.

    python -m trainer.preview --dataset=DIR/NAME/VERSION --output=sheet.png [--split=train] \
        [--recipe=best | --flagfile=TRAINING.flags] \
        [--image_size=224] [--flips=both --rotate_degrees=15 --mixup_alpha=0.2 ...]

One row an image: as evaluation sees it, then as training sees it in one epoch after another. With
--each there is one row an augmentation instead, which shows it alone.

It takes every flag of trainer.main, so that a training's own command can be shown; those of size,
resizing, augmentation and seed matter here.
"""

if __name__ == "__main__":
    from orchard import ctrl_c

    ctrl_c.end_at_once()  # Before the imports, which take a while.

import io
import sys
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from absl.flags import FLAGS

from orchard import cli, storage
from orchard.errors import OrchardError
from orchard.flags import option, required
from trainer.command_line import RecipeOptions, build_with_recipe
from trainer.config import TrainConfig
from trainer.data import load_records, split_names
from trainer.models import parse_image_size

_IMAGE_SIZE = "160"  # Where no network says its own.


@dataclass(frozen=True, kw_only=True)
class PreviewConfig(TrainConfig, group="sheet"):
    """What to show of which training; a training is checked where it names its network."""

    GROUPS: ClassVar[tuple[str, ...]] = ("sheet", *TrainConfig.GROUPS)

    output: str = field(metadata=required("PNG to write."))
    split: str = option("", "Splits such as train or fold0; default: --train_split, or the first.")
    images: int = option(6, "Rows: images of the split, evenly spread.", at_least=2)
    columns: int = option(6, "Columns: epochs.", at_least=1)
    each: bool = option(False, "One row an augmentation, each alone.")
    architecture: str = option(
        "", "Network of the training: --image_size is by default its own.", group="network"
    )
    run_dir: str = option("", "Of the training; nothing is written there.", group="bookkeeping")

    def check(self) -> None:
        """Refuse what is no size and no PNG, and a training that could not be."""
        if not self.output.lower().endswith(".png"):
            raise OrchardError(f"--output={self.output}: name a .png file")
        if self.architecture:
            super().check()
            return
        self.check_square()

    def _size_px(self) -> tuple[int, int]:
        if self.architecture:
            return super()._size_px()
        return parse_image_size(self.image_size or _IMAGE_SIZE)


OPTIONS = (PreviewConfig, RecipeOptions)


def main() -> None:
    """Write the sheet."""
    _take_epochs_for_columns()
    config = build_with_recipe(PreviewConfig)
    splits = config.split or config.train_split or split_names(config.dataset)[0]
    records = load_records(config.dataset, splits)
    if len(records) < 2:
        raise OrchardError(
            f"{config.dataset}: split {'+'.join(records.splits)} has one record; mixing needs "
            "two: choose another --split"
        )
    gids = np.unique(np.linspace(0, len(records) - 1, config.images).astype(np.int64))
    gids = gids[: len(gids) // 2 * 2]  # Mixing wants pairs.
    # TensorFlow takes seconds to start: after the flags, so that their errors come at once.
    from trainer import contact_sheet

    size_px = (config.height_px, config.width_px)
    view = contact_sheet.Viewer(records, gids, size_px, config.resize, config.seed)
    if config.each:
        rows = contact_sheet.single_rows(view, config.columns)
    else:
        rows = contact_sheet.epoch_rows(view, config.augment, config.columns)
    png = io.BytesIO()
    contact_sheet.draw_sheet(rows, *size_px).save(png, "PNG")
    storage.write_bytes(config.output, png.getvalue())
    print(config.output)


def _take_epochs_for_columns() -> None:
    """Without a training, --epochs is the old name of --columns."""
    if not FLAGS["epochs"].present or FLAGS["columns"].present:
        return
    if FLAGS.architecture or FLAGS.recipe:
        return
    columns = int(FLAGS.epochs)
    if columns != FLAGS.epochs:
        raise OrchardError(f"--epochs={FLAGS.epochs:g}: give a whole number of --columns")
    FLAGS.set_default("columns", columns)
    print(
        f"note: --epochs={columns} is taken for --columns={columns}: no --architecture or --recipe "
        "says that it is a training's",
        file=sys.stderr,
    )


if __name__ == "__main__":
    cli.run(main, *OPTIONS)
