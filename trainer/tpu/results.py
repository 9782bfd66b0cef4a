"""A config and a question -> what the compiler says, per topology."""

import dataclasses
import sys
from typing import Any

import tensorflow as tf

from orchard.errors import OrchardError
from orchard.flags import select
from trainer.config import TrainConfig
from trainer.data import (
    InputOptions,
    RecordTable,
    load_records,
    set_gcs_read_options,
    split_names,
)
from trainer.runtime import precision_policy
from trainer.tpu import compiler, lowering
from trainer.tpu.chips import GIB, Topology
from trainer.tpu.cost_plan import Slice, Workload, cost_plan
from trainer.tpu.decode_rate import images_per_core_second
from trainer.tpu.examine import Examiner
from trainer.tpu.options import NO_DATASET, PreflightOptions
from trainer.tpu.report import Result
from trainer.training import choose_splits


def answer(config: TrainConfig, options: PreflightOptions) -> list[Result]:
    """One result a topology, in the order asked for.

    Raises:
        OrchardError: the step holds what no TPU can run, or something is missing here.
    """
    tf.config.set_visible_devices([], "GPU")  # A TPU host has none, and lowering needs none.
    records = None
    labels = lowering.Labels(options.num_classes, options.task)
    if config.dataset != NO_DATASET:
        set_gcs_read_options(config.dataset)
        records = load_records(config.dataset, _train_splits(config))
        labels = lowering.Labels(len(records.class_names), records.task)
    workload = _workload(config, options, records) if options.plan else None
    step = lowering.StepLowering(config, labels)
    examiner = Examiner(step, config.accumulation_steps, options.cache_dir, options.effort)
    found = []
    for topology in options.topologies:
        result = _one(config, options, examiner, topology)
        if workload and result.compiled.fits:
            plan = cost_plan(workload, _slice(result, options.utilization), options.prices)
            result = dataclasses.replace(result, plan=plan)
        found.append(result)
    return found


def _one(
    config: TrainConfig, options: PreflightOptions, examiner: Examiner, topology: Topology
) -> Result:
    if options.find_batch:
        batch_size, compiled = examiner.largest(topology, on_attempt=_show_attempt)
        return Result(topology, batch_size, compiled, batch_size)
    batch_size = _batch_per_replica(config, topology)
    compiled = examiner.compile(topology, batch_size)
    if compiled.fits:
        return Result(topology, batch_size, compiled)
    _show_attempt(batch_size, compiled)
    largest, _ = examiner.largest(topology, (batch_size, compiled), _show_attempt)
    return Result(topology, batch_size, compiled, largest)


def _batch_per_replica(config: TrainConfig, topology: Topology) -> int:
    replicas, parts = topology.num_replicas, config.accumulation_steps
    batch_size = config.global_batch_size(replicas)
    if batch_size % (replicas * parts):
        raise OrchardError(
            f"a batch of {batch_size} does not divide into the {replicas} replicas of "
            f"{topology.name} x {parts} accumulation steps; use a multiple of {replicas * parts}"
        )
    return batch_size // replicas


def _train_splits(config: TrainConfig) -> str:
    if config.train_split:
        return config.train_split
    return choose_splits(config, split_names(config.dataset)).train


def _workload(
    config: TrainConfig, options: PreflightOptions, records: RecordTable | None
) -> Workload:
    rate = options.decode_images_per_second or None
    if records is None:
        if not (options.num_records and options.image_kb):
            raise OrchardError(
                "--plan needs --dataset, or --num_records=1821 and --image_kb=400 to say how much "
                "there is to train on"
            )
        num_bytes = int(options.num_records * options.image_kb * 1000)
        return Workload(options.num_records, num_bytes, config, rate)
    if rate is None:
        rate = images_per_core_second(records, select(InputOptions, config))
    return Workload(len(records), records.num_bytes, config, rate)


def _slice(result: Result, utilization: float) -> Slice:
    topology = result.topology
    return Slice(
        num_chips=topology.num_chips,
        num_hosts=result.compiled.num_hosts,
        batch_size=result.batch_size * topology.num_replicas,
        max_images_per_second=result.max_images_per_second,
        utilization=utilization,
    )


def _show_attempt(batch_size: int, compiled: compiler.Compiled) -> None:
    """On stderr, so that JSON stays clean."""
    if compiled.fits:
        found = f"fits: peak {compiled.peak_bytes / GIB:.2f} GiB"
    else:
        needed, available = compiled.needed_bytes / GIB, compiled.available_bytes / GIB
        found = f"too large: needs {needed:.2f} of {available:.2f} GiB"
    print(f"{compiled.topology}, {batch_size} a replica: {found}", file=sys.stderr)


def describe(config: TrainConfig) -> dict[str, Any]:
    """What was compiled, for the report."""
    return {
        "architecture": config.architecture,
        "image_size_px": [config.height_px, config.width_px],
        "precision": precision_policy(config, "tpu"),
        "optimizer": config.optimizer,
        "accumulation_steps": config.accumulation_steps,
        "kernels": lowering.kernels(),
    }
