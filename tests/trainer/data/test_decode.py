import functools
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from orchard.formats import InputSpec
from tests.trainer.datasets import jpeg, smooth_image
from trainer.data import RESIZES, decode


def decoded(encoded: bytes, *args, **kwargs) -> np.ndarray:
    return decode.decode_image(tf.constant(encoded), *args, **kwargs).numpy()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(float) - b.astype(float)) ** 2)
    return 10 * np.log10(255**2 / error) if error else np.inf


def pillow(encoded: bytes, width: int, height: int, box=None) -> np.ndarray:
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box))


@pytest.mark.parametrize(
    "size, target, scale",
    [
        ((1365, 2048), (512, 512), 2),
        ((1365, 2048), (341, 512), 4),
        ((1365, 2048), (171, 256), 8),
        ((1365, 2048), (1000, 1000), 1),
        ((100, 100), (200, 200), 1),
        ((1023, 1023), (512, 512), 2),
    ],
)
def test_smallest_scale_any_size_covers_the_target(size, target, scale):
    position = decode.smallest_scale(tf.constant(size), tf.constant(target))
    assert decode.SCALES[int(position)] == scale


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("size", [(300, 400), (640, 360), (50, 40)])
def test_decode_image_scaled_is_close_to_exact(size, resize):
    encoded = jpeg(smooth_image(0, *size))
    fast = decoded(encoded, 96, 128, resize)
    exact = decoded(encoded, 96, 128, resize, exact=True)
    assert fast.shape == exact.shape == (96, 128, 3)
    assert fast.dtype == exact.dtype == np.uint8
    assert psnr(fast, exact) > 36


def test_decode_image_of_details_is_close_to_area_resize():
    detailed = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    detailed = np.asarray(Image.fromarray(detailed).resize((1024, 768), Image.Resampling.BICUBIC))
    encoded = jpeg(detailed)
    full = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    area = tf.image.resize(full, [192, 256], method="area").numpy()
    assert psnr(decoded(encoded, 192, 256), area) > 34


def test_decode_image_of_the_target_size_is_not_resampled():
    encoded = jpeg(smooth_image(7, 33, 47))
    full = np.asarray(Image.open(io.BytesIO(encoded)))
    for resize in RESIZES:
        assert (decoded(encoded, 33, 47, resize) == full).all()


def test_decode_image_exact_equals_pillow_within_rounding():
    encoded = jpeg(smooth_image(1, 230, 310))
    difference = decoded(encoded, 96, 128, exact=True).astype(int) - pillow(encoded, 128, 96)
    assert abs(difference).max() <= 2


def test_resize_image_values_are_rounded_to_the_nearest():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    size = tf.constant([31, 37])
    plain = tf.image.resize(pixels, size).numpy()
    ours = decode.resize_plainly(tf.constant(pixels[None]), size)[0].numpy()
    assert (ours == np.rint(plain)).all()
    averaged = tf.image.resize(pixels, size, antialias=True).numpy()
    result = decode.resize_image(tf.constant(pixels), size, exact=True).numpy()
    assert (result == np.rint(averaged)).all()


def test_decode_image_of_white_or_black_keeps_it():
    for value in (0, 255):
        encoded = jpeg(np.full((50, 70, 3), value, np.uint8))
        for exact in (False, True):
            assert (decoded(encoded, 29, 31, exact=exact) == value).all()


def test_decode_image_crop_takes_the_largest_central_window():
    encoded = jpeg(smooth_image(2, 100, 300))
    cropped = decoded(encoded, 50, 50, "crop", exact=True)
    expected = pillow(encoded, 50, 50, box=(100, 0, 200, 100))
    assert abs(cropped.astype(int) - expected).max() <= 2


def test_decode_image_pad_keeps_the_aspect_and_fills_with_gray():
    padded = decoded(jpeg(np.full((60, 120, 3), 255, np.uint8)), 100, 100, "pad")
    assert (padded[25:75] == 255).all()
    assert (padded[:25] == decode.PAD_VALUE).all() and (padded[75:] == decode.PAD_VALUE).all()


def test_decode_image_of_gray_has_three_equal_channels():
    image = decoded(jpeg(smooth_image(3, 40, 40)[:, :, 0]), 20, 20)
    assert (image == image[:, :, :1]).all()


def test_decode_image_of_a_png_equals_pillow():
    buffer = io.BytesIO()
    Image.fromarray(smooth_image(4, 300, 300)).save(buffer, "PNG")
    image = decoded(buffer.getvalue(), 50, 50)
    expected = pillow(buffer.getvalue(), 50, 50)
    assert abs(image.astype(int) - expected).max() <= 1


