"""Search learning rate, weight decay and augmentation with Optuna, on the Python API.

    python examples/optuna_search.py --dataset=DIR/plants/1.0.0 --output_dir=out/search --trials=30

Each trial is a training in OUTPUT_DIR/trial0007 or so, judged by the log loss of its last step on
the held-out images. One that falls behind the median of the others at an evaluation is pruned.
The same command goes on wherever it was stopped or killed, and adds trials where --trials is more.
It needs the extra [optuna]: pip install -c constraints.txt -e '.[optuna]'.
"""

import argparse
import dataclasses
import fcntl
import json
import sys
from pathlib import Path

import optuna
from optuna.trial import TrialState

from orchard.errors import OrchardError
from trainer import AugmentOptions, Logger, TrainConfig, train_and_evaluate

METRIC = "log_loss"  # Less is better.


class TrialLogger(Logger):
    """Tells a trial the scores of a training, and stops the training where the trial is pruned."""

    def __init__(self, trial: optuna.Trial):
        self._trial, self.pruned = trial, False

    def begin(self, run):
        """Keep the way to ask for a stop."""
        self._ask_to_stop = run.ask_to_stop

    def log(self, kind, step, values):
        """Report an evaluation; a loss that blew up once is no setting to go on with."""
        if kind == "eval":
            self._trial.report(values[METRIC], step)
        if values.get("event") == "recovered" or (kind == "eval" and self._trial.should_prune()):
            self.pruned = True
            self._ask_to_stop("this trial is pruned")


def settings(trial: optuna.Trial, base: TrainConfig, run_dir: Path) -> TrainConfig:
    """The config of a trial: what is searched, and everything else from `base`."""
    return dataclasses.replace(
        base,
        run_dir=run_dir,
        learning_rate=trial.suggest_float("learning_rate", 1e-4, 3e-2, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-5, 1.0, log=True),
        augment=AugmentOptions(
            flips=trial.suggest_categorical("flips", ["none", "horizontal", "both"]),
            rotate_degrees=trial.suggest_float("rotate_degrees", 0, 30),
            zoom=trial.suggest_float("zoom", 0, 0.3),
            brightness=trial.suggest_float("brightness", 0, 0.3),
            erase=trial.suggest_float("erase", 0, 0.5),
        ),
    )


def search(
    base: TrainConfig,
    output_dir: Path,
    trials: int,
    pruner: optuna.pruners.BasePruner | None = None,
) -> optuna.Study | None:
    """Try settings until so many trials are complete or pruned; None where it was stopped before.

    Args:
        base: of every training; its run_dir is not used.
        output_dir: of the study and the trainings; one process at a time.
        trials: with those of earlier calls.
        pruner: default: the median, from the fifth trial on.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    with open(output_dir / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OrchardError(f"another search runs in {output_dir}; wait for it") from None
        return _search(base, output_dir, trials, pruner or optuna.pruners.MedianPruner(4))


def _search(base, output_dir, trials, pruner):
    study = optuna.create_study(
        study_name="search",
        storage=f"sqlite:///{output_dir}/study.db",
        load_if_exists=True,
        direction="minimize",
        pruner=pruner,
    )
    # One seed for all calls would draw the first trials again in each of them.
    study.sampler = optuna.samplers.TPESampler(seed=base.seed + len(study.trials))
    # A stop, a kill or an error left them: tried again, they go on with their trainings.
    for left in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(left.number, state=TrialState.FAIL)
        begun = left.user_attrs.get("training", left.number)
        study.enqueue_trial(left.params, user_attrs={"training": begun})
    while len(study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])) < trials:
        trial = study.ask()
        number = trial.user_attrs.get("training", trial.number)
        run_dir = output_dir / f"trial{number:04d}"
        logger = TrialLogger(trial)
        status = train_and_evaluate(settings(trial, base, run_dir), loggers=[logger])
        if status == 0:
            record = json.loads((run_dir / "run.json").read_text())
            study.tell(trial, record["scores"][METRIC])
        elif logger.pruned:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            return None
    return study


def main() -> int:
    """Search, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True, help="DATA_DIR/NAME/VERSION")
    parser.add_argument("--output_dir", required=True, type=Path)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--fold", default="", help="held out, where the dataset has folds")
    parser.add_argument("--architecture", default="efficientnet_b0")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--image_size", default="")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--epochs", type=float, default=5)
    given = vars(parser.parse_args())
    output_dir, trials = given.pop("output_dir"), given.pop("trials")
    try:
        base = TrainConfig(run_dir=output_dir, best_metric="last", **given)
        study = search(base, output_dir, trials)
    except OrchardError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if study is None:
        print("stopped: run the same command again to go on")
        return 75
    states = [trial.state for trial in study.trials]
    print(f"{states.count(TrialState.COMPLETE)} complete, {states.count(TrialState.PRUNED)} pruned")
    best = study.best_trial
    print(f"best: trial {best.number}, {METRIC} {best.value:.4f} on the images that chose it")
    print("flags:", *(f"--{name}={value}" for name, value in best.params.items()))
    print(
        f"next: python -m trainer.summary --runs_dir={output_dir} --compare={output_dir}/page.html"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
