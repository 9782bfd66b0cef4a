"""The model card: what an ensemble is made of, how good it is, and what its limits are.

Everything in it follows from config, result and the runs' records, so that it is never out of date;
a part that nothing is known for is left out. It is `README.md` of the ensemble's directory, with a
head that Hugging Face reads, and the first page of the report.
"""

import json
import platform
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

import orchard
from ensemble.combine import to_logits
from ensemble.config import EnsembleConfig
from ensemble.inference import NUM_VIEWS
from ensemble.result import Result
from ensemble.scoring import Scoreboard, inference_text, training_text
from orchard import storage
from orchard.flags import Flag
from orchard.formats import MANIFEST_FILE, RunDir, RunRecord, Task, load_manifest
from orchard.quantities import format_number
from trainer.evaluation import (
    METRICS,
    hard_predictions,
    hard_targets,
    metric_names,
    reliability,
)
from trainer.keras_module import keras

MARK = "<!-- Written by ensemble.main, and again whenever it runs. -->"
_MAX_CLASSES = 30
# Fewer images of a class tell little of it; a class of which less is found is named.
_FEW_IMAGES, _LOW_RECALL = 20, 0.5
_MAX_NAMED = 10


@dataclass(frozen=True)
class Table:
    """A table of text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Part:
    """A part of the card, with something in it.

    Attributes:
        title: its heading.
        items: sentences.
        table: what is told by rows; None: nothing is.
        code: a command; empty: none.
    """

    title: str
    items: tuple[str, ...] = ()
    table: Table | None = None
    code: str = ""


@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes:
        title: its heading.
        head: what Hugging Face reads, by name; JSON values.
        parts: none of them is empty.
    """

    title: str
    head: dict[str, object]
    parts: tuple[Part, ...]


def make_card(config: EnsembleConfig, result: Result) -> Card:
    """The card of a finished ensemble."""
    inputs = result.inputs
    runs = {one.path: RunRecord.load(RunDir(one.path).record_file) for one in inputs.members}
    count = len(inputs.networks)
    name = _dataset_name(config)
    parts = (
        Part("Data", _data(config, result)),
        Part("Splits", _splits(config, result, runs.values()), _split_table(config)),
        Part("Networks", _networks(config, result), _network_table(result, runs)),
        *(_scores(board) for board in (result.split_board, result.held_out_board) if board),
        Part("Calibration", _calibration(config, result)),
        Part("Limits", tuple(_limits(config, result))),
        Part("Licenses", _licenses(runs.values())),
        Part("Use", code=_use(config) if config.export else ""),
        Part("Command", code=command_line(config)),
        Part("Versions", (_versions(),)),
    )
    return Card(
        f"Ensemble of {count} network{'s' * (count > 1)} for {name}",
        _head(name, result, runs.values()),
        tuple(one for one in parts if one.items or one.table or one.code),
    )


def write_card(path: str, card: Card) -> bool:
    """Write the card, unless there is a README.md of somebody else, which stays; whether it was."""
    if storage.exists(path) and MARK.encode() not in storage.read_bytes(path):
        return False
    storage.write_bytes(path, markdown(card).encode())
    return True


def markdown(card: Card) -> str:
    """The card as Markdown, with its head as YAML."""
    # JSON is YAML, and needs no library that writes it.
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in card.head.items()), "---"]
    lines += [MARK, "", f"# {escaped(card.title)}"]
    for part in card.parts:
        lines += ["", f"## {escaped(part.title)}", ""]
        lines += [f"* {escaped(item)}" for item in part.items]
        if part.items and part.table:
            lines.append("")
        if part.table:
            lines.append(_row(part.table.header))
            lines.append("|" + "---|" * len(part.table.header))
            lines += map(_row, part.table.rows)
        if part.code:
            longest = max((len(one) for one in re.findall("`+", part.code)), default=0)
            fence = "`" * max(3, longest + 1)
            lines += [fence, part.code, fence]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    plain = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]<>#|~&$])", r"\\\1", plain)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(escaped, cells)) + " |"


def command_line(config: EnsembleConfig) -> str:
    """The command that makes the ensemble: required flags, and those that are not the default."""
    values = config.flags()
    lines = ["python -m ensemble.main"]
    for flag in EnsembleConfig.flag_fields():
        value = values[flag.name]
        if flag.name in ("members", "dataset", "output_dir") or value != flag.default:
            lines.append(f"    {_argument(flag, value)}")
    return " \\\n".join(lines)


