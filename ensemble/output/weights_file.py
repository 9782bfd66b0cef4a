"""`weights.json`: what went into an ensemble and how it was weighed, for people and programs."""

from typing import Any

import numpy as np

from ensemble.config import EnsembleConfig
from ensemble.result import Result

SCHEMA_VERSION = 1


def weights_record(config: EnsembleConfig, result: Result) -> dict[str, Any]:
    """The content of `weights.json`: plain values only."""
    inputs, fitted = result.inputs, result.fit
    combination = fitted.combination
    members = [
        {
            "name": member.name,
            "path": member.path,
            "architecture": member.architecture,
            "fingerprint": member.fingerprint,
            "train_split": member.train_split,
            "eval_split": member.eval_split,
            "weight": float(combination.weights[at]),
            "temperature": combination.member_temperatures[at].tolist(),
        }
        for at, member in enumerate(inputs.members)
    ]
    networks = [
        {
            "name": network.name,
            "members": [inputs.members[m].name for m in network.members],
            "weight": float(weight),
        }
        for network, weight in zip(inputs.networks, fitted.network_weights, strict=True)
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "task": combination.combiner.task,
        "class_names": list(inputs.records.class_names),
        "dataset": {"path": config.dataset, "fingerprint": inputs.records.fingerprint},
        "split": config.split,
        "combine": config.combine,
        "tta": config.tta,
        "weights": config.weights,
        "weights_split": config.weights_split if inputs.held_out is not None else None,
        "metric": inputs.metric,
        "members": members,
        "networks": networks,
        "temperature": combination.temperature.tolist(),
        "thresholds": np.asarray(result.thresholds).tolist(),
        "selection": _selection(result),
    }


def _selection(result: Result) -> dict[str, Any] | None:
    """How greedy selection went; None for weights that were given."""
    learned = result.fit.learned
    if learned is None:
        return None
    selection, verdict = learned.selection, learned.verdict
    names = [network.name for network in result.inputs.networks]
    return {
        "order": [names[at] for at in selection.order],
        "regrets": list(selection.trajectory),
        "weights": dict(zip(names, selection.weights.tolist(), strict=True)),
        "used": learned.trusted,
        "gain_over_uniform": None
        if verdict is None
        else {
            "gain": verdict.gain,
            "low": verdict.low,
            "high": verdict.high,
            "confidence": verdict.confidence,
            "parts": verdict.num_parts,
        },
    }
