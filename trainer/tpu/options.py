"""What preflight is asked, as one frozen, validated value."""

from dataclasses import dataclass

from orchard.errors import OrchardError
from orchard.formats import Task
from trainer.tpu.chips import Topology

NO_DATASET = "none"  # Stands for --dataset and --run_dir, which decide nothing of the step.


@dataclass(frozen=True)
class PreflightOptions:
    """What to find out. Raises OrchardError for values that cannot be.

    Attributes:
        topologies: slices to compile for.
        find_batch: look for the largest batch that fits.
        as_json: print JSON.
        num_classes: columns of the targets.
        task: what the labels mean.
        plan: say what a training would take.
        utilization: share of the bound that the plan counts on, 0..1.
        num_records: training images, for the plan; 0: the dataset's.
        image_kb: encoded kB an image, for the plan.
        decode_images_per_second: of one core; 0: measured, where there is a dataset.
        cache_dir: results of earlier compilations.
    """

    topologies: tuple[Topology, ...]
    find_batch: bool
    as_json: bool
    num_classes: int
    task: Task
    plan: bool
    utilization: float
    num_records: int
    image_kb: float
    decode_images_per_second: float
    cache_dir: str

    def __post_init__(self):
        if not self.topologies:
            raise OrchardError("--topology is empty; give one or more, such as v5e:2x2,v6e:2x2")
        if self.num_classes < 2:
            raise OrchardError(f"--num_classes={self.num_classes} must be 2 or more")
        if not 0 < self.utilization <= 1:
            raise OrchardError(f"--utilization={self.utilization} must be above 0, at most 1")
        for name in ("num_records", "image_kb", "decode_images_per_second"):
            if getattr(self, name) < 0:
                raise OrchardError(f"--{name}={getattr(self, name)} must be 0 or more")
