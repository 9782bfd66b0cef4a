"""Finds the devices that jax drives: a TPU, GPUs or CPUs, of one process or of many."""

import atexit
import contextlib
import importlib.util
import os
import time
from dataclasses import dataclass
from typing import Any

from orchard.errors import OrchardError, in_one_line
from trainer.runtime.cluster import Place, tpu_in_environment
from trainer.runtime.options import HardwareOptions

_KINDS = {"cpu": "cpu", "gpu": "gpu", "cuda": "gpu", "rocm": "gpu", "tpu": "tpu"}
_PLATFORMS = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu,cpu"}
_CHIP_FILES = ("/dev/accel0", "/dev/vfio/0")
_GPU_FILE = "/dev/nvidia0"
_LEAVE_SECONDS = 3


@dataclass(frozen=True)
class Found:
    """Devices, ready.

    Attributes:
        kind: "tpu", "gpu" or "cpu".
        mesh: jax's, of all processes' devices.
        num_hosts: processes.
        host: which of them this is.
    """

    kind: str
    mesh: Any
    num_hosts: int
    host: int


def check_installed() -> None:
    """Raise OrchardError where jax is missing."""
    if importlib.util.find_spec("jax") is None:
        raise OrchardError(
            "--runtime=pjrt needs jax, which is not installed here; run: pip install -e '.[pjrt]' "
            "(on a TPU VM: pip install 'jax[tpu]', for GPUs: pip install 'jax[cuda12]')"
        )


def sees_tpu() -> bool:
    """Whether jax drives a TPU here; imports jax only on a machine that may have one."""
    if any(importlib.util.find_spec(name) is None for name in ("jax", "libtpu")):
        return False
    if not any(map(os.path.exists, _CHIP_FILES)):
        return False
    import jax

    try:
        return bool(jax.devices("tpu"))
    except RuntimeError:
        return False


def may_see_gpu(options: HardwareOptions) -> bool:
    """Whether jax is to be used on a machine with a GPU, which TensorFlow may not see."""
    return options.runtime == "pjrt" and os.path.exists(_GPU_FILE)


def find_devices(options: HardwareOptions, place: Place | None) -> Found:
    """Make jax ready for the devices that the options ask for.

    Args:
        options: --accelerator and --replicas.
        place: in a cluster that the environment describes; None: alone, or found by jax.
    """
    check_installed()
    import jax

    from trainer.xla import data_mesh, enable_all_dtypes

    enable_all_dtypes()
    kind = _kind_before_jax(options)
    if kind == "cpu":
        _make_cpus(options.replicas or 1)
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", default_cache_dir())
    try:
        if kind:
            jax.config.update("jax_platforms", _PLATFORMS[kind])
        _join(place, kind)
        devices = jax.devices()
    except RuntimeError as error:
        raise OrchardError(
            f"--runtime=pjrt: jax finds no {kind or 'device'} here ({in_one_line(error)}); "
            "check that the jax installed is for it, or use --accelerator=cpu"
        ) from None
    found = _KINDS.get(devices[0].platform, devices[0].platform)
    if options.accelerator not in ("auto", found):
        raise OrchardError(
            f"--accelerator={options.accelerator}: jax sees {len(devices)} x {found} here"
        )
    if options.replicas > len(devices):
        raise OrchardError(f"--replicas={options.replicas}: jax sees {len(devices)} x {found} here")
    alone = jax.process_count() == 1
    if not alone and jax.process_index() == 0:
        # jax ends after this. The others take leave of this process, and abort where it is gone.
        atexit.register(time.sleep, _LEAVE_SECONDS)
    if alone and (options.replicas or found == "cpu"):
        devices = devices[: options.replicas or 1]
    return Found(found, data_mesh(devices), jax.process_count(), jax.process_index())


def default_cache_dir() -> str:
    """Where compiled programs are kept: in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "orchard", "xla")


def _kind_before_jax(options: HardwareOptions) -> str:
    """The kind to restrict jax to; "": whatever it finds.

    Where it looks for TPUs that are not there it waits for servers, and complains.
    """
    if options.accelerator != "auto":
        return options.accelerator
    if tpu_in_environment() or any(map(os.path.exists, (*_CHIP_FILES, _GPU_FILE))):
        return ""
    return "cpu"


def _make_cpus(count: int) -> None:
    import jax

    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:  # jax is running already: what it has must do.
        if len(jax.devices("cpu")) < count:
            raise OrchardError(
                f"--replicas={count} must be set before jax starts in this process"
            ) from None


def _join(place: Place | None, kind: str) -> None:
    """Become one of the processes of a cluster, if there is one."""
    import jax

    if jax.distributed.is_initialized():
        return
    # Signals are ours: a handler of jax's would take SIGTERM away.
    jax.config.update("jax_enable_preemption_service", False)
    # A process that loses another is to say so, not to be killed in the middle of it.
    jax.config.update("jax_enable_recoverability", True)
    if place is not None:
        jax.distributed.initialize(
            coordinator_address=place.addresses[0],
            num_processes=len(place.addresses),
            process_id=place.host,
        )
    elif kind != "cpu":
        # Without arguments jax asks the TPU VM, GKE or Slurm, and raises ValueError where there is
        # nobody to ask.
        with contextlib.suppress(ValueError):
            jax.distributed.initialize()
