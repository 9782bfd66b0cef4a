"""Held-out logits, and what they decide: which runs of a network predict, and with which views.

Out of fold, refits have no held-out images: their folds vouch for them. On a named split that no
run trained on, the runs that predict are judged themselves, and may be chosen there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.config import EnsembleConfig
from ensemble.fitting import (
    OUT_OF_FOLD,
    ChangeVerdict,
    HeldOut,
    assemble_held_out,
    held_out_split_names,
    judge_change,
    out_of_fold,
    own_split,
    refuse_leakage,
)
from ensemble.inference import AUTO_VIEWS, NO_VIEWS, NUM_VIEWS, never_drawn, widest
from ensemble.members import Cast, Member, PredictWith, has_refits, predicting, vouchers, vouching
from orchard.errors import OrchardError
from orchard.formats import Logits
from trainer.data import RecordTable, load_records, set_gcs_read_options

# Logits of every member on a split of the dataset, means over the views of that name.
Predict = Callable[[Sequence[Member], RecordTable, str], np.ndarray]


@dataclass(frozen=True)
class ChosenViews:
    """The test-time views that are averaged.

    Attributes:
        tta: a key of `NUM_VIEWS`.
        note: how `--tta=auto` came to it, in a sentence; "" where it was not asked.
        tried: the views that `--tta=auto` put to the test; "" where it was not asked.
        unseen: whether some member's training did not draw all of them.
        held_out: whether the held-out logits are of them, too.
    """

    tta: str
    note: str = ""
    tried: str = ""
    unseen: bool = False
    held_out: bool = True


@dataclass(frozen=True)
class ChosenRuns:
    """The runs that predict, and those that vouch for them.

    Attributes:
        cast: the runs that predict.
        held_out: the runs whose held-out logits are fitted and scored on; where they are not those
            that predict, these are refits.
        which: what `--predict_with` came to; None where no network has refits.
        note: how `--predict_with=auto` came to it, in a sentence; "" where it was not asked.
    """

    cast: Cast
    held_out: Cast
    which: PredictWith | None = None
    note: str = ""

    @property
    def vouched_by(self) -> tuple[tuple[int, ...], ...]:
        """For each run that predicts, the indices of those in `held_out` that vouch for it."""
        return vouchers(self.cast, self.held_out)

    @property
    def caveat(self) -> str:
        """What the held-out numbers are of, where it is not the runs that predict; else ""."""
        seen = {
            _share(self.held_out.members[index])
            for run, voucher in zip(self.cast.members, self.vouched_by, strict=True)
            for index in voucher
            if self.held_out.members[index] != run
        }
        if not seen:
            return ""
        return (
            "Held-out scores, and what is fitted on held-out images, are those of the fold "
            f"networks, each trained on {' or '.join(sorted(seen))}; the refits, trained on all "
            "folds, have none."
        )


def _share(fold: Member) -> str:
    """How much of its dataset's folds a fold network trained on, in words."""
    trained = held_out_split_names(fold.train_split)
    every = trained | held_out_split_names(fold.eval_split or fold.train_split)
    return f"{len(trained)} of {len(every)} folds"


@dataclass(frozen=True)
class Evidence:
    """What held-out images say.

    Attributes:
        runs: which predict, and which vouch.
        views: of each image.
        held_out: rows to fit on and to score on; None where there are none.
        no_held_out: why there are none.
    """

    runs: ChosenRuns
    views: ChosenViews
    held_out: HeldOut | None
    no_held_out: str


def find_evidence(
    config: EnsembleConfig,
    everyone: Cast,
    fingerprint: str,
    weights: np.ndarray | None,
    predict: Predict,
) -> Evidence:
    """Find the held-out logits, and choose runs and views by them.

    Args:
        config: what was asked for.
        everyone: all runs of all networks.
        fingerprint: of the dataset.
        weights: float64 [networks], or None where they are to be learned.
        predict: computes logits of held-out images.

    Raises:
        OrchardError: something is to be fitted, and there is nothing to fit it on.
    """
    look = _Look(config, everyone, fingerprint, weights, predict)
    runs = look.choose_runs()
    return Evidence(runs, *look.choose_views(runs))


