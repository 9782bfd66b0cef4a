import numpy as np
import pytest

from data_prep.plan.shards import boundaries, num_shards

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
        (1, 350_000, 1, 4),  # memory of a worker
        (1, 350_000, 3, 6),
    ],
)
def test_num_shards_of_size_records_and_hosts_is_the_guides(total_mb, records, hosts, wanted):
    found = num_shards(total_mb * MB, records, 128, hosts)
    assert found == wanted and isinstance(found, int)


def test_num_shards_of_any_size_is_a_multiple_of_hosts_and_keeps_the_limit():
    for total_mb in (0, 5, 99, 101, 1280, 5000):
        for hosts in (1, 3, 16):
            count = num_shards(total_mb * MB, 10**5, 128, hosts)
            assert count % hosts == 0
            assert total_mb / count <= 128
            if total_mb >= 10 * 10 * hosts:
                assert count >= 10 * hosts


def test_boundaries_of_any_count_cut_evenly_and_completely():
    for records, count in ((10, 3), (7, 7), (1000, 13)):
        edges = boundaries(records, count)
        sizes = np.diff(edges)
        assert edges[0] == 0 and edges[-1] == records and sizes.max() - sizes.min() <= 1
