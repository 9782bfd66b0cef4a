import io

import numpy as np
from PIL import Image

from ensemble.doubts import find_twins
from tests.trainer.datasets import jpeg, smooth_image, write_dataset
from trainer.data import load_records


def _copy(data, size, quality):
    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).resize(size).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _plain(seed):
    """A bright square on gray, at a place that no hash of 8 x 8 points tells from its neighbor."""
    pixels = np.full((128, 128, 3), 90, np.uint8)
    pixels[30:90, 30:90] = 200
    pixels[50:62, 50 + seed : 62 + seed] = 60
    return jpeg(pixels)


def _twins(tmp_path, images, labels):
    return find_twins(load_records(write_dataset(tmp_path, images, labels), "train"))


def test_find_twins_are_copies_with_other_labels_and_no_others(tmp_path):
    images = [jpeg(smooth_image(n, 96, 128)) for n in range(6)]
    images += [images[1], _copy(images[3], (128, 96), 60), images[4]]
    twins = _twins(tmp_path, images, [0, 0, 0, 0, 0, 0, 1, 1, 0])
    assert [sorted(group.tolist()) for group in twins.groups] == [[1, 6], [3, 7]]
    assert twins.of(7) == [3] and twins.of(0) == twins.of(4) == []


def test_find_twins_of_pictures_that_only_their_hashes_take_for_one_are_none(tmp_path):
    images = [_plain(0), _plain(6)]
    assert not _twins(tmp_path, images, [0, 1]).groups


def test_find_twins_counts_what_it_reads_and_passes_damage_over(tmp_path):
    images = [jpeg(smooth_image(n, 16, 16)) for n in range(3)] + [b"\xff\xd8\xff no image"]
    records = load_records(write_dataset(tmp_path, images, [0, 1, 0, 1]), "train")
    counts = []
    assert not find_twins(records, counts.append).groups and sum(counts) == 4
