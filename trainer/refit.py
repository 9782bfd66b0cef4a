"""--refit: networks that train on all labeled rows, after the folds for as long as these found.

A fold's network tells how good such a network is and when it is at its best, but it has seen only a
part of the rows. `run_dir/refit0/`, `refit1/`, ... are runs that see all of them, each of one seed.
They have no scores of their own, since nothing is left to score them on: the folds vouch for them.
With --fold=none there are no folds, and the flags say how long.
"""

import dataclasses
import statistics
from collections.abc import Sequence

from orchard import storage
from orchard.formats import NO_SPLIT, RunDir, RunRecord
from trainer.config import TrainConfig
from trainer.data import ALL_FOLDS, load_records
from trainer.saved_config import SavedConfig

_NUM_SEEDS = 2**32  # What --seed may be.


def exported_epochs(run_dir: str, dataset: str) -> float:
    """Epochs after which a finished run was at the step that it exported."""
    run, resolved = RunRecord.load(RunDir(run_dir).record_file), SavedConfig.load(run_dir).resolved
    return run.best_step * resolved.batch_size / len(load_records(dataset, run.train_split))


def found_epochs(config: TrainConfig, exported: Sequence[float]) -> float:
    """How long to train on all rows: the median of what each fold exported.

    Epochs and not steps, so that every image is seen as often as in the folds. Three digits are
    more than a median of a few folds knows, and undo that a fold's steps are whole.

    Args:
        config: of the folds.
        exported: by fold, as `exported_epochs` gives it.
    """
    median = float(f"{statistics.median(exported):.3g}")
    if not config.freeze_epochs:
        return median
    # Where the folds were best while the head alone learned: once with everything learning, too.
    return max(median, config.freeze_epochs + config.eval_every_epochs)


def refit_config(config: TrainConfig, number: int, epochs: float | None) -> TrainConfig:
    """The config of one network on all rows; the schedule spans its own length.

    Args:
        config: of the whole command.
        number: of the network.
        epochs: that the folds found; None, without folds or of frozen features: as long as the
            config says.
    """
    weights = config.weights
    if storage.exists(RunDir(weights).folds_file):
        weights = RunDir(weights).refit(number).path
    alone = dataclasses.replace(
        config,
        weights=weights,
        refit=0,
        fold=NO_SPLIT if config.fold == ALL_FOLDS else config.fold,
        run_dir=RunDir(config.run_dir).refit(number).path,
        seed=(config.seed + number) % _NUM_SEEDS,
    )
    if epochs is None:
        return alone
    # What --min_steps added to the folds' epochs is in those that they found.
    return dataclasses.replace(alone, epochs=epochs, min_steps=0, max_epochs=0.0)
