"""What a training leaves: the files of a run directory, and the record that describes it."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from orchard import storage
from orchard.formats.cost import TrainingCost
from orchard.formats.head import SolvedHead
from orchard.formats.json_record import JsonRecord
from orchard.formats.kinds import Task, fold_name, refit_name

# What files and flags say where a training evaluates on nothing.
NO_SPLIT = "none"
# What they say instead of the metric that selects a step: the one that the training ends with.
LAST_STEP = "last"

Scores = dict[str, float | None]  # By metric; None: not a number, as for a class without records.


@dataclass(frozen=True)
class ExportDir:
    """Where trained weights are exported to.

    Attributes:
        path: the directory, local or gs://.
    """

    path: str

    def _join(self, *names: str) -> str:
        return storage.join(self.path, *names)

    @property
    def saved_model_dir(self) -> str:
        """The network as a TensorFlow SavedModel."""
        return self._join("saved_model")

    @property
    def keras_file(self) -> str:
        """The network as a Keras model."""
        return self._join("model.keras")


@dataclass(frozen=True)
class RunDir(ExportDir):
    """The files of one training, by what they hold.

    `--fold=all` makes a directory of such directories, one a fold, with a summary beside them, and
    with `--refit` one for each network that is then trained on everything.
    """

    @property
    def config_file(self) -> str:
        """Every flag, and what it came to."""
        return self._join("config.json")

    @property
    def network_file(self) -> str:
        """The network's layers, without weights."""
        return self._join("network.json")

    @property
    def pretrained_file(self) -> str:
        """What is known of the pretrained weights that the training began with; not always there.

        {"license": as their source says it}.
        """
        return self._join("pretrained.json")

    @property
    def checkpoints_dir(self) -> str:
        """Numbered checkpoints, and the weights of the best evaluations."""
        return self._join("checkpoints")

    @property
    def metrics_file(self) -> str:
        """A line of JSON for each logged step, evaluation and event."""
        return self._join("metrics.jsonl")

    @property
    def tensorboard_dir(self) -> str:
        """Events and profiles."""
        return self._join("tensorboard")

    @property
    def report_file(self) -> str:
        """The report, for people."""
        return self._join("report.html")

    @property
    def record_file(self) -> str:
        """The `RunRecord`, written last: with it a run is finished."""
        return self._join("run.json")

    def eval_logits_file(self, split: str) -> str:
        """The `Logits` of the exported weights on the split that they were evaluated on."""
        return self._join("eval_logits", f"{split}.npz")

    def export_of(self, step: int) -> "RunDir":
        """Where the weights of another step than the best are exported to, with a record."""
        return RunDir(self._join(f"export-{step:09d}"))

    def fold(self, number: int | str) -> "RunDir":
        """The run of one fold, of `--fold=all`."""
        return RunDir(self._join(fold_name(number)))

    def refit(self, number: int) -> "RunDir":
        """The run of one network on all folds, of `--fold=all --refit=N`."""
        return RunDir(self._join(refit_name(number)))

    @property
    def folds_file(self) -> str:
        """The `FoldsRecord` of `--fold=all`."""
        return self._join("folds.json")

    @property
    def budget_file(self) -> str:
        """How --budget was divided."""
        return self._join("budget.json")

    @property
    def out_of_fold_file(self) -> str:
        """The `Logits` of all folds together, of `--fold=all`."""
        return self._join("out_of_fold.npz")


@dataclass(frozen=True)
class InputSpec:
    """What a network wants done with an image file, as `trainer.data.decode_image` takes it.

    Attributes:
        height_px: rows of the network's input.
        width_px: columns of the network's input.
        resize: how an image meets this size: "squash", "crop" or "pad".
        exact_decode: whether JPEGs are decoded at full scale before every resize.
    """

    height_px: int
    width_px: int
    resize: str
    exact_decode: bool


@dataclass(frozen=True)
class DatasetOfRun:
    """The dataset that a run was trained on, as it was then."""

    name: str
    version: str
    fingerprint: str
    path: str


@dataclass(frozen=True)
class SoupIngredient:
    """Weights that went into an average, or were tried.

    Attributes:
        name: short, of a run, or of a run and a step.
        path: the run directory.
        step: whose weights they are.
        score: on the held-out images; None: there are none.
        used: whether they are in the average.
    """

    name: str
    path: str
    step: int
    score: float | None
    used: bool


