import numpy as np
import pytest
from PIL import Image

from data_prep.images import convert, inspection
from data_prep.images.inspection import PASS, ImageOptions
from tests.data_prep.builders import (
    jpeg,
    picture,
    pillow_bytes,
    rotated_jpeg,
    with_stray_bytes,
)

AS_IS = ImageOptions()
PNG_END = b"IEND\xaeB`\x82"


@pytest.mark.parametrize(
    "data",
    [
        jpeg(1),
        jpeg(1, gray=True),
        pillow_bytes(picture(), "JPEG", progressive=True),
        pillow_bytes(picture(), "JPEG", comment=b"\xff\xd9 not the end"),
        rotated_jpeg(1),
        jpeg(1) + b"what some cameras append",
    ],
    ids=["color", "gray", "progressive", "comment", "upright", "appended"],
)
def test_inspect_image_of_upright_8_bit_jpegs_lets_them_pass(data):
    facts = inspection.inspect_image(data, AS_IS)
    assert (facts.problem, facts.action) == (None, PASS)
    assert (facts.width_px, facts.height_px) == (32, 24)
    assert convert.record_jpeg(data, AS_IS) is data


def test_inspect_image_of_a_png_with_appended_bytes_accepts_it():
    data = pillow_bytes(picture(), "PNG") + b"what some programs append" * 9
    assert inspection.inspect_image(data, AS_IS).problem is None


def test_inspect_image_of_a_damaged_file_always_gives_the_same_detail():
    data = pillow_bytes(picture(), "PNG")[:20] + b"\xff" * 80 + PNG_END
    reasons = {inspection.inspect_image(data, AS_IS).problem for _ in range(3)}
    assert len(reasons) == 1 and " at 0x" not in str(reasons)


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
def test_inspect_image_of_unusable_content_says_why(data, kind, message):
    problem = inspection.inspect_image(data, AS_IS).problem
    assert problem and problem[0] == kind
    assert message in problem[1]


def with_frame_header(data, marker, bits):
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + bytes([marker]) + data[at + 2 : at + 4] + bytes([bits]) + data[at + 5 :]


@pytest.mark.parametrize(
    ("marker", "bits", "message"),
    [(0xC1, 12, "12 bits"), (0xC9, 8, "arithmetic"), (0xC3, 8, "lossless")],
)
def test_inspect_image_of_jpegs_that_tensorflow_cannot_decode_refuses_them(marker, bits, message):
    problem = inspection.inspect_image(with_frame_header(jpeg(1), marker, bits), AS_IS).problem
    assert problem[0] == "unsupported JPEG" and message in problem[1]


def test_inspect_image_of_a_cut_file_with_an_exif_thumbnail_sees_the_cut():
    exif = Image.Exif()
    exif[0x010E] = "x" * 50 + "\xff\xd9"
    whole = pillow_bytes(picture(), "JPEG", exif=exif.tobytes() + b"\xff\xd8\xff\xd9")
    assert inspection.inspect_image(whole, AS_IS).problem is None
    assert inspection.inspect_image(whole[:-20], AS_IS).problem[0] == "truncated JPEG"


def test_inspect_image_of_too_many_pixels_refuses_by_the_header():
    problem = inspection.inspect_image(jpeg(1), ImageOptions(max_pixels=700)).problem
    assert problem == ("too many pixels", "32x24 is more than --max_pixels=700")


def test_inspect_image_of_a_side_above_jpegs_limit_needs_shrinking():
    png = pillow_bytes(Image.new("L", (65_501, 1)), "PNG")
    kind, detail = inspection.inspect_image(png, AS_IS).problem
    assert kind == "too many pixels" and detail.startswith("65501x1;")
    assert inspection.inspect_image(png, ImageOptions(max_side_px=512)).problem is None
    # Baseline JPEG's own limit is 65,535: the size is in the header.
    start = jpeg(1).index(b"\xff\xc0") + 5
    wide = jpeg(1)[:start] + b"\x00\x18\xff\xff" + jpeg(1)[start + 4 :]
    for options in (AS_IS, ImageOptions(max_side_px=512)):
        assert inspection.inspect_image(wide, options).problem[0] == "too many pixels"


@pytest.mark.parametrize("marker", [0xDB, 0xC0, 0xC4, 0xDA])
def test_inspect_image_of_stray_bytes_between_markers_takes_it_as_odd(marker):
    data = with_stray_bytes(jpeg(1), marker)
    facts = inspection.inspect_image(data, ImageOptions())
    assert (facts.kind, facts.action, facts.problem) == ("odd JPEG", PASS, None)
    assert (facts.width_px, facts.height_px) == (32, 24)


def test_inspect_image_of_stray_bytes_and_no_marker_is_broken():
    facts = inspection.inspect_image(jpeg(1)[:30] + bytes(300), ImageOptions())
    assert facts.problem.kind == "broken JPEG"
