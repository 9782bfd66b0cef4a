"""The part `conformal`: what prediction sets cover, and whether they are MAPIE's.

Sets are fitted on half of a pool's test images and counted on the other half, a hundred times.
`raps, randomized` is algorithm 3 of Angelopoulos et al. 2021 with U drawn for each image: what sets
would be that need not hold the likeliest class. Orchard does not offer it.
"""

import numpy as np
from absl import flags
from mapie.conformity_scores import RAPSConformityScore

from benchmarks.ensemble_quality.parts import PARTS
from benchmarks.ensemble_quality.pools import Pool, pools
from benchmarks.worth.cascades import halves
from ensemble.combine import activate
from ensemble.conformal.lac import LeastAmbiguous
from ensemble.conformal.method import upper_quantile
from ensemble.conformal.raps import Raps
from orchard.formats import Task
from tests.ensemble.conformal.mapie_sets import mapie_sets

_SETS_RESPLITS = flags.DEFINE_integer("sets_resplits", 100, "(conformal) Halves of the images.")
_LEVELS = flags.DEFINE_list("levels", ["0.9", "0.95", "0.99"], "(conformal) What is promised.")


@PARTS.register("conformal")
def main() -> None:
    """Print a table of coverage and sizes, and how many sets are MAPIE's."""
    print(
        "| networks | accuracy | promised | method | covered | classes a set | empty | MAPIE "
        "covers | the same sets as MAPIE |\n|---|---|---|---|---|---|---|---|---|"
    )
    for pool in pools():
        probabilities = activate(pool.logits.mean(axis=0, dtype=np.float64), Task.SINGLE_LABEL)
        for level in map(float, _LEVELS.value):
            _report(pool, probabilities, level)


def _report(pool: Pool, probabilities: np.ndarray, level: float) -> None:
    true = pool.targets.argmax(axis=1)
    rows: dict[str, list[tuple[float, float, float, float, float]]] = {}
    for seed in range(_SETS_RESPLITS.value):
        fit, test = halves(pool.targets, seed)
        known, new = probabilities[fit], probabilities[test]
        for name, ours, theirs in (
            ("raps", *_raps(known, pool.targets[fit], new, level, seed)),
            ("raps, penalty 0", *_aps(known, true[fit], new, level)),
            ("lac", *_lac(known, pool.targets[fit], new, level)),
            ("raps, randomized", _randomized(known, true[fit], new, level, seed), None),
        ):
            at = np.arange(len(test)), true[test]
            same = of_mapie = float("nan")
            if theirs is not None:
                same, of_mapie = (ours == theirs).all(axis=1).mean(), theirs[at].mean()
            sizes = ours.sum(axis=1)
            figures = ours[at].mean(), sizes.mean(), (sizes == 0).mean(), of_mapie, same
            rows.setdefault(name, []).append(figures)
    accuracy = (probabilities.argmax(axis=1) == true).mean()
    for name, found in rows.items():
        covered, size, empty, of_mapie, same = np.mean(found, axis=0)
        spread = np.std([one[0] for one in found])
        print(
            f"| {pool.name} | {accuracy:.4f} | {level:g} | {name} | {covered:.4f} (sd "
            f"{spread:.4f}) | {size:.3f} | {empty:.2%} | {of_mapie:.4f} | {same:.2%} |",
            flush=True,
        )


def _raps(known, targets, new, level, seed) -> tuple[np.ndarray, np.ndarray | None]:
    """Each tunes penalty and free classes, and calibrates, as it does."""
    ours = Raps.fit(known, targets, level, seed).sets(new)
    true = targets.argmax(axis=1)
    score = RAPSConformityScore(size_raps=0.2)
    try:
        return ours, mapie_sets(score, known, true, new, level, seed)[1]
    except ValueError:  # Of high levels it wants more images.
        return ours, None


def _aps(known, true, new, level) -> tuple[np.ndarray, np.ndarray]:
    ours = Raps.calibrated(known, true, level, penalty=0.0, free=0).sets(new)
    return ours, mapie_sets("aps", known, true, new, level)[1]


def _lac(known, targets, new, level) -> tuple[np.ndarray, np.ndarray]:
    ours = LeastAmbiguous.fit(known, targets, level, 0).sets(new)
    return ours, mapie_sets("lac", known, targets.argmax(axis=1), new, level)[1]


def _randomized(known, true, new, level, seed) -> np.ndarray:
    penalty, free = Raps.tuned(known, true, level)
    generator = np.random.default_rng(seed)

    def scores(probabilities: np.ndarray) -> np.ndarray:
        order = np.argsort(-probabilities, axis=1, kind="stable")
        ordered = np.take_along_axis(probabilities, order, axis=1)
        drawn = generator.random((len(ordered), 1))
        places = np.maximum(np.arange(ordered.shape[1]) + 1 - free, 0)
        of_places = np.cumsum(ordered, axis=1) - ordered * (1 - drawn) + penalty * places
        return np.take_along_axis(of_places, np.argsort(order, axis=1), axis=1)

    at_most = upper_quantile(scores(known)[np.arange(len(true)), true], level)
    return scores(new) <= at_most
