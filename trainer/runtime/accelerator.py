"""What to run on: TPU, GPUs, CPU, one worker or many; and what each of them allows."""

import contextlib
import functools
import importlib.metadata
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from orchard import storage
from orchard.errors import OrchardError, in_one_line
from trainer.data import ReadOptions
from trainer.keras_module import keras
from trainer.runtime import pjrt_devices
from trainer.runtime.cluster import place_in_cluster, tpu_in_environment
from trainer.runtime.options import ComputeOptions, HardwareOptions
from trainer.runtime.replicas import TensorFlowRuntime
from trainer.runtime.runtime import Runtime

_TPU_STEPS_PER_CALL = 16  # A host round trip costs about a step there; a signal waits this long.


@dataclass(frozen=True)
class Accelerator:
    """The devices of a run.

    Attributes:
        kind: "tpu", "gpu" or "cpu".
        strategy: tf.distribute strategy; networks and optimizers are made in its scope.
            TensorFlow's default where jax drives the devices.
        num_hosts: processes that read their own part of each batch.
        host: which of them this is; 0 writes the files.
        pod_hosts: hosts of a TPU, all of which this one process drives.
        mesh: jax's mesh of all devices, where jax drives them.
    """

    kind: str
    strategy: tf.distribute.Strategy
    num_hosts: int = 1
    host: int = 0
    pod_hosts: int = 1
    mesh: Any = None

    @functools.cached_property
    def runtime(self) -> Runtime:
        """What runs functions on the devices."""
        if self.mesh is None:
            return TensorFlowRuntime(self.strategy, self.num_hosts)
        from trainer.runtime.pjrt import PjrtRuntime

        return PjrtRuntime(self.mesh, self.num_hosts, self.host)

    @property
    def num_replicas(self) -> int:
        """Devices that each take a part of the batch, over all hosts."""
        return self.runtime.num_replicas

    @property
    def compute_capability(self) -> tuple[int, int]:
        """The least of its NVIDIA GPUs'; (0, 0) where there are none."""
        return self.runtime.compute_capability() if self.kind == "gpu" else (0, 0)

    @property
    def shards(self) -> int:
        """Replicas that a function is traced for at once: jax's are one program."""
        return self.num_replicas if self.mesh is not None else 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run directory."""
        return self.host == 0

    def describe(self) -> str:
        """One line for the log and the report."""
        hosts = f" on {self.num_hosts} hosts" if self.num_hosts > 1 else ""
        return f"{self.num_replicas} x {self.kind}{hosts}, {self.runtime.describe()}"

    def precision(self, options: ComputeOptions) -> str:
        """The Keras dtype policy that --precision asks for on these devices."""
        return precision_policy(options, self.kind, self.compute_capability)

    def steps_per_call(self, wanted: int) -> int:
        """Steps inside one call of the compiled loop."""
        return wanted or (_TPU_STEPS_PER_CALL if self.kind == "tpu" else 1)


def connect(options: HardwareOptions) -> Accelerator:
    """Find the hardware and make it ready."""
    if choose_runtime(options) == "pjrt":
        return _connect_pjrt(options)
    wanted = options.accelerator
    if wanted == "tpu" or (wanted == "auto" and (options.tpu or tpu_in_environment())):
        return _connect_tpu(options)
    gpus = tf.config.list_physical_devices("GPU")
    if wanted == "gpu" and not gpus:
        raise OrchardError("--accelerator=gpu: TensorFlow sees no GPU here; use auto or cpu")
    place = place_in_cluster()
    if place is not None:
        return _connect_workers(options, place.num_hosts, place.host)
    if gpus and wanted != "cpu":
        return _connect_gpus(options, gpus)
    if gpus:
        tf.config.set_visible_devices([], "GPU")
    return _connect_cpus(options.replicas or 1)


def choose_runtime(options: HardwareOptions) -> str:
    """What is to drive the devices: "tensorflow" or "pjrt".

    Left to itself that is TensorFlow, but for a TPU that it cannot drive and jax can.
    """
    if options.runtime != "auto":
        return options.runtime
    if options.accelerator not in ("auto", "tpu") or _tensorflow_drives_tpus():
        return "tensorflow"
    if options.tpu not in ("", "local") or os.environ.get("TPU_NAME") not in (None, "", "local"):
        return "tensorflow"  # It is reached by its name, which jax knows nothing of.
    return "pjrt" if pjrt_devices.sees_tpu() else "tensorflow"


def _tensorflow_drives_tpus() -> bool:
    try:
        importlib.metadata.distribution("tensorflow-tpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def expected_kind(options: HardwareOptions) -> str:
    """What `connect` would connect to: "tpu", "gpu" or "cpu"; makes nothing ready."""
    if options.accelerator != "auto":
        return options.accelerator
    if options.tpu or tpu_in_environment():
        return "tpu"
    if options.runtime == "auto" and choose_runtime(options) == "pjrt":
        return "tpu"
    gpus = tf.config.list_physical_devices("GPU")
    return "gpu" if gpus or pjrt_devices.may_see_gpu(options) else "cpu"


def connect_to_train(options: ComputeOptions) -> Accelerator:
    """Find the hardware, make it ready, and check that it can compute as the options say."""
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    accelerator = connect(options)
    alone = accelerator.kind != "tpu" and accelerator.num_replicas == 1
    if options.jit_compile and accelerator.runtime.name == "tensorflow" and not alone:
        raise OrchardError(
            f"--jit_compile works on one device, not on {accelerator.describe()}; drop it"
        )
    return accelerator


def precision_policy(
    options: ComputeOptions, kind: str, compute_capability: tuple[int, int] = (0, 0)
) -> str:
    """The Keras dtype policy that --precision asks for.

    Args:
        options: --precision.
        kind: of the accelerator.
        compute_capability: of its GPUs; from 8.0 on they multiply bfloat16 natively.
    """
    if options.precision != "auto":
        return options.precision
    native = kind == "tpu" or (kind == "gpu" and compute_capability >= (8, 0))
    return "mixed_bfloat16" if native else "float32"


def _connect_pjrt(options: HardwareOptions) -> Accelerator:
    place = place_in_cluster()
    if place is not None:
        _refuse_part_of_worker(options)
    found = pjrt_devices.find_devices(options, place)
    # Where TensorFlow has them already, memory is all that is lost.
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
    return Accelerator(
        found.kind, tf.distribute.get_strategy(), found.num_hosts, found.host, mesh=found.mesh
    )


def _connect_tpu(options: HardwareOptions) -> Accelerator:
    if options.replicas:
        raise OrchardError("--replicas does not apply to a TPU, which is used whole; drop it")
    name = options.tpu or os.environ.get("TPU_NAME") or "local"
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError, OSError) as error:
        raise OrchardError(
            f"TPU {name!r} cannot be used ({in_one_line(error)}); check --tpu, and that "
            "tensorflow-tpu is the only TensorFlow installed, or use --accelerator=cpu|gpu"
        ) from None
    # One process drives all hosts of a pod, each of which reads its own part of the batches.
    return Accelerator("tpu", strategy, pod_hosts=strategy.extended.num_hosts)


def check_pod(accelerator: Accelerator, paths: Mapping[str, str], reading: ReadOptions) -> None:
    """Refuse what the hosts of a TPU pod cannot all reach.

    This process runs on one of them. The others run the input pipeline's graph, without Python.

    Args:
        accelerator: what is run on; all but pods reach everything.
        paths: by the names of their flags.
        reading: how records are read.
    """
    if accelerator.pod_hosts == 1:
        return
    pod = f"a TPU of {accelerator.pod_hosts} hosts"
    for name, path in paths.items():
        if not storage.is_gcs(path):
            raise OrchardError(f"--{name}={path}: {pod} needs it on gs://, which all of them see")
    if reading.reader == "local" or reading.cache != "none" or reading.cache_dir:
        raise OrchardError(
            f"{pod} reads blocks straight from gs://: drop --reader=local, --cache and --cache_dir"
        )


def _refuse_part_of_worker(options: HardwareOptions) -> None:
    if options.replicas:
        raise OrchardError("--replicas does not go with TF_CONFIG; a worker uses all its devices")


def _connect_workers(options: HardwareOptions, num_hosts: int, host: int) -> Accelerator:
    _refuse_part_of_worker(options)
    if options.accelerator == "cpu":
        tf.config.set_visible_devices([], "GPU")
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    kind = "gpu" if tf.config.list_logical_devices("GPU") else "cpu"
    return Accelerator(kind, strategy, num_hosts, host)


def _connect_gpus(options: HardwareOptions, gpus: list) -> Accelerator:
    if options.replicas > len(gpus):
        raise OrchardError(f"--replicas={options.replicas}: there are {len(gpus)} GPUs here")
    names = [f"GPU:{i}" for i in range(options.replicas or len(gpus))]
    return Accelerator("gpu", _strategy(names))


def _connect_cpus(replicas: int) -> Accelerator:
    device = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            device, [tf.config.LogicalDeviceConfiguration()] * replicas
        )
    except RuntimeError:  # TensorFlow is running already: what it has must do.
        if len(tf.config.list_logical_devices("CPU")) < replicas:
            raise OrchardError(
                f"--replicas={replicas} must be set before TensorFlow starts in this process"
            ) from None
    return Accelerator("cpu", _strategy([f"CPU:{i}" for i in range(replicas)]))


def _strategy(names: list[str]) -> tf.distribute.Strategy:
    # The default strategy of one device adds no wrapper and lets the step be compiled by XLA.
    if len(names) == 1:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(names)


def set_precision(policy: str) -> None:
    """Make `policy` the dtype of layers built from now on."""
    keras.config.set_dtype_policy(policy)
