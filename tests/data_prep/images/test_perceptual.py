import io

import pytest
from PIL import Image, ImageOps

from data_prep.images.perceptual import NEAR_BITS, difference_hash
from tests.data_prep.builders import (
    exif_with_a_mistyped_tag,
    jpeg,
    picture,
    pillow_bytes,
    rotated_jpeg,
)


def distance(one, other):
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_difference_hash_of_rotated_copies_is_near(orientation):
    data = rotated_jpeg(orientation)
    upright = pillow_bytes(ImageOps.exif_transpose(Image.open(io.BytesIO(data))), "PNG")
    assert distance(difference_hash(data), difference_hash(upright)) <= NEAR_BITS


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("JPEG", "CMYK"), ("JPEG", "RGB")])
def test_difference_hash_with_a_mistyped_exif_tag_is_near(kind, mode):
    data = pillow_bytes(picture().convert(mode), kind, exif=exif_with_a_mistyped_tag(6))
    plain = pillow_bytes(picture().convert(mode).transpose(Image.Transpose.ROTATE_270), kind)
    assert distance(difference_hash(data), difference_hash(plain)) <= NEAR_BITS


def test_difference_hash_of_shapes_on_transparency_tells_them_apart():
    left, top = Image.new("RGBA", (32, 32)), Image.new("RGBA", (32, 32))
    left.paste((0, 0, 0, 255), (0, 0, 16, 32))
    top.paste((0, 0, 0, 255), (0, 0, 32, 16))
    hashes = [difference_hash(pillow_bytes(image, "PNG")) for image in (left, top)]
    assert distance(*hashes) > NEAR_BITS


def test_difference_hash_of_re_encoded_and_resized_copies_is_near_and_of_others_far():
    from io import BytesIO

    from PIL import Image

    original = jpeg(1, 300, 400, quality=95)
    image = Image.open(BytesIO(original))
    copies = [
        jpeg(1, 300, 400, quality=40),
        pillow_bytes(image.resize((200, 150)), "JPEG", quality=90),
        pillow_bytes(image, "PNG"),
    ]
    for copy in copies:
        assert distance(difference_hash(original), difference_hash(copy)) <= NEAR_BITS
    others = [
        distance(difference_hash(original), difference_hash(jpeg(s, 300, 400)))
        for s in range(2, 30)
    ]
    assert min(others) > 4 * NEAR_BITS


def test_difference_hash_of_no_image_raises_value_error():
    with pytest.raises(ValueError):
        difference_hash(b"no image")
