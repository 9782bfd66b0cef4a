"""TrainConfig: everything that decides a training, as one frozen, validated value.

It is made of the options of the rooms (`trainer.data`, `trainer.models`, ...), which know nothing
of it; here are those that concern the training as a whole. Every field is a flag of `trainer.main`.
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from orchard.errors import OrchardError
from orchard.flags import Kind, Options, option, required
from orchard.formats import LAST_STEP, serving_dir
from trainer.augment import AugmentOptions
from trainer.data import ALL_FOLDS, DatasetOptions, ReadOptions
from trainer.evaluation import metric_names
from trainer.heads import FROZEN, HeadOptions
from trainer.loggers import LOGGERS, LoggerOptions
from trainer.models import ModelOptions
from trainer.optim import LossOptions, ObjectiveOptions, OptimizerOptions, ScheduleOptions
from trainer.runtime import ComputeOptions, InterruptionOptions

SCHEMA_VERSION = 1

# Where nobody says otherwise. Members whose logits are averaged should have good probabilities:
# steps that are the best by accuracy, which has ties and noise on small folds, have worse ones.
BEST_METRIC = "log_loss"

BATCH_SIZE = 32

# Two ways to say one thing.
EXCLUSIVE_FLAGS = (
    ("batch_size", "batch_size_per_replica"),
    ("eval_every_epochs", "num_evals"),
    ("learning_rate", "learning_rate_per_replica"),
    ("warmup_epochs", "warmup_steps"),
    ("epochs", "budget"),
    ("min_steps", "budget"),
    ("max_epochs", "budget"),
)

# Single flags that say how a network is trained step by step; see `TrainConfig._step_flags`.
_STEP_FLAGS = {
    "dropout",
    "batch_norm",
    "loss",
    "jit_compile",
    "steps_per_call",
    "checkpoint_every_steps",
    "keep_checkpoints",
    "log_every_steps",
    "profile_steps",
}
_ALSO_OF_HEADS = {"seed", "batch_size", "batch_size_per_replica"}


def _metrics() -> tuple[str, ...]:
    return ("", LAST_STEP, *metric_names())  # Not at import: those of --plugins come later.


@dataclass(frozen=True, kw_only=True)
class LengthOptions(Options, group="optimization"):
    """How long to train, in steps of how many images, and what to do when it blows up."""

    epochs: float = option(10.0, "Passes over the training records.", above=0, common=True)
    min_steps: int = option(
        0, "Train for at least so many steps: more epochs, where the records are few.", at_least=0
    )
    max_epochs: float = option(
        0.0, "No more epochs than these for the sake of --min_steps; 0: any number.", at_least=0
    )
    budget: str = option(
        "",
        "Instead of these: what the command may cost, 90m, 2h or 6000steps, divided between its "
        "folds and refits.",
        kind=Kind.BOOKKEEPING,
        common=True,
    )
    batch_size: int = option(
        0,
        f"Images a step, over all replicas; default: {BATCH_SIZE}, without "
        "--batch_size_per_replica.",
        at_least=0,
        kind=Kind.RESOLVED,
        common=True,
    )
    batch_size_per_replica: int = option(
        0, "Instead of --batch_size: images a step and replica.", at_least=0, kind=Kind.RESOLVED
    )
    accumulation_steps: int = option(
        1, "Parts that a replica's batch is computed in, to save memory.", at_least=1
    )
    freeze_epochs: float = option(0.0, "Epochs in which only the head learns.", at_least=0)
    seed: int = option(
        0, "Seed of weights, order, augmentation and dropout.", at_least=0, at_most=2**32 - 1
    )
    max_loss: float = option(
        1e4, "A step's loss above this, or NaN, counts as a blow-up.", at_least=0
    )
    max_recoveries: int = option(
        2, "Times to go back to the last checkpoint after a blow-up.", at_least=0
    )

    def total_steps(self, steps_per_epoch: float) -> int:
        """The steps of `epochs`, or `min_steps` as far as `max_epochs` allows."""
        steps = max(1, round(self.epochs * steps_per_epoch))
        if not self.max_epochs:
            return max(steps, self.min_steps)
        return max(steps, min(self.min_steps, round(self.max_epochs * steps_per_epoch)))


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(Options, group="evaluation"):
    """When to score the evaluation splits, and what the scores decide."""

    eval_every_epochs: float = option(1.0, "Epochs between evaluations.", at_least=1e-3)
    num_evals: int = option(
        0, "Instead of --eval_every_epochs: evaluations, evenly spread over the run.", at_least=0
    )
    eval_batch_size: int = option(
        0, "Images an evaluation step; default: as in training.", at_least=0, kind=Kind.RESOLVED
    )
    best_metric: str = option(
        "",
        f"Metric that selects the step to export, or {LAST_STEP}: the final one; default: "
        f"{BEST_METRIC}.",
        choices=_metrics,
        kind=Kind.RESOLVED,
    )
    early_stopping_evals: int = option(
        0, "Stop after so many evaluations without a new best; 0: never.", at_least=0
    )
    precise_batch_norm: str = option(
        "auto",
        "Re-estimate statistics before an evaluation; auto: if the run is short or --ema_momentum.",
        choices=("auto", "on", "off"),
    )
    precise_batch_norm_images: int = option(
        2048, "Training images that these statistics are estimated from.", at_least=1
    )


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options, group="bookkeeping"):
    """Where the run is kept, and how much of it."""

    run_dir: str = field(
        metadata=required(
            "Where the run is kept; the same command goes on with it.",
            kind=Kind.BOOKKEEPING,
        )
    )
    checkpoint_every_steps: int = option(
        0,
        "Steps between checkpoints, besides those at evaluations; 0: only those.",
        at_least=0,
        kind=Kind.BOOKKEEPING,
    )
    keep_checkpoints: int = option(
        2, "How many of the last checkpoints stay.", at_least=1, kind=Kind.BOOKKEEPING
    )
    keep_best: int = option(
        1,
        "Of how many evaluations, the best or with --best_metric=last the last ones, the weights "
        "stay: for ensemble.soup --checkpoints.",
        at_least=1,
        kind=Kind.BOOKKEEPING,
    )
    log_every_steps: int = option(
        0,
        "Steps between lines of metrics.jsonl; default: 20, or fewer for ten lines a run and one "
        "an epoch.",
        at_least=0,
        kind=Kind.BOOKKEEPING,
    )
    profile_steps: str = option(
        "", "FIRST,LAST: steps to profile for TensorBoard.", kind=Kind.BOOKKEEPING
    )
    serving: str = option(
        "",
        "Also write the model for TensorFlow Serving, Vertex AI and Triton: NAME, or NAME/VERSION, "
        "to RUN_DIR/serving/NAME/VERSION.",
        kind=Kind.BOOKKEEPING,
    )
    progress: bool = option(True, "Show a progress bar.", kind=Kind.BOOKKEEPING)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(
    DatasetOptions,
    ReadOptions,
    ModelOptions,
    HeadOptions,
    OptimizerOptions,
    ScheduleOptions,
    ObjectiveOptions,
    LengthOptions,
    EvaluationOptions,
    ComputeOptions,
    InterruptionOptions,
    RunOptions,
    LoggerOptions,
):
    """One training.

    >>> config = TrainConfig(
    ...     dataset="tfds/plants/1.0.0", run_dir="runs/b0", architecture="efficientnet_b0",
    ...     batch_size=32, epochs=5, augment=AugmentOptions(flips="both"),
    ... )
    >>> config.height_px, config.learning_rate, config.augment.flips
    (224, 0.0, 'both')
    >>> dataclasses.replace(config, image_size="480x768").width_px
    768

    Raises:
        OrchardError: on construction, when values are impossible or contradict each other.
    """

    GROUPS: ClassVar[tuple[str, ...]] = (
        "data",
        "network",
        "optimization",
        "augmentation",
        "evaluation",
        "hardware",
        "bookkeeping",
    )

    # Drawn from (seed, epoch, record).
    augment: AugmentOptions = field(default_factory=AugmentOptions)

    def check(self) -> None:
        """Refuse flags that contradict each other, or lack one another."""
        super().check()
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        for a, b in EXCLUSIVE_FLAGS:
            if getattr(self, a) != defaults[a] and getattr(self, b) != defaults[b]:
                raise OrchardError(f"--{a} and --{b} say the same thing; give one of them")
        self._check_length()
        self._check_batch()
        self.check_square()
        if self.is_frozen:
            self._check_frozen()
        if self.freeze_epochs and self.weights == "none":
            raise OrchardError(
                "--freeze_epochs would train a head on random features; drop it, or give --weights"
            )
        if self.freeze_epochs >= self.epochs and not self.min_steps:
            raise OrchardError(
                f"--freeze_epochs={self.freeze_epochs:g} leaves nothing of {self.epochs:g} epochs; "
                "make it shorter"
            )
        if self.best_metric == LAST_STEP and self.early_stopping_evals:
            raise OrchardError(
                f"--early_stopping_evals needs a metric that says which step is the best, not "
                f"--best_metric={LAST_STEP}; drop one of them"
            )
        if self.profile_steps:
            self.profile_range()
        if self.serving:
            serving_dir(self.run_dir, self.serving)
            if self.fold == ALL_FOLDS or self.refit:
                raise OrchardError(
                    f"--serving={self.serving} names one model, but --fold={self.fold} "
                    f"--refit={self.refit} trains several; serve them together with ensemble.main "
                    "--serving, or one of them with --export_only --run_dir=RUN --serving"
                )

    def check_square(self) -> None:
        """Refuse augmentations that turn images, where these are not square."""
        square = self.augment.needs_square
        if square and self.height_px != self.width_px:
            raise OrchardError(
                f"--{square} needs square images, not --image_size={self.image_size}; drop one"
            )

    @classmethod
    def _step_flags(cls) -> set[str]:
        """The flags that mean nothing where a head is solved for all rows at once."""
        rooms = (OptimizerOptions, ScheduleOptions, LengthOptions, EvaluationOptions, LossOptions)
        return _STEP_FLAGS | {flag.name for room in rooms for flag in room.flag_fields()} - (
            _ALSO_OF_HEADS
        )

    def _check_frozen(self) -> None:
        """Refuse what frozen features do not have, and views that would all be the same."""
        values, names = self.flags(), self._step_flags()
        given = [f for f in self.flag_fields() if f.name in names and values[f.name] != f.default]
        if given:
            shown = ", ".join(f"--{flag.name}={values[flag.name]}" for flag in given)
            raise OrchardError(
                f"--features={FROZEN} trains nothing step by step: drop {shown}, or the --recipe "
                "that sets it"
            )
        if self.weights == "none":
            raise OrchardError(
                f"--features={FROZEN} would solve a head on random features; give --weights"
            )
        if self.augment.mixing:
            raise OrchardError(
                f"mixup and cutmix pair the images of a batch, which --features={FROZEN} does not "
                "have; drop them"
            )
        plain = AugmentOptions.only()
        if self.feature_views == 1:
            if self.augment not in (AugmentOptions(), plain):
                raise OrchardError(
                    f"--features={FROZEN} --feature_views=1 takes images as they are; give "
                    "--feature_views=5 or so, or drop the augmentation"
                )
            # What is recorded is what was done: ensembles ask which views a network has seen.
            object.__setattr__(self, "augment", plain)
            if self.head == "linear" and self.refit > 1:
                raise OrchardError(
                    f"--refit={self.refit} would solve the same head as often: one on images as "
                    "they are has one solution, whatever the seed; give --refit=1, --head=mlp or "
                    "--feature_views"
                )
        elif self.augment == plain:
            raise OrchardError(
                f"--feature_views={self.feature_views} needs augmentation to differ, such as "
                "--flips=horizontal"
            )

    def _check_length(self) -> None:
        """Refuse a ceiling of nothing, or below what --epochs asks for."""
        if self.max_epochs and not self.min_steps:
            raise OrchardError(
                f"--max_epochs={self.max_epochs:g} limits what --min_steps adds to --epochs; give "
                "--min_steps, or say the length with --epochs"
            )
        if self.max_epochs and self.max_epochs < self.epochs:
            raise OrchardError(
                f"--max_epochs={self.max_epochs:g} is below --epochs={self.epochs:g}; raise it, or "
                "lower --epochs"
            )

    def _check_batch(self) -> None:
        """Refuse batch sizes that no number of replicas can share."""
        name = "batch_size_per_replica" if self.batch_size_per_replica else "batch_size"
        batch, parts = getattr(self, name) or BATCH_SIZE, self.accumulation_steps
        if batch % parts:
            raise OrchardError(
                f"--{name}={batch} does not divide into --accumulation_steps={parts}; give a "
                f"multiple, such as {-(-batch // parts) * parts}"
            )
        if self.augment.mixing and batch % 2:
            even = math.lcm(2, parts)
            raise OrchardError(
                f"mixup and cutmix pair images: --{name}={batch} must be even; try "
                f"{-(-batch // even) * even}"
            )

    def global_batch_size(self, num_replicas: int) -> int:
        """Images a step over so many replicas."""
        return self.batch_size or self.batch_size_per_replica * num_replicas or BATCH_SIZE

    def profile_range(self) -> tuple[int, int]:
        """First and last step to profile."""
        match = re.fullmatch(r"(\d+),(\d+)", self.profile_steps)
        if not match or int(match[1]) > int(match[2]):
            raise OrchardError(f"--profile_steps={self.profile_steps}: give FIRST,LAST: 10,20")
        return int(match[1]), int(match[2])

    def to_json(self) -> dict[str, Any]:
        """A JSON object with every field."""
        values = {**dataclasses.asdict(self), "augment": self.augment.flags()}
        del values["loss_options"]
        return {"schema_version": SCHEMA_VERSION, **values, **self.loss_options.flags()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TrainConfig":
        """The inverse of `to_json`; OrchardError for fields that it does not know."""
        values = dict(values)
        version = values.pop("schema_version", None)
        losses = {flag.field for flag in LossOptions.flag_fields()} & set(values)
        values["loss_options"] = LossOptions(**{name: values.pop(name) for name in losses})
        if "loggers" in values:
            # Who reads the file need not have the plug-ins that were told of the training.
            values["loggers"] = [name for name in values["loggers"] if name in LOGGERS]
        # A field that is missing is newer than the file; its default is what was done before.
        unknown = sorted(set(values) - {f.name for f in dataclasses.fields(cls)})
        if version != SCHEMA_VERSION or unknown:
            raise OrchardError(
                f"config.json is of another version of this program (schema {version}, fields "
                f"{unknown}); go on with that version and its --plugins, or start a new --run_dir"
            )
        return cls(**{**values, "augment": AugmentOptions(**values["augment"])})


class Change(NamedTuple):
    """A flag whose value has changed."""

    name: str
    old: Any
    new: Any


def changed_flags(old: TrainConfig, new: TrainConfig, *kinds: Kind) -> list[Change]:
    """The flags of these kinds whose values differ."""
    before, after = old.flags(), new.flags()
    return [
        Change(flag.name, before[flag.name], after[flag.name])
        for flag in TrainConfig.flag_fields()
        if flag.kind in kinds and before[flag.name] != after[flag.name]
    ]


def name_changes(changes: Sequence[Change]) -> str:
    """The changes in words."""
    return "; ".join(f"--{name} was {old!r}, now {new!r}" for name, old, new in changes)
