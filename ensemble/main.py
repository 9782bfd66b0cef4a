r"""Predict a split with an ensemble of trained networks.

    python -m ensemble.main --members=runs/b7,runs/b6 --dataset=DIR/plant_pathology/1.0.0 \
        --split=test --output_dir=out

The output directory then holds predictions.csv, weights.json, report.html, saved_model/ (the whole
ensemble as one SavedModel) and logits/ (the cache that makes a second run cheap).
"""

from absl import flags, logging

from ensemble import config
from ensemble.combine import COMBINERS
from ensemble.inference import NUM_VIEWS
from orchard import cli, storage
from orchard.errors import OrchardError
from trainer.evaluation import metrics

FLAGS = flags.FLAGS

flags.DEFINE_list("members", [], "Run directories of the trainer, or directories of fold runs.")
flags.DEFINE_string("dataset", "", "Dataset directory: DATA_DIR/NAME/VERSION, local or gs://.")
flags.DEFINE_string("split", "test", "What to predict; several joined by +.")
flags.DEFINE_string("output_dir", "", "Where everything goes.")
flags.DEFINE_enum("combine", "logits", COMBINERS.names(), "What is averaged.")
flags.DEFINE_string("weights", "uniform", "uniform, greedy, or one number a network: 2,1,1,1.")
flags.DEFINE_enum(
    "metric",
    None,
    metrics.METRICS,
    "What judges, and what greedy weights are for; default: accuracy for one label, roc_auc for "
    "many and for --combine=rank.",
)
flags.DEFINE_string(
    "weights_split",
    "OUT_OF_FOLD",
    "Where weights and temperatures are fitted: OUT_OF_FOLD, or a split no member trained on.",
)
flags.DEFINE_bool("calibrate", False, "Fit temperatures before and after averaging.")
flags.DEFINE_enum("tta", "none", list(NUM_VIEWS), "Test-time augmentation.")
flags.DEFINE_string("sample_submission", "", "CSV whose columns, ids and order to follow.")
flags.DEFINE_string("labels_csv", "", "CSV of labels of the split's images, to score with.")
flags.DEFINE_string(
    "thresholds", "0.5", "(many labels) A class is named from: one number, one a class, or f1."
)
flags.DEFINE_bool("soft_labels", False, "Also write soft label CSVs for distillation.")
flags.DEFINE_bool("allow_other_dataset", False, "Predict a dataset of new images.")
flags.DEFINE_bool("export", True, "Write the ensemble as one SavedModel.")
flags.DEFINE_integer("batch_size", 32, "Images a step, over all replicas.")
flags.DEFINE_enum("accelerator", "auto", ["auto", "tpu", "gpu", "cpu"], "What to run on.")
flags.DEFINE_string("tpu", "", "Name or address of a TPU, or local.")
flags.DEFINE_integer("replicas", 0, "GPUs to use, or logical CPUs to make.")
flags.DEFINE_integer("seed", 0, "Of bootstrap draws.")


def main() -> None:
    """Build the ensemble of the flags, and say where it is and what it is worth."""
    settings = config.EnsembleConfig(
        members=tuple(FLAGS.members),
        metric=FLAGS.metric or "",
        **{name: FLAGS[name].value for name in _SAME_NAMES},
    )
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # TensorFlow lists every variable that it saves.
    # TensorFlow takes seconds to import: not before the flags are known to be good.
    from ensemble import pipeline
    from ensemble.scoring import scoreboard_text
    from trainer.runtime import connect

    accelerator = connect(settings)
    if accelerator.num_hosts > 1:
        raise OrchardError("the ensemble runs in one process; unset TF_CONFIG on this machine")
    result = pipeline.run(settings, accelerator.strategy)
    for board in (result.split_board, result.held_out_board):
        if board is not None:
            print(scoreboard_text(board) + "\n")
    for line in remarks(settings, result):
        print(line)
    names = [pipeline.PREDICTIONS_FILE, pipeline.WEIGHTS_FILE, pipeline.REPORT_FILE]
    names += [*pipeline.soft_labels(settings, result)]
    names += [pipeline.SAVED_MODEL_DIR] * settings.export
    for name in names:
        print(f"{name:<{max(map(len, names))}}  {storage.join(settings.output_dir, name)}")


_SAME_NAMES = (
    "dataset",
    "split",
    "output_dir",
    "combine",
    "weights",
    "weights_split",
    "calibrate",
    "tta",
    "sample_submission",
    "labels_csv",
    "thresholds",
    "soft_labels",
    "allow_other_dataset",
    "export",
    "batch_size",
    "accelerator",
    "tpu",
    "replicas",
    "seed",
)


def remarks(settings: config.EnsembleConfig, result) -> list[str]:
    """What a user would otherwise not notice, one sentence a line; result: `pipeline.run`'s."""
    lines = []
    learned = result.fit.learned
    if learned is not None and learned.verdict is not None and not learned.trusted:
        verdict = learned.verdict
        lines.append(
            "Greedy weights do not beat uniform ones beyond chance "
            f"(gain {verdict.gain:+.4f}, {verdict.low:+.4f} to {verdict.high:+.4f}): uniform it is."
        )
    lines += result.caveats
    if settings.soft_labels and result.inputs.held_out is None:
        lines.append(
            "No out-of-fold soft labels, which distillation wants, were written: there are no "
            "held-out images."
        )
    if result.left_out:
        lines.append(f"{result.left_out} predictions are not in the sample submission.")
    return lines


if __name__ == "__main__":
    cli.run(main)
