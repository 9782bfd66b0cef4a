"""From flags, data and devices to numbers: splits, batch, steps, learning rate. No TensorFlow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchard.errors import OrchardError
from orchard.formats import NO_SPLIT, SplitKind, fold_number, repeat_fold_name
from trainer.config import TrainConfig
from trainer.optim import Schedule

DEFAULT_LEARNING_RATES = {"sgd": 0.1, "lion": 1e-4}


@dataclass(frozen=True)
class Splits:
    """Splits to train and to evaluate on, such as "fold1+fold2"; `evaluate` may be "none"."""

    train: str
    evaluate: str


@dataclass(frozen=True)
class Plan:
    """The numbers of one training.

    Attributes:
        splits: what is trained and evaluated on.
        batch_size: images a step, over all replicas.
        eval_batch_size: images an evaluation step, over all replicas.
        total_steps: steps of the whole training.
        steps_per_epoch: records / batch_size; real-valued, training runs on across epochs.
        freeze_steps: steps in which only the head learns.
        eval_steps: after which numbers of steps to evaluate; the last is total_steps.
        schedule: the learning rate.
    """

    splits: Splits
    batch_size: int
    eval_batch_size: int
    total_steps: int
    steps_per_epoch: float
    freeze_steps: int
    eval_steps: tuple[int, ...]
    schedule: Schedule

    @property
    def epochs(self) -> float:
        """Passes over the training records."""
        return self.total_steps / self.steps_per_epoch

    def next_stop(self, step: int, checkpoint_every_steps: int) -> int:
        """The next number of steps at which training pauses: evaluation, checkpoint, unfreezing."""
        stops = [next(s for s in self.eval_steps if s > step)]
        if self.freeze_steps > step:
            stops.append(self.freeze_steps)
        if checkpoint_every_steps:
            stops.append((step // checkpoint_every_steps + 1) * checkpoint_every_steps)
        return min(stops)


def choose_splits(config: TrainConfig, names: Sequence[str]) -> Splits:
    """The splits that --fold and --eval_split mean in a dataset that has those of `names`."""
    numbers = [fold_number(name) for name in names]
    folds = [repeat_fold_name(config.fold_repeat, n) for n in numbers if n is not None]
    if config.fold == NO_SPLIT:
        if not folds:
            raise OrchardError(
                f"--fold=none: the dataset has no folds but the splits {', '.join(names)}; use "
                f"--train_split, with --eval_split={NO_SPLIT}"
            )
        return Splits("+".join(folds), NO_SPLIT)
    if config.fold:
        held_out = repeat_fold_name(config.fold_repeat, config.fold)
        if held_out not in folds:
            raise OrchardError(
                f"--fold={config.fold}: the dataset has the splits {', '.join(names)}"
            )
        return Splits("+".join(name for name in folds if name != held_out), held_out)
    if config.eval_split and SplitKind.TRAIN not in names:
        raise OrchardError("--eval_split needs --train_split here; or use --fold")
    # Another program may give its held-out splits any name, so they are not guessed.
    if SplitKind.TRAIN in names and (config.eval_split or set(names) <= set(SplitKind)):
        default = SplitKind.EVAL if SplitKind.EVAL in names else NO_SPLIT
        return Splits(SplitKind.TRAIN, config.eval_split or default)
    raise OrchardError(
        f"say what to train on: --fold=0 or --train_split/--eval_split; splits: {', '.join(names)}"
    )


def make_plan(config: TrainConfig, splits: Splits, num_records: int, num_replicas: int) -> Plan:
    """The numbers of a training of `num_records` records on `num_replicas` devices."""
    batch_size = config.global_batch_size(num_replicas)
    _check_batch(batch_size, config.accumulation_steps, num_replicas)
    if config.augment.mixing and batch_size // num_replicas % 2:
        unit = num_replicas * math.lcm(2, config.accumulation_steps)
        raise OrchardError(
            f"mixup and cutmix pair images: {batch_size // num_replicas} a replica must be even; "
            f"use --batch_size={-(-batch_size // unit) * unit}"
        )
    steps_per_epoch = num_records / batch_size
    total_steps = config.total_steps(steps_per_epoch)
    freeze_steps = round(config.freeze_epochs * steps_per_epoch)
    if freeze_steps >= total_steps:
        raise OrchardError(
            f"--freeze_epochs={config.freeze_epochs:g} leaves nothing of "
            f"{total_steps / steps_per_epoch:.3g} epochs; make it shorter"
        )
    eval_batch_size = config.eval_batch_size or batch_size
    return Plan(
        splits=splits,
        batch_size=batch_size,
        eval_batch_size=-(-eval_batch_size // num_replicas) * num_replicas,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        freeze_steps=freeze_steps,
        eval_steps=_eval_steps(config, steps_per_epoch, total_steps),
        schedule=_schedule(config, steps_per_epoch, total_steps, num_replicas),
    )


def smaller_batches(config: TrainConfig, plan: Plan, num_replicas: int) -> str:
    """Flags for a training that needs half the memory or less; "" where there are none.

    Args:
        config: of a training whose batch does not fit.
        plan: its numbers.
        num_replicas: devices that share its batch.
    """
    images, parts = plan.batch_size // num_replicas, config.accumulation_steps
    unit = math.lcm(2, parts) if config.augment.mixing else parts
    half = images // 2 // unit * unit
    found = []
    if half and config.batch_size_per_replica:
        found.append(f"--batch_size_per_replica={half}")
    elif half:
        found.append(f"--batch_size={half * num_replicas}")
    more = next((n for n in range(2 * parts, images + 1) if images % n == 0), None)
    if more:
        found.append(f"--accumulation_steps={more} at the same batch")
    return ", or ".join(found)


def peak_learning_rate(config: TrainConfig, num_replicas: int) -> float:
    """The learning rate at the schedule's peak."""
    if config.learning_rate_per_replica:
        return config.learning_rate_per_replica * num_replicas
    return config.learning_rate or DEFAULT_LEARNING_RATES.get(config.optimizer, 1e-3)


def _check_batch(batch_size: int, accumulation_steps: int, num_replicas: int) -> None:
    parts = accumulation_steps * num_replicas
    if batch_size % parts:
        below = batch_size // parts * parts
        near = " or ".join(str(b) for b in (below, below + parts) if b)
        raise OrchardError(
            f"a batch of {batch_size} does not divide into {num_replicas} replicas x "
            f"{accumulation_steps} accumulation steps; use --batch_size={near}"
        )


def _eval_steps(config: TrainConfig, steps_per_epoch: float, total_steps: int) -> tuple[int, ...]:
    every_steps = config.eval_every_epochs * steps_per_epoch
    if config.num_evals:
        every_steps = total_steps / config.num_evals
    count = int(total_steps / every_steps)
    steps = {max(1, round(k * every_steps)) for k in range(1, count + 1)}
    return tuple(sorted({s for s in steps if s < total_steps} | {total_steps}))


def _schedule(
    config: TrainConfig, steps_per_epoch: float, total_steps: int, num_replicas: int
) -> Schedule:
    return Schedule(
        name=config.schedule,
        peak=peak_learning_rate(config, num_replicas),
        total_steps=total_steps,
        start=config.start_learning_rate,
        end=config.end_learning_rate,
        warmup_steps=config.warmup_steps or config.warmup_epochs * steps_per_epoch,
        hold_steps=config.hold_epochs * steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        decay_per_epoch=config.decay_per_epoch,
        cycle_steps=config.cycle_epochs * steps_per_epoch,
        cycle_growth=config.cycle_growth,
    )
