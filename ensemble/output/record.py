"""The record of an ensemble: what went into it and what weight each part has."""

import numpy as np

from ensemble.cascade import CascadeChoice, CurvePoint
from ensemble.config import EnsembleConfig
from ensemble.conformal import ConformalSets
from ensemble.evidence import ChosenViews
from ensemble.fitting import Trial
from ensemble.inference import NO_VIEWS
from ensemble.result import Result
from orchard.formats import (
    AutoViews,
    CascadePoint,
    CascadeRecord,
    CascadeStage,
    ConformalRecord,
    EnsembleDataset,
    EnsembleRecord,
    GainOverUniform,
    MemberWeight,
    NetworkWeight,
    RefitsChoice,
    TriedWeights,
    WeightSelection,
)


def ensemble_record(config: EnsembleConfig, result: Result) -> EnsembleRecord:
    """What `weights.json` says."""
    inputs, fitted = result.inputs, result.fit
    combination = fitted.combination
    return EnsembleRecord(
        task=combination.combiner.task,
        class_names=tuple(inputs.records.class_names),
        dataset=EnsembleDataset(config.dataset, inputs.records.fingerprint),
        split=config.split,
        combine=config.combine,
        tta=inputs.views.tta,
        weights=config.weights,
        weights_split=config.weights_split if inputs.held_out is not None else None,
        metric=inputs.metric,
        members=tuple(
            MemberWeight(
                name=member.name,
                path=member.path,
                architecture=member.architecture,
                fingerprint=member.fingerprint,
                train_split=member.train_split,
                eval_split=member.eval_split,
                weight=float(combination.weights[at]),
                temperature=tuple(combination.member_temperatures[at].tolist()),
                price=result.prices.members[at],
            )
            for at, member in enumerate(inputs.members)
        ),
        networks=tuple(
            NetworkWeight(
                network.name,
                tuple(inputs.members[m].name for m in network.members),
                float(weight),
                price,
            )
            for network, weight, price in zip(
                inputs.networks, fitted.network_weights, result.prices.networks, strict=True
            )
        ),
        temperature=tuple(combination.temperature.tolist()),
        thresholds=tuple(result.thresholds.tolist()),
        selection=_selection(result),
        refits=_refits(result),
        price=result.prices.ensemble,
        tta_auto=_auto_views(inputs.views),
        cascade=_cascade(result.cascade),
        conformal=_conformal(result.sets),
        tried=_tried(result),
    )


def _cascade(choice: CascadeChoice | None) -> CascadeRecord | None:
    if choice is None:
        return None
    found = choice.found
    stages = () if found is None else found.cascade.stages
    return CascadeRecord(
        max_loss=choice.wish.max_loss,
        max_flops_share=choice.wish.max_share,
        used=found is not None,
        confidence="" if found is None else found.cascade.confidence.value,
        stages=tuple(
            CascadeStage(
                names,
                # JSON has no infinity, which the last stage's doubt is.
                None if stage is stages[-1] else 1.0 - stage.max_doubt,
                tuple(stage.temperature.tolist()),
                tuple(stage.confidence_temperature.tolist()),
                float(left),
            )
            for names, stage, left in zip(
                found.stage_names if found else (),
                stages,
                found.left_shares if found else (),
                strict=True,
            )
        ),
        judged=_point(choice.verdict),
        curve=tuple(map(_point, choice.curve)),
        flops_per_image=choice.flops_of_all if found is None else found.flops,
        flops_per_image_of_all=choice.flops_of_all,
        note=choice.sentence,
    )


def _point(point: CurvePoint) -> CascadePoint:
    return CascadePoint(point.share, point.loss, point.low, point.high)


def _conformal(sets: ConformalSets | None) -> ConformalRecord | None:
    if sets is None:
        return None
    return ConformalRecord(
        level=sets.level,
        method=sets.name,
        parameters={name: float(value) for name, value in vars(sets.method).items()},
        images=sets.num_images,
        kept=sets.kept,
        low=sets.low,
        high=sets.high,
        mean_size=sets.mean_size,
    )


def _auto_views(views: ChosenViews) -> AutoViews | None:
    if not views.tried:
        return None
    return AutoViews(views.tried, views.tta != NO_VIEWS, views.note)


def _refits(result: Result) -> RefitsChoice | None:
    runs = result.inputs.runs
    if runs.which is None:
        return None
    held_out = result.inputs.held_out is not None
    return RefitsChoice(
        predict_with=runs.which,
        note=runs.note,
        vouched_by=tuple(run.name for run in runs.held_out.members) if held_out else (),
        caveat=runs.caveat if held_out else "",
    )


def _selection(result: Result) -> WeightSelection | None:
    """How greedy selection went, where it was tried."""
    learned, names = result.fit.learned, _names(result)
    if learned is None:
        return None
    picked = ((trial, trial.weights.selection) for trial in learned.trials)
    for trial, selection in picked:
        if selection is not None:
            return WeightSelection(
                order=tuple(names[at] for at in selection.order),
                regrets=tuple(selection.trajectory),
                weights=dict(zip(names, selection.weights.tolist(), strict=True)),
                used=trial is learned.chosen,
                gain_over_uniform=_gain(trial),
            )
    return None


def _tried(result: Result) -> tuple[TriedWeights, ...]:
    learned, names = result.fit.learned, _names(result)
    if learned is None:
        return ()
    tried = []
    for trial in learned.trials:
        found, by_class, offsets = trial.weights, None, None
        if found.combiners is not None:
            by_class = {
                name: tuple((share * np.asarray(one.scales)).tolist())
                for name, share, one in zip(names, found.shares, found.combiners, strict=True)
            }
            offsets = tuple(np.asarray(found.combiners[0].offsets).tolist())
        tried.append(
            TriedWeights(
                name=trial.name,
                shares=dict(zip(names, found.shares.tolist(), strict=True)),
                used=trial is learned.chosen,
                over=trial.over,
                gain=_gain(trial),
                note=found.note,
                weights=by_class,
                offsets=offsets,
            )
        )
    return tuple(tried)


def _gain(trial: Trial) -> GainOverUniform | None:
    verdict = trial.verdict
    if verdict is None:
        return None
    return GainOverUniform(
        verdict.gain, verdict.low, verdict.high, verdict.confidence, verdict.num_parts
    )


def _names(result: Result) -> list[str]:
    return [network.name for network in result.inputs.networks]
