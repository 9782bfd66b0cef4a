"""The records whose pictures the dataset card shows."""

from collections.abc import Sequence

import numpy as np

_MAX_PICTURES = 160
_MAX_PICTURES_PER_CLASS = 6


def choose_samples(targets: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
    """The first records of each class, as positions in each shard.

    Args:
        targets: float32 [records, num_classes] of each shard, in order; -1: unlabeled.
    """
    num_classes = targets[0].shape[1]
    shown = min(num_classes, _MAX_PICTURES)
    missing = [min(_MAX_PICTURES_PER_CLASS, _MAX_PICTURES // shown)] * shown
    chosen: list[tuple[int, ...]] = []
    for shard in targets:
        positions = []
        if any(missing):
            for position, label in enumerate(shard.argmax(1).tolist()):
                if label < shown and missing[label] and shard[position, label] >= 0.5:
                    missing[label] -= 1
                    positions.append(position)
        chosen.append(tuple(positions))
    return chosen
