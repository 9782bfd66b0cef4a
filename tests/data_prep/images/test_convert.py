import io

import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps

from data_prep.images import convert, inspection
from data_prep.images.inspection import PASS, REENCODE, ImageOptions
from tests.data_prep.builders import (
    exif_with_a_mistyped_tag,
    jpeg,
    jpeg_of_odd_sampling,
    picture,
    pillow_bytes,
    rotated_jpeg,
)

AS_IS = ImageOptions()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_record_jpeg_of_a_rotated_image_is_upright(orientation):
    data = rotated_jpeg(orientation)
    assert inspection.inspect_image(data, AS_IS).action == REENCODE
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    result = convert.record_jpeg(data, ImageOptions(jpeg_quality=98, jpeg_chroma="4:4:4"))
    assert inspection.inspect_image(result, AS_IS).action == PASS
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
def test_record_jpeg_of_other_kinds_is_an_rgb_jpeg(data, kind):
    facts = inspection.inspect_image(data, AS_IS)
    assert (facts.kind, facts.action, facts.problem) == (kind, REENCODE, None)
    exact = ImageOptions(jpeg_quality=98, jpeg_chroma="4:4:4")
    found = simplejpeg.decode_jpeg(convert.record_jpeg(data, exact)).astype(int)
    wanted = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.abs(found - wanted).mean() < 6


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGB"), ("WEBP", "RGB"), ("JPEG", "CMYK"), ("JPEG", "RGB")]
)
def test_record_jpeg_with_a_mistyped_exif_tag_is_upright(kind, mode):
    exif = exif_with_a_mistyped_tag(6)
    data = pillow_bytes(picture().convert(mode), kind, exif=exif)
    upright = simplejpeg.decode_jpeg(convert.record_jpeg(data, AS_IS))
    assert upright.shape == (32, 24, 3)


def test_record_jpeg_of_a_gray_png_is_gray():
    data = pillow_bytes(picture().convert("L"), "PNG")
    assert simplejpeg.decode_jpeg_header(convert.record_jpeg(data, AS_IS))[2] == "Gray"


def test_record_jpeg_of_transparent_pixels_is_white_there():
    data = pillow_bytes(Image.new("RGBA", (16, 16), (200, 0, 0, 0)), "PNG")
    assert simplejpeg.decode_jpeg(convert.record_jpeg(data, AS_IS)).min() > 250


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_record_jpeg_above_pillows_limit_of_pixels_is_made(monkeypatch, kind):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = pillow_bytes(picture(), kind, exif=exif)
    assert inspection.inspect_image(data, AS_IS).action == REENCODE
    assert convert.decode_problem(data) is None
    upright = inspection.inspect_image(convert.record_jpeg(data, AS_IS), AS_IS)
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
def test_record_jpeg_with_a_side_shrinks_and_never_grows(options, size):
    options = ImageOptions(**options)
    data = jpeg(1)
    result = convert.record_jpeg(data, options)
    facts = inspection.inspect_image(result, options)
    assert (facts.width_px, facts.height_px) == size
    assert (result is data) == (size == (32, 24))


def test_record_jpeg_of_a_rotated_image_shrinks_its_upright_side():
    facts = inspection.inspect_image(
        convert.record_jpeg(rotated_jpeg(6), ImageOptions(max_side_px=16)), AS_IS
    )
    assert (facts.width_px, facts.height_px) == (12, 16)


@pytest.mark.parametrize(
    ("options", "size"), [({"short_side_px": 200}, (267, 200)), ({"square_px": 200}, (200, 200))]
)
def test_record_jpeg_by_a_scaled_decode_looks_like_a_full_one(options, size):
    data = jpeg(5, height=600, width=800, quality=95)
    found = simplejpeg.decode_jpeg(convert.record_jpeg(data, ImageOptions(**options)))
    full = Image.fromarray(simplejpeg.decode_jpeg(data)).resize(size, Image.Resampling.BICUBIC)
    assert np.abs(found.astype(int) - np.asarray(full)).mean() < 2


def test_record_jpeg_with_quality_and_chroma_has_them():
    large = convert.record_jpeg(rotated_jpeg(3), ImageOptions(jpeg_quality=98, jpeg_chroma="4:4:4"))
    small = convert.record_jpeg(rotated_jpeg(3), ImageOptions(jpeg_quality=50))
    assert len(small) < len(large)
    assert simplejpeg.decode_jpeg_header(large)[3] == "444"
    assert simplejpeg.decode_jpeg_header(small)[3] == "420"


def test_record_jpeg_of_unusual_chroma_sampling_is_made_by_pillow():
    data = jpeg_of_odd_sampling()
    assert inspection.inspect_image(data, AS_IS).action == PASS
    assert convert.decode_problem(data) is None
    small = convert.record_jpeg(data, ImageOptions(max_side_px=16))
    assert simplejpeg.decode_jpeg(small).shape == (16, 4, 3)


def test_decode_problem_of_broken_pixels_is_found():
    data = bytearray(jpeg(1, height=200, width=200))
    data[len(data) // 2 : -2] = b"\x00" * (len(data) - 2 - len(data) // 2)
    assert inspection.inspect_image(bytes(data), AS_IS).problem is None
    assert convert.decode_problem(bytes(data))
    assert convert.decode_problem(jpeg(1)) is None
    assert convert.decode_problem(pillow_bytes(picture(), "PNG")) is None


@pytest.mark.parametrize("place", ["before a marker", "before the end"])
@pytest.mark.parametrize("options", [{}, {"short_side_px": 12}])
def test_record_jpeg_of_stray_bytes_is_that_of_the_file_without_them(place, options):
    data = jpeg(1)
    at = data.index(b"\xff\xdb") if place == "before a marker" else len(data) - 2
    odd = data[:at] + b"stray bytes" + data[at:]
    settings = inspection.ImageOptions(**options)
    made, wanted = (convert.record_jpeg(one, settings) for one in (odd, data))
    if not options:
        assert made == odd
    made, wanted = (np.asarray(Image.open(io.BytesIO(one))) for one in (made, wanted))
    assert np.abs(made.astype(int) - wanted).mean() < 12  # Odd ones are decoded by Pillow.
    assert convert.decode_problem(odd) is None


def test_check_pixels_tells_odd_from_broken():
    data = jpeg(1)
    assert convert.check_pixels(data) == (None, False)
    assert convert.check_pixels(data[:-2] + b"stray bytes" + data[-2:]) == (None, True)
    problem, odd = convert.check_pixels(data[: len(data) // 2] + b"\xff\xd9")
    assert problem and not odd
