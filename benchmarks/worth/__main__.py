r"""Is the ensemble worth its price? Everything is trained for the same number of steps, and scored.

    pip install elpv-dataset && apt install dataset-fashion-mnist
    python -m benchmarks.worth --output_dir=/tmp/worth \
        --backbones=efficientnet_lite0.keras,efficientnet_lite1.keras,efficientnet_lite2.keras

Hours on two cores. Run again it goes on where it stopped: a training that is finished is not done
again. --sets=digits, which needs no backbones, takes ten minutes. --write puts the figures into
benchmarks/results/worth.json, and the picture into docs/images; without it both stay in the folder.
"""

import dataclasses
import itertools
import json
import os
from pathlib import Path

from absl import app, flags

from benchmarks.worth import jobs, plans, prepared, scores, table
from benchmarks.worth.plans import SETTINGS

_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Where everything goes.", required=True)
_SETS = flags.DEFINE_list("sets", list(SETTINGS), "Of solar, fashion, fashion_10k, digits.")
_BACKBONES = flags.DEFINE_list(
    "backbones", [], "Three .keras files with ImageNet weights that take 127/128: for the photos."
)
_FASHION_DIR = flags.DEFINE_string(
    "fashion_dir", "/usr/share/datasets/fashion-mnist", "Where Fashion-MNIST's four files are."
)
_REPEATS = flags.DEFINE_integer("repeats", 0, "Seeds; default: those of the documentation.")
_SPLITS = flags.DEFINE_integer("splits", 0, "Parts to test on in turn; default: likewise.")
_STEPS = flags.DEFINE_list("steps", [], "What contenders may spend; default: likewise.")
_FIRST = flags.DEFINE_integer("first", 0, "Only so many contenders, in the order of the tables.")
_WORKERS = flags.DEFINE_integer("workers", os.cpu_count(), "Trainings at a time, a core each.")
_TRAIN = flags.DEFINE_bool("train", True, "Or score the contenders whose trainings are finished.")
_WRITE = flags.DEFINE_bool("write", False, "Replace the figures of the documentation.")


def main(argv: list[str]) -> None:
    """Prepare, train, score, print."""
    del argv
    output = Path(_OUTPUT_DIR.value).absolute()
    networks_of_set = {name: prepared.networks(name, _BACKBONES.value) for name in _SETS.value}
    comparisons = [(name, steps) for name in _SETS.value for steps in _steps(name)]
    repeats = {
        (name, steps): [
            plans.contenders(networks_of_set[name], steps, repeat)[: _FIRST.value or None]
            for repeat in range(_REPEATS.value or SETTINGS[name].repeats)
        ]
        for name, steps in comparisons
    }
    folders = {
        name: [
            jobs.Folder(output, name, split)
            for split in range(_SPLITS.value or SETTINGS[name].splits)
        ]
        for name in _SETS.value
    }
    for folder in itertools.chain(*folders.values()):
        prepared.prepare(folder, Path(_FASHION_DIR.value))
    trainings = {
        (folder.name, training.key): (folder, SETTINGS[name], training)
        for (name, _), contenders in repeats.items()
        for folder in folders[name]
        for one in contenders
        for contender in one
        for training in contender.trainings
    }
    # What is needed for a first table comes first.
    in_order = sorted(trainings.values(), key=lambda one: one[2].seed >= plans.SEEDS_A_REPEAT)
    if _TRAIN.value:
        jobs.run_all(in_order, _WORKERS.value)
    rows = [
        row
        for (name, steps), contenders in repeats.items()
        for row in scores.rows_of(folders[name], steps, contenders)
    ]
    text = json.dumps([dataclasses.asdict(row) for row in rows], indent=1)
    (output / "worth.json").write_text(text + "\n")
    table.save(rows, output / "worth.png")
    if _WRITE.value:
        scores.results_file().write_text(text + "\n")
        table.save(rows, scores.results_file().parents[2] / "docs" / "images" / "worth.png")
    print(table.markdown(rows))


def _steps(name: str) -> tuple[int, ...]:
    return tuple(int(text) for text in _STEPS.value) or SETTINGS[name].steps


if __name__ == "__main__":
    app.run(main)
