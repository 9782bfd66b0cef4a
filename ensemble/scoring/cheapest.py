"""The cheapest choice within chance of the best: what a reader who pays for each image wants."""

from dataclasses import dataclass

import numpy as np

from ensemble.scoring import bootstrap
from ensemble.scoring.price import inference_text
from ensemble.scoring.scoreboard import CandidateKind, Entry, Scoreboard
from orchard.quantities import format_number
from trainer.evaluation import METRICS


@dataclass(frozen=True)
class Comparison:
    """The best entry of a board against a cheaper one.

    Attributes:
        entry: the cheaper one.
        gain: how much better the best is.
        low: lower end of the gain's paired interval.
        high: upper end.
    """

    entry: Entry
    gain: float
    low: float
    high: float

    @property
    def within_chance(self) -> bool:
        """Whether the interval contains 0; NaN does not."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True)
class Cheapest:
    """The entry of the least inference cost that is within chance of the best.

    Attributes:
        metric: what judged.
        best: the entry with the best score.
        compared: cheaper ones, the cheapest first, up to and with the first within chance.
        unknown: how many entries were left out since their inference cost is not known.
    """

    metric: str
    best: Entry
    compared: tuple[Comparison, ...]
    unknown: int

    @property
    def choice(self) -> Comparison | None:
        """What is within chance of the best and costs the least; None: nothing cheaper is."""
        last = self.compared[-1] if self.compared else None
        return last if last is not None and last.within_chance else None

    @property
    def sentence(self) -> str:
        """What to choose, for people."""
        best, choice = self.best, self.choice
        if best.candidate.price.flops_per_image is None:
            return (
                f"What is the cheapest choice within chance of {_name(best)} is unknown: there is "
                "no inference cost in the run.json of its members (trainer.main --run_dir=RUN "
                "--export_only adds it)."
            )
        notes = f" ({self.unknown} of unknown cost left out)" if self.unknown else ""
        if choice is not None:
            others = len(self.compared) - 1
            beyond = f"; {others} cheaper still {_are(others)} not" if others else ""
            return (
                f"{_capital(_name(choice.entry))} alone is within chance of the best, "
                f"{_name(best)} ({self._against(choice)}{beyond}), at {self._ratios(choice)}"
                f"{notes}."
            )
        if not self.compared:
            costs = inference_text(best.candidate.price)
            return (
                f"Nothing with a score is cheaper than the best, {_name(best)}, at {costs} GFLOPs "
                f"an image{notes}."
            )
        nearest = min(self.compared, key=lambda one: one.gain)
        return (
            f"Nothing cheaper is within chance of the best, {_name(best)}: the nearest is "
            f"{_name(nearest.entry)} ({self._against(nearest)}){notes}."
        )

    def _against(self, one: Comparison) -> str:
        theirs, ours = one.entry.scores[self.metric], self.best.scores[self.metric]
        return (
            f"{self.metric} {theirs:.4f} against {ours:.4f}, 95% interval of the difference "
            f"{one.low:+.4f} to {one.high:+.4f}"
        )

    def _ratios(self, one: Comparison) -> str:
        theirs, ours = one.entry.candidate.price, self.best.candidate.price
        if theirs.flops_per_image is None or ours.flops_per_image is None:
            raise ValueError("compared entries have a known inference cost")
        inference = theirs.flops_per_image / ours.flops_per_image
        text = f"{format_number(inference)} of its inference cost"
        if theirs.train_seconds is None or not ours.train_seconds or theirs.unit != ours.unit:
            return f"{text} (training cost unknown)"
        training = format_number(theirs.train_seconds / ours.train_seconds)
        return f"{text} and {training} of its training cost"


def cheapest_within_chance(board: Scoreboard, seed: int = 0) -> Cheapest | None:
    """The entry that costs the least among those that are within chance of the best.

    Each is compared with the best by its own 95% interval, so among many that are a little worse
    one may be taken for equal by luck.

    Args:
        board: scores of members, networks and ensemble, and what they cost.
        seed: of the bootstrap.

    Returns:
        None where there is nothing to choose: one network, or scores that are no numbers.
    """
    metric = board.metric
    scored = [one for one in board.entries if not np.isnan(one.scores[metric])]
    if not board.compares or len(scored) < 2:
        return None
    sign = -1 if METRICS[metric].higher_is_better else 1
    known = [one for one in scored if one.candidate.price.flops_per_image is not None]
    # Of equal scores the cheaper one is the best; one whose cost is unknown comes last.
    best = min(scored, key=lambda one: (sign * one.scores[metric], _flops(one)))
    cheaper = [one for one in known if _flops(one) < _flops(best) < float("inf")]
    compared: list[Comparison] = []
    for entry in sorted(cheaper, key=lambda one: (_flops(one), sign * one.scores[metric])):
        found = bootstrap.difference_interval(
            metric,
            best.candidate.probabilities,
            entry.candidate.probabilities,
            board.targets,
            board.task,
            seed=seed,
        )
        compared.append(Comparison(entry, *found))
        if compared[-1].within_chance:
            break
    return Cheapest(metric, best, tuple(compared), len(scored) - len(known))


def _flops(entry: Entry) -> float:
    flops = entry.candidate.price.flops_per_image
    return float("inf") if flops is None else flops


def _name(entry: Entry) -> str:
    ensemble = entry.candidate.kind == CandidateKind.ENSEMBLE
    return "the ensemble" if ensemble else entry.candidate.name


def _capital(text: str) -> str:
    return f"The {text.removeprefix('the ')}" if text.startswith("the ") else text


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
