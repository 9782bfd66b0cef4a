import numpy as np

from data_prep.plan import samples
from orchard.formats import Targets


def choose_samples(shards):
    return samples.choose_samples([Targets.of_matrix(shard) for shard in shards])


def one_hot(*labels, num_classes=3):
    return np.eye(num_classes, dtype=np.float32)[list(labels)]


def test_choose_samples_of_several_shards_takes_the_first_of_each_class():
    shards = [one_hot(0, 0, 0, 0, 0, 1), one_hot(0, 0, 1, 2), one_hot(2, 0)]
    assert choose_samples(shards) == [(0, 1, 2, 3, 4, 5), (0, 2, 3), (0,)]


def test_choose_samples_of_unlabeled_or_undecided_records_takes_none():
    assert choose_samples([np.array([[-1, -1], [0.4, 0.3], [0.2, 0.8]], np.float32)]) == [(2,)]


def test_choose_samples_of_many_classes_shares_the_pictures():
    shards = [one_hot(*range(150), *range(150), num_classes=1000)]
    assert choose_samples(shards) == [tuple(range(150))]


def test_choose_samples_of_records_with_several_classes_takes_some_of_each():
    shard = np.array([[1, 1, 0], *[[1, 0, 0]] * 8, [1, 0, 1], [0, 1, 0]], np.float32)
    assert choose_samples([shard]) == [(0, 1, 2, 3, 4, 5, 9, 10)]
