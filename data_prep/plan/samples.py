"""The records whose pictures the dataset card shows."""

from collections.abc import Sequence

import numpy as np

from orchard.formats import Targets

_MAX_PICTURES = 160
_MAX_PICTURES_PER_CLASS = 6


def pictures_per_class(num_classes: int) -> int:
    """How many pictures of one class the card shows at most."""
    return min(_MAX_PICTURES_PER_CLASS, _MAX_PICTURES // min(num_classes, _MAX_PICTURES))


def choose_samples(targets: Sequence[Targets]) -> list[tuple[int, ...]]:
    """The first records of each class, of several classes too, as positions in each shard.

    Args:
        targets: of each shard, in order.
    """
    num_classes = targets[0].num_classes
    shown = min(num_classes, _MAX_PICTURES)
    missing = np.full(shown, pictures_per_class(num_classes))
    chosen: list[tuple[int, ...]] = []
    for shard in targets:
        positions = []
        if missing.any():
            present = shard.present(shown)
            for position in np.flatnonzero((present & (missing > 0)).any(1)).tolist():
                wanted = present[position] & (missing > 0)
                if wanted.any():
                    missing[wanted] -= 1
                    positions.append(position)
                    if not missing.any():
                        break
        chosen.append(tuple(positions))
    return chosen
