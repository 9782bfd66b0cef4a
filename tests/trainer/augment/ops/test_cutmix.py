import numpy as np

from tests.trainer.augment.ops.mixed import IMAGES, TARGETS, floats
from trainer.augment.ops.cutmix import Cutmix


def test_cutmix_any_box_gives_targets_by_the_area_that_was_cut():
    drawn = {
        "cutmix_size": floats(0.5, 0, 1, 0.5),
        "cutmix_y": floats(0.5, 0.5, 0.5, 0),
        "cutmix_x": floats(0.5, 0.5, 0.5, 0),
    }
    images, targets = Cutmix(cutmix_alpha=1).mix(IMAGES, TARGETS, drawn)
    foreign = (images.numpy()[..., 0] != IMAGES.numpy()[..., 0]).mean(axis=(1, 2))
    np.testing.assert_allclose(foreign, [0.25, 0, 1, 0.0625], atol=0.03)
    np.testing.assert_allclose(targets.numpy()[0, 1], foreign[0], atol=1e-6)
    # At a corner only a quarter of the box is inside, and only that counts.
    np.testing.assert_allclose(targets.numpy()[3, 2], foreign[3], atol=1e-6)
