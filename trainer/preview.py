r"""A contact sheet of what the network will see, as PNG.

    python -m trainer.preview --dataset=DIR/NAME/VERSION --output=sheet.png [--split=train] \
        [--image_size=224] [--flips=both --rotate_degrees=15 --mixup_alpha=0.2 ...]

One row an image: as evaluation sees it, then as training sees it in one epoch after another. With
--each there is one row an augmentation instead, which shows it alone.
"""

import io
from dataclasses import dataclass, field

import numpy as np

from orchard import cli, flags, storage
from orchard.errors import OrchardError
from orchard.flags import Options, option, required
from trainer.augment import AugmentOptions
from trainer.data import RESIZES, load_records, split_names
from trainer.models import parse_image_size


@dataclass(frozen=True, kw_only=True)
class PreviewOptions(Options, group="sheet"):
    """What to show."""

    dataset: str = field(metadata=required("Dataset directory: DATA_DIR/NAME/VERSION."))
    split: str = option("", "Splits such as train or fold0; default: the first.")
    output: str = field(metadata=required("PNG to write."))
    image_size: str = option("160", "N or HEIGHTxWIDTH in px.")
    resize: str = option("squash", "How an image is fitted to the size.", choices=RESIZES)
    images: int = option(6, "Rows: images of the split, evenly spread.", at_least=2)
    epochs: int = option(6, "Columns: epochs.", at_least=1)
    seed: int = option(0, "Seed of the draws, as in training.", at_least=0, at_most=2**32 - 1)
    each: bool = option(False, "One row an augmentation, each alone.")

    def check(self) -> None:
        """Refuse what is no size and no PNG."""
        super().check()
        parse_image_size(self.image_size)
        if not self.output.lower().endswith(".png"):
            raise OrchardError(f"--output={self.output}: name a .png file")


OPTIONS = (PreviewOptions, AugmentOptions)


def main() -> None:
    """Write the sheet."""
    options, augment = flags.build(PreviewOptions), flags.build(AugmentOptions)
    height_px, width_px = parse_image_size(options.image_size)
    records = load_records(options.dataset, options.split or split_names(options.dataset)[0])
    if len(records) < 2:
        raise OrchardError(
            f"{options.dataset}: split {'+'.join(records.splits)} has one record; mixing needs "
            "two: choose another --split"
        )
    gids = np.unique(np.linspace(0, len(records) - 1, options.images).astype(np.int64))
    gids = gids[: len(gids) // 2 * 2]  # Mixing wants pairs.
    # TensorFlow takes seconds to start: after the flags, so that their errors come at once.
    from trainer import contact_sheet

    view = contact_sheet.Viewer(records, gids, (height_px, width_px), options.resize, options.seed)
    if options.each:
        rows = contact_sheet.single_rows(view, options.epochs)
    else:
        rows = contact_sheet.epoch_rows(view, augment, options.epochs)
    png = io.BytesIO()
    contact_sheet.draw_sheet(rows, height_px, width_px).save(png, "PNG")
    storage.write_bytes(options.output, png.getvalue())
    print(options.output)


if __name__ == "__main__":
    cli.run(main, *OPTIONS)
