import numpy as np
import pytest
import tensorflow as tf

from trainer.runtime.replicas import replica_batches


@pytest.mark.parametrize(("num_hosts", "num_replicas"), [(1, 4), (2, 8), (4, 16), (4, 4)])
def test_replica_batches_parts_of_all_hosts_make_the_global_batch(num_hosts, num_replicas):
    """As TensorFlow asks for it: one dataset a host of a pod, one element a replica and step."""
    batch_size, steps = 32, 3
    images = np.arange(steps * batch_size, dtype=np.float32).reshape(steps, num_hosts, -1)

    def batches(hosts, host):
        assert hosts == num_hosts
        return tf.data.Dataset.from_tensor_slices({"image": images[:, host]})

    contexts = [tf.distribute.InputContext(num_hosts, h, num_replicas) for h in range(num_hosts)]
    per_host = [
        [element["image"] for element in replica_batches(batches, num_replicas, context)]
        for context in contexts
    ]
    replicas = num_replicas // num_hosts
    for step in range(steps):
        parts = [host[step * replicas + r] for host in per_host for r in range(replicas)]
        assert {part.shape for part in parts} == {(batch_size // num_replicas,)}
        np.testing.assert_array_equal(np.concatenate(parts), images[step].ravel())