def _argument(flag: Flag, value: object) -> str:
    if isinstance(value, bool):
        return f"--{flag.name}" if value else f"--no{flag.name}"
    text = ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
    return f"--{flag.name}={shlex.quote(text)}"


def _dataset_name(config: EnsembleConfig) -> str:
    if storage.exists(storage.join(config.dataset, MANIFEST_FILE)):
        return load_manifest(config.dataset).name
    return storage.parent(config.dataset).rsplit("/", 1)[-1] or config.dataset


def _data(config: EnsembleConfig, result: Result) -> tuple[str, ...]:
    records, names = result.inputs.records, result.inputs.records.class_names
    kind = "one class an image" if records.task == Task.SINGLE_LABEL else "any number an image"
    listed = ", ".join(names[:_MAX_CLASSES])
    if len(names) > _MAX_CLASSES:
        listed += f", ... ({len(names)})"
    return (
        f"Dataset: {config.dataset}, fingerprint {records.fingerprint[:12]}.",
        f"Classes, {kind}: {listed}.",
    )


def _split_table(config: EnsembleConfig) -> Table | None:
    if not storage.exists(storage.join(config.dataset, MANIFEST_FILE)):
        return None
    rows = tuple(
        (name, f"{split.num_records:,}", "yes" if split.labelled else "no")
        for name, split in load_manifest(config.dataset).splits.items()
    )
    return Table(("split", "images", "labels"), rows)


def _splits(config: EnsembleConfig, result: Result, runs: Collection[RunRecord]) -> tuple[str, ...]:
    groups: dict[str, list[str | None]] = {
        "Trained on": [one.train_split for one in runs],
        "Held out from trainings": [one.eval_split for one in runs],
        "Weights were chosen by scores on": [
            one.eval_split for one in runs if one.chosen_by_scores
        ],
    }
    items = []
    for title, splits in groups.items():
        if named := [split for split in dict.fromkeys(splits) if split]:
            items.append(f"{title}: {'; '.join(named[:_MAX_NAMED])}.")
    if result.inputs.held_out is not None:
        items.append(
            f"Fitted and scored as held out: {config.weights_split}, "
            f"{len(result.inputs.held_out.ids):,} images."
        )
    items.append(f"Predicted: {config.split}, {len(result.inputs.records.ids):,} images.")
    return tuple(items)


def _networks(config: EnsembleConfig, result: Result) -> tuple[str, ...]:
    learned = result.fit.learned
    weights = learned.chosen.name if learned else config.weights
    views = NUM_VIEWS[result.inputs.views.tta]
    items = [
        f"Combined by {config.combine} ({config.combiner.summary}); weights: {weights}; "
        f"{views} view{'s' * (views > 1)} an image."
    ]
    price = result.prices.ensemble
    if price.flops_per_image:
        items.append(f"A prediction takes {format_number(price.flops_per_image / 1e9)} GFLOPs.")
    if result.cascade is not None:
        items.append(result.cascade.sentence)
    if result.diversity is not None and result.diversity.advice:
        items.append(result.diversity.advice)
    return tuple(items)


def _network_table(result: Result, runs: dict[str, RunRecord]) -> Table:
    inputs, rows = result.inputs, []
    weights = result.fit.network_weights.tolist()
    for network, weight, price in zip(
        inputs.networks, weights, result.prices.networks, strict=True
    ):
        first = inputs.members[network.members[0]]
        height, width = first.input.height_px, first.input.width_px
        cost = runs[first.path].cost
        rows.append(
            (
                network.name,
                first.architecture,
                f"{height}x{width} px, {first.input.resize}",
                str(len(network.members)),
                f"{weight:.3f}",
                f"{cost.num_parameters:,}" if cost and cost.num_parameters else "",
                inference_text(price) if price.flops_per_image is not None else "",
                training_text(price) if price.train_seconds is not None else "",
            )
        )
    header = ("network", "architecture", "input", "runs", "weight", "parameters")
    return Table((*header, "GFLOPs an image", "training"), tuple(rows))


