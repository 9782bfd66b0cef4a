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
from trainer.data import RecordTable
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
    judge = _Judge(bowl, trial.records, every, recipe, metric)
    chosen = judge.choose(judge.rows)
    verdict = judge.verdict(seed) if len(judge.rows) >= _MIN_ROWS else None
    scores = [judge.shown((one,)) for one in every]
    logits = bowl.logits(chosen)
    bowl.fill(chosen)
    soup = SoupRecord(
        recipe.value,
        metric,
        _listed(pantry, chosen, scores),
        _note(pantry, chosen, judge.shown(chosen), scores, metric, verdict, len(judge.rows)),
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


class _Judge:
    """Scores means of ingredients on the held-out images that could be read."""

    def __init__(
        self,
        bowl: "_Bowl",
        records: RecordTable,
        every: tuple[int, ...],
        recipe: Recipe,
        metric: str,
    ):
        self._bowl, self._every, self._recipe, self._metric = bowl, every, recipe, metric
        self._targets, self._task = records.targets, records.task
        intact = intact_rows(bowl.logits((0,))) & (self._targets >= 0).all(axis=1)
        self.rows = np.flatnonzero(intact)

    def shown(self, chosen: tuple[int, ...]) -> float:
        """The metric of a mean, as people know it."""
        at = self.rows
        return score(self._metric, self._probabilities(chosen, at), self._targets[at], self._task)

    def choose(self, at: np.ndarray) -> tuple[int, ...]:
        """What the recipe takes, from what these rows say."""
        if self._recipe == Recipe.UNIFORM:
            return self._every
        return greedy(len(self._every), self._score, at)

    def verdict(self, seed: int) -> Verdict:
        """The recipe against the best ingredient, on rows that neither was chosen by."""
        targets = self._targets[self.rows]
        mean, alone = (
            cross_fitted(self._unseen_by(pick), targets, seed=seed)
            for pick in (self.choose, self._best)
        )
        return guard(mean, alone, self._metric, targets, self._task, seed=seed)

    def _best(self, at: np.ndarray) -> tuple[int, ...]:
        return (max(self._every, key=lambda one: self._score((one,), at)),)

    def _unseen_by(
        self, pick: Callable[[np.ndarray], tuple[int, ...]]
    ) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        rows = self.rows
        return lambda kept, out: self._probabilities(pick(rows[kept]), rows[out])

    def _score(self, chosen: tuple[int, ...], at: np.ndarray) -> float:
        probabilities = self._probabilities(chosen, at)
        return -regret(self._metric, probabilities, self._targets[at], self._task)

    def _probabilities(self, chosen: tuple[int, ...], at: np.ndarray) -> np.ndarray:
        return activate(self._bowl.logits(chosen)[at], self._task)


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
    with storage.lock_folder(output.path, "choose another --output_dir"):
        return write_averaged(trial, logits, soup, list(runs.values()), pantry.train_split, output)
