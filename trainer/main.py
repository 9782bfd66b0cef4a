"""python -m trainer.main: flags to one trained network, or to one a fold."""

import time

from absl import flags, logging

from orchard import cli
from trainer import command_line

_EXPORT_ONLY = flags.DEFINE_bool(
    "export_only", False, "Train nothing: export --checkpoint of --run_dir."
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "best", "What --export_only exports: best, last, or the path of a checkpoint."
)


def main() -> int:
    """Train what the flags say; exit status 75: the same command should be run again."""
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # Ours are printed; TensorFlow's are chatter.
    # TensorFlow takes seconds to start: after the flags, so that their errors come at once.
    started = time.monotonic()
    if _EXPORT_ONLY.value:
        from trainer.results import export_only

        return export_only(flags.FLAGS.run_dir, _CHECKPOINT.value)
    config = command_line.config_from_flags(flags.FLAGS)
    if config.fold == "all":
        from trainer import folds

        return folds.train_all(config, started)
    from trainer import loop

    return loop.train_and_evaluate(config, started)


command_line.define_flags()
flags.adopt_module_key_flags(command_line)  # So that --help shows them.

if __name__ == "__main__":
    cli.run(main)
