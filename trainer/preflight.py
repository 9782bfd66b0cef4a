r"""Compile a training step for TPUs, without a TPU: does it fit, how fast can it be at best?

    python -m trainer.preflight --architecture=efficientnet_b7 --image_size=512 \
        --batch_size_per_replica=16 --topology=v5e:2x2

Nothing runs; exit status 1 where a step does not fit.
"""

if __name__ == "__main__":
    from orchard import ctrl_c

    ctrl_c.end_at_once()  # Before the imports, which take a while.

import json
import sys

from absl.flags import FLAGS

from orchard import cli, flags
from orchard.errors import OrchardError
from trainer.command_line import AUTO_RECIPE, RecipeOptions, config_from_flags
from trainer.config import TrainConfig
from trainer.heads import FROZEN
from trainer.tpu import (
    GIB,
    NO_DATASET,
    PreflightOptions,
    Result,
    check_installed,
    results_as_json,
    results_as_text,
)

OPTIONS = (PreflightOptions, TrainConfig, RecipeOptions)


def main() -> int:
    """Print what was found; exit status 1 when a step does not fit."""
    options, config = flags.build(PreflightOptions), _config()
    check_installed()
    # TensorFlow takes seconds to start: after the flags, so that their errors come at once.
    from trainer.tpu import answer, describe

    results, step = answer(config, options), describe(config)
    if options.json:
        print(json.dumps(results_as_json(step, results), indent=2))
    else:
        print(results_as_text(step, results))
    refused = [result for result in results if not result.compiled.fits]
    for result in refused:
        print(f"error: {_refusal(result)}", file=sys.stderr)
    return cli.EXIT_BAD_INPUT if refused else 0


def _config() -> TrainConfig:
    """The trainer's config; flags that do not affect the step may be left out."""
    if FLAGS.recipe == AUTO_RECIPE:
        raise OrchardError(
            f"--recipe={AUTO_RECIPE} chooses for the data and the device of a training; name the "
            "flags that it printed there, such as --architecture and --image_size"
        )
    if not FLAGS.architecture and not FLAGS.recipe:
        raise OrchardError("--architecture is required: which network, such as efficientnet_b7")
    for name in ("dataset", "run_dir"):
        if not FLAGS[name].value:
            FLAGS.set_default(name, NO_DATASET)
    if FLAGS.find_batch and not (FLAGS.batch_size or FLAGS.batch_size_per_replica):
        FLAGS.set_default("batch_size_per_replica", 2 * FLAGS.accumulation_steps)
    config = config_from_flags()
    if config.is_frozen:
        raise OrchardError(
            f"--features={FROZEN} has no training step to compile; preflight the network without it"
        )
    return config


def _refusal(result: Result) -> str:
    needed, available = result.compiled.needed_bytes, result.compiled.available_bytes
    return (
        f"--batch_size_per_replica={result.batch_size} does not fit {result.topology.name}: it "
        f"needs {needed / GIB:.2f} of {available / GIB:.2f} GiB; the largest that fits is "
        f"--batch_size_per_replica={result.largest_batch}"
    )


if __name__ == "__main__":
    cli.run(main, *OPTIONS)
