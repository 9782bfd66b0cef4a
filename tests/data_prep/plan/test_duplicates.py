import numpy as np

from data_prep.images.perceptual import HASH_BITS, NEAR_BITS
from data_prep.plan import duplicates


def test_near_pairs_of_many_hashes_are_those_of_a_full_comparison():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (60, HASH_BITS), np.uint8)
    for row in range(1, 60, 2):
        bits[row] = bits[row - 1]
        flipped = rng.choice(HASH_BITS, rng.integers(0, 2 * NEAR_BITS), replace=False)
        bits[row, flipped] ^= 1
    packed = np.packbits(bits, axis=1)
    hashes = np.array([row.tobytes() for row in packed], "V16")
    wanted = {
        (one, other)
        for one in range(60)
        for other in range(one + 1, 60)
        if (bits[one] != bits[other]).sum() <= NEAR_BITS
    }
    assert {tuple(sorted(pair)) for pair in duplicates.near_pairs(hashes).tolist()} == wanted
    assert 5 < len(wanted) < 30


def test_merge_of_pairs_and_equal_keys_joins_them():
    merged = duplicates.merge(
        6, [duplicates.same(["x", "y", "x", "z", "w", "v"])], np.array([[1, 2], [4, 5]])
    )
    assert merged[0] == merged[1] == merged[2]
    assert merged[4] == merged[5] != merged[0]
    assert len({merged[0], merged[3], merged[4]}) == 3


def test_repeated_of_numbers_lists_the_sets_of_two_and_more():
    groups = duplicates.repeated(np.array([5, 1, 5, 2, 1, 9]))
    assert [group.tolist() for group in groups] == [[0, 2], [1, 4]]