@dataclass(frozen=True)
class SoupRecord:
    """How the weights of a soup came about: a mean of the weights of trainings of one start.

    Attributes:
        recipe: "uniform" or "greedy".
        metric: what judged.
        ingredients: the best first, where there are scores.
        note: what held-out images say of the soup against its best ingredient, in a sentence.
        gain: over that one, on images by which neither was chosen; None: there are none.
        low: lower end of the gain's 95% bootstrap interval.
        high: upper end.
    """

    recipe: str
    metric: str
    ingredients: tuple[SoupIngredient, ...]
    note: str
    gain: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class RunRecord(JsonRecord):
    """The content of `run.json`: what a finished run is and how good it is.

    Attributes:
        class_names: the classes, in the order of the logits' columns.
        task: what the labels mean.
        architecture: name of the network, path of a .keras file, or SOURCE:NAME of a preset.
        image_size_px: height and width of the network's input.
        resize: see `InputSpec`.
        exact_decode: see `InputSpec`.
        train_split: what it was trained on, splits joined by +.
        eval_split: what it was evaluated on; None: nothing.
        fold: the held-out fold, or none where all were trained on; empty without folds.
        best_step: the step whose weights are exported.
        best_metric: the metric that selected it; "last": none, it is the last one; empty: none, it
            was named by --checkpoint.
        scores: on `eval_split`.
        skipped_records: damaged records that the scores leave out.
        dataset: what it was trained on.
        member_fingerprint: see `fingerprint_saved_model`.
        versions: of the libraries that decide the numbers.
        config: the flags, as the trainer's TrainConfig writes itself.
        cost: what it took, and what a prediction takes; None: not known.
        license: of the pretrained weights that it began with, as their preset says; empty: it does
            not, or they are of no preset.
        start_fingerprint: SHA-256, in hex, of the backbone's weights before the first step: runs
            that share it started from the same ones; empty: an older version began it.
        soup: of which trainings' weights these are the mean; None: of one training alone.
        head: how the head was solved on frozen features; None: the network was trained.
    """

    REMEDY: ClassVar[str] = "write it again with trainer.main --run_dir=RUN --export_only"

    class_names: tuple[str, ...]
    task: Task
    architecture: str
    image_size_px: tuple[int, int]
    resize: str
    exact_decode: bool
    train_split: str
    eval_split: str | None
    fold: str
    best_step: int
    best_metric: str
    scores: Scores
    skipped_records: int
    dataset: DatasetOfRun
    member_fingerprint: str
    versions: dict[str, str]
    config: dict[str, Any] = field(repr=False)
    cost: TrainingCost | None = None
    license: str = ""
    start_fingerprint: str = ""
    soup: SoupRecord | None = None
    head: SolvedHead | None = None

    @property
    def input(self) -> InputSpec:
        """What the network wants done with an image file."""
        return InputSpec(*self.image_size_px, self.resize, self.exact_decode)

    @property
    def chosen_by_scores(self) -> bool:
        """Whether scores on `eval_split` decided which weights these are."""
        if self.soup is not None:
            return self.soup.recipe == "greedy"
        return self.best_metric not in ("", LAST_STEP)

    def to_json(self) -> dict[str, Any]:
        """As plain values, for `storage.write_json`; `from_json` is the way back."""
        return super().to_json() | {"eval_split": self.eval_split or NO_SPLIT}

    @classmethod
    def _fields_of(cls, value: dict[str, Any]) -> dict[str, Any]:
        return value | {"eval_split": None} if value.get("eval_split") == NO_SPLIT else value


@dataclass(frozen=True)
class FoldsRecord(JsonRecord):
    """The content of `folds.json`: the scores of `--fold=all`.

    Attributes:
        folds: fold -> scores on it, of the network that has not seen it.
        mean: over the folds.
        spread: standard deviation over the folds (n - 1).
        pooled: scores of all out-of-fold logits together.
        found_epochs: how long to train on all rows: the median, over the folds, of the epochs after
            which the exported step came. `--refit` trains for so long. None in older files, and of
            frozen features.
    """

    folds: dict[str, Scores]
    mean: Scores
    spread: Scores
    pooled: Scores
    found_epochs: float | None = None
