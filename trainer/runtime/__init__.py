"""The machine: devices and workers, what drives them, and the reasons to stop early.

`accelerator` finds the devices. `runtime` says what drives them can do; `replicas` does it by
TensorFlow's strategies, `pjrt` by jax: the only two modules that know one from the other, besides
the two kinds of training steps in `trainer.training`.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.runtime.accelerator import (
        Accelerator,
        check_pod,
        connect,
        connect_to_train,
        expected_kind,
        precision_policy,
        set_precision,
    )
    from trainer.runtime.cluster import place_in_cluster
    from trainer.runtime.interruption import (
        EXIT_RUN_AGAIN,
        StopRequests,
        any_worker,
        same_on_all_workers,
        stop_requests,
        wait_for_all_workers,
    )
    from trainer.runtime.options import ComputeOptions, HardwareOptions, InterruptionOptions
    from trainer.runtime.packing import Packing
    from trainer.runtime.pjrt import DeviceBatches, PjrtRuntime
    from trainer.runtime.replicas import TensorFlowRuntime
    from trainer.runtime.runtime import HostBatches, Outputs, Runtime

__all__ = [
    "Accelerator",
    "ComputeOptions",
    "DeviceBatches",
    "EXIT_RUN_AGAIN",
    "HardwareOptions",
    "HostBatches",
    "InterruptionOptions",
    "Outputs",
    "Packing",
    "PjrtRuntime",
    "Runtime",
    "StopRequests",
    "TensorFlowRuntime",
    "any_worker",
    "check_pod",
    "connect",
    "connect_to_train",
    "expected_kind",
    "place_in_cluster",
    "precision_policy",
    "same_on_all_workers",
    "set_precision",
    "stop_requests",
    "wait_for_all_workers",
]

__getattr__, __dir__ = attach(__name__)
