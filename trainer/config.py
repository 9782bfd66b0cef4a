"""TrainConfig: everything that decides a training, as one frozen, validated value.

Every field is a flag of `trainer.main`; its help stands beside its default. A field marked
`bookkeeping` may differ when a run is resumed: the weights do not depend on it. One marked
`resolved` is compared by what the plan makes of it: 8 images on each of 2 replicas are 16.
"""

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any

from orchard.errors import OrchardError
from trainer import config_checks
from trainer.augment import AugmentOptions
from trainer.evaluation import metrics
from trainer.models import check_architecture, check_preprocessing, default_image_size_px
from trainer.optim import SCHEDULES

SCHEMA_VERSION = 1


def _flag(default: Any, help_text: str, choices: tuple = (), kind: str = "result") -> Any:
    return field(default=default, metadata={"help": help_text, "choices": choices, "kind": kind})


def _bookkeeping(default: Any, help_text: str, choices: tuple = ()) -> Any:
    return _flag(default, help_text, choices, "bookkeeping")


def _resolved(default: Any, help_text: str, choices: tuple = ()) -> Any:
    return _flag(default, help_text, choices, "resolved")


@dataclass(frozen=True)
class TrainConfig:
    """One training. Construction raises OrchardError for a value that cannot be."""

    # What to train on.
    dataset: str = _bookkeeping("", "Dataset directory: DATA_DIR/NAME/VERSION, local or gs://.")
    run_dir: str = _bookkeeping("", "Where the run is kept; the same command goes on with it.")
    fold: str = _resolved("", "Fold to evaluate on, trained on the others: 0, 1, ... or all.")
    train_split: str = _resolved("", "Splits to train on, such as train or fold1+fold2.")
    eval_split: str = _resolved(
        "", "Splits to evaluate on; none: train on everything, keep the end."
    )
    soft_labels: str = _flag("", "CSV of id and one probability a class, mixed into the targets.")
    soft_labels_weight: float = _flag(0.3, "Share of --soft_labels in the targets, 0..1.")

    # Network.
    architecture: str = _flag("", "Name of a network, or the path of a .keras file.")
    image_size: str = _resolved(
        "", "N or HEIGHTxWIDTH in px; default: what the network was made for."
    )
    weights: str = _flag(
        "imagenet", "imagenet, none, or a path; a .keras architecture keeps its own but for none."
    )
    preprocessing: str = _flag(
        "auto", "What a backbone expects: auto, inside, minus_one_to_one, MEAN/STD, ..."
    )
    dropout: float = _flag(0.0, "Share of features dropped before the logits.")
    resize: str = _flag("squash", "How an image meets --image_size.", ("squash", "crop", "pad"))
    exact_decode: bool = _flag(False, "Decode JPEGs at full scale before every resize.")

    # Reading.
    reader: str = _flag(
        "auto", "How records are read: each has an order of its own.", ("auto", "local", "block")
    )
    cache: str = _bookkeeping("none", "ram: hold the encoded files in memory.", ("none", "ram"))
    cache_dir: str = _bookkeeping("", "Local directory for a verified copy of the shards.")
    on_bad_record: str = _flag("fail", "What a damaged record does.", ("fail", "skip"))
    threads: int = _bookkeeping(0, "Decoding threads; 0: one a core.")

    # Augmentation, drawn from (seed, epoch, record); each of its fields is a flag.
    augment: AugmentOptions = field(default=AugmentOptions(), metadata={"kind": "nested"})

    # Length and batch.
    epochs: float = _flag(10.0, "Passes over the training records.")
    batch_size: int = _resolved(0, "Images a step, over all replicas.")
    batch_size_per_replica: int = _resolved(
        0, "Instead of --batch_size: images a step and replica."
    )
    accumulation_steps: int = _flag(1, "Parts that a replica's batch is computed in, to fit.")

    # Optimisation.
    optimizer: str = _flag(
        "adamw", "Update rule.", ("adamw", "adam", "sgd", "lamb", "lion", "rmsprop")
    )
    learning_rate: float = _resolved(
        0.0, "Peak learning rate; default 0.001 (sgd: 0.1, lion: 1e-4)."
    )
    learning_rate_per_replica: float = _resolved(0.0, "Instead: peak learning rate over replicas.")
    momentum: float = _flag(0.9, "Of sgd (Nesterov) and rmsprop.")
    weight_decay: float = _flag(0.0, "Decoupled, on kernels only: no biases, no norms.")
    clip_norm: float = _flag(0.0, "Largest global norm of a step's gradient; 0: no clipping.")
    ema_momentum: float = _flag(
        0.0, "Evaluate and export the weights' average over 1 / (1 - this) steps; 0: no."
    )
    schedule: str = _flag("cosine", "Shape of the learning rate.", SCHEDULES)
    start_learning_rate: float = _flag(0.0, "Learning rate of the first step of a warm-up.")
    end_learning_rate: float = _flag(0.0, "Learning rate that the decay ends in.")
    warmup_epochs: float = _resolved(0.0, "Linear rise to the peak.")
    warmup_steps: int = _resolved(0, "Instead of --warmup_epochs, in steps.")
    hold_epochs: float = _flag(0.0, "(article) Epochs at the peak.")
    decay_per_epoch: float = _flag(0.8, "(article) Factor an epoch after the hold.")
    cycle_epochs: float = _flag(10.0, "(warm_restarts) Length of the first cycle.")
    cycle_growth: float = _flag(2.0, "(warm_restarts) Each next cycle is so many times as long.")

    # Objective.
    loss: str = _flag("cross_entropy", "Loss.", ("cross_entropy", "focal"))
    focal_gamma: float = _flag(2.0, "(focal) How much easy examples are turned down.")
    label_smoothing: float = _flag(0.0, "Share of the targets spread over the classes, 0..1.")
    class_weights: str = _flag("none", "none, balanced, or one positive number a class: 1,2.5,1.")

    # Fine-tuning.
    freeze_epochs: float = _flag(0.0, "Epochs in which only the head learns.")
    layer_decay: float = _flag(1.0, "Learning-rate factor from a twelfth of the depth to the next.")
    batch_norm: str = _flag(
        "train", "Backbone's batch normalisation: train, or frozen as loaded.", ("train", "frozen")
    )
    precise_batch_norm: str = _flag(
        "auto",
        "Re-estimate statistics before an evaluation; auto: if the run is short or --ema_momentum.",
        ("auto", "on", "off"),
    )
    precise_batch_norm_images: int = _flag(2048, "Training images that they are estimated from.")

    # Evaluation.
    eval_every_epochs: float = _flag(1.0, "Epochs between evaluations.")
    eval_batch_size: int = _resolved(0, "Images an evaluation step; default: as in training.")
    best_metric: str = _resolved("", "What the best checkpoint is best at.", ("", *metrics.METRICS))
    early_stopping_evals: int = _flag(0, "Stop after so many evaluations without a best; 0: never.")

    # Hardware.
    accelerator: str = _bookkeeping("auto", "What to run on.", ("auto", "tpu", "gpu", "cpu"))
    tpu: str = _bookkeeping("", "Name or address of a TPU, or local; default: the environment's.")
    replicas: int = _bookkeeping(0, "GPUs to use, or logical CPUs to make; 0: all GPUs, one CPU.")
    precision: str = _resolved(
        "auto",
        "auto: mixed_bfloat16 on TPU, else float32.",
        ("auto", "float32", "mixed_bfloat16"),
    )
    jit_compile: bool = _flag(False, "Compile the step with XLA (one device; a TPU always does).")

    # Repeatability and guards.
    seed: int = _flag(0, "Of weights, order, augmentation, dropout.")
    deterministic: bool = _flag(False, "Bit-identical from run to run, at some cost.")
    max_loss: float = _flag(1e4, "A step's loss above this, or NaN, counts as a blow-up.")
    max_recoveries: int = _flag(2, "Times to go back to the last checkpoint after a blow-up.")

    # Bookkeeping.
    checkpoint_every_steps: int = _bookkeeping(0, "Besides every evaluation; 0: only there.")
    keep_checkpoints: int = _bookkeeping(2, "How many of the last checkpoints stay.")
    max_minutes: float = _bookkeeping(0.0, "Save and stop in time, exit status 75; 0: no limit.")
    watch_preemption: bool = _bookkeeping(
        True, "Save and stop, exit status 75, when Compute Engine announces the machine's end."
    )
    log_every_steps: int = _bookkeeping(20, "Steps between lines of metrics.jsonl.")
    steps_per_call: int = _bookkeeping(0, "Steps between looks at signals; 0: 1, on TPU 16.")
    profile_steps: str = _bookkeeping("", "FIRST,LAST: steps to profile for TensorBoard.")
    progress: bool = _bookkeeping(True, "Show a progress bar.")

    def __post_init__(self):
        config_checks.require_choices(self)
        config_checks.require_ranges(self)
        check_architecture(self.architecture, self.weights)
        check_preprocessing(self.preprocessing)
        config_checks.require_consistent(self)
        if self.image_size:
            parse_image_size(self.image_size)
        if self.profile_steps:
            self.profile_range()

    @property
    def height_px(self) -> int:
        """Height of the images that the network sees."""
        return self._size()[0]

    @property
    def width_px(self) -> int:
        """Width of the images that the network sees."""
        return self._size()[1]

    def profile_range(self) -> tuple[int, int]:
        """First and last step to profile."""
        match = re.fullmatch(r"(\d+),(\d+)", self.profile_steps)
        if not match or int(match[1]) > int(match[2]):
            raise OrchardError(f"--profile_steps={self.profile_steps} must be FIRST,LAST: 10,20")
        return int(match[1]), int(match[2])

    def _size(self) -> tuple[int, int]:
        if self.image_size:
            return parse_image_size(self.image_size)
        side = default_image_size_px(self.architecture)
        if side is None:
            raise OrchardError(f"--architecture={self.architecture} needs --image_size")
        return side, side

    def flags(self) -> dict[str, Any]:
        """The value of every flag, by name."""
        return {name: getattr(owner, name) for owner, name in self._flag_owners()}

    def _flag_owners(self):
        for f in dataclasses.fields(self):
            if f.metadata["kind"] != "nested":
                yield self, f.name
        for f in dataclasses.fields(self.augment):
            yield self.augment, f.name

    def to_json(self) -> dict[str, Any]:
        """A JSON object with every field."""
        return {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TrainConfig":
        """The inverse of `to_json`; OrchardError for another version's fields."""
        values = dict(values)
        version = values.pop("schema_version", None)
        known = {f.name for f in dataclasses.fields(cls)}
        if version != SCHEMA_VERSION or set(values) != known:
            strange = sorted(set(values) ^ known)
            raise OrchardError(
                f"config.json is of another version of this program (schema {version}, fields "
                f"{strange}); go on with that version, or start a new --run_dir"
            )
        try:
            values["augment"] = AugmentOptions(**values["augment"])
        except TypeError as error:
            raise OrchardError(f"config.json is of another version: {error}") from None
        return cls(**values)


def parse_image_size(text: str) -> tuple[int, int]:
    """'512' or '480x768' (height x width) to (height, width) in px."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if match is None or int(match[1]) == 0 or (match[2] and int(match[2]) == 0):
        raise OrchardError(f"--image_size={text} must be N or HEIGHTxWIDTH in px: 512, 480x768")
    return int(match[1]), int(match[2] or match[1])


def flag_fields() -> list[dataclasses.Field]:
    """The fields that are flags, those of the augmentation included."""
    own = [f for f in dataclasses.fields(TrainConfig) if f.metadata["kind"] != "nested"]
    return own + list(dataclasses.fields(AugmentOptions))


def config_of_flags(values: dict[str, Any]) -> TrainConfig:
    """The inverse of `TrainConfig.flags`."""
    names = {f.name for f in dataclasses.fields(AugmentOptions)}
    augment = AugmentOptions(**{name: values[name] for name in names})
    own = {name: value for name, value in values.items() if name not in names}
    return TrainConfig(**own, augment=augment)


def changed_flags(
    old: TrainConfig, new: TrainConfig, kinds: tuple[str, ...]
) -> list[tuple[str, Any, Any]]:
    """(name, old value, new value) of the flags that differ and are of these kinds.

    Those of "result" alter the result by themselves, "resolved" by what the plan makes of them.
    """
    before, after = old.flags(), new.flags()
    return [
        (f.name, before[f.name], after[f.name])
        for f in flag_fields()
        if f.metadata.get("kind", "result") in kinds and before[f.name] != after[f.name]
    ]


def name_changes(changes: list[tuple[str, Any, Any]]) -> str:
    """The changes in words."""
    return "; ".join(f"--{name} was {old!r}, now {new!r}" for name, old, new in changes)
