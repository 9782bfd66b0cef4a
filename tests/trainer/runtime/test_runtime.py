import itertools

import numpy as np
import pytest
import tensorflow as tf

from trainer.runtime import HardwareOptions, TensorFlowRuntime, connect
from trainer.runtime.runtime import Passes

_NUM_BATCHES = 3


def test_passes_are_the_parts_of_one_iterator():
    made = []

    def make():
        made.append(None)
        return itertools.count()

    passes = Passes(make, 4)
    assert [list(passes) for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert len(made) == 1


def test_passes_after_one_that_is_broken_off_begin_anew():
    passes = Passes(itertools.count, 3)
    list(passes)
    broken_off = iter(passes)
    assert next(broken_off) == 3
    assert list(passes) == [0, 1, 2]
    broken_off.close()
    assert list(passes) == [3, 4, 5]


def test_passes_after_an_error_begin_anew():
    def numbers():
        yield from (0, 1)
        if len(made) == 1:
            raise OSError
        yield from (2, 3)

    made = []
    passes = Passes(lambda: made.append(None) or numbers(), 3)
    with pytest.raises(OSError):
        list(passes)
    assert list(passes) == [0, 1, 2]


@pytest.fixture(params=["tensorflow", "two replicas", "pjrt"])
def runtime(request, devices):
    if request.param == "pjrt":
        return connect(HardwareOptions(accelerator="cpu", runtime="pjrt", replicas=2)).runtime
    if request.param == "two replicas":
        return TensorFlowRuntime(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
    return TensorFlowRuntime()


def test_over_batches_of_passes_gives_each_pass_every_batch(runtime):
    read = []

    def note(number):
        read.append(int(number))
        return number

    def batches(num_hosts, host):
        def batch(number):
            (noted,) = tf.numpy_function(note, [number], [tf.int64])
            return {"x": tf.fill([4], tf.ensure_shape(noted, [])), "unused": tf.zeros([4])}

        return tf.data.Dataset.range(_NUM_BATCHES).map(batch).prefetch(2)

    outputs = runtime.over_batches(lambda batch: [2 * batch["x"]], axes=(0,))
    passes = runtime.passes(batches, _NUM_BATCHES, ("x",))
    wanted = np.repeat(2 * np.arange(_NUM_BATCHES), 4).reshape(_NUM_BATCHES, 4)
    for _ in range(3):
        found = [values for (values,) in outputs(passes)]
        np.testing.assert_array_equal(found, wanted)
    for _ in zip(outputs(passes), range(1), strict=False):
        pass  # Left after the first batch.
    np.testing.assert_array_equal([values for (values,) in outputs(passes)], wanted)


def test_passes_of_tensorflow_read_nothing_ahead_of_a_pass():
    read = []

    def note(number):
        read.append(int(number))
        return number

    def batches(num_hosts, host):
        numbers = tf.data.Dataset.range(_NUM_BATCHES)
        numbers = numbers.map(lambda at: tf.numpy_function(note, [at], tf.int64))
        return numbers.prefetch(_NUM_BATCHES)

    for _ in TensorFlowRuntime().passes(batches, _NUM_BATCHES):
        pass
    assert read == list(range(_NUM_BATCHES))
