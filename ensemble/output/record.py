"""The record of an ensemble: what went into it and what weight each part has."""

from ensemble.config import EnsembleConfig
from ensemble.evidence import ChosenViews
from ensemble.inference import NO_VIEWS
from ensemble.result import Result
from orchard.formats import (
    AutoViews,
    EnsembleDataset,
    EnsembleRecord,
    GainOverUniform,
    MemberWeight,
    NetworkWeight,
    RefitsChoice,
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
    learned = result.fit.learned
    if learned is None:
        return None
    selection, verdict = learned.selection, learned.verdict
    names = [network.name for network in result.inputs.networks]
    gain = None
    if verdict is not None:
        gain = GainOverUniform(
            verdict.gain, verdict.low, verdict.high, verdict.confidence, verdict.num_parts
        )
    return WeightSelection(
        order=tuple(names[at] for at in selection.order),
        regrets=tuple(selection.trajectory),
        weights=dict(zip(names, selection.weights.tolist(), strict=True)),
        used=learned.trusted,
        gain_over_uniform=gain,
    )
