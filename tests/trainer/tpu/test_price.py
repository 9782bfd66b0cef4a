import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from trainer.tpu.price import Prices, Spot, best_checkpoint_interval, bill, expected_seconds

HOUR = 3600.0


def simulated_seconds(training_seconds, interval_seconds, spot, rng):
    """One training, event by event: work, checkpoints, preemptions and restarts by the clock."""
    now, saved = 0.0, 0.0
    preemption = rng.exponential(spot.preemption_seconds)
    while saved < training_seconds:
        needed = min(interval_seconds, training_seconds - saved) + spot.checkpoint_seconds
        if now + needed <= preemption:
            now, saved = now + needed, saved + needed - spot.checkpoint_seconds
            continue
        while True:  # A restart can be preempted, too.
            now = preemption
            preemption = now + rng.exponential(spot.preemption_seconds)
            if now + spot.restart_seconds <= preemption:
                now += spot.restart_seconds
                break
    return now


def mean_simulated(training_seconds, interval_seconds, spot):
    rng = np.random.default_rng(0)
    times = [simulated_seconds(training_seconds, interval_seconds, spot, rng) for _ in range(400)]
    return np.mean(times)


# From rare preemptions to one in the time of a few checkpoints and a restart.
SPOTS = [
    Spot(preemption_seconds=24 * HOUR, checkpoint_seconds=10, restart_seconds=600),
    Spot(preemption_seconds=2 * HOUR, checkpoint_seconds=60, restart_seconds=300),
    Spot(preemption_seconds=HOUR / 2, checkpoint_seconds=240, restart_seconds=900),
]


@pytest.mark.parametrize("spot", SPOTS)
def test_expected_seconds_are_those_of_a_simulation(spot):
    best = best_checkpoint_interval(spot)
    for interval in (best / 3, best, 3 * best):
        training = 40 * interval
        found = expected_seconds(training, interval, spot)
        assert found == pytest.approx(mean_simulated(training, interval, spot), rel=0.1)


@pytest.mark.parametrize("spot", SPOTS)
def test_best_checkpoint_interval_minimizes_the_expected_and_the_simulated_time(spot):
    best = best_checkpoint_interval(spot)
    exact = minimize_scalar(
        lambda log_interval: np.log(expected_seconds(1.0, np.exp(log_interval), spot)),
        bounds=(0, np.log(spot.preemption_seconds)),
        method="bounded",
    )
    assert best == pytest.approx(np.exp(exact.x), rel=0.1)
    # Whole intervals of all three; the simulation's own seed is the same for each.
    training = 120 * best
    at_best = mean_simulated(training, best, spot)
    assert at_best < mean_simulated(training, best / 6, spot)
    assert at_best < mean_simulated(training, 6 * best, spot)


def test_best_checkpoint_interval_of_checkpoints_longer_than_runs_is_the_mean_time():
    assert best_checkpoint_interval(Spot(100.0, 300.0, 0.0)) == 100.0


def test_bill_of_spot_has_the_hours_that_preemptions_add():
    prices = Prices(chip_hour=2.0, spot_chip_hour=1.0, spot=SPOTS[1])
    found = bill(hours=10.0, num_chips=4, prices=prices)
    assert found.on_demand_dollars == pytest.approx(80)
    assert found.spot_hours > 10
    assert found.spot_dollars == pytest.approx(4 * found.spot_hours)
    assert found.checkpoint_interval_seconds == best_checkpoint_interval(SPOTS[1])


def test_bill_of_a_training_shorter_than_the_interval_saves_once():
    spot = SPOTS[0]
    found = bill(hours=0.1, num_chips=1, prices=Prices(2.0, 1.0, spot))
    assert found.checkpoint_interval_seconds == pytest.approx(360)
    assert found.spot_hours == pytest.approx(expected_seconds(360, 360, spot) / HOUR)


def test_bill_without_a_spot_price_says_nothing_of_spot():
    assert bill(1.0, 8, Prices(1.5, 0.0, SPOTS[0])).spot_hours == 0
