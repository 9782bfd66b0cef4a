"""The training step of a TrainConfig as a program over whole batches; needs no TPU.

It is the step that the trainer runs, put together by the trainer's own `assemble`: augmentation,
forward pass, loss, gradients (accumulated), clipping, update. What passes between devices is put
in when it is compiled for several of them (`trainer.xla`).
"""

import dataclasses
import importlib.metadata
import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from orchard.formats import NO_SPLIT, SplitKind, Task
from trainer.config import TrainConfig
from trainer.data import RecordTable
from trainer.runtime import Accelerator, Packing
from trainer.tpu import graph_check
from trainer.training import Splits, assemble
from trainer.xla import Array, Program, lower, pure


@dataclass(frozen=True)
class Labels:
    """What of a dataset the step depends on.

    Attributes:
        num_classes: columns of the targets.
        task: what the labels mean.
    """

    num_classes: int
    task: Task


@dataclass(frozen=True)
class Lowered:
    """A step, ready for the compiler.

    Attributes:
        program: the step; None where there are problems.
        problems: ops that no TPU can run, by name and origin.
    """

    program: Program | None
    problems: tuple[str, ...] = ()


def kernels() -> str:
    """The platform whose kernels TensorFlow lowers with: TPU, or CPU in most of its wheels.

    Only the wheel tensorflow-tpu has the former, and it lacks the latter.
    """
    try:
        importlib.metadata.distribution("tensorflow-tpu")
    except importlib.metadata.PackageNotFoundError:
        return "CPU"
    return "TPU"


class StepLowering:
    """Lowers the step of one config for as many batch sizes as are asked for."""

    def __init__(self, config: TrainConfig, labels: Labels):
        self._config = _without_data(config)
        accelerator = Accelerator("tpu", tf.distribute.get_strategy())
        records = _stand_in_records(labels)
        splits = Splits(SplitKind.TRAIN, NO_SPLIT)
        self._run = assemble(self._config, accelerator, splits, records, None)
        self._labels = labels

    @property
    def activation_bytes_per_image(self) -> int:
        """Outputs of all layers with a kernel, in bfloat16: about what a step must keep."""
        layers = self._run.network._flatten_layers(include_self=False, recursive=True)
        with_kernel = [layer for layer in layers if hasattr(layer, "kernel")]
        # Layers within layers, as transformers have them, have no output of their own.
        outputs = [layer.output for layer in with_kernel if hasattr(layer, "output")]
        return 2 * sum(math.prod(output.shape[1:]) for output in outputs)

    def lower(self, batch_size: int, num_replicas: int) -> Lowered:
        """The step for `batch_size` images over `num_replicas` devices together."""
        step = self._run.make_step()
        step.options = dataclasses.replace(step.options, shards=num_replicas)
        packing = Packing(self._batch(batch_size))
        inputs = [*packing.arrays, Array("learning_rate", (), "float32")]

        def function(*values: tf.Tensor) -> tf.Tensor:
            *arrays, learning_rate = values
            return step.replica_step(packing.unpack(arrays), learning_rate)

        specs = [tf.TensorSpec(one.shape, one.dtype) for one in inputs]
        traced = tf.function(function, autograph=False).get_concrete_function(*specs)
        problems = graph_check.problems(traced, kernels())
        if problems:
            return Lowered(None, tuple(problems))
        return Lowered(lower(pure(traced), inputs, traced.outputs, None, kernels()).program)

    def _batch(self, batch_size: int) -> dict[str, tf.TensorSpec]:
        """As `input_pipeline.train_batches` yields them."""
        config, classes = self._config, self._labels.num_classes
        columns = {
            "target": (classes,),
            "weight": (),
            "augment": (len(config.augment.columns),),
        }
        image = tf.TensorSpec((batch_size, config.height_px, config.width_px, 3), tf.uint8)
        floats = {k: tf.TensorSpec((batch_size, *s), tf.float32) for k, s in columns.items()}
        return {"image": image, **floats}


def _without_data(config: TrainConfig) -> TrainConfig:
    """The same step, with nothing to load: weights and labels are arguments, not operations."""
    weighted = config.class_weights != "none"
    return dataclasses.replace(
        config,
        weights="none",
        soft_labels="",
        class_weights="balanced" if weighted else "none",
        freeze_epochs=0.0,  # The stage that trains everything needs the most.
        batch_size=0,
        # Mixing pairs images.
        batch_size_per_replica=config.accumulation_steps * (2 if config.augment.mixing else 1),
    )


def _stand_in_records(labels: Labels) -> RecordTable:
    """One record a class: enough for a plan, a head and class weights."""
    count = max(labels.num_classes, 2)
    targets = np.eye(count, labels.num_classes, dtype=np.float32)
    zeros = np.zeros(count, np.int64)
    return RecordTable(
        ids=np.array([str(i) for i in range(count)]),
        files=("none",),
        file_index=zeros.astype(np.int32),
        offsets=zeros,
        lengths=zeros.astype(np.int32),
        targets=targets,
        class_names=tuple(str(i) for i in range(labels.num_classes)),
        task=labels.task,
        fingerprint="",
        splits=(SplitKind.TRAIN,),
    )
