import io
import struct

import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps

from data_prep import images
from data_prep.images import PASS, REENCODE, ImageOptions
from data_prep.perceptual import NEAR_BITS, difference_hash
from tests.data_prep.builders import jpeg, pillow_bytes, pixels, rotated_jpeg

AS_IS = ImageOptions()
PNG_END = b"IEND\xaeB`\x82"


def picture(**options):
    return Image.fromarray(pixels(3, **options))


@pytest.mark.parametrize(
    "data",
    [
        jpeg(1),
        jpeg(1, grey=True),
        pillow_bytes(picture(), "JPEG", progressive=True),
        pillow_bytes(picture(), "JPEG", comment=b"\xff\xd9 not the end"),
        rotated_jpeg(1),
        jpeg(1) + b"what some cameras append",
    ],
    ids=["colour", "grey", "progressive", "comment", "upright", "appended"],
)
def test_upright_8_bit_jpegs_pass_byte_for_byte(data):
    facts = images.inspect(data, AS_IS)
    assert (facts.problem, facts.action) == (None, PASS)
    assert (facts.width_px, facts.height_px) == (32, 24)
    assert images.record_jpeg(data, AS_IS) is data


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_rotations_are_turned_upright(orientation):
    data = rotated_jpeg(orientation)
    assert images.inspect(data, AS_IS).action == REENCODE
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    result = images.record_jpeg(data, ImageOptions(jpeg_quality=98, jpeg_chroma="4:4:4"))
    assert images.inspect(result, AS_IS).action == PASS
    found = simplejpeg.decode_jpeg(result).astype(int)
    assert np.abs(found - np.asarray(upright)).mean() < 3


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (pillow_bytes(picture(), "PNG"), "PNG"),
        (pillow_bytes(picture().convert("P"), "PNG"), "PNG"),
        (pillow_bytes(picture(), "WEBP", lossless=True), "WEBP"),
        (pillow_bytes(picture().convert("CMYK"), "JPEG", quality=95), "CMYK JPEG"),
    ],
    ids=["png", "palette", "webp", "cmyk"],
)
def test_other_kinds_are_re_encoded_as_rgb(data, kind):
    facts = images.inspect(data, AS_IS)
    assert (facts.kind, facts.action, facts.problem) == (kind, REENCODE, None)
    exact = ImageOptions(jpeg_quality=98, jpeg_chroma="4:4:4")
    found = simplejpeg.decode_jpeg(images.record_jpeg(data, exact)).astype(int)
    wanted = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.abs(found - wanted).mean() < 6


def exif_with_a_mistyped_tag(orientation):
    """The orientation, and a resolution that is text where a fraction belongs."""
    entries = struct.pack("<HHHII", 2, 0x0112, 3, 1, orientation)
    entries += struct.pack("<HHI4s", 0x011A, 2, 4, b"abc\0") + b"\0\0\0\0"
    return b"Exif\0\0II*\0\x08\0\0\0" + entries


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGB"), ("WEBP", "RGB"), ("JPEG", "CMYK"), ("JPEG", "RGB")]
)
def test_a_mistyped_exif_tag_keeps_no_image_from_being_turned(kind, mode):
    exif = exif_with_a_mistyped_tag(6)
    data = pillow_bytes(picture().convert(mode), kind, exif=exif)
    plain = pillow_bytes(picture().convert(mode).transpose(Image.Transpose.ROTATE_270), kind)
    upright = simplejpeg.decode_jpeg(images.record_jpeg(data, AS_IS))
    assert upright.shape == (32, 24, 3)
    assert distance(difference_hash(data), difference_hash(plain)) <= NEAR_BITS


def distance(one, other):
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_near_duplicates_are_found_whichever_way_they_are_stored(orientation):
    data = rotated_jpeg(orientation)
    upright = pillow_bytes(ImageOps.exif_transpose(Image.open(io.BytesIO(data))), "PNG")
    assert distance(difference_hash(data), difference_hash(upright)) <= NEAR_BITS


def test_a_png_with_something_appended_is_whole():
    data = pillow_bytes(picture(), "PNG") + b"what some programs append" * 9
    assert images.inspect(data, AS_IS).problem is None


def test_what_pillow_says_of_a_damaged_file_is_the_same_each_time():
    data = pillow_bytes(picture(), "PNG")[:20] + b"\xff" * 80 + PNG_END
    reasons = {images.inspect(data, AS_IS).problem for _ in range(3)}
    assert len(reasons) == 1 and " at 0x" not in str(reasons)


def test_grey_pngs_stay_grey():
    data = pillow_bytes(picture().convert("L"), "PNG")
    assert simplejpeg.decode_jpeg_header(images.record_jpeg(data, AS_IS))[2] == "Gray"


