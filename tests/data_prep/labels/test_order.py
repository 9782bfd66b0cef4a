import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_prep.labels.order import hashed_order

IDS = st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=40)


def ordered(ids, split="train", seed=0):
    return [ids[row] for row in hashed_order(ids, split, seed)]


@given(IDS, st.integers(0, 2**32 - 1), st.randoms())
def test_hashed_order_of_shuffled_rows_is_the_same(ids, seed, random):
    shuffled = list(ids)
    random.shuffle(shuffled)
    assert ordered(shuffled, seed=seed) == ordered(ids, seed=seed)
    assert sorted(ordered(ids, seed=seed)) == sorted(ids)


@given(IDS, st.data())
def test_hashed_order_of_fewer_rows_keeps_theirs(ids, data):
    kept = [image_id for image_id in ids if data.draw(st.booleans())]
    wanted = [image_id for image_id in ordered(ids) if image_id in set(kept)]
    assert ordered(kept) == wanted


def test_hashed_order_of_other_seeds_and_splits_is_another():
    ids = [f"{number:04d}" for number in range(200)]
    order = hashed_order(ids, "train", 0)
    assert sorted(order.tolist()) == list(range(200))
    assert abs(np.corrcoef(order, np.arange(200))[0, 1]) < 0.25
    assert (order != hashed_order(ids, "test", 0)).any()
    assert (order != hashed_order(ids, "train", 1)).any()


def test_hashed_order_of_known_ids_never_changes():
    assert hashed_order(["a", "b", "c", "d", "e"], "train", 0).tolist() == [3, 4, 0, 2, 1]
