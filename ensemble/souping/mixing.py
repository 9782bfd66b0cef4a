"""Which weights to average: all, or greedily; and whether their mean beats the best of them.

Wortsman et al. 2022, "Model soups" (arXiv 2203.05482). Uniform: the mean of all. Greedy (its recipe
1): by their own score, the best first, each is added if the mean with it scores no worse on
held-out images.

What was chosen on the images that judge it looks good. So, for the verdict, the recipe and the best
single ingredient are chosen on all held-out images but one part, and judged on that part, for every
part. A mean of the same ingredients is evaluated once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from absl import logging

from ensemble.combine import activate
from ensemble.fitting import Verdict, cross_fitted, guard
from ensemble.scoring import regret, score
from ensemble.souping.ingredients import Ingredient, Pantry
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import (
    RunDir,
    RunRecord,
    SoupIngredient,
    SoupRecord,
    TextEnum,
    WeightsCheckpoint,
    load_checkpoint_file,
    load_logits,
)
from trainer.checkpoints import set_network_arrays
from trainer.evaluation import check_metric, default_metric, intact_rows
from trainer.results import WeightsTrial, export, write_averaged

_MIN_ROWS = 20


class Recipe(TextEnum):
    """Which ingredients are averaged."""

    UNIFORM = "uniform"
    GREEDY = "greedy"


@dataclass(frozen=True)
class Soup:
    """A finished soup.

    Attributes:
        record: its `run.json`.
        verdict: against the best ingredient, on images by which neither was chosen; None: there
            are too few.
    """

    record: RunRecord
    verdict: Verdict | None


def make_soup(
    pantry: Pantry,
    output_dir: str,
    *,
    recipe: Recipe = Recipe.GREEDY,
    metric: str = "",
    dataset: str = "",
    seed: int = 0,
) -> Soup:
    """Choose among the ingredients, average them and write the mean as a run.

    Args:
        pantry: the ingredients.
        output_dir: where to; nothing but a soup is overwritten there.
        recipe: how to choose.
        metric: what judges; default: accuracy, or roc_auc of many labels.
        dataset: where the members' dataset is; default: where the first one found it.
        seed: of the parts and draws of the verdict.

    Raises:
        OrchardError: they cannot be averaged, or there is nothing to choose by.
    """
    output = RunDir(output_dir)
    _check_output(output)
    if pantry.eval_split is None and recipe == Recipe.GREEDY:
        raise OrchardError(
            "--recipe=greedy chooses by held-out images, and the members have none; name a split "
            "that none trained on with --eval_split, or take --recipe=uniform"
        )
    first = pantry.ingredients[0].record
    metric = metric or default_metric(first.task)
    check_metric(metric, first.task)
    trial = WeightsTrial(
        pantry.ingredients[0].member.path, dataset or first.dataset.path, pantry.eval_split
    )
    bowl = _Bowl(pantry, trial)
    every = tuple(range(len(pantry.ingredients)))
    if trial.records is None:
        bowl.fill(every)
        note = (
            f"The mean of {len(every)} weights: no held-out images say whether it is better than "
            "one of them."
        )
        soup = SoupRecord(recipe.value, metric, _listed(pantry, every, None), note)
        return Soup(_write(pantry, trial, None, soup, output), None)

    targets, task = trial.records.targets, first.task
    rows = np.flatnonzero(intact_rows(bowl.logits((0,))) & (targets >= 0).all(axis=1))

    def score_of(chosen: tuple[int, ...], at: np.ndarray) -> float:
        return -regret(metric, activate(bowl.logits(chosen)[at], task), targets[at], task)

    def choose(at: np.ndarray) -> tuple[int, ...]:
        return every if recipe == Recipe.UNIFORM else greedy(len(every), score_of, at)

    def best(at: np.ndarray) -> tuple[int, ...]:
        return (max(every, key=lambda one: score_of((one,), at)),)

    def unseen_by(
        pick: Callable[[np.ndarray], tuple[int, ...]],
    ) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        return lambda kept, out: activate(bowl.logits(pick(rows[kept]))[rows[out]], task)

    chosen, verdict = choose(rows), None
    if len(rows) >= _MIN_ROWS:
        mean, alone = (
            cross_fitted(unseen_by(pick), targets[rows], seed=seed) for pick in (choose, best)
        )
        verdict = guard(mean, alone, metric, targets[rows], task, seed=seed)
    scores = [
        score(metric, activate(bowl.logits((one,))[rows], task), targets[rows], task)
        for one in every
    ]
    logits = bowl.logits(chosen)
    bowl.fill(chosen)
    own = score(metric, activate(logits[rows], task), targets[rows], task)
    soup = SoupRecord(
        recipe.value,
        metric,
        _listed(pantry, chosen, scores),
        _note(pantry, chosen, own, scores, metric, verdict, len(rows)),
        *((verdict.gain, verdict.low, verdict.high) if verdict else ()),
    )
    return Soup(_write(pantry, trial, logits, soup, output), verdict)


def greedy(
    count: int, score_of: Callable[[tuple[int, ...], np.ndarray], float], rows: np.ndarray
) -> tuple[int, ...]:
    """The greedy recipe: indices of the ingredients to average, in their order.

    Args:
        count: of ingredients.
        score_of: (ingredients, rows) -> score of their mean, the higher the better.
        rows: to choose on.
    """
    alone = [score_of((one,), rows) for one in range(count)]
    order = sorted(range(count), key=lambda one: (-alone[one], one))
    chosen: tuple[int, ...] = (order[0],)
    best = alone[order[0]]
    for one in order[1:]:
        tried = tuple(sorted((*chosen, one)))
        value = score_of(tried, rows)
        if value >= best:
            chosen, best = tried, value
    return chosen


class _Bowl:
    """Means of ingredients in a trial's network; the logits of each are computed once."""

    def __init__(self, pantry: Pantry, trial: WeightsTrial):
        self._pantry, self._trial = pantry, trial
        self._weights = [self._load(one) for one in pantry.ingredients]
        self._logits: dict[tuple[int, ...], np.ndarray] = {}

    def fill(self, chosen: tuple[int, ...]) -> None:
        """Bring the mean of some into the network: one alone stays as it is."""
        if len(chosen) == 1:
            self._trial.take(self._weights[chosen[0]], reestimate=False)
            return
        parts = zip(*(self._weights[one] for one in chosen), strict=True)
        mean = [np.asarray(np.mean(part, axis=0, dtype=np.float64), np.float32) for part in parts]
        self._trial.take(mean, reestimate=True)

    def logits(self, chosen: tuple[int, ...]) -> np.ndarray:
        """Of the mean of some, float32 [records, classes]."""
        if chosen not in self._logits:
            known = self._left_by_run(chosen)
            if known is None:
                self.fill(chosen)
                known = self._trial.logits()
                logging.info("evaluated the mean of %s", chosen)
            self._logits[chosen] = known
        return self._logits[chosen]

    def _left_by_run(self, chosen: tuple[int, ...]) -> np.ndarray | None:
        """What the run of a single ingredient left of the same images."""
        one = self._pantry.ingredients[chosen[0]]
        split = self._pantry.eval_split
        if len(chosen) > 1 or one.checkpoint or split is None or one.member.eval_split != split:
            return None
        path = RunDir(one.member.path).eval_logits_file(split)
        records = self._trial.records
        if records is None or not storage.exists(path):
            return None
        table = load_logits(path)
        return table.logits if np.array_equal(table.ids, records.ids) else None

    def _load(self, one: Ingredient) -> list[np.ndarray]:
        first, trial = self._pantry.ingredients[0], self._trial
        if one.checkpoint:
            found = load_checkpoint_file(one.checkpoint)
            if not isinstance(found, WeightsCheckpoint):
                raise OrchardError(f"{one.checkpoint} holds no weights of an evaluation")
            set_network_arrays(trial.network, found)
            return trial.network.get_weights()
        if one.member is first.member:
            return trial.weights
        weights = export.load_network(RunDir(one.member.path)).get_weights()
        if [w.shape for w in weights] != [w.shape for w in trial.weights]:
            raise OrchardError(
                f"members {first.member.path} and {one.member.path} have layers of other sizes, so "
                "their weights have no mean; average their predictions: ensemble.main"
            )
        return weights


