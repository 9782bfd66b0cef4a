import numpy as np
import pytest

from ensemble.conformal import calibrate_sets, check_level, method_for
from ensemble.conformal.calibrate import risk_coverage
from orchard.errors import OrchardError
from orchard.formats import Task
from tests.ensemble.conformal.test_methods import _many_labels, _one_label


def test_calibrate_sets_measures_on_images_left_out():
    probabilities, _, targets = _one_label(1500)
    names = tuple("abcdef")
    found = calibrate_sets(probabilities, targets, names, Task.SINGLE_LABEL, level=0.9)
    assert found.name == "raps" and found.low < found.kept < found.high
    assert found.kept == pytest.approx(0.9, abs=0.02)
    assert found.sizes.sum() == pytest.approx(1)
    assert found.sizes @ np.arange(7) == pytest.approx(found.mean_size)
    counts = np.array([one.num_images for one in found.by_class])
    covered = np.array([one.covered for one in found.by_class])
    assert (counts * covered).sum() / counts.sum() == pytest.approx(found.kept)
    assert f"{found.right_at(0.8):.1%} at 80%" in found.sentence


def test_calibrate_sets_of_many_labels_keeps_the_share_of_labels():
    probabilities, targets = _many_labels(1500)
    names = tuple("abcde")
    found = calibrate_sets(probabilities, targets.astype(float), names, Task.MULTI_LABEL, level=0.9)
    assert found.name == "risk_control"
    assert found.kept == pytest.approx(0.9, abs=0.02)


def test_risk_coverage_counts_the_surest_first():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    targets = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], bool)
    shares, right = risk_coverage(probabilities, targets, Task.SINGLE_LABEL)
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(right, [1.0, 1.0, 1.0, 0.75])


def test_check_level_with_too_few_images_is_refused_and_its_advice_works():
    check_level(0.9, 20)
    with pytest.raises(OrchardError, match=r"needs 200 held-out images, .* --conformal=0.96 or"):
        check_level(0.99, 50)
    check_level(0.96, 50)


def test_method_of_another_task_is_refused():
    assert method_for("auto", Task.SINGLE_LABEL)[0] == "raps"
    with pytest.raises(OrchardError, match=r"not for multi_label datasets; use auto or risk_contr"):
        method_for("raps", Task.MULTI_LABEL)
