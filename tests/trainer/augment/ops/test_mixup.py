import numpy as np

from tests.trainer.augment.ops.mixed import IMAGES, TARGETS, floats
from trainer.augment.ops.mixup import Mixup


def test_mixup_any_ratio_blends_images_and_targets_alike():
    drawn = {"mixup": floats(0.75, 1, 1, 0.5)}
    images, targets = Mixup(mixup_alpha=1).mix(IMAGES, TARGETS, drawn)
    assert images.numpy()[:, 0, 0, 0].tolist() == [20, 50, 90, 110]
    np.testing.assert_allclose(targets.numpy()[0], [0.75, 0.25, 0, 0])
    np.testing.assert_allclose(targets.numpy()[1], [0, 1, 0, 0])
