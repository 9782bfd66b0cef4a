"""What a step can cost at best on a chip: the roofline (Williams, Waterman and Patterson 2009).

Pure arithmetic on the compiler's own counts, no measurement. The compute time is a true bound. The
memory time is the compiler's estimate of one: it counts every operand of every fused operation,
also those that stay on the chip. Collectives and the host are in neither.
"""

from dataclasses import dataclass

from trainer.tpu.chips import Chip


@dataclass(frozen=True)
class Roofline:
    """The bounds of one step on one device.

    Attributes:
        flops_per_byte: arithmetic intensity of the step.
        compute_seconds: the step's arithmetic at the peak.
        memory_seconds: the step's bytes at full bandwidth.
        batch_size: images in the step.
    """

    flops_per_byte: float
    compute_seconds: float
    memory_seconds: float
    batch_size: int

    @property
    def limited_by(self) -> str:
        """What takes longer: "compute" or "memory"."""
        return "compute" if self.compute_seconds >= self.memory_seconds else "memory"

    @property
    def step_seconds(self) -> float:
        """The longer of the two, which run side by side."""
        return max(self.compute_seconds, self.memory_seconds)

    @property
    def images_per_second(self) -> float:
        """The device's bound."""
        return self.batch_size / self.step_seconds


def roofline(chip: Chip, flops: float, bytes_accessed: float, batch_size: int) -> Roofline:
    """The bounds for a step of `batch_size` images that does `flops`, moves `bytes_accessed`."""
    return Roofline(
        flops_per_byte=flops / bytes_accessed,
        compute_seconds=flops / chip.peak_flops_per_second,
        memory_seconds=bytes_accessed / chip.hbm_bytes_per_second,
        batch_size=batch_size,
    )
