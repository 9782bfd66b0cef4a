"""`report.html`: whether the ensemble is worth it, why it is weighed so, and where it is wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from ensemble.combine import activate, to_logits
from ensemble.config import EnsembleConfig
from ensemble.inference import NUM_VIEWS
from ensemble.output import figures, predictions
from ensemble.output.card import Card
from ensemble.output.examples import Example, make_examples, most_disputed, worst_rows
from ensemble.output.sections import SECTIONS
from ensemble.result import Result
from ensemble.scoring import Scoreboard, inference_text, training_text
from orchard import html, storage
from orchard.formats import Task
from trainer.evaluation import (
    average_precision_per_class,
    hard_targets,
    metric_names,
    per_class_table,
    reliability,
    roc_auc_per_class,
)
from trainer.results import confusion_figure, reliability_figure

_NUM_EXAMPLES = 12
_NUM_CONFUSIONS = 15
_MAX_LISTED = 10


def write_report(path: str, config: EnsembleConfig, result: Result, card: Card) -> None:
    """Write the report of a finished ensemble, atomically; its first page is the card."""
    board = result.board
    page = html.render(
        "ensemble/report.html",
        config=config,
        result=result,
        records=result.inputs.records,
        boards=[_table(b) for b in (result.split_board, result.held_out_board) if b is not None],
        board=board,
        card=html.render("ensemble/card.html", parts=card.parts),
        num_views=NUM_VIEWS[result.inputs.views.tta],
        left_out=result.left_out,
        price_figure=board and _price_figure(board),
        weights=_weights(result),
        # Each renders a template of its own, which escapes what comes into it.
        sections=[section(config, result) for _, section in SECTIONS.items()],
        calibration=_calibration(config, board, result) if board else None,
        per_class=_per_class(board, result) if board else None,
        confusion=_confusion(board, result) if board else None,
        disputed=_disputed(result),
        mistakes=_mistakes(result),
        predicted_counts=_predicted_counts(result),
    )
    storage.write_bytes(path, page.encode())


def _table(board: Scoreboard) -> dict[str, Any]:
    """Rows of text: metric columns in a fixed order, intervals where there are some."""
    shown = metric_names(board.task)
    rows = []
    for entry in board.entries:
        cells = []
        for name in shown:
            value, interval = entry.scores.get(name, float("nan")), entry.intervals.get(name)
            text = "" if np.isnan(value) else f"{value:.4f}"
            spread = f"{interval[0]:.3f} to {interval[1]:.3f}" if text and interval else ""
            cells.append((text, spread))
        is_best = entry is board.best and not np.isnan(board.best.scores[board.metric])
        price = entry.candidate.price
        costs = inference_text(price), training_text(price)
        rows.append((entry.candidate, is_best, cells, costs))
    return {"board": board, "metrics": shown, "rows": rows}


def _price_figure(board: Scoreboard) -> str | None:
    figure = figures.price_figure(board.entries, board.metric)
    return None if figure is None else html.figure_to_uri(figure)


def _weights(result: Result) -> dict[str, Any]:
    names = [network.name for network in result.inputs.networks]
    learned = result.fit.learned
    return {
        "bars": html.bars(dict(zip(names, result.fit.network_weights.tolist(), strict=True))),
        "learned": learned,
        "names": names,
    }


def _calibration(
    config: EnsembleConfig, board: Scoreboard, result: Result
) -> dict[str, Any] | None:
    """Reliability on rows that fitted nothing where there are some, else on the held-out rows."""
    if not config.combiner.gives_probabilities:
        return None
    task, combination = board.task, result.fit.combination
    found = reliability(board.ensemble.candidate.probabilities, board.targets, task)
    before, after = found, None
    if config.calibrate:
        before, after = reliability(_uncalibrated(board, result), board.targets, task), found
    diagrams = {"ensemble": before} if after is None else {"before": before, "after": after}
    return {
        "figure": html.figure_to_uri(reliability_figure(diagrams)),
        "before": before.expected_error,
        "after": None if after is None else after.expected_error,
        "where": board.where,
        "temperatures": [
            (member.name, _numbers(temperature))
            for member, temperature in zip(
                result.inputs.members, combination.member_temperatures, strict=True
            )
        ],
        "last": _numbers(combination.temperature),
    }


def _uncalibrated(board: Scoreboard, result: Result) -> np.ndarray:
    """What the same weights give without temperatures on the board's rows."""
    out_of_fold = result.fit.out_of_fold
    if out_of_fold is not None and board is result.held_out_board:
        return out_of_fold.uncalibrated
    labelled = (result.inputs.targets >= 0).all(axis=1)
    return result.fit.uncalibrated(result.logits[:, labelled])


