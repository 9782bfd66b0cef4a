"""Learning rate as a pure function of the step."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SCHEDULES = ("article", "cosine", "warm_restarts", "constant")

# Whose learning rate at a step does not depend on how long the training is.
SCHEDULES_OF_ANY_LENGTH = ("article", "warm_restarts", "constant")


@dataclass(frozen=True)
class Schedule:
    """A learning-rate curve; every duration is in steps.

    Attributes:
        name: one of `SCHEDULES`.
        peak: the highest learning rate, reached when the warm-up ends.
        start: the learning rate of step 0 when there is a warm-up.
        end: the floor that the decay goes down to.
        total_steps: length of the training.
        warmup_steps: linear rise from `start` to `peak`.
        hold_steps: (article) steps at `peak` before the decay.
        steps_per_epoch: (article) the decay is stated per epoch; real-valued.
        decay_per_epoch: (article) factor on (rate - end) over one epoch.
        cycle_steps: (warm_restarts) length of the first cosine cycle.
        cycle_growth: (warm_restarts) each cycle is this many times as long as the one before.
    """

    name: str
    peak: float
    total_steps: int
    start: float = 0.0
    end: float = 0.0
    warmup_steps: float = 0.0
    hold_steps: float = 0.0
    steps_per_epoch: float = 1.0
    decay_per_epoch: float = 0.8
    cycle_steps: float = 1.0
    cycle_growth: float = 2.0


def learning_rates(schedule: Schedule, first_step: int, num_steps: int) -> np.ndarray:
    """float32 [num_steps]: the learning rates of steps first_step, first_step + 1, ..."""
    steps = range(first_step, first_step + num_steps)
    return np.array([learning_rate(schedule, step) for step in steps], np.float32)


def learning_rate(schedule: Schedule, step: float) -> float:
    """The learning rate of one step."""
    if step < schedule.warmup_steps:
        return schedule.start + (schedule.peak - schedule.start) * step / schedule.warmup_steps
    return _DECAYS[schedule.name](schedule, step - schedule.warmup_steps)


def _article(schedule: Schedule, step: float) -> float:
    # Kaggle's TPU starter schedule: hold, then exponential decay to a floor. There it is a
    # staircase of epochs; here the same curve through the epoch boundaries, step by step.
    if step < schedule.hold_steps:
        return schedule.peak
    epochs = (step - schedule.hold_steps) / schedule.steps_per_epoch
    return schedule.end + (schedule.peak - schedule.end) * schedule.decay_per_epoch**epochs


def _cosine(schedule: Schedule, step: float) -> float:
    return _half_cosine(schedule, step / max(1.0, schedule.total_steps - schedule.warmup_steps))


def _warm_restarts(schedule: Schedule, step: float) -> float:
    # SGDR (Loshchilov and Hutter 2017, equation 5).
    length = schedule.cycle_steps
    while step >= length:
        step -= length
        length *= schedule.cycle_growth
    return _half_cosine(schedule, step / length)


def _constant(schedule: Schedule, step: float) -> float:
    del step
    return schedule.peak


def _half_cosine(schedule: Schedule, share_done: float) -> float:
    wave = 0.5 * (1.0 + math.cos(math.pi * min(1.0, share_done)))
    return schedule.end + (schedule.peak - schedule.end) * wave


_DECAYS: dict[str, Callable[[Schedule, float], float]] = {
    "article": _article,
    "cosine": _cosine,
    "warm_restarts": _warm_restarts,
    "constant": _constant,
}
