"""What to run on and when to stop early, as flags."""

from dataclasses import dataclass

from orchard.errors import OrchardError
from orchard.flags import Kind, Options, option


@dataclass(frozen=True, kw_only=True)
class HardwareOptions(Options, group="hardware"):
    """Which devices to use."""

    accelerator: str = option(
        "auto",
        "What to run on.",
        choices=("auto", "tpu", "gpu", "cpu"),
        kind=Kind.BOOKKEEPING,
        common=True,
    )
    runtime: str = option(
        "auto",
        "TensorFlow drives the devices, or jax by PJRT; auto: pjrt for a TPU that jax alone sees.",
        choices=("auto", "tensorflow", "pjrt"),
        kind=Kind.BOOKKEEPING,
    )
    tpu: str = option(
        "",
        "Name or address of a TPU, or local; default: the environment's.",
        kind=Kind.BOOKKEEPING,
    )
    replicas: int = option(
        0,
        "GPUs to use, or logical CPUs to make; 0: all GPUs, one CPU.",
        at_least=0,
        kind=Kind.BOOKKEEPING,
    )

    def check(self) -> None:
        """Refuse a part of a TPU."""
        super().check()
        if self.accelerator == "tpu" and self.replicas:
            raise OrchardError("--replicas does not apply to a TPU, which is used whole; drop it")
        if self.runtime == "pjrt" and self.tpu not in ("", "local"):
            raise OrchardError(
                f"--tpu={self.tpu}: with --runtime=pjrt the command runs on the TPU's own machine, "
                "on each of them; drop --tpu"
            )


@dataclass(frozen=True, kw_only=True)
class ComputeOptions(HardwareOptions, group="hardware"):
    """How the devices compute a training step."""

    precision: str = option(
        "auto",
        "auto: mixed_bfloat16 on TPUs and on GPUs of compute capability 8.0 and up, else float32.",
        choices=("auto", "float32", "mixed_bfloat16"),
        kind=Kind.RESOLVED,
    )
    jit_compile: bool = option(
        False, "Compile the step with XLA (one device; TPUs and PJRT always do)."
    )
    deterministic: bool = option(False, "Bit-identical from run to run, at some cost.")
    steps_per_call: int = option(
        0,
        "Steps in one call, during which no signal is seen; 0: 1, on TPU 16.",
        at_least=0,
        kind=Kind.BOOKKEEPING,
    )

    def check(self) -> None:
        """Refuse --jit_compile where it is known not to work."""
        super().check()
        if (
            self.jit_compile
            and self.runtime != "pjrt"
            and (self.accelerator == "tpu" or self.replicas > 1)
        ):
            raise OrchardError("--jit_compile works on one device that is no TPU; drop it")


@dataclass(frozen=True, kw_only=True)
class InterruptionOptions(Options, group="bookkeeping"):
    """Reasons to save and stop early."""

    max_minutes: float = option(
        0.0,
        "Save and stop within this time, exit status 75; 0: no limit.",
        at_least=0,
        kind=Kind.BOOKKEEPING,
    )
    watch_preemption: bool = option(
        True,
        "Save and stop, exit status 75, when Compute Engine announces the machine's end.",
        kind=Kind.BOOKKEEPING,
    )
