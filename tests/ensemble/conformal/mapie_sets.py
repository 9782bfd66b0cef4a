"""Prediction sets as MAPIE makes them, without its random numbers: also for a benchmark."""

import numpy as np
from mapie.classification import SplitConformalClassifier
from mapie.conformity_scores import BaseClassificationScore
from sklearn.base import BaseEstimator, ClassifierMixin


class _Network(ClassifierMixin, BaseEstimator):
    """Its inputs are its probabilities."""

    def __init__(self, classes: int = 2):
        self.classes = classes
        self.classes_ = np.arange(classes)

    def fit(self, images, labels):
        return self

    def predict_proba(self, images):
        return np.asarray(images)

    def predict(self, images):
        return np.asarray(images).argmax(axis=1)

    def __sklearn_is_fitted__(self):
        return True


class _Ones(np.random.RandomState):
    """The random number that turns MAPIE's calibration into one without randomization."""

    def uniform(self, low=0.0, high=1.0, size=None):
        return np.ones(size)


def mapie_sets(
    score: str | BaseClassificationScore,
    known: np.ndarray,
    true: np.ndarray,
    new: np.ndarray,
    level: float,
    seed: int = 0,
) -> tuple[SplitConformalClassifier, np.ndarray]:
    """MAPIE's classifier, and its sets of some images: bool [images, classes].

    Args:
        score: how conformity is scored, by name or as an object.
        known: probabilities that it is calibrated on, float [images, classes].
        true: their classes, int [images].
        new: probabilities of the other images.
        level: of coverage.
        seed: of what is drawn beside the ones.
    """
    found = SplitConformalClassifier(
        _Network(known.shape[1]),
        confidence_level=level,
        conformity_score=score,
        random_state=_Ones(seed),
    )
    found.conformalize(known, true)
    return found, found.predict_set(new)[1][:, :, 0]
