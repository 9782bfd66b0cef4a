import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.datasets import jpeg, smooth_image
from trainer.augment import AugmentOptions
from trainer.data import InputOptions
from trainer.data.decode import CropRange, RandomCrop, decode_image
from trainer.data.decode_stage import decode_batches

_SIDE_PX = 160


def _draws(count):
    return np.random.default_rng(0).random((count, 4)).astype(np.float32)


def decoded(images, per_host, options=None, *, prepared, crops=None):
    rows = {"image": images, "index": np.arange(len(images))}
    if crops:
        rows["crop"] = _draws(len(images))
    batches = tf.data.Dataset.from_tensor_slices(rows).batch(per_host, drop_remainder=True)
    options = options or InputOptions(_SIDE_PX, _SIDE_PX)
    found = list(decode_batches(batches, per_host, options, crops, 2, prepared).as_numpy_iterator())
    assert [len(one["image"]) for one in found] == [per_host] * len(found)
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def one_by_one(images, size=_SIDE_PX, **more):
    return [decode_image(tf.constant(one), size, size, **more).numpy() for one in images]


# One batch is decoded whole, in parts of 43 (or of 3), and image by image.
@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize("per_host", [6, 129, 67])
def test_decode_batches_of_images_of_the_asked_size_are_their_pixels_in_order(per_host, prepared):
    images = [jpeg(smooth_image(at, _SIDE_PX, _SIDE_PX)) for at in range(2 * per_host)]
    found = decoded(images, per_host, prepared=prepared)
    assert (found["image"] == one_by_one(images)).all()
    assert found["index"].tolist() == list(range(len(images)))


@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize("size", [_SIDE_PX, 30])
def test_decode_batches_of_images_of_any_sizes_are_their_pixels(size, prepared):
    sizes = [(size, size)] * 8 + [(size + 10, size + 20)] * 8 + [(50, 70)] * 4 + [(400, 300)] * 4
    images = [jpeg(smooth_image(at, *one)) for at, one in enumerate(sizes)]
    found = decoded(images, 8, InputOptions(size, size), prepared=prepared)
    assert (found["image"] == one_by_one(images, size)).all()


@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize("exact", [True, False])
def test_decode_batches_with_other_options_are_the_same_pixels(exact, prepared):
    images = [jpeg(smooth_image(at, 100 + at, _SIDE_PX)) for at in range(4)]
    options = InputOptions(_SIDE_PX, _SIDE_PX, exact_decode=exact, on_bad_record="skip")
    found = decoded(images, 4, options, prepared=prepared)
    assert (found["image"] == one_by_one(images, exact=exact)).all()
    assert found["intact"].all()


@pytest.mark.parametrize("prepared", [True, False])
def test_decode_batches_with_random_crops_are_the_drawn_ones(prepared):
    images = [jpeg(smooth_image(at, _SIDE_PX, _SIDE_PX)) for at in range(4)]
    crops = AugmentOptions(crop_min_area=0.3)
    assert crops.crops
    found = decoded(images, 4, prepared=prepared, crops=crops)
    drawn_from = CropRange(crops.crop_min_area, crops.crop_max_aspect)
    for image, draws, one in zip(images, _draws(4), found["image"], strict=True):
        crop = RandomCrop(tf.constant(draws), drawn_from)
        assert (one == one_by_one([image], crop=crop)[0]).all()


@pytest.mark.parametrize(("threads", "calls"), [(2, 2), (96, 3)])
def test_decode_batches_of_prepared_images_hold_few_batches_at_a_time(monkeypatch, threads, calls):
    asked = []
    of_dataset = tf.data.Dataset.map

    def watched(self, function, num_parallel_calls=None, **more):
        asked.append(num_parallel_calls)
        return of_dataset(self, function, num_parallel_calls=num_parallel_calls, **more)

    monkeypatch.setattr(tf.data.Dataset, "map", watched)
    images = tf.data.Dataset.from_tensors({"image": tf.fill([64], "")})
    decode_batches(images, 64, InputOptions(512, 512), None, threads, prepared=True)
    assert asked == [calls]
