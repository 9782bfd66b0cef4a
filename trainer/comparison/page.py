"""The page of comparison: a section for each set of images by which several runs were judged."""

import os
import urllib.parse
from collections.abc import Sequence
from typing import Any

import numpy as np

from orchard import html, storage
from orchard.formats import ComputeTime, RunDir, total_time
from orchard.quantities import format_number, format_seconds
from trainer.comparison import figures
from trainer.comparison.entries import Entry, differing_flags
from trainer.comparison.pairs import Comparison, Gain, Scored, compare

# More columns than these cannot be read.
_MAX_PAIRED = 20


def write_page(path: str, folder: str, entries: Sequence[Entry], metric: str = "") -> None:
    """Write the page, atomically.

    Args:
        path: of the .html file.
        folder: that the entries were found in.
        entries: what `read_entries` gave.
        metric: what orders them; empty: accuracy, or roc_auc for many labels.
    """
    comparisons = compare(entries, metric)
    shown = {id(one.entry) for comparison in comparisons for one in comparison.scored}
    text = html.render(
        "trainer/comparison.html",
        folder=folder,
        facts=_facts(entries),
        sections=[_section(path, comparison) for comparison in comparisons],
        unscored=[_unscored(path, entry) for entry in entries if id(entry) not in shown],
    )
    storage.write_bytes(path, text.encode())


def _facts(entries: Sequence[Entry]) -> dict[str, str]:
    runs = [entry for entry in entries if not entry.is_folds]
    facts = {"finished runs": f"{len(runs):,}"}
    if len(runs) < len(entries):
        facts["of all folds"] = f"{len(entries) - len(runs):,} commands"
    for unit in dict.fromkeys(run.time.unit for run in runs if run.time is not None):
        times = [run.time for run in runs if run.time is not None and run.time.unit == unit]
        facts[f"training, {unit}"] = _charged(total_time(times))
    unknown = sum(run.time is None for run in runs)
    if unknown:
        facts["of unknown cost"] = f"{unknown:,} runs"
    return facts


def _charged(time: ComputeTime | None) -> str:
    return "" if time is None else format_number(time.charged_seconds)


def _section(page: str, comparison: Comparison) -> dict[str, Any]:
    scored, metric = comparison.scored, comparison.metric
    names = list(scored[0].scores)
    drawn = {
        "Learning curves": figures.curves(scored, metric),
        "Score and cost": figures.costs(scored, metric),
    }
    flags = differing_flags([one.entry for one in scored])
    return {
        "title": comparison.where,
        "comparison": comparison,
        "metrics": names,
        "rows": [_row(page, rank, one, names) for rank, one in enumerate(scored)],
        "figures": {title: html.figure_to_uri(figure) for title, figure in drawn.items() if figure},
        "hidden_curves": max(0, len(scored) - figures.NUM_COLORS),
        "pairs": _pairs(comparison) if len(scored) > 1 else {},
        "hidden_pairs": max(0, len(scored) - _MAX_PAIRED),
        "flags": flags,
        "settings": [
            (one.entry.name, [_text(one.entry.flags.get(name)) for name in flags]) for one in scored
        ],
    }


def _row(page: str, rank: int, one: Scored, names: Sequence[str]) -> dict[str, Any]:
    cells = []
    for name in names:
        value, (low, high) = one.scores[name], one.intervals[name]
        known = not np.isnan(value)
        cells.append(
            (f"{value:.4f}" if known else "–", f"{low:.3f} to {high:.3f}" if known else "")
        )
    record, steps = one.entry.record, [run.best_step for run in one.entry.runs]
    return {
        **_named(page, one.entry),
        "color": figures.color(rank),
        "network": f"{os.path.basename(record.architecture)}, "
        + "x".join(str(side) for side in record.image_size_px),
        "cells": cells,
        "step": f"{min(steps):,}" + (f" to {max(steps):,}" if min(steps) < max(steps) else ""),
        **_costs(one.entry),
    }


def _named(page: str, entry: Entry) -> dict[str, str]:
    """Name, and a link to its report where both are on this machine."""
    report, link = RunDir(entry.path).report_file, ""
    if not storage.is_remote(page) and not storage.is_remote(report) and os.path.exists(report):
        link = urllib.parse.quote(os.path.relpath(report, os.path.dirname(page) or "."))
    return {"name": entry.name, "link": link}


def _costs(entry: Entry) -> dict[str, str]:
    time, flops = entry.time, entry.flops_per_image
    return {
        "charged": f"{_charged(time)} {time.unit}" if time else "unknown",
        "wall": format_seconds(time.wall_seconds) if time else "unknown",
        "gflops": format_number(flops / 1e9) if flops else "unknown",
    }


def _unscored(page: str, entry: Entry) -> dict[str, str]:
    record = entry.record
    why = "nothing was held out" if record.eval_split is None else "its held-out logits are gone"
    return {**_named(page, entry), **_costs(entry), "why": why, "train_split": record.train_split}


def _pairs(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Of each metric a table: the gain of the row over the column."""
    shown = range(min(len(comparison.scored), _MAX_PAIRED))
    names = [comparison.scored[at].entry.name for at in shown]
    return {
        metric: {
            "names": names,
            "rows": [
                (names[a], [None if a == b else _gain_cell(gains[a][b]) for b in shown])
                for a in shown
            ],
        }
        for metric, gains in comparison.gains.items()
    }


def _gain_cell(gain: Gain) -> tuple[str, str, str]:
    """Value, interval, and the class of the cell."""
    if np.isnan(gain.gain):
        return "–", "", ""
    kind = {1: "better", 0: "", -1: "worse"}[gain.sign]
    return f"{gain.gain:+.4f}", f"{gain.low:+.3f} to {gain.high:+.3f}", kind


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
