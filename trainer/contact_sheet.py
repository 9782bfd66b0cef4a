"""What the network will see, drawn: images beside what augmentation makes of them."""

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw

from orchard.formats import tfrecord
from trainer.augment import AugmentOptions, augment_batch, draw_crops, draw_eagerly, mix_batch
from trainer.data import CropRange, RandomCrop, RecordTable, decode_image, read_few

Cell = tuple[str, np.ndarray]
_GAP_PX = 6
_LEAST_SIDE_PX = 64  # Below, captions are cut off, and nobody sees anything.
_TEXT_LINES, _TEXT_PX = 2, 26


class Viewer:
    """Some records, as evaluation and as training see them.

    Args:
        records: of the dataset.
        gids: int64 [n], which of them; an even number, since mixing wants pairs.
        size_px: height and width.
        resize: what happens where the aspect differs.
        seed: of the draws, as in training.
    """

    def __init__(
        self,
        records: RecordTable,
        gids: np.ndarray,
        size_px: tuple[int, int],
        resize: str,
        seed: int,
    ):
        self.records, self.gids = records, gids
        self._size, self._resize, self._seed = size_px, resize, seed
        examples = read_few(records, gids.tolist())
        self._encoded = [tfrecord.Example(e).bytes_of(records.image_key) for e in examples]

    @property
    def square(self) -> bool:
        """Whether the images are square."""
        return self._size[0] == self._size[1]

    def plain(self) -> np.ndarray:
        """The images as evaluation sees them, uint8 [n, height, width, 3]."""
        return np.stack([decode_image(e, *self._size, self._resize) for e in self._encoded])

    def augmented(self, epoch: int, options: AugmentOptions) -> tuple[np.ndarray, np.ndarray]:
        """The images and targets of an epoch, uint8 [n, height, width, 3] and [n, num_classes]."""
        images = self._cropped(epoch, options) if options.crops else self.plain()
        parameters = draw_eagerly(self._seed, epoch, self.gids, options)
        changed = augment_batch(images, parameters, options)
        targets = np.maximum(self.records.targets[self.gids], 0)
        changed, targets = mix_batch(changed, tf.constant(targets), parameters, options)
        return np.asarray(changed + 0.5).astype(np.uint8), np.asarray(targets)

    def _cropped(self, epoch: int, options: AugmentOptions) -> np.ndarray:
        draws = draw_crops(self._seed, epoch, self.gids)
        crop_range = CropRange(options.crop_min_area, options.crop_max_aspect)
        return np.stack(
            [
                decode_image(e, *self._size, crop=RandomCrop(d, crop_range))
                for e, d in zip(self._encoded, draws, strict=True)
            ]
        )

    def caption(self, target: np.ndarray) -> str:
        """The classes of a target, the largest first, with their shares where they are mixed."""
        largest_first = [c for c in np.argsort(-target, kind="stable") if target[c] > 0.005]
        shares = [(self.records.class_names[c], target[c]) for c in largest_first]
        return "\n".join(n if share > 0.995 else f"{n} {share:.2f}" for n, share in shares)


def epoch_rows(view: Viewer, options: AugmentOptions, num_epochs: int) -> list[list[Cell]]:
    """One row an image: plain, then as one epoch after another has it."""
    plain = view.plain()
    rows = [
        [(str(view.records.ids[gid]), image)] for gid, image in zip(view.gids, plain, strict=True)
    ]
    for epoch in range(num_epochs):
        images, targets = view.augmented(epoch, options)
        for row, image, target in zip(rows, images, targets, strict=True):
            row.append((view.caption(target), image))
    return rows


def single_rows(view: Viewer, num_epochs: int) -> list[list[Cell]]:
    """One row an augmentation, alone, on the first image; those of squares for squares only."""
    rows = []
    for augmentation in AugmentOptions.ordered():
        if augmentation.needs_square and not view.square:
            continue
        for name, values in augmentation.sheet.items():
            options = AugmentOptions.only(**values)
            epochs = [view.augmented(epoch, options) for epoch in range(num_epochs)]
            cells = [(view.caption(targets[0]), images[0]) for images, targets in epochs]
            rows.append([(name, view.plain()[0]), *cells])
    return rows


def draw_sheet(rows: list[list[Cell]], height_px: int, width_px: int) -> Image.Image:
    """Lays out captioned images, uint8 [height, width, 3], in a grid.

    Small ones are drawn a whole number of times as large, pixel by pixel.
    """
    times = -(-_LEAST_SIDE_PX // min(height_px, width_px))
    height_px, width_px = times * height_px, times * width_px
    step_y, step_x = height_px + _TEXT_PX + _GAP_PX, width_px + _GAP_PX
    size = (step_x * max(map(len, rows)) + _GAP_PX, step_y * len(rows) + _GAP_PX)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for y, row in enumerate(rows):
        for x, (caption, image) in enumerate(row):
            corner = (_GAP_PX + x * step_x, _GAP_PX + y * step_y)
            pen.text(corner, _shortened(pen, caption, width_px), fill="black")
            enlarged = image.repeat(times, axis=0).repeat(times, axis=1)
            sheet.paste(Image.fromarray(enlarged), (corner[0], corner[1] + _TEXT_PX))
    return sheet


def _shortened(pen: ImageDraw.ImageDraw, text: str, width_px: int) -> str:
    lines = text.split("\n")[:_TEXT_LINES]
    for number, line in enumerate(lines):
        while pen.textlength(lines[number]) > width_px:
            line = lines[number] = line[:-1]
    return "\n".join(lines)
