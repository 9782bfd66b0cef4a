"""--recipe=auto: network, size and batch from the data and the device.

`choose` is the rule, a pure function; `facts_of` finds what it looks at. Everything else is as in
--recipe=fast, whose length is in steps where the rows are few. The rule is careful and not tuned:
docs/guides/train.md says what it rests on.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from orchard.errors import OrchardError
from orchard.formats import SplitKind, tfrecord
from trainer.data import RecordTable, load_records, read_few, split_names
from trainer.models import ARCHITECTURES, find_architecture, is_from_source
from trainer.runtime import HardwareOptions, expected_kind

BASE_RECIPE = "fast"

SMALL_NETWORK, LARGE_NETWORK = "efficientnet_b0", "efficientnet_b3"
# From so many rows on, where the images are as large as its own, the larger network.
LARGE_NETWORK_ROWS = 10_000
# The least side: what --recipe=fast was measured at, with images of 28 px.
MIN_SIDE_PX = 64
# A CPU takes a third of the time for 128 px that it takes for 224 px.
MAX_CPU_SIDE_PX = 128
_DEFAULT_SIDE_PX = 224  # Of a .keras file, which does not say its own.
_SIDE_STEP_PX = 32  # What EfficientNets halve five times.

# The preflight: 16 images of EfficientNetB7 at 512 px fit 11.05 GiB, these networks far less.
TPU_BATCH_PER_REPLICA = 16
BATCH, MIN_BATCH = 32, 8
# An epoch of fewer steps than these is cut into smaller batches.
_STEPS_PER_EPOCH = 20

_NUM_SAMPLED = 64


@dataclass(frozen=True)
class Facts:
    """What the choice is made by.

    Attributes:
        num_rows: labeled rows outside of the evaluation and test splits.
        short_side_px: of the images as the dataset has them, the median.
        device_kind: "tpu", "gpu" or "cpu".
    """

    num_rows: int
    short_side_px: int
    device_kind: str


def choose(facts: Facts, architecture: str = "") -> dict[str, str]:
    """Flags and their values.

    Args:
        facts: of the data and the device.
        architecture: the network, where it is given.
    """
    if not architecture:
        own_side = ARCHITECTURES[LARGE_NETWORK].image_size_px or 0
        large = facts.num_rows >= LARGE_NETWORK_ROWS and facts.short_side_px >= own_side
        large = large and facts.device_kind != "cpu"
        architecture = LARGE_NETWORK if large else SMALL_NETWORK
    return {
        "architecture": architecture,
        "image_size": str(_side_px(facts, architecture)),
        **_batch(facts),
    }


def _side_px(facts: Facts, architecture: str) -> int:
    """Not larger than the images, nor than what the network was made for."""
    most, least = _DEFAULT_SIDE_PX, MIN_SIDE_PX
    if architecture in ARCHITECTURES or is_from_source(architecture):
        known = find_architecture(architecture)
        most, least = known.image_size_px or most, max(least, known.min_size_px)
    if facts.device_kind == "cpu":
        most = min(most, MAX_CPU_SIDE_PX)
    if facts.short_side_px < most:
        most = facts.short_side_px // _SIDE_STEP_PX * _SIDE_STEP_PX
    return max(most, -(-least // _SIDE_STEP_PX) * _SIDE_STEP_PX)


def _batch(facts: Facts) -> dict[str, str]:
    if facts.device_kind == "tpu":
        return {"batch_size_per_replica": str(TPU_BATCH_PER_REPLICA)}
    batch = BATCH
    while batch > MIN_BATCH and facts.num_rows < batch * _STEPS_PER_EPOCH:
        batch //= 2
    return {"batch_size": str(batch)}


def facts_of(dataset: str, hardware: HardwareOptions) -> Facts:
    """What there is: reads the dataset's index, the heads of some images, and looks for devices.

    Raises:
        OrchardError: there is no such dataset, or it has no rows to train on.
    """
    if not dataset:
        raise OrchardError("--recipe=auto looks at the dataset: give --dataset")
    names = [n for n in split_names(dataset) if n not in set(SplitKind) - {SplitKind.TRAIN}]
    if not names:
        raise OrchardError(f"--recipe=auto: {dataset} has no rows to train on")
    records = load_records(dataset, "+".join(names))
    return Facts(
        num_rows=int((records.targets >= 0).all(axis=1).sum()),
        short_side_px=_median_short_side_px(records),
        device_kind=expected_kind(hardware),
    )


def _median_short_side_px(records: RecordTable) -> int:
    """Of images that are evenly spread over the records; damaged ones are for training to name."""
    sampled = np.unique(np.linspace(0, len(records) - 1, _NUM_SAMPLED).astype(np.int64))
    sides = []
    for payload in read_few(records, sampled):
        try:
            encoded = tfrecord.Example(payload).bytes_of(records.image_key)
            sides.append(min(Image.open(io.BytesIO(encoded)).size))
        except (ValueError, KeyError, OSError):
            continue
    if not sides:
        raise OrchardError(
            f"--recipe=auto: none of {len(sampled)} images of {'+'.join(records.splits)} can be "
            "read; prepare the dataset again, or choose another --recipe"
        )
    return int(np.median(sides))


def describe(facts: Facts, chosen: Mapping[str, str]) -> str:
    """What was chosen and why, in a line.

    Args:
        facts: that it was chosen by.
        chosen: the flags that it decided, without those that were given.
    """
    flags = " ".join(f"--{name}={value}" for name, value in chosen.items())
    return (
        f"--recipe=auto: {facts.num_rows:,} rows of {facts.short_side_px} px on "
        f"{facts.device_kind}: {flags}, the rest as --recipe={BASE_RECIPE}"
    )
