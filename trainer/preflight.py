"""python -m trainer.preflight: what a TPU's compiler says of a training step, without a TPU."""

import json
import sys

from absl import flags

from orchard import cli
from orchard.errors import OrchardError
from orchard.formats import Task
from trainer import command_line
from trainer.config import TrainConfig
from trainer.tpu import chips, compiler, report
from trainer.tpu.chips import GIB
from trainer.tpu.options import NO_DATASET, PreflightOptions

_TOPOLOGY = flags.DEFINE_list(
    "topology", ["v5e:2x2"], "Slices to compile for, GENERATION:SHAPE, separated by commas."
)
_FIND_BATCH = flags.DEFINE_bool(
    "find_batch", False, "Find the largest batch per replica that fits."
)
_JSON = flags.DEFINE_bool("json", False, "Print JSON.")
_NUM_CLASSES = flags.DEFINE_integer("num_classes", 4, "Classes, where there is no --dataset.")
_TASK = flags.DEFINE_enum("task", Task.SINGLE_LABEL, [*Task], "Task, where there is no --dataset.")
_PLAN = flags.DEFINE_bool(
    "plan", False, "Also say what --epochs over --dataset (or --num_records) would take at best."
)
_UTILIZATION = flags.DEFINE_float("utilization", 0.4, "(--plan) Share of the bound to count on.")
_NUM_RECORDS = flags.DEFINE_integer("num_records", 0, "(--plan) Images, without a --dataset.")
_IMAGE_KB = flags.DEFINE_float(
    "image_kb", 0.0, "(--plan) Encoded kB an image, without a --dataset."
)
_DECODE_RATE = flags.DEFINE_float(
    "decode_images_per_second",
    0.0,
    "(--plan) What one core of a host decodes; default: measured on this machine from --dataset.",
)
_COMPILE_CACHE_DIR = flags.DEFINE_string(
    "compile_cache_dir", "", f"Results by program; default {compiler.default_cache_dir()}."
)


def main() -> int:
    """Print what was found; exit status 1 when a step does not fit."""
    options, config = _options(), _config()
    compiler.check_installed()
    # TensorFlow takes seconds to start: after the flags, so that their errors come at once.
    from trainer.tpu import results as answers

    results = answers.results(config, options)
    step = answers.describe(config)
    if options.as_json:
        print(json.dumps(report.to_json(step, results), indent=2))
    else:
        print(report.to_text(step, results))
    refused = [result for result in results if not result.compiled.fits]
    for result in refused:
        print(f"error: {_refusal(result)}", file=sys.stderr)
    return cli.EXIT_BAD_INPUT if refused else 0


def _options() -> PreflightOptions:
    return PreflightOptions(
        topologies=tuple(chips.parse_topology(text) for text in _TOPOLOGY.value),
        find_batch=_FIND_BATCH.value,
        as_json=_JSON.value,
        num_classes=_NUM_CLASSES.value,
        task=Task(_TASK.value),
        plan=_PLAN.value,
        utilization=_UTILIZATION.value,
        num_records=_NUM_RECORDS.value,
        image_kb=_IMAGE_KB.value,
        decode_images_per_second=_DECODE_RATE.value,
        cache_dir=_COMPILE_CACHE_DIR.value or compiler.default_cache_dir(),
    )


def _config() -> TrainConfig:
    """The trainer's config; what decides nothing of the step need not be given."""
    values = flags.FLAGS
    if not values.architecture and not values.recipe:
        raise OrchardError("say which network: --architecture=efficientnet_b7")
    for name in ("dataset", "run_dir"):
        if not values[name].value:
            values.set_default(name, NO_DATASET)
    if _FIND_BATCH.value and not (values.batch_size or values.batch_size_per_replica):
        values.set_default("batch_size_per_replica", values.accumulation_steps)
    return command_line.config_from_flags(values)


def _refusal(result: report.Result) -> str:
    needed, available = result.compiled.needed_bytes, result.compiled.available_bytes
    return (
        f"--batch_size_per_replica={result.batch_size} does not fit {result.topology.name}: it "
        f"needs {needed / GIB:.2f} of {available / GIB:.2f} GiB; the largest that fits is "
        f"--batch_size_per_replica={result.largest_batch}"
    )


command_line.define_flags()
flags.adopt_module_key_flags(command_line)  # So that --help shows them.

if __name__ == "__main__":
    cli.run(main)