@dataclass(frozen=True)
class _Look:
    """The arguments of `find_evidence`, which all of its steps need."""

    config: EnsembleConfig
    everyone: Cast
    fingerprint: str
    weights: np.ndarray | None
    predict: Predict

    def choose_runs(self) -> ChosenRuns:
        """Which runs predict; `--predict_with=auto` judges them where a split can."""
        config, everyone = self.config, self.everyone
        which, note = config.predict_with, ""
        if not has_refits(everyone):
            return ChosenRuns(predicting(everyone, which), everyone)
        if which == PredictWith.AUTO:
            which, note = self._judge_runs()
        cast = predicting(everyone, which)
        held_out = vouching(everyone) if config.weights_split == OUT_OF_FOLD else cast
        return ChosenRuns(cast, held_out, which, note)

    def _judge_runs(self) -> tuple[PredictWith, str]:
        """Refits, unless folds or both beat them beyond chance; and in words how it came."""
        refits = predicting(self.everyone, PredictWith.REFITS)
        if self.config.weights_split == OUT_OF_FOLD or refits == self.everyone:
            return PredictWith.REFITS, "Refits, trained on all rows, predict."
        tta = NO_VIEWS if self.config.tta == AUTO_VIEWS else self.config.tta
        # Both first: one pass over the images, and the others find their logits in the cache.
        others = {
            which: self._held_out(predicting(self.everyone, which), tta)[0]
            for which in (PredictWith.BOTH, PredictWith.FOLDS)
        }
        alone = self._held_out(refits, tta)[0]
        verdicts = {which: self._judge(alone, other) for which, other in others.items()}
        # A gain beyond chance before a greater one that is not.
        best = max(verdicts, key=lambda which: (verdicts[which].trusted, verdicts[which].gain))
        if not verdicts[best].trusted:
            return PredictWith.REFITS, (
                "Refits predict: neither folds nor both together beat them beyond chance "
                f"({best}: {verdicts[best]})."
            )
        what = "Folds and refits together" if best == PredictWith.BOTH else "Folds"
        return best, f"{what} predict, which beat refits alone ({verdicts[best]})."

    def choose_views(self, runs: ChosenRuns) -> tuple[ChosenViews, HeldOut | None, str]:
        """The views to average, the held-out rows, and why there are none."""
        config = self.config
        drawn_by = tuple(dict.fromkeys((*runs.cast.members, *runs.held_out.members)))
        if config.tta != AUTO_VIEWS:
            # A pass of their own for scores alone would cost more than the one that is wanted.
            scored = config.weights_split != OUT_OF_FOLD or config.needs_held_out
            unseen = never_drawn(drawn_by, config.tta) is not None
            views = ChosenViews(
                config.tta, unseen=unseen, held_out=scored or config.tta == NO_VIEWS
            )
            found = self._held_out(runs.held_out, config.tta if scored else NO_VIEWS)
            return views, *found
        alone, _ = self._held_out(runs.held_out, NO_VIEWS)
        tta = widest(drawn_by, config.tta_unseen_views)
        if tta == NO_VIEWS:
            note = "The members' training drew no views in common"
            return ChosenViews(tta, f"{note}: images are predicted as they are.", tta), alone, ""
        seen, _ = self._held_out(runs.held_out, tta)
        verdict = self._judge(alone, seen)
        if verdict.trusted:
            unseen = never_drawn(drawn_by, tta) is not None
            note = f"Test-time views: {tta}, {NUM_VIEWS[tta]} an image ({verdict})."
            return ChosenViews(tta, note, tta, unseen), seen, ""
        note = f"Test-time views ({tta}) do not help beyond chance ({verdict}): none are used."
        return ChosenViews(NO_VIEWS, note, tta), alone, ""

    def _judge(self, before: HeldOut | None, after: HeldOut | None) -> ChangeVerdict:
        if before is None or after is None:
            raise ValueError("auto needs held-out rows, and _held_out raises without any")
        config, count = self.config, len(self.everyone.networks)
        default = "log_loss" if config.combiner.gives_probabilities else "roc_auc"
        return judge_change(
            before,
            after,
            combiner=config.combiner(self.everyone.members[0].task),
            weights=np.full(count, 1 / count) if self.weights is None else self.weights,
            metric=config.metric or default,
            seed=config.seed,
        )

    def _held_out(self, cast: Cast, tta: str) -> tuple[HeldOut | None, str]:
        """The held-out logits of these runs, and why there are none."""
        config, (members, networks) = self.config, cast
        if config.weights_split == OUT_OF_FOLD:
            try:
                if tta != NO_VIEWS:
                    tables = self._own_views(members, tta)
                    return assemble_held_out(tables, members, networks), ""
                return out_of_fold(members, networks), ""
            except OrchardError as error:
                # Without anything to fit they would only have added scores to the report.
                if config.needs_held_out:
                    raise
                return None, str(error)
        records = load_records(config.dataset, config.weights_split)
        if any(member.dataset_fingerprint != records.fingerprint for member in members):
            raise OrchardError(
                f"--weights_split={config.weights_split} is a split of another dataset than the "
                "members', so nobody can tell whether they trained on its images; use "
                f"--weights_split={OUT_OF_FOLD}"
            )
        refuse_leakage(members, config.weights_split)
        if not (records.targets >= 0).all(axis=1).any():
            raise OrchardError(
                f"--weights_split={config.weights_split} has no labeled image to fit on; use a "
                f"labeled split or {OUT_OF_FOLD}"
            )
        logits = self.predict(members, records, tta)
        tables = [Logits(records.ids, one, records.targets, records.class_names) for one in logits]
        return assemble_held_out(tables, members, networks), ""

    def _own_views(self, members: Sequence[Member], tta: str) -> list[Logits]:
        """Each member's logits of the split that it was evaluated on, means over views."""
        first = members[0]  # All were trained on one dataset.
        same = first.dataset_fingerprint == self.fingerprint
        dataset = self.config.dataset if same else first.dataset_path
        set_gcs_read_options(dataset)
        groups: dict[str, list[Member]] = {}
        for member in members:
            groups.setdefault(own_split(member), []).append(member)
        tables: dict[Member, Logits] = {}
        for split, group in groups.items():
            records = load_records(dataset, split)
            if records.fingerprint != first.dataset_fingerprint:
                raise OrchardError(
                    f"member {first.path} was trained on another dataset than there is now in "
                    f"{dataset}, so its held-out images cannot be predicted with views; pass "
                    f"--tta={NO_VIEWS}, or put that dataset back"
                )
            for member, logits in zip(group, self.predict(group, records, tta), strict=True):
                tables[member] = Logits(records.ids, logits, records.targets, records.class_names)
        return [tables[member] for member in members]
