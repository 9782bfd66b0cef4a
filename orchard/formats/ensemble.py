"""What an ensemble leaves: the files of its directory, and the record that tells of it."""

from dataclasses import dataclass
from typing import Any, ClassVar

from orchard import storage
from orchard.formats.cost import Price
from orchard.formats.json_record import JsonRecord
from orchard.formats.kinds import Task


@dataclass(frozen=True)
class EnsembleDir:
    """The files of one ensemble, by what they hold.

    Attributes:
        path: the directory, local or gs://.
    """

    path: str

    def _join(self, name: str) -> str:
        return storage.join(self.path, name)

    @property
    def predictions_file(self) -> str:
        """Probabilities by image id."""
        return self._join("predictions.csv")

    @property
    def record_file(self) -> str:
        """The `EnsembleRecord`."""
        return self._join("weights.json")

    @property
    def report_file(self) -> str:
        """The report, for people; written last."""
        return self._join("report.html")

    @property
    def card_file(self) -> str:
        """The model card."""
        return self._join("README.md")

    @property
    def soft_labels_file(self) -> str:
        """Probabilities of the predicted split, to train on."""
        return self._join("soft_labels.csv")

    @property
    def out_of_fold_file(self) -> str:
        """Probabilities of the held-out images, to train on."""
        return self._join("soft_labels_out_of_fold.csv")

    @property
    def held_out_predictions_file(self) -> str:
        """Probabilities and labels of the held-out images, to look at."""
        return self._join("predictions_out_of_fold.csv")

    @property
    def saved_model_dir(self) -> str:
        """The whole ensemble as one SavedModel."""
        return self._join("saved_model")

    @property
    def logits_dir(self) -> str:
        """What the members gave for each image, kept for the next time."""
        return self._join("logits")


@dataclass(frozen=True)
class MemberWeight:
    """One run in an ensemble.

    Attributes:
        name: short and unique within the ensemble.
        path: its run directory.
        architecture: name of its network.
        fingerprint: of its SavedModel.
        train_split: what it was trained on.
        eval_split: what it was evaluated on; None: nothing.
        weight: its share, 0..1.
        temperature: what its logits are divided by: one number, or one a class.
        price: of the run.
    """

    name: str
    path: str
    architecture: str
    fingerprint: str
    train_split: str
    eval_split: str | None
    weight: float
    temperature: tuple[float, ...]
    price: Price = Price()


@dataclass(frozen=True)
class NetworkWeight:
    """One entry of --members.

    Attributes:
        name: of the network.
        members: names of its runs that predict: several are its folds and refits.
        weight: its share, 0..1.
        price: of training all its runs, folds that vouch for refits too, and of predicting.
    """

    name: str
    members: tuple[str, ...]
    weight: float
    price: Price = Price()


@dataclass(frozen=True)
class EnsembleDataset:
    """The dataset that was predicted."""

    path: str
    fingerprint: str


@dataclass(frozen=True)
class GainOverUniform:
    """How much better learned weights are than simpler ones, such as equal ones.

    On images that they were not learned on.

    Attributes:
        gain: the difference of the scores; None: not a number.
        low: the interval's lower end.
        high: the interval's upper end.
        confidence: of the interval, 0..1.
        parts: into how many parts the images were cut.
    """

    gain: float | None
    low: float | None
    high: float | None
    confidence: float
    parts: int


@dataclass(frozen=True)
class WeightSelection:
    """How greedy selection went.

    Attributes:
        order: names of the networks, as they were added.
        regrets: what was left to gain after each.
        weights: by network, as selection found them.
        used: whether they are the ensemble's weights, or were not trusted.
        gain_over_uniform: None where there was nothing to compare.
    """

    order: tuple[str, ...]
    regrets: tuple[float | None, ...]
    weights: dict[str, float]
    used: bool
    gain_over_uniform: GainOverUniform | None


@dataclass(frozen=True)
class TriedWeights:
    """A way to find weights that was put to the test.

    Attributes:
        name: as `--weights` has it.
        shares: by network, 0..1, sum 1; of stacked weights the mean of their absolute values.
        used: whether they are the ensemble's weights.
        over: the name of the simpler way that it was compared with; empty: it is the simplest.
        gain: over that one, on images that no fit has seen; None: there was nothing to compare.
        note: how they came about, in words.
        weights: by network, what its log-probabilities (log-odds, for many labels) of each class
            are multiplied by; None: a network has one weight, which is its share.
        offsets: what is then added to each class; None likewise.
    """

    name: str
    shares: dict[str, float]
    used: bool
    over: str = ""
    gain: GainOverUniform | None = None
    note: str = ""
    weights: dict[str, tuple[float, ...]] | None = None
    offsets: tuple[float, ...] | None = None


@dataclass(frozen=True)
class RefitsChoice:
    """How folds and refits share the work, where a network has refits.

    Attributes:
        predict_with: the runs that predict: "folds", "refits" or "both".
        note: how `--predict_with=auto` came to it; empty where it was not asked.
        vouched_by: names of the runs whose held-out logits were fitted and scored on.
        caveat: what these say of runs that have no held-out images; empty where all have.
    """

    predict_with: str
    note: str
    vouched_by: tuple[str, ...]
    caveat: str


