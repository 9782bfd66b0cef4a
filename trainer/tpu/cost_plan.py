"""What a training would take, on paper: steps, hours, cores for decoding, shards. Pure arithmetic.

All of it rests on the roofline's bound times a utilization that somebody chose. It says what to
rent and what to expect at best; it measures nothing.
"""

from dataclasses import dataclass

from data_prep.plan import num_shards
from trainer.config import LengthOptions
from trainer.tpu.price import Bill, Prices, bill

_SHARD_MB = 128  # data_prep's own default.
_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Workload:
    """What is to be trained.

    Attributes:
        num_records: training images.
        num_bytes: their encoded size.
        length: how long to train on them.
        decode_images_per_second: what one core reads, decodes and resizes; None: not known.
    """

    num_records: int
    num_bytes: int
    length: LengthOptions
    decode_images_per_second: float | None


@dataclass(frozen=True)
class Slice:
    """What it is to be trained on.

    Attributes:
        num_chips: chips in the slice.
        num_hosts: machines that feed them.
        batch_size: images a step over all chips.
        max_images_per_second: the roofline's bound for all chips together.
        utilization: share of the bound that is taken for granted, 0..1.
    """

    num_chips: int
    num_hosts: int
    batch_size: int
    max_images_per_second: float
    utilization: float


@dataclass(frozen=True)
class CostPlan:
    """A bound on a training's cost.

    Attributes:
        total_steps: steps of the training.
        images_per_second: all chips together, at the utilization.
        hours: from first to last step, without evaluation, compilation and checkpoints.
        chip_hours: hours times chips.
        images_per_second_per_host: what each host must feed.
        cores_per_host: cores that decode, on each host; None: not known.
        num_shards: TFRecord files that every host reads equally many of.
        bill: what it costs; None: prices are not known.
    """

    total_steps: int
    images_per_second: float
    hours: float
    chip_hours: float
    images_per_second_per_host: float
    cores_per_host: float | None
    num_shards: int
    bill: Bill | None = None

    @property
    def checkpoint_every_steps(self) -> int:
        """Steps of the bill's checkpoint interval, at least one; 0: there is none."""
        if not (self.bill and self.bill.checkpoint_interval_seconds):
            return 0
        steps_per_second = self.total_steps / (self.hours * _SECONDS_PER_HOUR)
        return max(1, round(self.bill.checkpoint_interval_seconds * steps_per_second))


def cost_plan(workload: Workload, on: Slice, prices: Prices | None = None) -> CostPlan:
    """The bound for `workload` on a slice, with what it costs where there are prices."""
    images_per_second = on.max_images_per_second * on.utilization
    total_steps = workload.length.total_steps(workload.num_records / on.batch_size)
    hours = total_steps * on.batch_size / images_per_second / _SECONDS_PER_HOUR
    per_host = images_per_second / on.num_hosts
    rate = workload.decode_images_per_second
    return CostPlan(
        total_steps=total_steps,
        images_per_second=images_per_second,
        hours=hours,
        chip_hours=hours * on.num_chips,
        images_per_second_per_host=per_host,
        cores_per_host=per_host / rate if rate else None,
        num_shards=num_shards(workload.num_bytes, workload.num_records, _SHARD_MB, on.num_hosts),
        bill=bill(hours, on.num_chips, prices) if prices else None,
    )
