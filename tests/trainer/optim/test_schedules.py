import numpy as np
import pytest

from trainer.optim.schedules import SCHEDULES, Schedule, learning_rate, learning_rates


def _kaggle_staircase(epoch):
    """The public kernels' function: 1e-5 -> 8e-4 over 15 epochs, hold 3, then x0.8 to 1e-5."""
    low, high, ramp, hold, decay = 1e-5, 8e-4, 15, 3, 0.8
    if epoch < ramp:
        return (high - low) / ramp * epoch + low
    if epoch < ramp + hold:
        return high
    return (high - low) * decay ** (epoch - ramp - hold) + low


def test_learning_rate_article_equals_the_public_function_at_every_epoch():
    schedule = Schedule("article", 8e-4, 50 * 28, 1e-5, 1e-5, 15 * 28, 3 * 28, steps_per_epoch=28)
    ours = [learning_rate(schedule, epoch * 28) for epoch in range(50)]
    np.testing.assert_allclose(ours, [_kaggle_staircase(e) for e in range(50)], rtol=1e-12)


def test_learning_rates_cosine_warms_up_peaks_and_ends_at_the_floor():
    schedule = Schedule("cosine", 1.0, 110, end=0.1, warmup_steps=10)
    rates = learning_rates(schedule, 0, 111)
    assert rates.dtype == np.float32
    assert rates[0] == 0.0
    assert rates[5] == pytest.approx(0.5)
    assert rates[10] == 1.0
    assert rates[60] == pytest.approx(0.55)
    assert rates[110] == pytest.approx(0.1)


def test_learning_rates_warm_restarts_return_to_the_peak_in_growing_cycles():
    schedule = Schedule("warm_restarts", 1.0, 70, cycle_steps=10, cycle_growth=2.0)
    rates = learning_rates(schedule, 0, 70)
    assert list(np.flatnonzero(rates == 1.0)) == [0, 10, 30]
    assert rates[9] < 0.05 and rates[29] < 0.05


def test_learning_rates_constant_stays_after_its_warm_up():
    rates = learning_rates(Schedule("constant", 0.3, 20, warmup_steps=4), 0, 20)
    np.testing.assert_allclose(rates[4:], 0.3, rtol=1e-6)
    assert np.all(np.diff(rates[:5]) > 0)


def test_learning_rate_cosine_after_the_end_stays_at_the_floor():
    schedule = Schedule("cosine", 1.0, 100, end=0.1)
    assert learning_rate(schedule, 130) == pytest.approx(0.1)


def test_learning_rate_cosine_that_is_nearly_all_warm_up_falls_over_one_step():
    schedule = Schedule("cosine", 1.0, 10, warmup_steps=9.5)
    assert learning_rate(schedule, 10) == pytest.approx(0.5)


def test_learning_rate_without_further_settings_has_no_warm_up_and_no_floor():
    article = [learning_rate(Schedule("article", 1.0, 9), step) for step in range(3)]
    np.testing.assert_allclose(article, [1.0, 0.8, 0.64])
    assert learning_rate(Schedule("cosine", 1.0, 9), 9) == pytest.approx(0.0)
    restarts = learning_rates(Schedule("warm_restarts", 1.0, 9), 0, 9)
    assert list(np.flatnonzero(restarts == 1.0)) == [0, 1, 3, 7]
    rising = Schedule("constant", 1.0, 9, warmup_steps=4)
    assert learning_rate(rising, 0) == 0.0


@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_rates_any_window_equals_the_slice_of_the_whole(name):
    schedule = Schedule(name, 1.0, 50, 0.1, 0.01, 7, 5, 9.5, cycle_steps=13)
    np.testing.assert_array_equal(
        learning_rates(schedule, 0, 50)[21:34], learning_rates(schedule, 21, 13)
    )
