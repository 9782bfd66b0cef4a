"""What one ensemble is made of: the flags of `ensemble.main`, validated."""

from dataclasses import dataclass

from ensemble.combine import COMBINERS, Combiner
from ensemble.inference import NUM_VIEWS
from ensemble.scoring import RANKING_METRICS
from orchard import storage
from orchard.errors import OrchardError
from trainer.evaluation import METRICS


@dataclass(frozen=True)
class EnsembleConfig:
    """One ensemble. Construction raises OrchardError for values that cannot be.

    members: run directories, or directories of fold runs.
    dataset, split: what to predict. output_dir: where everything goes.
    combine: name of one of `combine.COMBINERS`.
    weights: "uniform", "greedy" or numbers, one a network.
    metric: what judges, and what greedy weights are fitted for; empty: chosen by the task.
    weights_split: OUT_OF_FOLD, or splits that no member trained on.
    thresholds: "0.5", one number a class, or "f1": fitted on held-out logits (many-label tasks).
    batch_size: images a step over all replicas.
    deterministic, jit_compile, run_dir: what `trainer.runtime.accelerator.connect` reads besides.
    """

    members: tuple[str, ...]
    dataset: str
    split: str
    output_dir: str
    combine: str = "logits"
    weights: str = "uniform"
    metric: str = ""
    weights_split: str = "OUT_OF_FOLD"
    calibrate: bool = False
    tta: str = "none"
    sample_submission: str = ""
    labels_csv: str = ""
    thresholds: str = "0.5"
    soft_labels: bool = False
    allow_other_dataset: bool = False
    export: bool = True
    batch_size: int = 32
    accelerator: str = "auto"
    tpu: str = ""
    replicas: int = 0
    seed: int = 0

    def __post_init__(self):
        for name in ("members", "dataset", "split", "output_dir"):
            if not getattr(self, name):
                raise OrchardError(f"--{name} is needed")
        if "" in self.members:
            raise OrchardError(
                f"--members={','.join(self.members)} has an empty entry; remove a comma"
            )
        if self.seed < 0:
            raise OrchardError(f"--seed={self.seed} must be at least 0")
        _require(self, "combine", COMBINERS.names())
        _require(self, "tta", tuple(NUM_VIEWS))
        _require(self, "metric", ("", *METRICS))
        if self.batch_size < 1:
            raise OrchardError(f"--batch_size={self.batch_size} must be at least 1")
        if self.combiner.gives_probabilities:
            return
        for name in ("calibrate", "soft_labels"):
            if getattr(self, name):
                raise OrchardError(
                    f"--{name} does not go with --combine={self.combine}, which gives no "
                    "probabilities; drop one of them"
                )
        if self.metric and self.metric not in RANKING_METRICS:
            raise OrchardError(
                f"--combine={self.combine} cannot be judged by --metric={self.metric}: it gives no "
                f"probabilities; use one of {', '.join(sorted(RANKING_METRICS))}"
            )

    @property
    def combiner(self) -> type[Combiner]:
        """The class that `combine` names."""
        return COMBINERS[self.combine]

    @property
    def needs_held_out(self) -> bool:
        """Whether anything is fitted on held-out logits."""
        return self.weights == "greedy" or self.calibrate or self.thresholds == "f1"

    @property
    def logits_dir(self) -> str:
        """Directory of the logits cache."""
        return storage.join(self.output_dir, "logits")

    @property
    def deterministic(self) -> bool:
        """Inference draws nothing."""
        return False

    @property
    def jit_compile(self) -> bool:
        """Members run as they were exported."""
        return False

    @property
    def run_dir(self) -> str:
        """Where this process writes, as the trainer calls it."""
        return self.output_dir


def _require(config: EnsembleConfig, name: str, choices: tuple[str, ...]) -> None:
    value = getattr(config, name)
    if value not in choices:
        named = ", ".join(choice for choice in choices if choice)
        raise OrchardError(f"--{name}={value} must be one of {named}")
