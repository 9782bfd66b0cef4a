from types import SimpleNamespace

import numpy as np
import pytest

from ensemble.explaining import (
    Likeness,
    Suspect,
    TrainingFeatures,
    normalized,
    suspect,
)
from ensemble.scoring import shrunken_odds


@pytest.fixture
def training():
    features = normalized(np.array([[1, 0], [1, 0.1], [0, 1], [-1, 0]], np.float32))
    return TrainingFeatures(SimpleNamespace(ids=np.array(["a", "b", "c", "d"])), features)


def test_nearest_leaves_out_the_image_itself(training):
    found = training.nearest(np.array([1, 0], np.float32), "a", 2)
    assert [row for row, _ in found] == [1, 2]
    cosines = training.features @ np.array([1, 0], np.float32)
    assert [distance for _, distance in found] == pytest.approx((1 - cosines[[1, 2]]).tolist())


def test_nearest_of_a_stranger_gives_at_most_all(training):
    assert [row for row, _ in training.nearest(training.features[2], "x", 9)] == [2, 1, 0, 3]


def test_usual_distance_is_that_of_rightly_named_images(training):
    generator = np.random.default_rng(0)
    own = normalized(generator.normal(size=(60, 2)).astype(np.float32))
    right = np.arange(60) < 40
    nearest = (1 - own @ training.features.T).min(axis=1)
    likeness = Likeness.of(training, own, [str(i) for i in range(60)], right)
    assert likeness.usual == pytest.approx(np.quantile(nearest[:40], 0.95), abs=1e-6)
    assert Likeness.of(training, own, [str(i) for i in range(60)], right & False).usual is None


@pytest.mark.parametrize(
    ("odds", "neighbors", "nearest", "wanted"),
    [
        ([9, 9], [True] * 4 + [False], 0.1, Suspect.LABEL),
        ([9, 9], [True] * 2 + [False] * 3, 0.1, Suspect.NETWORK),
        ([9, 1.5], [True] * 5, 0.1, Suspect.NETWORK),
        ([9, 9], [True] * 5, 0.4, Suspect.PHOTO),
        ([9, 9], [], None, Suspect.LABEL),
        ([2], [], None, Suspect.NETWORK),
    ],
)
def test_suspect_is_what_odds_and_neighbors_say(odds, neighbors, nearest, wanted):
    found = suspect(np.array(odds, float), neighbors, nearest, 0.3)
    assert found.suspect == wanted and found.why


def test_shrunken_odds_of_two_small_probabilities_are_near_one():
    odds = shrunken_odds(np.array([0.01, 0.9]), np.array([0.001, 0.1]))
    assert odds[0] < 1.2 and odds[1] == pytest.approx(5)