def _check_output(output: RunDir) -> None:
    storage.check_writable(output.path)
    if storage.exists(output.record_file):
        if RunRecord.load(output.record_file).soup is None:
            raise OrchardError(
                f"--output_dir={output.path} holds a training; give a folder of its own"
            )
    elif storage.exists(output.checkpoints_dir):
        raise OrchardError(
            f"--output_dir={output.path} holds a training that has not finished; give a folder of "
            "its own"
        )


def _listed(
    pantry: Pantry, chosen: tuple[int, ...], scores: list[float] | None
) -> tuple[SoupIngredient, ...]:
    found = [
        SoupIngredient(
            one.name,
            one.member.path,
            one.step,
            None if scores is None or np.isnan(scores[at]) else scores[at],
            at in chosen,
        )
        for at, one in enumerate(pantry.ingredients)
    ]
    return tuple(found)


def _note(
    pantry: Pantry,
    chosen: tuple[int, ...],
    own: float,
    scores: list[float],
    metric: str,
    verdict: Verdict | None,
    num_rows: int,
) -> str:
    names = [one.name for one in pantry.ingredients]
    if len(chosen) == 1:
        return (
            f"No mean scored as well as {names[chosen[0]]} alone ({metric} {own:.4f}): it is what "
            "was written."
        )
    shown = (
        f"The mean of {len(chosen)} of {len(names)} weights has {metric} {own:.4f} on {num_rows}"
    )
    shown += f" held-out images; single ones have {min(scores):.4f} to {max(scores):.4f}"
    if verdict is None:
        return f"{shown}: too few images to say more."
    beats = "It beats" if verdict.trusted else "It does not beat"
    if verdict.high < 0:
        beats = "It is worse than"
    return (
        f"{shown}. {beats} the best ingredient beyond chance (gain {verdict}, each chosen without "
        "the images that judge it)."
    )


def _write(
    pantry: Pantry, trial: WeightsTrial, logits: np.ndarray | None, soup: SoupRecord, output: RunDir
) -> RunRecord:
    runs = {one.member.path: one.record for one in pantry.ingredients}
    return write_averaged(trial, logits, soup, list(runs.values()), pantry.train_split, output)
