import time

import pytest
import tensorflow as tf

from orchard.formats import ComputeTime
from trainer.runtime import Accelerator
from trainer.training.clock import ComputeClock


class _Replicas:
    """A strategy, as far as a clock looks at it."""

    num_replicas_in_sync = 8


_CPU = Accelerator("cpu", tf.distribute.get_strategy())
_TPU = Accelerator("tpu", _Replicas())


def test_time_on_a_cpu_counts_what_threads_do_and_no_devices():
    clock = ComputeClock(_CPU)
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    found = clock.time()
    assert found.wall_seconds >= 0.04 and found.cpu_seconds >= 0.04
    assert (found.device_seconds, found.device_kind, found.num_devices) == (0, "cpu", 1)


def test_time_of_devices_is_that_of_the_wall_for_each():
    clock = ComputeClock(_TPU)
    time.sleep(0.02)
    found = clock.time()
    assert found.device_seconds == pytest.approx(8 * found.wall_seconds, abs=0.01)
    assert (found.device_kind, found.num_devices, found.unit) == ("tpu", 8, "TPU-s")


def test_time_of_a_resumed_training_adds_up_on_whatever_devices():
    before = ComputeTime(100, 200, 800, "tpu", 8)
    found = ComputeClock(_CPU, before).time()
    assert 100 <= found.wall_seconds < 110 and found.cpu_seconds >= 200
    assert found.device_seconds == 800
    assert (found.device_kind, found.num_devices, found.unit) == ("cpu", 1, "device-s")