def _scores(board: Scoreboard) -> Part:
    entry, rows = board.ensemble, []
    for name in metric_names(board.task):
        value, interval = entry.scores.get(name, np.nan), entry.intervals.get(name)
        if np.isnan(value):
            continue
        better = "higher" if METRICS[name].higher_is_better else "lower"
        low_high = f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else ""
        rows.append((name, f"{value:.4f}", low_high, f"{better} is better"))
    header = ("metric", "score", "95% bootstrap interval", "")
    return Part(
        f"Scores on {board.where}",
        tuple(filter(None, (board.verdict, board.other_gains))),
        Table(header, tuple(rows)),
    )


def _calibration(config: EnsembleConfig, result: Result) -> tuple[str, ...]:
    board = result.board
    if board is None or not config.combiner.gives_probabilities:
        return ()
    error = reliability(
        board.ensemble.candidate.probabilities, board.targets, board.task
    ).expected_error
    how = (
        "temperatures were fitted on held-out images"
        if config.calibrate
        else "not calibrated (--calibrate)"
    )
    items = [f"Expected calibration error {error:.4f} on {board.where}; {how}."]
    if result.sets is not None:
        items.append(result.sets.sentence)
    return tuple(items)


def _limits(config: EnsembleConfig, result: Result) -> list[str]:
    limits, board, names = list(result.caveats), result.board, result.inputs.records.class_names
    if result.inputs.records.task == Task.SINGLE_LABEL:
        limits.append("It names one of its classes for any image, also for one that shows none.")
    if board is None:
        limits.append("There are no labeled images: nothing here says how good it is.")
        return limits
    true = hard_targets(board.targets, board.task)
    logits = to_logits(board.ensemble.candidate.probabilities, board.task)
    right = hard_predictions(logits, board.task) & true
    counts = zip(names, true.sum(axis=0).tolist(), right.sum(axis=0).tolist(), strict=True)
    few, weak = list[str](), list[str]()
    for name, count, hits in counts:
        if count < _FEW_IMAGES:
            few.append(f"{name} ({count})")
        if hits < _LOW_RECALL * count:
            weak.append(f"{name} ({hits} of {count})")
    if few:
        limits.append(f"Classes with few labeled images to score on: {_some(few)}.")
    if weak:
        limits.append(f"Classes of which less than half are found: {_some(weak)}.")
    limits.append(
        "Intervals are about chance in the choice of images like these; photos of other places, "
        "cameras or times may be predicted worse."
    )
    return limits


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _licenses(runs: Iterable[RunRecord]) -> tuple[str, ...]:
    """One sentence for each kind of weights that trainings began with."""
    found = dict.fromkeys(
        f"{run.architecture}: pretrained weights, license {run.license}."
        if run.license
        else f"{run.architecture}: began with weights of {run.config.get('weights')}, whose "
        "license is not recorded."
        for run in runs
        if run.license or run.config.get("weights", "none") != "none"
    )
    return tuple(found)


def _head(name: str, result: Result, runs: Iterable[RunRecord]) -> dict[str, object]:
    records, board = result.inputs.records, result.board
    licenses = {run.license for run in runs}
    head: dict[str, object] = {}
    if len(licenses) == 1 and "" not in licenses:
        (head["license"],) = licenses
    architectures = dict.fromkeys(one.architecture for one in result.inputs.members)
    head["library_name"] = "orchard"
    head["pipeline_tag"] = "image-classification"
    head["tags"] = ["image-classification", "ensemble", "tensorflow", *architectures]
    if board is None:
        return head
    scores = {
        metric: board.ensemble.scores[metric]
        for metric in metric_names(board.task, main=True)
        if np.isfinite(board.ensemble.scores.get(metric, np.nan))
    }
    head["metrics"] = list(scores)
    evaluated = {
        "task": {"type": "image-classification"},
        "dataset": {"name": name, "type": name, "split": board.where},
        "metrics": [{"type": metric, "value": round(value, 6)} for metric, value in scores.items()],
    }
    if scores and records.class_names:
        head["model-index"] = [{"name": f"ensemble for {name}", "results": [evaluated]}]
    return head


def _use(config: EnsembleConfig) -> str:
    return (
        f"python -m ensemble.predict --model={shlex.quote(config.output_dir)} "
        "--images_dir=FOLDER --output=predictions.csv"
    )


def _versions() -> str:
    found = {
        "orchard": orchard.__version__,
        "Python": platform.python_version(),
        "TensorFlow": tf.__version__,
        "Keras": keras.__version__,
        "NumPy": np.__version__,
    }
    return ", ".join(f"{name} {version}" for name, version in found.items()) + "."
