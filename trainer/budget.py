"""--budget: what a training may cost, all its folds and refits together, and how that is divided.

    --budget=6000steps      so many steps of --batch_size images
    --budget=2h, 90m, 45s   so much time: a rehearsal of a few steps says how many steps that is

The division is kept in `run_dir/budget.json`, so that the same command goes on with the same one.
"""

import contextlib
import dataclasses
import io
import math
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import NO_SPLIT, JsonRecord, RunDir
from orchard.quantities import format_seconds
from trainer.config import TrainConfig
from trainer.data import ALL_FOLDS, all_folds, load_records
from trainer.runtime import place_in_cluster
from trainer.saved_config import SavedConfig
from trainer.training import check_layout, read_metrics, read_splits

# Steps that a network should have before there are several of them: below, one that trains longer
# is better (docs/benchmarks.md, "Is the ensemble worth its price?").
STEPS_PRETRAINED = 300
STEPS_FROM_SCRATCH = 3000
EPOCHS_FROM_SCRATCH = 30
MAX_REFITS = 3
# Fewer steps than these train nothing.
MIN_STEPS = 50
_REHEARSAL_STEPS = 40
_NO_EPOCHS = 1e-6  # The length is in steps.

Train = Callable[[TrainConfig, float], int]


@dataclass(frozen=True)
class Budget:
    """What a training may cost.

    Attributes:
        steps: so many; 0 where it is a time.
        seconds: so long; 0 where it is steps.
    """

    steps: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Speed:
    """How fast this machine trains.

    Attributes:
        step_seconds: of one step.
        run_seconds: what a run takes besides its steps: building, compiling, evaluating, exporting.
    """

    step_seconds: float
    run_seconds: float


@dataclass(frozen=True)
class Division(JsonRecord):
    """The content of `budget.json`: what each training of a command gets.

    Attributes:
        budget: what --budget said.
        folds: networks that leave one fold out.
        refits: networks on all rows; a single training where there are no folds either.
        steps: of each fold's network; without folds, of each training.
        speed: of this machine; None where the budget is steps.
    """

    REMEDY: ClassVar[str] = "remove it, or start a new --run_dir"

    budget: str
    folds: int
    refits: int
    steps: int
    speed: Speed | None = None

    def __str__(self) -> str:
        """How the budget is divided, in a sentence."""
        networks = f"{self.steps:,} steps"
        if self.refits and not self.folds:
            networks = f"{self.refits} on all rows, of {self.steps:,} steps"
        if self.folds:
            networks = f"{self.folds} folds of {self.steps:,} steps"
        if self.folds and self.refits:
            networks += f", then {self.refits} on all rows, of about {self.refit_steps:,} steps"
        speed = ""
        if self.speed is not None:
            speed = (
                f" (here a step takes {format_seconds(self.speed.step_seconds)}, and a training "
                f"{format_seconds(self.speed.run_seconds)} beside its steps)"
            )
        return f"--budget={self.budget}: {networks}{speed}"

    @property
    def refit_steps(self) -> int:
        """Of a network on all rows: it sees each as often as a fold's network does its own."""
        return round(self.steps * _refit_share(self.folds))


