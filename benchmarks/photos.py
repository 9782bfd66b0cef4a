"""Folders of made-up photos with their labels: JPEGs with the texture of photos, of any size."""

import os

import numpy as np
import pandas as pd
from PIL import Image

NUM_CLASSES = 4


def write_photos(
    folder: str,
    count: int,
    size_px: tuple[int, int],
    coarse_px: tuple[int, int],
    quality: int = 90,
) -> tuple[str, str]:
    """Write photos, and a CSV that gives each of them one of four classes in turn.

    Args:
        folder: where to; made where it is missing.
        count: of photos.
        size_px: their height and width.
        coarse_px: rows and columns of the noise that is enlarged to them.
        quality: of the JPEGs.

    Returns:
        The CSV and the folder of the images.
    """
    images, csv = os.path.join(folder, "images"), os.path.join(folder, "labels.csv")
    os.makedirs(images)
    rng = np.random.default_rng(0)
    height, width = size_px
    for at in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (*coarse_px, 3), dtype=np.uint8))
        photo = coarse.resize((width, height), Image.Resampling.BICUBIC)
        photo.save(os.path.join(images, f"{at}.jpg"), quality=quality)
    names = [f"class{at % NUM_CLASSES}" for at in range(count)]
    pd.DataFrame({"image": list(map(str, range(count))), "label": names}).to_csv(csv, index=False)
    return csv, images
