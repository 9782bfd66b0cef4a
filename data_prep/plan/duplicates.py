"""Rows that show the same image, or nearly, or that the CSV puts into one group."""

from collections.abc import Sequence

import numpy as np

from data_prep.images import HASH_BITS, NEAR_BITS


def same(keys: np.ndarray | Sequence[str]) -> np.ndarray:
    """int64 [n]: rows with equal keys get equal numbers."""
    array = np.asarray(keys)
    if array.dtype.kind == "V":
        array = array.view(f"S{array.dtype.itemsize}")
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def near_pairs(hashes: np.ndarray) -> np.ndarray:
    """int64 [m, 2]: pairs of rows whose difference hashes differ in few bits.

    Hashes that differ in at most `NEAR_BITS` bits agree in at least one of `NEAR_BITS + 1` bands,
    so only rows with a band in common are compared.

    Args:
        hashes: V16 [n], from `images.difference_hash`.
    """
    packed = np.frombuffer(np.ascontiguousarray(hashes).tobytes(), np.uint8).reshape(
        -1, HASH_BITS // 8
    )
    unique, inverse = np.unique(packed, axis=0, return_inverse=True)
    first = np.unique(inverse, return_index=True)[1]
    # Rows of one hash are near to each other; after that each hash counts once.
    equal = np.stack([first[inverse.ravel()], np.arange(len(packed))], 1)
    pairs = [equal[equal[:, 0] != equal[:, 1]]]
    bits = np.unpackbits(unique, axis=1)
    for band in np.array_split(np.arange(HASH_BITS), NEAR_BITS + 1):
        order, starts = _buckets(bits[:, band])
        for bucket in np.split(order, starts[1:]):
            pairs.append(first[_near_in_bucket(unique, bucket)])
    return np.unique(np.concatenate(pairs), axis=0)


def maybe_near(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """int64 [m]: rows of `hashes` that may be near to one of `others`: they have a band in common.

    Args:
        hashes: V16 [n], from `images.difference_hash`.
        others: V16 [k].
    """
    bits, other_bits = (
        np.unpackbits(np.frombuffer(one.tobytes(), np.uint8).reshape(len(one), -1), axis=1)
        for one in (hashes, others)
    )
    shared = np.zeros(len(hashes), bool)
    for band in np.array_split(np.arange(HASH_BITS), NEAR_BITS + 1):
        weights = 1 << np.arange(len(band))
        shared |= np.isin(bits[:, band] @ weights, other_bits[:, band] @ weights)
    return np.flatnonzero(shared)


def look_alikes(hashes: np.ndarray) -> list[np.ndarray]:
    """The sets of rows that look alike, each of two rows and more.

    Args:
        hashes: V16 [n], from `images.difference_hash`.
    """
    return connected(len(hashes), near_pairs(hashes))


def connected(num_rows: int, pairs: np.ndarray) -> list[np.ndarray]:
    """The sets of two rows and more that pairs of rows, int64 [m, 2], connect."""
    return repeated(merge(num_rows, [], pairs))


def _buckets(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows sorted by their bits, and where each run of equal ones begins."""
    _, inverse = np.unique(bits, axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    starts = np.flatnonzero(np.diff(inverse.ravel()[order], prepend=-1))
    return order, starts


def _near_in_bucket(hashes: np.ndarray, bucket: np.ndarray) -> np.ndarray:
    pairs = [np.zeros((0, 2), np.int64)]
    for position, row in enumerate(bucket[:-1]):
        others = bucket[position + 1 :]
        distance = np.bitwise_count(hashes[others] ^ hashes[row]).sum(1)
        near = others[distance <= NEAR_BITS]
        pairs.append(np.stack([np.full(len(near), row), near], 1))
    return np.concatenate(pairs)


def merge(num_rows: int, numberings: Sequence[np.ndarray], pairs: np.ndarray) -> np.ndarray:
    """int64 [n]: one number per set of rows that are connected, by equal numbers or by a pair."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = [pairs.reshape(-1, 2)]
    for numbers in numberings:
        first = np.unique(numbers, return_index=True)[1]
        _, inverse = np.unique(numbers, return_inverse=True)
        edges.append(np.stack([first[inverse], np.arange(num_rows)], 1))
    rows, columns = np.concatenate(edges).T
    graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(num_rows, num_rows))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def repeated(numbers: np.ndarray) -> list[np.ndarray]:
    """The sets of two rows and more that share a number, in the order of their first rows."""
    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    several = np.flatnonzero(counts[inverse] > 1)
    order = several[np.argsort(inverse[several], kind="stable")]
    if not len(order):
        return []
    groups = np.split(order, np.flatnonzero(np.diff(inverse[order])) + 1)
    return sorted(groups, key=lambda group: group[0])
