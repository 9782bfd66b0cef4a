"""What one ensemble is made of, as one frozen, validated value: the flags of `ensemble.main`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from ensemble import combine, conformal, formats, inference
from ensemble.cascade import Wish
from ensemble.combine import Combiner
from ensemble.fitting import is_learned, weight_numbers, weighting_names
from ensemble.members import PredictWith
from ensemble.submission import SubmissionValues, submission_values_option
from orchard import storage
from orchard.errors import OrchardError
from orchard.flags import option, required
from orchard.formats import EnsembleDir, serving_dir
from trainer.evaluation import metric_names
from trainer.runtime import HardwareOptions


def _metrics() -> tuple[str, ...]:
    return ("", *metric_names())


def _combiners() -> Iterable[str]:
    return combine.COMBINERS


def _set_methods() -> Iterable[str]:
    return ("auto", *conformal.SET_METHODS)


def _formats() -> Iterable[str]:
    return formats.EXPORT_FORMATS


def _views() -> Iterable[str]:
    return (inference.AUTO_VIEWS, *inference.NUM_VIEWS)


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig(HardwareOptions):
    """One ensemble.

    >>> config = EnsembleConfig(
    ...     members=("runs/b7", "runs/b6"), dataset="tfds/plants/1.0.0", output_dir="out",
    ...     weights="greedy",
    ... )
    >>> config.split, config.needs_held_out
    ('test', True)

    Raises:
        OrchardError: on construction, when values are impossible or contradict each other.
    """

    GROUPS: ClassVar[tuple[str, ...]] = ("data", "combination", "evaluation", "hardware", "output")

    members: tuple[str, ...] = field(
        metadata=required(
            "Run directories of the trainer, or directories of folds and refits.", group="data"
        )
    )
    dataset: str = field(
        metadata=required(
            "Dataset directory, DATA_DIR/NAME/VERSION: a local path or a URL (gs://, s3://, ...).",
            group="data",
        )
    )
    split: str = option("test", "What to predict; several joined by +.", group="data", common=True)
    output_dir: str = field(
        metadata=required("Folder for predictions, weights, report and model.", group="output")
    )
    combine: str = option(
        "logits", "What is averaged.", group="combination", choices=_combiners, common=True
    )
    weights: str = option(
        "uniform",
        "uniform; greedy: shares of picks; stack: a number a network and class (stack_nonnegative: "
        "none below 0); auto: the simplest of these that others don't beat beyond chance on "
        "held-out images; or one number a network: 2,1,1,1.",
        group="combination",
        common=True,
    )
    metric: str = option(
        "",
        "Metric that judges, and that greedy weights are fitted for; default: accuracy for one "
        "label an image, roc_auc for several and for --combine=rank.",
        group="evaluation",
        choices=_metrics,
    )
    weights_split: str = option(
        "OUT_OF_FOLD",
        "Where weights and temperatures are fitted: OUT_OF_FOLD, or a split no member trained on.",
        group="combination",
    )
    predict_with: PredictWith = option(
        PredictWith.AUTO,
        "Which runs of a network predict, where it has folds and refits; auto: refits, unless "
        "others beat them beyond chance on a --weights_split that none trained on.",
        group="combination",
        common=True,
    )
    calibrate: bool = option(
        False, "Fit temperatures before and after averaging.", group="combination", common=True
    )
    cascade: float | None = option(
        None,
        "Run cheap networks first, and the others only for images that those are not sure of: the "
        "cheapest cascade that held-out images show to lose at most this much of the metric.",
        group="combination",
        at_least=0,
    )
    cascade_flops: float | None = option(
        None,
        "Likewise, but the best cascade within this share of the FLOPs of all networks.",
        group="combination",
        above=0,
        below=1,
    )
    tta: str = option(
        "none",
        "Test-time views of an image whose logits are averaged; auto: the most that all members' "
        "training drew, where they help on held-out images beyond chance.",
        group="combination",
        choices=_views,
        common=True,
    )
    tta_unseen_views: bool = option(
        False, "Allow test-time views that training never drew.", group="combination"
    )
    sample_submission: str = option(
        "", "CSV whose columns, ids and order to follow.", group="output", common=True
    )
    submission_values: SubmissionValues = submission_values_option()
    labels_csv: str = option(
        "", "CSV of labels of the split's images, to score with.", group="evaluation"
    )
    thresholds: str = option(
        "0.5",
        "(many labels) A class is named from: one number, one a class, or f1.",
        group="output",
    )
    conformal: float | None = option(
        None,
        "Also give the set of classes that an image may have, fitted on held-out images: it has "
        "the true class of this share of the images, such as 0.9, or this share of an image's "
        "classes where there are many.",
        group="output",
        above=0,
        below=1,
    )
    conformal_method: str = option(
        "auto",
        "How sets are made; auto: raps for one label an image, risk_control for many.",
        group="output",
        choices=_set_methods,
    )
    soft_labels: bool = option(
        False, "Also write CSVs of soft labels for distillation.", group="output"
    )
    allow_other_dataset: bool = option(
        False, "Predict a dataset that the members were not trained on.", group="data"
    )
    export: bool = option(True, "Write the ensemble as one SavedModel.", group="output")
    formats: tuple[str, ...] = option(
        (),
        "Also write the ensemble, from pixels to probabilities, as: onnx (model.onnx; needs the "
        "extra onnx), litert (model.tflite and model_int8.tflite, calibrated on images of "
        "training; extra litert).",
        group="output",
        choices=_formats,
    )
    explain: int = option(
        0,
        "Show in the report where the networks look, in so many images of each kind: the worst "
        "errors, the most disputed, one a class. Each member's Keras model is loaded; 0: not at "
        "all.",
        group="output",
        at_least=0,
    )
    serving: str = option(
        "",
        "Also write the SavedModel for TensorFlow Serving, Vertex AI and Triton: NAME, or "
        "NAME/VERSION, to OUTPUT_DIR/serving/NAME/VERSION.",
        group="output",
    )
    batch_size: int = option(32, "Images a step, over all replicas.", group="hardware", at_least=1)
    seed: int = option(0, "Seed of bootstrap draws.", group="evaluation", at_least=0)

    def check(self) -> None:
        """Refuse what contradicts itself, and combinations that cannot be judged."""
        super().check()
        storage.check_writable(self.output_dir)
        if "" in self.members:
            raise OrchardError(
                f"--members={','.join(self.members)} has an empty entry; remove a comma"
            )
        if not weighting_names(self.weights, self.combine):
            weight_numbers(self.weights)
        if self.thresholds != "f1":
            parse_thresholds(self.thresholds)
        if self.cascade is not None and self.cascade_flops is not None:
            raise OrchardError(
                "--cascade and --cascade_flops do not go together: one bounds what is lost, the "
                "other what it costs; drop one of them"
            )
        if self.conformal is None and self.conformal_method != "auto":
            raise OrchardError(
                f"--conformal_method={self.conformal_method} needs --conformal, such as 0.9; add "
                "it, or drop both"
            )
        for name in self.formats:
            if name not in formats.EXPORT_FORMATS:
                raise OrchardError(
                    f"--formats={name}: choose among {', '.join(formats.EXPORT_FORMATS)}"
                )
        if self.formats and not self.export:
            raise OrchardError(
                "--formats are made of the SavedModel that --noexport does not want; drop one of "
                "them"
            )
        if self.serving:
            serving_dir(self.output_dir, self.serving)
            if not self.export:
                raise OrchardError(
                    f"--serving={self.serving} writes the SavedModel that --noexport does not "
                    "want; drop one of them"
                )
        if self.combiner.gives_probabilities:
            return
        for name in ("calibrate", "soft_labels", "cascade", "cascade_flops", "conformal"):
            if getattr(self, name) not in (None, False):
                raise OrchardError(
                    f"--{name} does not go with --combine={self.combine}, which gives no "
                    "probabilities; drop one of them"
                )
        if self.metric and self.metric not in metric_names(ranks=True):
            raise OrchardError(
                f"--combine={self.combine} cannot be judged by --metric={self.metric}: it gives no "
                f"probabilities; use one of {', '.join(metric_names(ranks=True))}"
            )

    @property
    def combiner(self) -> type[Combiner]:
        """The class that `combine` names."""
        return combine.COMBINERS[self.combine]

    @property
    def needs_held_out(self) -> bool:
        """Whether anything is fitted on held-out logits."""
        fits = is_learned(self.weights) or self.calibrate or self.thresholds == "f1"
        fits |= self.wish is not None or self.conformal is not None
        return fits or self.tta == inference.AUTO_VIEWS

    @property
    def wish(self) -> Wish | None:
        """The cascade that is asked for."""
        if self.cascade is None and self.cascade_flops is None:
            return None
        return Wish(self.cascade, self.cascade_flops)

    @property
    def serving_dir(self) -> str:
        """The version folder of `serving`."""
        return serving_dir(self.output_dir, self.serving)

    @property
    def logits_dir(self) -> str:
        """Directory of the logits cache."""
        return EnsembleDir(self.output_dir).logits_dir


def parse_thresholds(text: str) -> tuple[float, ...]:
    """The numbers of `--thresholds=0.5,0.4`."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 < value < 1 for value in values):
        raise OrchardError(
            f"--thresholds={text}: give f1, or numbers between 0 and 1: one for all, or one a class"
        )
    return values
