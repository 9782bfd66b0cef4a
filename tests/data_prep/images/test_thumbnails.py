import io

from PIL import Image

from data_prep.images.thumbnails import thumbnail
from tests.data_prep.builders import jpeg, jpeg_of_odd_sampling


def test_thumbnail_of_a_photo_is_small_and_keeps_its_proportions():
    with Image.open(io.BytesIO(thumbnail(jpeg(1, 600, 900)))) as small:
        assert small.size == (208, 139) and small.mode == "RGB"


def test_thumbnail_of_a_gray_image_is_gray():
    with Image.open(io.BytesIO(thumbnail(jpeg(1, 28, 28, gray=True)))) as small:
        assert small.size == (28, 28) and small.mode == "L"


def test_thumbnail_of_broken_pixels_raises_nothing():
    whole = jpeg(1, 200, 300)
    start = whole.index(b"\xff\xda")
    cut = (whole[: start + 400] + whole[-2:], whole[: start + 2] + whole[-2:])
    for broken in (*cut, jpeg_of_odd_sampling()):
        assert isinstance(thumbnail(broken), bytes)
