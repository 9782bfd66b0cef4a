import numpy as np
import pytest

from ensemble.combine.calibrate import fit_temperature
from trainer.evaluation import METRICS, probabilities


def _sampled(task, scale, rows=4000, classes=3, seed=0):
    """Logits that are `scale` times too large for labels drawn from the true probabilities."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * 1.5
    p = probabilities(logits, task)
    if task == "multi_label":
        targets = (generator.random(p.shape) < p).astype(np.float32)
    else:
        chosen = (generator.random((rows, 1)) > p.cumsum(axis=1)).sum(axis=1)
        targets = np.eye(classes, dtype=np.float32)[chosen]
    return logits * scale, targets


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_fit_temperature_undoes_overconfidence(scale):
    logits, targets = _sampled("single_label", scale)
    temperature = fit_temperature(logits, targets, "single_label")
    assert temperature.shape == (1,)
    assert temperature[0] == pytest.approx(scale, rel=0.07)


def test_fit_temperature_of_many_labels_fits_each_class():
    logits, targets = _sampled("multi_label", np.array([0.5, 1.0, 4.0]))
    temperature = fit_temperature(logits, targets, "multi_label")
    np.testing.assert_allclose(temperature, [0.5, 1.0, 4.0], rtol=0.12)


def test_fit_temperature_of_a_class_without_both_outcomes_is_one():
    logits, targets = _sampled("multi_label", 3.0)
    targets[:, 1] = 0.0
    temperature = fit_temperature(logits, targets, "multi_label")
    assert temperature[1] == 1.0
    assert temperature[0] > 2


def test_fit_temperature_minimizes_the_log_loss_of_the_trainer():
    logits, targets = _sampled("single_label", 2.5)
    best = fit_temperature(logits, targets, "single_label")[0]
    loss = METRICS["log_loss"]().score(logits / best, targets, "single_label")
    for other in (best * 0.97, best * 1.03, 1.0):
        assert loss < METRICS["log_loss"]().score(logits / other, targets, "single_label")


def test_fit_temperature_takes_soft_targets_as_they_are():
    logits, _ = _sampled("single_label", 1.0)
    soft = probabilities(logits / 2.0, "single_label")
    assert fit_temperature(logits, soft, "single_label")[0] == pytest.approx(2.0, rel=1e-3)


def test_fit_temperature_of_perfect_or_hopeless_rows_stays_within_bounds():
    targets = np.eye(3)[[0, 1, 2, 0]]
    assert fit_temperature(targets, targets, "single_label")[0] == pytest.approx(0.1, rel=1e-3)
    hopeless = fit_temperature(-targets * 50, targets, "single_label")[0]
    assert hopeless == pytest.approx(10.0, rel=1e-3)


def test_fit_temperature_finds_it_to_four_digits():
    logits, _ = _sampled("single_label", 1.0)
    soft = probabilities(logits / 0.37, "single_label")
    assert fit_temperature(logits, soft, "single_label")[0] == pytest.approx(0.37, rel=1e-4)