def parse_budget(text: str) -> Budget:
    """The budget that --budget names.

    >>> parse_budget("90m"), parse_budget("600steps")
    (Budget(steps=0, seconds=5400.0), Budget(steps=600, seconds=0.0))

    Raises:
        OrchardError: it is neither steps nor a time.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(steps|s|m|h)", text)
    number = float(match[1]) if match else 0.0
    if match is None or not number or (match[2] == "steps" and not number.is_integer()):
        raise OrchardError(f"--budget={text}: give a time or steps, such as 90m, 2h or 6000steps")
    if match[2] == "steps":
        return Budget(steps=int(number))
    return Budget(seconds=number * {"s": 1, "m": 60, "h": 3600}[match[2]])


def divide(
    text: str,
    *,
    num_folds: int,
    refits: Sequence[int],
    enough_steps: int = 0,
    speed: Speed | None = None,
    spent_seconds: float = 0.0,
) -> Division:
    """Share a budget among the trainings of one command.

    Args:
        text: the budget, as --budget says it.
        num_folds: how many there are; 0: a single training.
        refits: how many networks on all rows there may be; the first number is taken with which
            each has enough steps, or the last.
        enough_steps: for a network on all rows.
        speed: of this machine, for a budget of time.
        spent_seconds: of such a budget, by the rehearsal.

    Raises:
        OrchardError: it leaves too few steps.
    """
    budget = parse_budget(text)
    left = dataclasses.replace(budget, seconds=budget.seconds - spent_seconds)
    for count in refits:
        division = Division(text, num_folds, count, _steps(left, num_folds, count, speed), speed)
        if division.refit_steps >= enough_steps:
            break
    if division.steps < MIN_STEPS:
        trainings = division.folds + division.refits or 1
        raise OrchardError(
            f"--budget={text} leaves {max(0, division.steps)} steps for each of {trainings} "
            f"training{'s' if trainings > 1 else ''}, fewer than {MIN_STEPS}; raise it"
        )
    return division


def enough_steps(config: TrainConfig, num_rows: int) -> int:
    """What a network on all rows should have before there is another one.

    Args:
        config: says whether it has pretrained weights, and the batch (of one replica, if by these).
        num_rows: that it is trained on.
    """
    if config.weights != "none":
        return STEPS_PRETRAINED
    epochs_steps = math.ceil(EPOCHS_FROM_SCRATCH * num_rows / config.global_batch_size(1))
    return max(STEPS_FROM_SCRATCH, epochs_steps)


def within_budget(config: TrainConfig, started: float, train: Train | None = None) -> TrainConfig:
    """The config with the length, and the number of refits, that its budget allows.

    Args:
        config: with a budget.
        started: time.monotonic() from which a budget of time counts.
        train: stands in for `loop.train_and_evaluate` in the rehearsal.
    """
    path = RunDir(config.run_dir).budget_file
    if storage.exists(path):
        division = Division.load(path)
        if division.budget != config.budget:
            raise OrchardError(
                f"{config.run_dir} was begun with --budget={division.budget}, now it is "
                f"{config.budget}; go on with that one, or use another --run_dir"
            )
    else:
        division = _first_division(config, started, train)
        division.save(path)
    print(division)
    return dataclasses.replace(
        config,
        budget="",
        epochs=_NO_EPOCHS,
        min_steps=division.steps,
        max_epochs=0.0,
        refit=division.refits,
    )


def _first_division(config: TrainConfig, started: float, train: Train | None) -> Division:
    folds = all_folds(config.dataset) if config.fold == ALL_FOLDS else []
    check_layout(config.run_dir, all_folds=bool(folds or config.refit))
    speed = None
    if parse_budget(config.budget).seconds:
        if place_in_cluster() is not None:
            raise OrchardError(
                f"--budget={config.budget}: several machines would each find another number of "
                "steps; give the steps: --budget=6000steps"
            )
        fold = folds[0] if folds else config.fold
        speed = _rehearse(dataclasses.replace(config, fold=fold, refit=0), train)
    one = dataclasses.replace(config, fold=folds[0], refit=0) if folds else config
    num_rows = sum(len(part) for part in read_splits(one)[1:] if part is not None)
    return divide(
        config.budget,
        num_folds=len(folds),
        refits=_refits(config),
        enough_steps=enough_steps(config, num_rows),
        speed=speed,
        spent_seconds=time.monotonic() - started,
    )


def _refits(config: TrainConfig) -> Sequence[int]:
    """How many networks on all rows there may be, the most first."""
    if config.refit:
        return (config.refit,)
    if config.fold == ALL_FOLDS:
        return range(MAX_REFITS, -1, -1)
    if config.fold == NO_SPLIT:
        return (*range(MAX_REFITS, 1, -1), 0)  # One alone is a single training.
    return (0,)


def _rehearse(config: TrainConfig, train: Train | None) -> Speed:
    """Train a few steps, and see how long they and the rest take."""
    if train is None:
        from trainer.loop import train_and_evaluate

        train = train_and_evaluate
    run_dir = storage.join(config.run_dir, "rehearsal")
    storage.remove_tree(run_dir)
    print(f"rehearsal: {_REHEARSAL_STEPS} steps, to see how fast this machine is", flush=True)
    rehearsal = dataclasses.replace(
        config,
        budget="",
        run_dir=run_dir,
        epochs=_NO_EPOCHS,
        min_steps=_REHEARSAL_STEPS,
        max_epochs=0.0,
        eval_every_epochs=1.0,
        num_evals=1,
        log_every_steps=_REHEARSAL_STEPS // 4,
        progress=False,
        loggers=(),
    )
    began = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()):
        status = train(rehearsal, began)
    if status:
        print("stopped in the rehearsal: run the same command again")
        raise SystemExit(status)
    speed = _speed(config, run_dir, time.monotonic() - began)
    storage.remove_tree(run_dir)
    return speed


def _speed(config: TrainConfig, rehearsed: str, seconds: float) -> Speed:
    """What a rehearsal that took so long says of the trainings of `config`."""
    resolved, lines = SavedConfig.load(rehearsed).resolved, read_metrics(rehearsed)
    rates = [line["images_per_second"] for line in lines if "images_per_second" in line]
    step_seconds = resolved.batch_size / statistics.median(rates)
    eval_seconds = sum(line["seconds"] for line in lines if line["kind"] == "eval")
    run_seconds = max(0.0, seconds - _REHEARSAL_STEPS * step_seconds)  # With one evaluation.
    if config.num_evals:
        return Speed(step_seconds, run_seconds + (config.num_evals - 1) * eval_seconds)
    num_records = len(load_records(config.dataset, resolved.train_split))
    steps_between = max(1.0, config.eval_every_epochs * num_records / resolved.batch_size)
    return Speed(step_seconds + eval_seconds / steps_between, run_seconds)


def _steps(budget: Budget, num_folds: int, refits: int, speed: Speed | None) -> int:
    """Steps of a fold's network, or of the single one."""
    trainings = num_folds + refits or 1
    lengths = num_folds + refits * _refit_share(num_folds) or 1  # In a fold's training.
    if speed is None:
        return int(budget.steps / lengths)
    seconds = budget.seconds - speed.run_seconds * trainings
    return int(seconds / speed.step_seconds / lengths)


def _refit_share(num_folds: int) -> float:
    """Rows that a refit sees, in those that a fold's network sees."""
    return num_folds / (num_folds - 1) if num_folds > 1 else 1.0
