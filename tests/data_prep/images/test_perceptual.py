import io

import pytest
from PIL import Image, ImageOps

from data_prep.images.perceptual import NEAR_BITS, difference_hash
from tests.data_prep.builders import (
    exif_with_a_mistyped_tag,
    picture,
    pillow_bytes,
    rotated_jpeg,
)


def distance(one, other):
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_near_duplicates_are_found_whichever_way_they_are_stored(orientation):
    data = rotated_jpeg(orientation)
    upright = pillow_bytes(ImageOps.exif_transpose(Image.open(io.BytesIO(data))), "PNG")
    assert distance(difference_hash(data), difference_hash(upright)) <= NEAR_BITS


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("JPEG", "CMYK"), ("JPEG", "RGB")])
def test_a_mistyped_exif_tag_keeps_no_near_duplicate_from_being_found(kind, mode):
    data = pillow_bytes(picture().convert(mode), kind, exif=exif_with_a_mistyped_tag(6))
    plain = pillow_bytes(picture().convert(mode).transpose(Image.Transpose.ROTATE_270), kind)
    assert distance(difference_hash(data), difference_hash(plain)) <= NEAR_BITS


def test_shapes_cut_out_of_black_are_told_apart():
    left, top = Image.new("RGBA", (32, 32)), Image.new("RGBA", (32, 32))
    left.paste((0, 0, 0, 255), (0, 0, 16, 32))
    top.paste((0, 0, 0, 255), (0, 0, 32, 16))
    hashes = [difference_hash(pillow_bytes(image, "PNG")) for image in (left, top)]
    assert distance(*hashes) > NEAR_BITS