def test_transparent_pixels_become_white():
    data = pillow_bytes(Image.new("RGBA", (16, 16), (200, 0, 0, 0)), "PNG")
    assert simplejpeg.decode_jpeg(images.record_jpeg(data, AS_IS)).min() > 250


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"", "empty file", "empty"),
        (jpeg(1)[:-40], "truncated JPEG", "no end marker"),
        (jpeg(1)[:100], "broken JPEG", "cut"),
        (b"\xff\xd8" + b"\0" * 50, "broken JPEG", "damaged"),
        (pillow_bytes(picture().convert("P"), "GIF"), "not a usable image", "GIF"),
        (pillow_bytes(picture(), "TIFF"), "not a usable image", "TIFF"),
        (b"<!DOCTYPE html>", "not a usable image", "HTML"),
        (b"hello", "not a usable image", "68 65 6c 6c"),
        (pillow_bytes(picture(), "PNG")[:20] + PNG_END, "broken image", ""),
        (pillow_bytes(picture(), "PNG")[:-60], "truncated image", "cut"),
        (pillow_bytes(picture(), "WEBP")[:-60], "truncated image", "cut"),
        (
            pillow_bytes(Image.fromarray(np.zeros((4, 4), np.uint16)), "PNG"),
            "16-bit image",
            "16",
        ),
        (
            pillow_bytes(picture(), "WEBP", save_all=True, append_images=[picture().rotate(90)]),
            "animation",
            "2 frames",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_record_can_be_made_of_is_refused(data, kind, message):
    problem = images.inspect(data, AS_IS).problem
    assert problem and problem[0] == kind
    assert message in problem[1]


def with_frame_header(data, marker, bits):
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + bytes([marker]) + data[at + 2 : at + 4] + bytes([bits]) + data[at + 5 :]


@pytest.mark.parametrize(
    ("marker", "bits", "message"),
    [(0xC1, 12, "12 bits"), (0xC9, 8, "arithmetic"), (0xC3, 8, "lossless")],
)
def test_jpegs_that_tensorflow_cannot_decode_are_refused(marker, bits, message):
    problem = images.inspect(with_frame_header(jpeg(1), marker, bits), AS_IS).problem
    assert problem[0] == "unsupported JPEG" and message in problem[1]


def test_an_exif_thumbnail_is_not_taken_for_the_end_of_a_cut_file():
    exif = Image.Exif()
    exif[0x010E] = "x" * 50 + "\xff\xd9"
    whole = pillow_bytes(picture(), "JPEG", exif=exif.tobytes() + b"\xff\xd8\xff\xd9")
    assert images.inspect(whole, AS_IS).problem is None
    assert images.inspect(whole[:-20], AS_IS).problem[0] == "truncated JPEG"


def test_too_many_pixels_are_refused_by_the_header_alone():
    problem = images.inspect(jpeg(1), ImageOptions(max_pixels=700)).problem
    assert problem == ("too many pixels", "32x24 is more than --max_pixels=700")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_limit_of_pixels_is_ours_and_not_pillows(monkeypatch, kind):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = pillow_bytes(picture(), kind, exif=exif)
    assert images.inspect(data, AS_IS).action == REENCODE
    assert images.decode_problem(data) is None
    upright = images.inspect(images.record_jpeg(data, AS_IS), AS_IS)
    assert (upright.width_px, upright.height_px) == (24, 32)
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"short_side_px": 12}, (16, 12)),
        ({"max_side_px": 20}, (20, 15)),
        ({"short_side_px": 24}, (32, 24)),
        ({"short_side_px": 100}, (32, 24)),
        ({"max_side_px": 32}, (32, 24)),
        ({"square_px": 12}, (12, 12)),
        ({"square_px": 28}, (28, 24)),
        ({"square_px": 32}, (32, 24)),
    ],
)
def test_images_shrink_to_the_side_and_never_grow(options, size):
    options = ImageOptions(**options)
    data = jpeg(1)
    result = images.record_jpeg(data, options)
    facts = images.inspect(result, options)
    assert (facts.width_px, facts.height_px) == size
    assert (result is data) == (size == (32, 24))


def test_the_side_is_that_of_the_upright_image():
    facts = images.inspect(images.record_jpeg(rotated_jpeg(6), ImageOptions(max_side_px=16)), AS_IS)
    assert (facts.width_px, facts.height_px) == (12, 16)


@pytest.mark.parametrize(
    ("options", "size"), [({"short_side_px": 200}, (267, 200)), ({"square_px": 200}, (200, 200))]
)
def test_a_scaled_decode_looks_like_a_full_one(options, size):
    data = jpeg(5, height=600, width=800, quality=95)
    found = simplejpeg.decode_jpeg(images.record_jpeg(data, ImageOptions(**options)))
    full = Image.fromarray(simplejpeg.decode_jpeg(data)).resize(size, Image.Resampling.BICUBIC)
    assert np.abs(found.astype(int) - np.asarray(full)).mean() < 2


def test_quality_and_chroma_are_what_was_asked_for():
    large = images.record_jpeg(rotated_jpeg(3), ImageOptions(jpeg_quality=98, jpeg_chroma="4:4:4"))
    small = images.record_jpeg(rotated_jpeg(3), ImageOptions(jpeg_quality=50))
    assert len(small) < len(large)
    assert simplejpeg.decode_jpeg_header(large)[3] == "444"
    assert simplejpeg.decode_jpeg_header(small)[3] == "420"


def test_the_decode_check_finds_what_the_header_hides():
    data = bytearray(jpeg(1, height=200, width=200))
    data[len(data) // 2 : -2] = b"\x00" * (len(data) - 2 - len(data) // 2)
    assert images.inspect(bytes(data), AS_IS).problem is None
    assert images.decode_problem(bytes(data))
    assert images.decode_problem(jpeg(1)) is None
    assert images.decode_problem(pillow_bytes(picture(), "PNG")) is None
