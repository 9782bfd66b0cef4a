import numpy as np
import pytest

from data_prep.images.perceptual import HASH_BITS, NEAR_BITS, difference_hash
from data_prep.plan import duplicates
from tests.data_prep.builders import jpeg, pillow_bytes


def distance(one, other):
    bits = np.frombuffer(one, np.uint8) ^ np.frombuffer(other, np.uint8)
    return int(np.bitwise_count(bits).sum())


def test_re_encoded_and_resized_copies_have_near_hashes_and_others_have_not():
    from io import BytesIO

    from PIL import Image

    original = jpeg(1, 300, 400, quality=95)
    image = Image.open(BytesIO(original))
    copies = [
        jpeg(1, 300, 400, quality=40),
        pillow_bytes(image.resize((200, 150)), "JPEG", quality=90),
        pillow_bytes(image, "PNG"),
    ]
    for copy in copies:
        assert distance(difference_hash(original), difference_hash(copy)) <= NEAR_BITS
    others = [
        distance(difference_hash(original), difference_hash(jpeg(s, 300, 400)))
        for s in range(2, 30)
    ]
    assert min(others) > 4 * NEAR_BITS


def test_near_pairs_are_those_of_a_comparison_of_all():
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


def test_groups_join_through_pairs_and_equal_keys():
    merged = duplicates.merge(
        6, [duplicates.same(["x", "y", "x", "z", "w", "v"])], np.array([[1, 2], [4, 5]])
    )
    assert merged[0] == merged[1] == merged[2]
    assert merged[4] == merged[5] != merged[0]
    assert len({merged[0], merged[3], merged[4]}) == 3


def test_repeated_lists_the_sets_of_two_and_more():
    groups = duplicates.repeated(np.array([5, 1, 5, 2, 1, 9]))
    assert [group.tolist() for group in groups] == [[0, 2], [1, 4]]


def test_what_cannot_be_decoded_has_no_hash():
    with pytest.raises(ValueError):
        difference_hash(b"no image")
