import io

import pytest
import tensorflow as tf
from PIL import Image

from tests.trainer.datasets import jpeg, smooth_image
from trainer.data.decode import decode_image
from trainer.data.decode_small import decode_images


@pytest.mark.parametrize(
    "sizes",
    [[(20, 24)] * 3, [(20, 24), (33, 29), (9, 9)], [(20, 24), (100, 90), (39, 47)], [(40, 48)] * 2],
    ids=["as it is", "plain", "one large", "halved"],
)
def test_decode_images_of_any_sizes_equals_decode_image(sizes):
    encoded = [jpeg(smooth_image(i, *size)) for i, size in enumerate(sizes)]
    encoded[0] = jpeg(smooth_image(0, *sizes[0])[:, :, 0])
    several = decode_images(tf.constant(encoded), 20, 24).numpy()
    assert (several == [decode_image(one, 20, 24).numpy() for one in encoded]).all()


def test_decode_images_with_a_png_among_jpegs_equals_decode_image():
    buffer = io.BytesIO()
    Image.fromarray(smooth_image(4, 30, 30)).save(buffer, "PNG")
    encoded = [jpeg(smooth_image(0, 20, 24)), buffer.getvalue()]
    several = decode_images(tf.constant(encoded), 20, 24).numpy()
    assert (several == [decode_image(one, 20, 24).numpy() for one in encoded]).all()
