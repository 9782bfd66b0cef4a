import pytest
import tensorflow as tf

from orchard.errors import OrchardError
from trainer.augment.tensors import partners


def test_partners_of_an_even_batch_are_neighbors():
    assert partners(tf.constant([1, 2, 3, 4])).numpy().tolist() == [2, 1, 4, 3]


def test_partners_of_an_odd_batch_are_refused():
    with pytest.raises(OrchardError, match="its batch is 7: make it even"):
        partners(tf.zeros([7, 2]))