@dataclass(frozen=True)
class AutoViews:
    """What `--tta=auto` came to.

    Attributes:
        tried: the most views that all trainings drew.
        accepted: whether these are averaged: held-out images confirmed them, beyond chance.
        note: in a sentence, with the gain and its interval.
    """

    tried: str
    accepted: bool
    note: str


@dataclass(frozen=True)
class CascadeStage:
    """What runs next in a cascade, and which images leave after it.

    Attributes:
        networks: names of those that run here first.
        min_confidence: images of at least that leave; None: the last stage, after which all do.
        temperature: of the mean so far, for the probabilities of images that leave here.
        confidence_temperature: likewise, for the confidence.
        left_share: the share of the held-out images that left here.
    """

    networks: tuple[str, ...]
    min_confidence: float | None
    temperature: tuple[float, ...]
    confidence_temperature: tuple[float, ...]
    left_share: float


@dataclass(frozen=True)
class CascadePoint:
    """What a cascade costs and loses, on images that it was not searched on.

    Attributes:
        flops_share: of the FLOPs of all networks.
        loss: of the metric, against all networks; < 0: it is better; None: not a number.
        low: lower end of the loss's 95% interval.
        high: upper end.
    """

    flops_share: float
    loss: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class CascadeRecord:
    """What came of `--cascade` or `--cascade_flops`.

    Attributes:
        max_loss: that of the flag; None: `max_flops_share` was given.
        max_flops_share: likewise.
        used: whether there is a cascade; else all networks run for each image.
        confidence: "maximum": of the likeliest answer; "margin": less that of the second likeliest.
        stages: none where it is not used.
        judged: the cascade, or the one that came nearest.
        curve: for several costs.
        flops_per_image: mean over the held-out images.
        flops_per_image_of_all: of all networks.
        note: in a sentence.
    """

    max_loss: float | None
    max_flops_share: float | None
    used: bool
    confidence: str
    stages: tuple[CascadeStage, ...]
    judged: CascadePoint
    curve: tuple[CascadePoint, ...]
    flops_per_image: int
    flops_per_image_of_all: int
    note: str


@dataclass(frozen=True)
class ConformalRecord:
    """What came of `--conformal`.

    Attributes:
        level: that of the flag.
        method: how sets are made.
        parameters: what was fitted, by name.
        images: how many held-out images it was fitted on.
        kept: what of the promise is kept, on images that the sets were not fitted on: the share
            whose set has the true class, or (many labels) the share of an image's classes in it.
        low: lower end of its 95% interval.
        high: upper end.
        mean_size: classes in a set.
    """

    level: float
    method: str
    parameters: dict[str, float]
    images: int
    kept: float | None
    low: float | None
    high: float | None
    mean_size: float


@dataclass(frozen=True)
class EnsembleRecord(JsonRecord):
    """The content of `weights.json`: what went into an ensemble and what weight each has.

    Attributes:
        task: what the labels mean.
        class_names: the classes, in the order of the predictions' columns.
        dataset: what was predicted.
        split: of the dataset.
        combine: how logits became probabilities.
        tta: test-time augmentation, as `--tta=auto` came to it where that was asked.
        weights: the flag: "uniform", "greedy", "stack", ..., "auto" or numbers.
        weights_split: where weights and temperatures were fitted; None: nowhere.
        metric: what judged.
        members: the runs that predict.
        networks: the entries of --members.
        temperature: of the whole: one number, or one a class.
        thresholds: of each class.
        selection: how greedy selection went; None where it was not tried.
        refits: how folds and refits share the work; not in the file where there are no refits.
        price: of the training of all these, and of a prediction by members that have a weight.
        tta_auto: how `tta` was found; None where --tta named it, and in older files.
        cascade: of networks; not in the file where none was asked for.
        conformal: of prediction sets; likewise.
        tried: the ways to find weights, the simplest first; empty for weights that were given.
    """

    REMEDY: ClassVar[str] = "run the command that wrote it again"

    task: Task
    class_names: tuple[str, ...]
    dataset: EnsembleDataset
    split: str
    combine: str
    tta: str
    weights: str
    weights_split: str | None
    metric: str
    members: tuple[MemberWeight, ...]
    networks: tuple[NetworkWeight, ...]
    temperature: tuple[float, ...]
    thresholds: tuple[float, ...]
    selection: WeightSelection | None
    refits: RefitsChoice | None = None
    price: Price = Price()
    tta_auto: AutoViews | None = None
    cascade: CascadeRecord | None = None
    conformal: ConformalRecord | None = None
    tried: tuple[TriedWeights, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain values, for `storage.write_json`; `from_json` is the way back."""
        value = super().to_json()
        for name in ("refits", "cascade", "conformal"):
            if getattr(self, name) is None:
                del value[name]
        return value