def _per_class(board: Scoreboard, result: Result) -> dict[str, Any]:
    names, task = result.inputs.records.class_names, board.task
    p, targets = board.ensemble.candidate.probabilities, board.targets
    rows = per_class_table(to_logits(p, task), targets, task, tuple(names))
    hard = hard_targets(targets, task)
    mixed = np.flatnonzero(hard.any(axis=0) & ~hard.all(axis=0))
    # Of the columns as they are, as `scores.score` takes them: mean ranks don't sum to 1.
    columns = to_logits(p, Task.MULTI_LABEL), hard, Task.MULTI_LABEL
    areas = roc_auc_per_class(*columns)
    precisions = average_precision_per_class(*columns)
    for row, area, precision in zip(rows, areas, precisions, strict=True):
        row |= {"roc_auc": float(area), "average_precision": float(precision)}
    # With many classes the weakest are the ones to look at.
    shown = sorted(mixed.tolist(), key=lambda c: areas[c])[: figures.MAX_CURVES]
    drawn = (figures.roc_figure, figures.precision_recall_figure) if shown else ()
    return {
        "rows": rows,
        "figures": [html.figure_to_uri(draw(p, hard, names, sorted(shown))) for draw in drawn],
        "hidden": len(mixed) - len(shown),
    }


def _confusion(board: Scoreboard, result: Result) -> dict[str, Any] | None:
    """The matrix of a one-label task, and the pairs confused most."""
    if board.task != Task.SINGLE_LABEL:
        return None
    names = result.inputs.records.class_names
    true = board.targets.argmax(axis=1)
    predicted = board.ensemble.candidate.probabilities.argmax(axis=1)
    counts = confusion_matrix(true, predicted, labels=range(len(names)))
    off = counts - np.diag(np.diag(counts))
    order = np.argsort(-off, axis=None, kind="stable")[:_NUM_CONFUSIONS]
    pairs = [divmod(int(at), len(names)) for at in order if off.flat[at]]
    small = len(names) <= figures.MAX_CONFUSION_CLASSES
    figure = confusion_figure(counts, names) if small else None
    return {
        "figure": figure and html.figure_to_uri(figure),
        "pairs": [(names[t], names[p], int(counts[t, p]), int(counts[t].sum())) for t, p in pairs],
    }


def _disputed(result: Result) -> list[Example]:
    if len(result.inputs.members) < 2:
        return []
    p = np.stack([activate(one, result.inputs.records.task) for one in result.logits])
    rows = most_disputed(p, result.inputs.records.task, _NUM_EXAMPLES)
    return _examples(result, rows, p, [f"{member.name}: " for member in result.inputs.members])


def _mistakes(result: Result) -> list[Example]:
    inputs, task = result.inputs, result.inputs.records.task
    labelled = np.flatnonzero((inputs.targets >= 0).all(axis=1))
    if not len(labelled):
        return []
    p, targets = result.probabilities[labelled], inputs.targets[labelled]
    named = predictions.named_classes(p, task, result.thresholds)
    wrong = (named != hard_targets(targets, task)).any(axis=1)
    rows = labelled[worst_rows(p, targets, wrong, task, _NUM_EXAMPLES)]
    return _examples(result, rows, result.probabilities[np.newaxis], [""])


def _examples(
    result: Result, rows: np.ndarray, p: np.ndarray, prefixes: Sequence[str]
) -> list[Example]:
    """Rows of the record table with a line of text for each model.

    Args:
        result: of the ensemble.
        rows: of the record table.
        p: probabilities float [models, rows, classes].
        prefixes: what the line of each model begins with.
    """
    inputs, names = result.inputs, result.inputs.records.class_names
    task = inputs.records.task
    lines: list[list[str]] = [[] for _ in rows]
    for prefix, one in zip(prefixes, p[:, rows], strict=True):
        named = predictions.named_classes(one, task, result.thresholds)
        for at, label in enumerate(predictions.class_labels(named, names)):
            lines[at].append(f"{prefix}{label} {one[at].max():.2f}")
    targets = inputs.targets[rows]
    labels = predictions.class_labels(hard_targets(targets, task), names)
    true = [
        (label or "none of the classes") if known else ""
        for label, known in zip(labels, (targets >= 0).all(axis=1), strict=True)
    ]
    return make_examples(rows.tolist(), inputs.records, inputs.csv_rows, true, lines)


def _predicted_counts(result: Result) -> list[html.Bar]:
    records = result.inputs.records
    named = predictions.named_classes(result.probabilities, records.task, result.thresholds)
    return html.bars(dict(zip(records.class_names, named.sum(axis=0).tolist(), strict=True)))


def _numbers(values: np.ndarray) -> str:
    if values.size > _MAX_LISTED:
        return f"{values.min():.3g} to {values.max():.3g} ({values.size} classes)"
    return ", ".join(f"{value:.3g}" for value in np.ravel(values))
