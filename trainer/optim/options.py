"""Loss, update rule and learning rate, as flags."""

from dataclasses import dataclass, field

import numpy as np

from orchard.errors import OrchardError
from orchard.flags import Kind, Options, option
from trainer.optim.loss import LOSSES, Loss, LossOptions
from trainer.optim.schedules import SCHEDULES


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions(Options, group="optimization"):
    """The update rule."""

    optimizer: str = option(
        "adamw", "Update rule.", choices=("adamw", "adam", "sgd", "lamb", "lion", "rmsprop")
    )
    momentum: float = option(0.9, "Momentum of sgd (Nesterov) and rmsprop.", at_least=0, at_most=1)
    weight_decay: float = option(
        0.0, "Decoupled, on kernels only: no biases, no norms.", at_least=0
    )
    clip_norm: float = option(
        0.0, "Largest global norm of a step's gradient; 0: no clipping.", at_least=0
    )
    ema_momentum: float = option(
        0.0,
        "Evaluate and export the weights' average over 1 / (1 - this) steps; 0: no.",
        at_least=0,
        at_most=0.999999,
    )
    layer_decay: float = option(
        1.0,
        "Learning-rate factor for each twelfth of the depth, counted from the output.",
        at_least=1e-6,
        at_most=1,
    )

    def check(self) -> None:
        """Refuse adam with decay, which has a name of its own."""
        super().check()
        if self.optimizer == "adam" and self.weight_decay:
            raise OrchardError(
                "--weight_decay with --optimizer=adam is adamw; choose --optimizer=adamw"
            )


@dataclass(frozen=True, kw_only=True)
class ScheduleOptions(Options, group="optimization"):
    """The learning rate from the first step to the last."""

    learning_rate: float = option(
        0.0,
        "Peak learning rate; default 0.001 (sgd: 0.1, lion: 1e-4).",
        at_least=0,
        kind=Kind.RESOLVED,
        common=True,
    )
    learning_rate_per_replica: float = option(
        0.0,
        "Instead of --learning_rate: it is multiplied by the replicas.",
        at_least=0,
        kind=Kind.RESOLVED,
    )
    schedule: str = option("cosine", "Shape of the learning rate.", choices=SCHEDULES)
    start_learning_rate: float = option(
        0.0, "Learning rate of the first step of a warm-up.", at_least=0
    )
    end_learning_rate: float = option(0.0, "Learning rate that the decay ends in.", at_least=0)
    warmup_epochs: float = option(0.0, "Linear rise to the peak.", at_least=0, kind=Kind.RESOLVED)
    warmup_steps: int = option(
        0, "Instead of --warmup_epochs, in steps.", at_least=0, kind=Kind.RESOLVED
    )
    hold_epochs: float = option(0.0, "(article) Epochs at the peak.", at_least=0)
    decay_per_epoch: float = option(
        0.8, "(article) Factor an epoch after the hold.", at_least=1e-6, at_most=1
    )
    cycle_epochs: float = option(10.0, "(warm_restarts) Length of the first cycle.", at_least=1e-3)
    cycle_growth: float = option(
        2.0, "(warm_restarts) Each cycle is this many times as long as the one before.", at_least=1
    )


@dataclass(frozen=True, kw_only=True)
class ObjectiveOptions(Options, group="optimization"):
    """What training minimizes."""

    loss: str = option("cross_entropy", "Loss.", choices=LOSSES)
    loss_options: LossOptions = field(default_factory=LossOptions)
    label_smoothing: float = option(
        0.0, "Share of the targets spread over the classes, 0..1.", at_least=0, at_most=1
    )
    class_weights: str = option("none", "none, balanced, or one positive number a class: 1,2.5,1.")

    @property
    def chosen_loss(self) -> Loss:
        """What --loss names, with its options."""
        return self.loss_options[LOSSES[self.loss]]

    def check(self) -> None:
        """Refuse class weights that are no numbers."""
        super().check()
        if self.class_weights not in ("none", "balanced"):
            parse_class_weights(self.class_weights)


def parse_class_weights(text: str) -> tuple[float, ...]:
    """The numbers of `--class_weights=1,2.5,1`."""
    try:
        weights = tuple(float(part) for part in text.split(","))
    except ValueError:
        weights = ()
    if not weights or not all(0 <= weight < np.inf for weight in weights):
        raise OrchardError(
            f"--class_weights={text}: give none, balanced, or numbers from 0 up, one a class in "
            "the order of the class names"
        )
    return weights
