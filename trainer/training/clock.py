"""What a training takes: time by the wall, of the CPU and of the devices, over all its parts."""

import resource
import time

from orchard.formats import ComputeTime
from trainer.runtime import Accelerator


class ComputeClock:
    """Runs from when it is made, and adds what earlier parts of the same training took.

    Nothing that is computed depends on it.

    Args:
        accelerator: what the training runs on.
        before: what its checkpoint says of the parts before; None: this is the first.
    """

    def __init__(self, accelerator: Accelerator, before: ComputeTime | None = None):
        self._accelerator, self._before = accelerator, before
        self._began, self._cpu_began = time.monotonic(), _cpu_seconds()

    def time(self) -> ComputeTime:
        """Of all parts so far, to the millisecond."""
        kind, num_devices = self._accelerator.kind, self._accelerator.num_replicas
        wall, cpu = time.monotonic() - self._began, _cpu_seconds() - self._cpu_began
        device = 0.0 if kind == "cpu" else wall * num_devices
        if self._before is not None:
            wall += self._before.wall_seconds
            cpu += self._before.cpu_seconds
            device += self._before.device_seconds
        return ComputeTime(round(wall, 3), round(cpu, 3), round(device, 3), kind, num_devices)


def _cpu_seconds() -> float:
    """Of this process, and of those that it started and that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
