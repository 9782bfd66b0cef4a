import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.datasets import jpeg, smooth_image
from trainer.augment import AugmentOptions
from trainer.data import InputOptions
from trainer.data.decode_stage import decode_batches

_SIDE_PX = 80


def decoded(images, per_host, options=None, *, prepared, crops=None):
    rows = {"image": images, "index": np.arange(len(images))}
    if crops:
        rows["crop"] = np.random.default_rng(0).random((len(images), 4)).astype(np.float32)
    batches = tf.data.Dataset.from_tensor_slices(rows).batch(per_host, drop_remainder=True)
    options = options or InputOptions(_SIDE_PX, _SIDE_PX)
    found = list(decode_batches(batches, per_host, options, crops, 2, prepared).as_numpy_iterator())
    assert [len(one["image"]) for one in found] == [per_host] * len(found)
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


# One batch is decoded whole, in parts of 43, and image by image.
@pytest.mark.parametrize("per_host", [6, 129, 67])
def test_decode_batches_of_prepared_images_are_the_same_pixels_in_the_same_order(per_host):
    images = [jpeg(smooth_image(at, _SIDE_PX, _SIDE_PX)) for at in range(2 * per_host)]
    one_by_one = decoded(images, per_host, prepared=False)
    together = decoded(images, per_host, prepared=True)
    assert (together["image"] == one_by_one["image"]).all()
    assert together["index"].tolist() == one_by_one["index"].tolist() == list(range(len(images)))


def test_decode_batches_of_prepared_images_that_have_another_size_are_the_same_pixels():
    sizes = [(_SIDE_PX, _SIDE_PX)] * 6 + [(50, 70), (400, 300)]
    images = [jpeg(smooth_image(at, *size)) for at, size in enumerate(sizes)]
    one_by_one = decoded(images, 8, prepared=False)
    assert (decoded(images, 8, prepared=True)["image"] == one_by_one["image"]).all()


@pytest.mark.parametrize("change", [{"on_bad_record": "skip"}, {"exact_decode": True}])
def test_decode_batches_of_prepared_images_with_other_options_are_the_same(change):
    images = [jpeg(smooth_image(at, _SIDE_PX, _SIDE_PX)) for at in range(4)]
    options = InputOptions(_SIDE_PX, _SIDE_PX, **change)
    one_by_one = decoded(images, 4, options, prepared=False)
    together = decoded(images, 4, options, prepared=True)
    assert together.keys() == one_by_one.keys()
    assert all((together[name] == one_by_one[name]).all() for name in together)


def test_decode_batches_of_prepared_images_with_random_crops_are_the_same():
    images = [jpeg(smooth_image(at, _SIDE_PX, _SIDE_PX)) for at in range(4)]
    crops = AugmentOptions(crop_min_area=0.3)
    assert crops.crops
    one_by_one = decoded(images, 4, prepared=False, crops=crops)
    together = decoded(images, 4, prepared=True, crops=crops)
    assert (together["image"] == one_by_one["image"]).all()


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
