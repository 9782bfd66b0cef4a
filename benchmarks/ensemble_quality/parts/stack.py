"""The part `stack`: learned weights against equal ones, on images that no fit has seen.

Each pool of `pools.py` gives three cases: half of the images, and five of the networks, drawn anew.
Uniform, greedy and stack are compared by the log loss of cross-fitted predictions, with the 95%
interval of the difference; auto is the choice that `--weights=auto` makes. Nothing here is tuned on
the other half, on which the weights found on the first are then scored as well.
"""

import numpy as np
from absl import flags

from benchmarks.ensemble_quality.parts import PARTS
from benchmarks.ensemble_quality.pools import Pool, pools
from benchmarks.worth.cascades import halves
from ensemble.combine import COMBINERS, Combiner
from ensemble.fitting import WEIGHTINGS, Sample, cross_fitted, guard, learn_weights
from ensemble.scoring import score
from orchard.formats import Task

_CASES = flags.DEFINE_integer("stack_cases", 3, "(stack) Draws of images and networks, a pool.")
_NETWORKS = 5
_MAX_IMAGES = 2000
_METRIC = "log_loss"
_NAMES = ("uniform", "greedy", "stack")


@PARTS.register("stack")
def stack() -> None:
    """Print a row for each case."""
    print("| pool, draw | images | uniform | greedy | stack | stack against greedy | auto | ")
    print("|---|---|---|---|---|---|---|")
    for pool in pools():
        for seed in range(_CASES.value):
            print(_row(pool, seed), flush=True)


def _row(pool: Pool, seed: int) -> str:
    generator = np.random.default_rng(seed)
    count = min(_NETWORKS, len(pool.names))
    drawn = pool.take(sorted(generator.choice(len(pool.names), count, replace=False).tolist()))
    fitted, others = (rows[:_MAX_IMAGES] for rows in halves(drawn.targets, seed))
    sample, unseen = (_sample(drawn, rows) for rows in (fitted, others))
    p = {name: _cross_fitted(sample, name) for name in _NAMES}
    losses = {name: _loss(p[name], sample) for name in _NAMES}
    verdict = guard(p["stack"], p["greedy"], _METRIC, sample.targets, Task.SINGLE_LABEL)
    learned = learn_weights(sample, _NAMES)
    auto = learned.chosen.name
    against = guard(p[auto], p["uniform"], _METRIC, sample.targets, Task.SINGLE_LABEL)
    later = _loss(unseen.combine(learned.weights), unseen)
    equal = _loss(unseen.combine(learned.trials[0].weights), unseen)
    cells = [
        f"{drawn.name}, {seed}",
        f"{len(fitted):,}",
        *(f"{losses[name]:.4f}" for name in _NAMES),
        f"{1 - losses['stack'] / losses['greedy']:+.1%} (gain {verdict})",
        f"{auto} (over uniform {against}; on the other half {later:.4f} against {equal:.4f})",
    ]
    return f"| {' | '.join(cells)} |"


def _sample(pool: Pool, rows: np.ndarray) -> Sample:
    combiner = COMBINERS["logits"](Task.SINGLE_LABEL)
    logits = pool.logits[:, rows].astype(np.float64)

    def represent(asked: Combiner) -> np.ndarray:
        return np.stack([asked.represent(one) for one in logits])

    return Sample(represent, pool.targets[rows], combiner, _METRIC, 0, np.arange(len(rows)))


def _cross_fitted(sample: Sample, name: str) -> np.ndarray:
    def fit_and_predict(rows: np.ndarray, left_out: np.ndarray) -> np.ndarray:
        return sample.take(left_out).combine(WEIGHTINGS[name]().find(sample.take(rows)))

    return cross_fitted(fit_and_predict, sample.targets)


def _loss(probabilities: np.ndarray, sample: Sample) -> float:
    return score(_METRIC, probabilities, sample.targets, Task.SINGLE_LABEL)
