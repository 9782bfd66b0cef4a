"""The machine: devices and workers, and the reasons to stop early."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.runtime.accelerator import (
        Accelerator,
        check_pod,
        connect,
        connect_to_train,
        expected_kind,
        place_in_cluster,
        precision_policy,
        set_precision,
    )
    from trainer.runtime.interruption import (
        EXIT_RUN_AGAIN,
        StopRequests,
        same_on_all_workers,
        stop_requests,
        wait_for_all_workers,
    )
    from trainer.runtime.options import ComputeOptions, HardwareOptions, InterruptionOptions

__all__ = [
    "Accelerator",
    "ComputeOptions",
    "EXIT_RUN_AGAIN",
    "HardwareOptions",
    "InterruptionOptions",
    "StopRequests",
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
