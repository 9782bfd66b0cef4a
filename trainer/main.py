r"""Train one network, or one a fold and then some on all folds.

    python -m trainer.main --dataset=DIR/plants/1.0.0 --run_dir=runs/b0 --fold=0 \
        --architecture=efficientnet_b0 --batch_size=32 --epochs=10

Run again with the same flags it goes on where it stopped.
"""

if __name__ == "__main__":
    from orchard import ctrl_c

    ctrl_c.end_at_once()  # Before the imports, which take a while.

import time
from dataclasses import dataclass

from absl import logging
from absl.flags import FLAGS

from orchard import cli, flags
from orchard.errors import OrchardError
from orchard.flags import Options, option
from orchard.formats import serving_dir
from trainer.command_line import RecipeOptions, config_from_flags
from trainer.config import TrainConfig
from trainer.data import ALL_FOLDS


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Options, group="bookkeeping"):
    """Another export of a training that there is."""

    export_only: bool = option(False, "Train nothing: export --checkpoint of --run_dir.")
    checkpoint: str = option(
        "best", "What --export_only exports: best, last, or the path of a checkpoint."
    )


OPTIONS = (TrainConfig, RecipeOptions, ExportOptions)


def main() -> int:
    """Train what the flags say; exit status 75: the same command should be run again."""
    if not FLAGS["verbosity"].present:
        # Our messages are printed; TensorFlow's log would distract from them.
        logging.set_verbosity(logging.WARNING)
    # TensorFlow takes seconds to start: after the flags, so that their errors come at once.
    started = time.monotonic()
    export = flags.build(ExportOptions)
    if export.export_only:
        if not FLAGS.run_dir:
            raise OrchardError("--export_only needs --run_dir")
        from trainer.results import export_only

        serving = FLAGS.serving
        if serving:
            serving_dir(FLAGS.run_dir, serving)  # Before the export, which takes a while.
        return export_only(FLAGS.run_dir, export.checkpoint, serving)
    config = config_from_flags()
    if config.budget:
        from trainer.budget import within_budget

        config = within_budget(config, started)
    if config.fold == ALL_FOLDS or config.refit:
        from trainer import folds

        return folds.train_all(config, started)
    from trainer import loop

    return loop.train_and_evaluate(config, started)


if __name__ == "__main__":
    cli.run(main, *OPTIONS)
