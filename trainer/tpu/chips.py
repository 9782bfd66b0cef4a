"""TPU generations and topologies: memory, peak arithmetic and bandwidth per device.

A device is what one replica runs on: a TensorCore on v2, v3 and TPU7x (two a chip), a whole chip on
the others (v4 and v5p join their two cores, "megacore").

Peak FLOP/s and bandwidth: cloud.google.com/tpu/docs/v3, v4, v5e, v5p, v6e, tpu7x (per chip); v2:
Jouppi et al. 2020, "A Domain-Specific Supercomputer for Training Deep Neural Networks", table 3.
Memory: what libtpu's compiler leaves a program, as it says itself when one does not fit.
"""

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from orchard.errors import OrchardError

GIB = 2**30


@dataclass(frozen=True)
class Chip:
    """One TPU generation.

    Attributes:
        name: "v5e", ...
        devices_per_chip: replicas that a chip holds.
        available_hbm_bytes: memory for one program, per device.
        peak_flops_per_second: bfloat16, per device.
        hbm_bytes_per_second: per device.
        dimensions: of a topology: 2 ("4x4") or 3 ("2x2x4").
        config_name: what libtpu calls the way that a chip's cores are used.
    """

    name: str
    devices_per_chip: int
    available_hbm_bytes: int
    peak_flops_per_second: float
    hbm_bytes_per_second: float
    dimensions: int
    config_name: str = "default"

    @property
    def ridge_flops_per_byte(self) -> float:
        """Arithmetic intensity above which the peak, not the memory, is the bound."""
        return self.peak_flops_per_second / self.hbm_bytes_per_second


class _DataSheet(NamedTuple):
    """What the sources above say: memory per device, arithmetic and bandwidth per chip."""

    devices: int
    hbm_gib: float
    chip_teraflops: float
    chip_gb_per_second: float
    dimensions: int
    config_name: str = "default"


_DATA_SHEETS = {
    "v2": _DataSheet(2, 7.48, 46, 700, 2),
    "v3": _DataSheet(2, 15.48, 123, 900, 2),
    "v4": _DataSheet(1, 30.75, 275, 1200, 3, config_name="megacore"),
    "v5e": _DataSheet(1, 15.75, 197, 819, 2),
    "v5p": _DataSheet(1, 95.74, 459, 2765, 3),
    "v6e": _DataSheet(1, 31.25, 918, 1640, 2),
    "tpu7x": _DataSheet(2, 94.75, 2307, 7380, 3),
}
CHIPS: dict[str, Chip] = {
    name: Chip(
        name=name,
        devices_per_chip=sheet.devices,
        available_hbm_bytes=int(sheet.hbm_gib * GIB),
        peak_flops_per_second=sheet.chip_teraflops * 1e12 / sheet.devices,
        hbm_bytes_per_second=sheet.chip_gb_per_second * 1e9 / sheet.devices,
        dimensions=sheet.dimensions,
        config_name=sheet.config_name,
    )
    for name, sheet in _DATA_SHEETS.items()
}


@dataclass(frozen=True)
class Topology:
    """A slice of a TPU pod, such as v5e:2x2.

    Attributes:
        chip: its generation.
        shape: chips along each dimension.
    """

    chip: Chip
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """As libtpu calls it: "v5e:2x2"."""
        return f"{self.chip.name}:{'x'.join(map(str, self.shape))}"

    @property
    def num_chips(self) -> int:
        """Chips in the slice."""
        return math.prod(self.shape)

    @property
    def num_replicas(self) -> int:
        """Devices in the slice; the global batch is so many replicas' batches."""
        return self.num_chips * self.chip.devices_per_chip


def parse_topology(text: str) -> Topology:
    """'v5e:2x2' to a Topology; OrchardError for what there is not."""
    match = re.fullmatch(r"(\w+):(\d+(?:x\d+)*)", text)
    chip = CHIPS.get(match[1]) if match else None
    shape = tuple(int(n) for n in match[2].split("x")) if match else ()
    if chip is None or len(shape) != chip.dimensions or 0 in shape:
        raise OrchardError(
            f"--topology={text} must be GENERATION:SHAPE with a generation of {', '.join(CHIPS)}, "
            "such as v5e:2x2, v3:4x4, tpu7x:2x2x1"
        )
    return Topology(chip, shape)
