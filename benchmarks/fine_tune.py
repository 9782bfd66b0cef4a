"""What pretrained weights are worth: the same recipe from scratch, fine-tuned, and head first.

    python -m benchmarks.fine_tune --backbone=efficientnet_lite0_imagenet.keras \
        --preprocessing=127/128 --dataset=DIR/fashion/1.0.0 --output_dir=/tmp/fine_tune

Prints a table of the scores on the held-out fold, for docs/benchmarks.md. Each row is a run of
`trainer.main` and goes on where it stopped.
"""

import os
import subprocess
import sys

from absl import flags

from orchard import cli
from orchard.formats import RunDir, RunRecord

_BACKBONE = flags.DEFINE_string("backbone", None, "A pretrained .keras file.", required=True)
_PREPROCESSING = flags.DEFINE_string("preprocessing", "auto", "As in trainer.main.")
_DATASET = flags.DEFINE_string("dataset", None, "Dataset with folds.", required=True)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Where the runs go.", required=True)
_IMAGE_SIZE = flags.DEFINE_string("image_size", "64", "As in trainer.main.")
_EPOCHS = flags.DEFINE_float("epochs", 3, "As in trainer.main.")

_VARIANTS = {
    "from scratch": ["--weights=none"],
    "fine-tuned": ["--weights=imagenet"],
    "head for 1 epoch, then all": ["--weights=imagenet", "--freeze_epochs=1"],
    "layer decay 0.8": ["--weights=imagenet", "--layer_decay=0.8"],
}
_METRICS = ("accuracy", "log_loss", "roc_auc")


def main() -> None:
    """Train each variant and print the table."""
    print("| " + " | ".join(["weights", *_METRICS]) + " |")
    print("|---|" + "---|" * len(_METRICS), flush=True)
    for title, variant in _VARIANTS.items():
        run_dir = os.path.join(_OUTPUT_DIR.value, title.replace(" ", "_").replace(",", ""))
        subprocess.run(_command(run_dir, variant), check=True, stdout=subprocess.DEVNULL)
        scores = RunRecord.load(RunDir(run_dir).record_file).scores
        print(f"| {title} | " + " | ".join(f"{scores[m]:.4f}" for m in _METRICS) + " |", flush=True)


def _command(run_dir: str, variant: list[str]) -> list[str]:
    return [
        *(sys.executable, "-m", "trainer.main", "--fold=0", f"--run_dir={run_dir}"),
        f"--dataset={_DATASET.value}",
        f"--architecture={_BACKBONE.value}",
        f"--preprocessing={_PREPROCESSING.value}",
        f"--image_size={_IMAGE_SIZE.value}",
        f"--epochs={_EPOCHS.value}",
        f"--eval_every_epochs={_EPOCHS.value}",
        *("--batch_size=32", "--optimizer=adamw", "--learning_rate=0.001", "--weight_decay=0.02"),
        *("--warmup_epochs=0.5", "--label_smoothing=0.1", "--noprogress"),
        *variant,
    ]


if __name__ == "__main__":
    cli.run(main)
