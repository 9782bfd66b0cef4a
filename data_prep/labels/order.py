"""An order of ids that looks random and depends on nothing but seed, split and id."""

import hashlib
from collections.abc import Sequence

import numpy as np


def hashed_order(ids: Sequence[str], split: str, seed: int) -> np.ndarray:
    """The rows of `ids` in the order of a keyed hash of (seed, split, id): int64 [n].

    Which of two ids comes first depends on them alone, not on the rows around them.
    """
    key = f"{seed}\0{split}\0".encode()
    hashes = [hashlib.blake2b(key + image_id.encode(), digest_size=16).digest() for image_id in ids]
    return np.asarray(sorted(range(len(ids)), key=lambda row: (hashes[row], ids[row])), np.int64)
