"""What a training costs in dollars: on demand, and on spot machines that are taken away. Pure.

Preemptions are a Poisson process that takes the whole slice at once, and what came after the last
checkpoint is lost. That is the worst case: a run that saves at the notice of a preemption, as
`trainer.runtime` does, loses less.
"""

import math
from dataclasses import dataclass

_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Spot:
    """How a spot machine behaves.

    Attributes:
        preemption_seconds: mean time between preemptions of the slice.
        checkpoint_seconds: what saving a checkpoint holds the training up.
        restart_seconds: from a preemption to the first step of the training that goes on.
    """

    preemption_seconds: float
    checkpoint_seconds: float
    restart_seconds: float


@dataclass(frozen=True)
class Prices:
    """Dollars per chip and hour, and what a spot machine's lower price comes with.

    Attributes:
        chip_hour: on demand.
        spot_chip_hour: on spot; 0: not known.
        spot: how a spot machine behaves.
    """

    chip_hour: float
    spot_chip_hour: float
    spot: Spot


@dataclass(frozen=True)
class Bill:
    """The price of a training that takes some hours where nothing interrupts it.

    Attributes:
        on_demand_dollars: without preemptions and checkpoints.
        spot_hours: expected, with checkpoints, what preemptions lose, and restarts; 0: not asked.
        spot_dollars: of these hours; a machine that is waited for is paid as if it was there.
        checkpoint_interval_seconds: of training between two checkpoints, the best for that.
    """

    on_demand_dollars: float
    spot_hours: float = 0.0
    spot_dollars: float = 0.0
    checkpoint_interval_seconds: float = 0.0


def bill(hours: float, num_chips: int, prices: Prices) -> Bill:
    """The price of `hours` of training on `num_chips` chips."""
    on_demand_dollars = hours * num_chips * prices.chip_hour
    if not prices.spot_chip_hour:
        return Bill(on_demand_dollars)
    interval = min(best_checkpoint_interval(prices.spot), hours * _SECONDS_PER_HOUR)
    seconds = expected_seconds(hours * _SECONDS_PER_HOUR, interval, prices.spot)
    spot_hours = seconds / _SECONDS_PER_HOUR
    return Bill(
        on_demand_dollars=on_demand_dollars,
        spot_hours=spot_hours,
        spot_dollars=spot_hours * num_chips * prices.spot_chip_hour,
        checkpoint_interval_seconds=interval,
    )


def best_checkpoint_interval(spot: Spot) -> float:
    """Seconds of training between two checkpoints for which `expected_seconds` is least.

    With d the cost of a checkpoint and M the mean time between failures, sqrt(2 d M) to the first
    order: Young 1974, "A First Order Approximation to the Optimum Checkpoint Interval", CACM 17(9).
    Here the higher order of Daly 2006, "A higher order estimate of the optimum checkpoint interval
    for restart dumps", Future Generation Computer Systems 22(3), equation 37; the time that a
    restart takes has no part in it.
    """
    d, mean = spot.checkpoint_seconds, spot.preemption_seconds
    if d >= 2 * mean:
        return mean
    x = d / (2 * mean)
    return math.sqrt(2 * d * mean) * (1 + math.sqrt(x) / 3 + x / 9) - d


def expected_seconds(training_seconds: float, interval_seconds: float, spot: Spot) -> float:
    """Expected time of a training with a checkpoint after every `interval_seconds` of it.

    For exponentially distributed times between failures, of which any number may fall into an
    interval, its checkpoint or a restart: the complete model of Daly 2006 (see above).
    """
    mean = spot.preemption_seconds
    segment = interval_seconds + spot.checkpoint_seconds
    per_segment = mean * math.exp(spot.restart_seconds / mean) * math.expm1(segment / mean)
    return training_seconds / interval_seconds * per_segment