def test_decode_image_reduced_strongly_averages_all_pixels():
    stripes = np.zeros((64, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    buffer = io.BytesIO()
    Image.fromarray(stripes).save(buffer, "PNG")
    assert abs(decoded(buffer.getvalue(), 32, 32).astype(int) - 127).max() <= 20


def test_decode_image_of_other_bytes_is_refused():
    for wrong in (b"", b"nonsense", b"\xff\xd8\xff nonsense"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decoded(wrong, 8, 8)


def window_of(source, draws, crop_range) -> tuple[int, ...]:
    window = decode.random_window(tf.constant(source), tf.constant(draws), crop_range)
    return (*window.corner.numpy().tolist(), *window.size.numpy().tolist())


def test_random_window_any_draw_lies_inside_and_follows_its_ranges():
    draws = np.random.default_rng(0).random((300, 4), np.float32)
    crop_range = decode.CropRange(0.25, 4 / 3)
    areas = []
    for draw in draws:
        top, left, height, width = window_of([300, 400], draw, crop_range)
        assert 0 <= top and top + height <= 300 and 0 <= left and left + width <= 400
        areas.append(height * width / 120_000)
    assert 0.24 < min(areas) < 0.3 and 0.9 < max(areas) <= 1
    assert abs(np.mean(areas) - 0.61) < 0.05


def test_decode_image_random_crop_is_the_drawn_window():
    encoded = jpeg(smooth_image(5, 400, 600))
    draws, crop_range = [0.1, 0.6, 0.3, 0.8], decode.CropRange(0.08, 4 / 3)
    top, left, height, width = window_of([400, 600], draws, crop_range)
    crop = decoded(encoded, 64, 64, crop=decode.RandomCrop(tf.constant(draws), crop_range))
    expected = pillow(encoded, 64, 64, box=(left, top, left + width, top + height))
    assert psnr(crop, expected) > 36


def test_decode_image_in_graph_has_a_static_shape_and_equals_eager():
    function = tf.function(lambda encoded: decode.decode_image(encoded, 48, 64))
    concrete = function.get_concrete_function(tf.TensorSpec([], tf.string))
    assert concrete.output_shapes == [48, 64, 3]
    encoded = jpeg(smooth_image(6, 200, 200))
    assert (concrete(tf.constant(encoded)).numpy() == decoded(encoded, 48, 64)).all()


# Of a photo of 320x240: squashed ones at 1/8 twice, 1/4, 1/1, padded at 1/4, and cropped ones.
SPECS = [
    *(InputSpec(side, side, "squash", False) for side in (20, 30, 60, 200)),
    InputSpec(48, 64, "squash", True),
    InputSpec(40, 60, "pad", False),
    InputSpec(24, 24, "crop", False),
    InputSpec(100, 100, "crop", False),
    InputSpec(32, 24, "crop", False),
]


def one_by_one(encoded: bytes, specs: list[InputSpec]) -> list[np.ndarray]:
    return [decoded(encoded, s.height_px, s.width_px, s.resize, s.exact_decode) for s in specs]


def test_decode_sizes_of_any_image_gives_the_pixels_of_decode_image():
    png = io.BytesIO()
    Image.fromarray(smooth_image(4, 300, 200)).save(png, "PNG")
    images = [
        jpeg(smooth_image(0, 240, 320)),
        jpeg(smooth_image(1, 130, 90)),
        jpeg(smooth_image(2, 30, 30)[:, :, 0]),
        png.getvalue(),
    ]
    signature = [tf.TensorSpec([], tf.string)]
    in_graph = tf.function(lambda one: decode.decode_sizes(one, SPECS), input_signature=signature)
    shapes = [[spec.height_px, spec.width_px, 3] for spec in SPECS]
    assert [tensor.shape.as_list() for tensor in in_graph.get_concrete_function().outputs] == shapes
    for encoded in images:
        for found, expected in zip(in_graph(encoded), one_by_one(encoded, SPECS), strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "specs, decodes",
    [
        (SPECS[:2], ["1/8"]),
        (SPECS[:4], ["1/1", "1/4", "1/8"]),
        (SPECS[3:5], ["1/1"]),
        ([*SPECS[:3], SPECS[5]], ["1/4", "1/8"]),
        (SPECS[6:8], ["1/2 of 240x240", "1/8 of 240x240"]),
        (SPECS[5:6], ["1/4"]),
    ],
)
def test_decode_sizes_decodes_a_jpeg_once_a_scale_and_window(specs, decodes, monkeypatch):
    counted = []

    def count(*args, op, **kwargs):
        window = (
            f" of {'x'.join(map(str, np.array(args[1][2:]) * kwargs['ratio']))}" if args[1:] else ""
        )
        counted.append(f"1/{kwargs['ratio']}{window}")
        return op(*args, **kwargs)

    encoded = jpeg(smooth_image(0, 240, 320))
    for name in ("decode_jpeg", "decode_and_crop_jpeg"):
        monkeypatch.setattr(tf.io, name, functools.partial(count, op=getattr(tf.io, name)))
    decode.decode_sizes(tf.constant(encoded), specs)
    assert sorted(counted) == decodes


def test_decode_sizes_of_a_png_decodes_it_once(monkeypatch):
    png = io.BytesIO()
    Image.fromarray(smooth_image(4, 30, 30)).save(png, "PNG")
    counted = []
    decode_png = tf.io.decode_png
    monkeypatch.setattr(
        tf.io, "decode_png", lambda *args, **kw: counted.append(1) or decode_png(*args, **kw)
    )
    decode.decode_sizes(tf.constant(png.getvalue()), SPECS)
    assert len(counted) == 1
