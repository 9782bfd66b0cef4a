import numpy as np
import pytest

from data_prep.plan.shards import boundaries, check_splits, hashed_order, num_shards
from orchard.errors import OrchardError

MB = 1_000_000


@pytest.mark.parametrize(
    ("total_mb", "records", "hosts", "wanted"),
    [
        (1, 1000, 1, 1),
        (25, 1000, 1, 2),  # ten a host would leave files below 10 MB
        (200, 1000, 1, 10),
        (10_000, 100_000, 1, 79),
        (10_000, 100_000, 8, 80),
        (100_000, 10**6, 8, 784),
        (1, 1000, 8, 8),
        (100, 350_000, 1, 10),
        (50, 10**6, 1, 10),
        (1, 3, 8, 3),  # fewer records than hosts
    ],
)
def test_number_of_shards(total_mb, records, hosts, wanted):
    assert num_shards(total_mb * MB, records, 128, hosts) == wanted


def test_shards_follow_size_and_hosts_for_any_input():
    for total_mb in (0, 5, 99, 101, 1280, 5000):
        for hosts in (1, 3, 16):
            count = num_shards(total_mb * MB, 10**5, 128, hosts)
            assert count % hosts == 0
            assert total_mb / count <= 128
            if total_mb >= 10 * 10 * hosts:
                assert count >= 10 * hosts


def test_boundaries_cut_evenly_and_completely():
    for records, count in ((10, 3), (7, 7), (1000, 13)):
        edges = boundaries(records, count)
        sizes = np.diff(edges)
        assert edges[0] == 0 and edges[-1] == records and sizes.max() - sizes.min() <= 1


def test_the_order_looks_random_and_depends_on_seed_and_split():
    ids = [f"{number:04d}" for number in range(200)]
    order = hashed_order(ids, "train", 0)
    assert sorted(order.tolist()) == list(range(200))
    assert abs(np.corrcoef(order, np.arange(200))[0, 1]) < 0.25
    assert (order != hashed_order(ids, "test", 0)).any()
    assert (order != hashed_order(ids, "train", 1)).any()


def test_rows_that_come_or_go_leave_the_others_in_their_order():
    ids = [f"{number:04d}" for number in range(50)]
    order = [ids[row] for row in hashed_order(ids, "train", 0)]
    fewer = ids[10:]
    assert [fewer[row] for row in hashed_order(fewer, "train", 0)] == [
        one for one in order if one in set(fewer)
    ]


def test_the_order_is_the_same_for_ever():
    assert hashed_order(["a", "b", "c", "d", "e"], "train", 0).tolist() == [3, 4, 0, 2, 1]


def test_an_empty_split_is_refused():
    with pytest.raises(OrchardError, match="'fold3' would be empty"):
        check_splits({"fold0": np.array([1]), "fold3": np.array([], int)})
