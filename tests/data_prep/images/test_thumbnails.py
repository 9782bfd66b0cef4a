import io

import numpy as np
from PIL import Image

from data_prep.images.thumbnails import choose_samples, thumbnail
from tests.data_prep.builders import jpeg, jpeg_of_odd_sampling


def one_hot(*labels, num_classes=3):
    return np.eye(num_classes, dtype=np.float32)[list(labels)]


def test_the_first_records_of_each_class_are_chosen_across_shards():
    shards = [one_hot(0, 0, 0, 0, 0, 1), one_hot(0, 0, 1, 2), one_hot(2, 0)]
    assert choose_samples(shards) == [(0, 1, 2, 3, 4, 5), (0, 2, 3), (0,)]


def test_unlabelled_and_undecided_records_are_not_chosen():
    assert choose_samples([np.array([[-1, -1], [0.4, 0.3], [0.2, 0.8]], np.float32)]) == [(2,)]


def test_many_classes_share_the_pictures_there_are():
    shards = [one_hot(*range(150), *range(150), num_classes=1000)]
    assert choose_samples(shards) == [tuple(range(150))]


def test_a_thumbnail_is_small_and_has_the_images_proportions():
    with Image.open(io.BytesIO(thumbnail(jpeg(1, 600, 900)))) as small:
        assert small.size == (208, 139) and small.mode == "RGB"


def test_a_grey_image_has_a_grey_thumbnail():
    with Image.open(io.BytesIO(thumbnail(jpeg(1, 28, 28, grey=True)))) as small:
        assert small.size == (28, 28) and small.mode == "L"


def test_broken_pixels_give_what_can_be_seen_or_nothing_and_never_an_error():
    whole = jpeg(1, 200, 300)
    start = whole.index(b"\xff\xda")
    cut = (whole[: start + 400] + whole[-2:], whole[: start + 2] + whole[-2:])
    for broken in (*cut, jpeg_of_odd_sampling()):
        assert isinstance(thumbnail(broken), bytes)
