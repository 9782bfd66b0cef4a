"""The result: probabilities, thresholds, scores with intervals, and caveats."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ensemble import boards
from ensemble.cascade import CascadeChoice, choose_cascade
from ensemble.combine import Rule, to_logits
from ensemble.config import EnsembleConfig
from ensemble.conformal import ConformalSets, calibrate_sets
from ensemble.fitting import Fit, overlapping
from ensemble.formats import ExportedFile
from ensemble.inference import NUM_VIEWS
from ensemble.inputs import Inputs
from ensemble.members import Member
from ensemble.scoring import (
    Cheapest,
    Diversity,
    Prices,
    Scoreboard,
    cheapest_within_chance,
    ensemble_prices,
)
from trainer.data import RecordTable
from trainer.evaluation import best_thresholds


@dataclass(frozen=True)
class Result:
    """A finished ensemble.

    Attributes:
        inputs: what it was made from.
        logits: float32 [members, rows, classes] of the predicted split.
        fit: weights and temperatures, and how they came about.
        probabilities: float64 [rows, classes].
        thresholds: float64 [classes].
        split_board: scores on the predicted split; None without labels.
        held_out_board: scores on the held-out rows; None where there are none.
        fitted_on: how many images of the predicted split weights or temperatures were fitted on.
        prices: what members, networks and ensemble cost.
        cheapest: what to choose by `board` where cost counts; None where there is no choice.
        cascade: what came of `--cascade`; None where it was not asked for.
        sets: those of `--conformal`; likewise.
        diversity: how the networks' errors differ on the rows of `board`, and what each network
            adds; None without labels, and of one network.
        exported: the files of `--formats`.
    """

    inputs: Inputs
    logits: np.ndarray
    fit: Fit
    probabilities: np.ndarray
    thresholds: np.ndarray
    split_board: Scoreboard | None
    held_out_board: Scoreboard | None
    fitted_on: int
    prices: Prices
    cheapest: Cheapest | None
    cascade: CascadeChoice | None = None
    sets: ConformalSets | None = None
    diversity: Diversity | None = None
    exported: tuple[ExportedFile, ...] = ()

    @property
    def rule(self) -> Rule:
        """How the members make the probabilities."""
        found = None if self.cascade is None else self.cascade.found
        return self.fit.combination if found is None else found.cascade

    @property
    def board(self) -> Scoreboard | None:
        """The scores to judge by: those on the predicted split, where it has labels."""
        return self.split_board or self.held_out_board

    @property
    def caveats(self) -> list[str]:
        """What a reader might overestimate or miss, one sentence each."""
        caveats = []
        seen = seen_in_training(self.inputs.members, self.inputs.records)
        if self.split_board is not None and seen:
            caveats.append(
                f"Members trained on {', '.join(seen)}: the scores on the predicted split show "
                "memory, not skill."
            )
        if self.split_board is not None and self.fitted_on:
            caveats.append(
                f"{_what_was_fitted(self)} were fitted on {self.fitted_on} images of the "
                "predicted split: the ensemble's scores there flatter it."
            )
        views = self.inputs.views
        if views.unseen:
            caveats.append(
                f"Some test-time views ({views.tta}) were never drawn in training: they may do "
                "more harm than good."
            )
        if self.inputs.held_out is not None and not views.held_out:
            caveats.append(
                "Scores on held-out images are those of images as they are, without the test-time "
                "views; --tta=auto or --calibrate predicts their views too."
            )
        if self.inputs.held_out is not None and self.inputs.runs.caveat:
            caveats.append(self.inputs.runs.caveat)
        if self.inputs.held_out is None:
            caveats.append(f"No scores on held-out images: {self.inputs.no_held_out}.")
        if self.fit.combination.combiner.caveat:
            caveats.append(self.fit.combination.combiner.caveat)
        return caveats

    @property
    def left_out(self) -> int:
        """How many predictions the sample submission does not ask for."""
        submission = self.inputs.submission
        return 0 if submission is None else len(self.inputs.records) - len(submission.ids)


def judge(config: EnsembleConfig, inputs: Inputs, logits: np.ndarray, fit: Fit) -> Result:
    """Apply a fitted ensemble to the split to predict, and score it wherever there are labels.

    Args:
        config: what was asked for.
        inputs: what the ensemble is made from.
        logits: float32 [members, rows, classes] of the split.
        fit: its weights and temperatures.
    """
    prices = ensemble_prices(
        inputs.runs.cast,
        inputs.runs.held_out,
        fit.combination.weights,
        NUM_VIEWS[inputs.views.tta],
    )
    cascade = _cascade(config, inputs, fit, prices)
    rule: Rule = fit.combination
    found = None if cascade is None else cascade.found
    if found is not None and fit.out_of_fold is not None:
        rule = found.cascade
        fit = replace(fit, out_of_fold=replace(fit.out_of_fold, probabilities=found.probabilities))
        prices = replace(prices, ensemble=replace(prices.ensemble, flops_per_image=found.flops))
    probabilities = rule(logits)
    split_board = boards.split_board(config, inputs, logits, fit, probabilities, prices)
    held_out_board = boards.held_out_board(config, inputs, fit, prices)
    board = split_board or held_out_board
    return Result(
        inputs,
        logits,
        fit,
        probabilities,
        _thresholds(inputs, fit),
        split_board,
        held_out_board,
        _fitted_on(config, inputs, fit),
        prices,
        cheapest_within_chance(board, config.seed) if board else None,
        cascade,
        _sets(config, inputs, fit),
        boards.diversity(config, inputs, logits, fit, board, prices) if board else None,
    )


def _cascade(
    config: EnsembleConfig, inputs: Inputs, fit: Fit, prices: Prices
) -> CascadeChoice | None:
    if config.wish is None or fit.out_of_fold is None:
        return None
    return choose_cascade(
        fit.combination,
        fit.network_weights,
        inputs.networks,
        [price.flops_per_image for price in prices.networks],
        fit.out_of_fold.held_out,
        fit.out_of_fold.representations(),
        wish=config.wish,
        calibrate=config.calibrate,
        metric=inputs.metric,
        seed=config.seed,
    )


def _sets(config: EnsembleConfig, inputs: Inputs, fit: Fit) -> ConformalSets | None:
    if config.conformal is None or fit.out_of_fold is None:
        return None
    return calibrate_sets(
        fit.out_of_fold.probabilities,
        fit.out_of_fold.held_out.targets,
        inputs.records.class_names,
        inputs.records.task,
        level=config.conformal,
        method=config.conformal_method,
        seed=config.seed,
    )


def _what_was_fitted(result: Result) -> str:
    cascade = result.cascade is not None and result.cascade.found is not None
    others = ["cascade"] * cascade + ["prediction sets"] * (result.sets is not None)
    what = ["weights", *(["temperatures", *others] if others else ["temperatures"])]
    return " or ".join([", ".join(what[:-1]), what[-1]]).capitalize()


def seen_in_training(members: Sequence[Member], records: RecordTable) -> list[str]:
    """Splits of a table that some member trained on."""
    # Another dataset's split of the same name holds other images.
    same = [m for m in members if m.dataset_fingerprint == records.fingerprint]
    return [
        split
        for split in records.splits
        if any(overlapping(split, member.train_split) for member in same)
    ]


def _thresholds(inputs: Inputs, fit: Fit) -> np.ndarray:
    if inputs.thresholds is not None:
        return inputs.thresholds
    if fit.out_of_fold is None:
        raise ValueError("thresholds are fitted on held-out rows; there are none")
    task = inputs.records.task
    logits = to_logits(fit.out_of_fold.probabilities, task)
    return best_thresholds(logits, fit.out_of_fold.held_out.targets, task)


def _fitted_on(config: EnsembleConfig, inputs: Inputs, fit: Fit) -> int:
    verdict = None if fit.learned is None else fit.learned.chosen.verdict
    learned = config.calibrate or (verdict is not None and verdict.trusted)
    learned |= config.wish is not None or config.conformal is not None
    same_dataset = inputs.members[0].dataset_fingerprint == inputs.records.fingerprint
    if not (learned and same_dataset) or inputs.held_out is None:
        return 0
    return int(np.isin(inputs.records.ids, inputs.held_out.ids).sum())
