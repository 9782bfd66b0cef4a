"""Scores on the predicted split and on held-out rows, and what each network adds there."""

from dataclasses import replace

import numpy as np

from ensemble.combine import COMBINERS, activate
from ensemble.config import EnsembleConfig
from ensemble.fitting import Fit
from ensemble.inputs import Inputs
from ensemble.scoring import (
    Candidate,
    CandidateKind,
    Diversity,
    Prices,
    Scoreboard,
    additions_of,
    build_scoreboard,
    pairs_of,
    score,
)
from orchard.formats import Task


def split_board(
    config: EnsembleConfig,
    inputs: Inputs,
    logits: np.ndarray,
    fit: Fit,
    probabilities: np.ndarray,
    prices: Prices,
) -> Scoreboard | None:
    """Scores of every member, every network of folds and the ensemble on the predicted split."""
    labelled = (inputs.targets >= 0).all(axis=1)
    if not labelled.any():
        return None
    members = _members(logits[:, labelled], fit, inputs.records.task)
    candidates = [
        Candidate(member.name, CandidateKind.MEMBER, float(weight), one, price)
        for member, weight, one, price in zip(
            inputs.members, fit.combination.weights, members, prices.members, strict=True
        )
    ]
    for network, weight, price in zip(
        inputs.networks, fit.network_weights, prices.networks, strict=True
    ):
        if len(network.members) > 1:
            mean = np.mean([members[m] for m in network.members], axis=0)
            name = f"{network.name} (mean of {len(network.members)})"
            candidates.append(Candidate(name, CandidateKind.NETWORK, float(weight), mean, price))
    candidates.append(
        Candidate(
            "ensemble", CandidateKind.ENSEMBLE, None, probabilities[labelled], prices.ensemble
        )
    )
    return build_scoreboard(
        f"split {config.split}, {int(labelled.sum())} labeled images" + _calibrated(config),
        candidates,
        inputs.targets[labelled],
        inputs.records.task,
        inputs.metric,
        ensemble_ranks_only=not config.combiner.gives_probabilities,
        seed=config.seed,
    )


def held_out_board(
    config: EnsembleConfig, inputs: Inputs, fit: Fit, prices: Prices
) -> Scoreboard | None:
    """Scores of the networks and the ensemble on the rows that it was fitted on."""
    if fit.out_of_fold is None:
        return None
    held_out, task = fit.out_of_fold.held_out, inputs.records.task
    networks = held_out.representations(
        fit.out_of_fold.temperatures, COMBINERS["probabilities"](task)
    )
    by_folds = ", by the folds alone" if inputs.runs.caveat else ""
    candidates = [
        Candidate(network.name, CandidateKind.NETWORK, float(weight), one, price)
        for network, weight, one, price in zip(
            inputs.networks, fit.network_weights, networks, prices.networks, strict=True
        )
    ]
    candidates.append(
        Candidate(
            "ensemble",
            CandidateKind.ENSEMBLE,
            None,
            fit.out_of_fold.probabilities,
            prices.ensemble,
        )
    )
    return build_scoreboard(
        f"{len(held_out.ids)} held-out images ({config.weights_split})"
        + by_folds
        + _calibrated(config),
        candidates,
        held_out.targets,
        task,
        inputs.metric,
        ensemble_ranks_only=not config.combiner.gives_probabilities,
        seed=config.seed,
    )


def _members(logits: np.ndarray, fit: Fit, task: Task) -> np.ndarray:
    """What members give alone, calibrated where the ensemble is: float64 [members, rows, classes].

    An ensemble that is calibrated has to be better than a member that is.
    """
    temperatures = fit.combination.member_temperatures
    return np.stack(
        [activate(one / at, task) for one, at in zip(logits, temperatures, strict=True)]
    )


def _calibrated(config: EnsembleConfig) -> str:
    return ", all calibrated" if config.calibrate else ""


def diversity(
    config: EnsembleConfig,
    inputs: Inputs,
    logits: np.ndarray,
    fit: Fit,
    board: Scoreboard,
    prices: Prices,
) -> Diversity | None:
    """The networks' errors on the rows of the board, and what each network adds there."""
    if len(inputs.networks) < 2:
        return None
    task, combination, out_of_fold = inputs.records.task, fit.combination, fit.out_of_fold
    labelled = (inputs.targets >= 0).all(axis=1)
    if labelled.any():
        members = _members(logits[:, labelled], fit, task)
        alone = np.stack([members[list(one.members)].mean(axis=0) for one in inputs.networks])

        def reweighed(shares: np.ndarray) -> np.ndarray:
            weights = np.zeros(len(logits))
            for share, network in zip(shares, inputs.networks, strict=True):
                weights[list(network.members)] = share / len(network.members)
            return replace(combination, weights=weights)(logits[:, labelled])
    elif out_of_fold is not None:
        alone = out_of_fold.held_out.representations(
            out_of_fold.temperatures, COMBINERS["probabilities"](task)
        )
        reweighed = out_of_fold.reweighed
    else:
        raise ValueError("a board has labeled rows")
    parts = [one.flops_per_image for one in prices.networks]
    # Of all networks for each image: not of a cascade, where they are seldom asked.
    used = zip(parts, fit.network_weights, strict=True)
    whole = sum(part or 0 for part, weight in used if weight)
    names = [network.name for network in inputs.networks]
    additions = additions_of(
        names,
        fit.network_weights,
        reweighed,
        board.metric,
        board.targets,
        task,
        flops_shares=None
        if None in parts or not whole
        else [(part or 0) / whole for part in parts],
        seed=config.seed,
    )
    whole_score = score(board.metric, reweighed(fit.network_weights), board.targets, task)
    return Diversity(
        board.where, board.metric, whole_score, pairs_of(alone, board.targets, task), additions
    )
