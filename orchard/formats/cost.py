"""What networks cost: time on a machine to train them, and arithmetic to predict with them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ComputeTime:
    """How long a training has run, all its parts together where it was interrupted.

    What a killed process did after its last checkpoint is not in it: nobody measured that.

    Attributes:
        wall_seconds: of training, evaluations and checkpoints; not of starting and exporting.
        cpu_seconds: of all threads of the process that writes the run, as the system counts them.
        device_seconds: wall seconds times devices, of GPUs and TPU cores; 0 on CPUs.
        device_kind: what it ran on, at last: "tpu", "gpu" or "cpu".
        num_devices: how many of them, at last, over all hosts.
    """

    wall_seconds: float
    cpu_seconds: float
    device_seconds: float
    device_kind: str
    num_devices: int

    @property
    def charged_seconds(self) -> float:
        """What the training cost, in `unit`: device seconds, or CPU seconds without devices."""
        return self.device_seconds or self.cpu_seconds

    @property
    def unit(self) -> str:
        """Of `charged_seconds`: "CPU-s", "GPU-s" or "TPU-s"; costs of one unit can be compared."""
        if self.device_seconds and self.device_kind == "cpu":
            return "device-s"  # It went on without the devices that it began with.
        return f"{self.device_kind.upper()}-s"


def total_time(times: Sequence[ComputeTime | None]) -> ComputeTime | None:
    """What several trainings took together.

    None where it is not known of one of them, and where they are in different units, which have no
    sum.
    """
    known = [time for time in times if time is not None]
    if len(known) < len(times) or len({time.unit for time in known}) != 1:
        return None
    return ComputeTime(
        wall_seconds=sum(time.wall_seconds for time in known),
        cpu_seconds=sum(time.cpu_seconds for time in known),
        device_seconds=sum(time.device_seconds for time in known),
        device_kind=known[0].device_kind,
        num_devices=max(time.num_devices for time in known),
    )


@dataclass(frozen=True)
class TrainingCost:
    """What a trained network cost, and what each of its predictions costs.

    Attributes:
        time: what its training took; None: an older version, which did not measure it, began it.
        train_images: steps times batch; None: a soup's, of which one network's are not known.
        flops_per_image: multiplications and additions of convolutions, dense layers and attention
            in one forward pass of one image; None: its layers have others.
        num_parameters: of the network, all of them.
    """

    time: ComputeTime | None
    train_images: int | None
    flops_per_image: int | None
    num_parameters: int


def total_images(costs: Sequence[TrainingCost | None]) -> int | None:
    """How many images several trainings saw together; None: it is not known of one of them."""
    known = [cost.train_images for cost in costs if cost and cost.train_images is not None]
    return sum(known) if len(known) == len(costs) else None


@dataclass(frozen=True)
class Price:
    """What one or more networks cost together.

    Attributes:
        train_seconds: of all trainings, in `unit`; None: not known of one of them, or of different
            units, which have no sum.
        unit: "CPU-s", "GPU-s" or "TPU-s"; "" where `train_seconds` is None.
        flops_per_image: of one prediction, all test-time views; None: not known of one network.
    """

    train_seconds: float | None = None
    unit: str = ""
    flops_per_image: int | None = None
