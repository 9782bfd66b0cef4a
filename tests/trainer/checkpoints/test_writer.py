import functools
import math
import threading
import time
import weakref

import numpy as np
import pytest
import tensorflow as tf

from orchard.errors import OrchardError
from trainer.checkpoints import CheckpointWriter
from trainer.runtime import Accelerator, StopRequests


@pytest.fixture
def stop():
    return StopRequests(math.inf, Accelerator("cpu", tf.distribute.get_strategy()))


def test_begin_returns_while_the_checkpoint_is_written_and_the_end_waits(stop):
    go_on, written = threading.Event(), []

    def write():
        assert go_on.wait(60)
        written.append(3)

    with CheckpointWriter(stop) as writer:
        writer.begin(3, write)
        assert stop.saved_step == -1 and not written
        go_on.set()
    assert written == [3] and stop.saved_step == 3


def test_begin_what_is_written_does_not_stay_in_memory(stop):
    array = np.zeros(3)
    left = weakref.ref(array)
    with CheckpointWriter(stop) as writer:
        writer.begin(1, functools.partial(np.copy, array))
        del array
        writer.wait()
        deadline = time.monotonic() + 60
        while left() is not None and time.monotonic() < deadline:
            time.sleep(0.001)
        assert left() is None


def test_begin_while_another_is_written_waits_for_it(stop):
    go_on, first_ended = threading.Event(), threading.Event()

    def first():
        assert go_on.wait(60)
        first_ended.set()

    with CheckpointWriter(stop) as writer:
        writer.begin(1, first)
        threading.Timer(0.2, go_on.set).start()
        writer.begin(2, lambda: None)
        assert first_ended.is_set()
        writer.wait()
        assert stop.saved_step == 2


def test_begin_what_cannot_be_written_asks_to_stop_and_is_the_error_of_the_next(stop):
    def full():
        raise OrchardError("no space")

    with pytest.raises(OrchardError, match="no space"), CheckpointWriter(stop) as writer:
        writer.begin(1, lambda: None)
        writer.begin(2, full)
        while not stop.requested():
            pass
        assert "could not be written" in stop.reason and stop.saved_step == 1
        writer.begin(3, lambda: pytest.fail("written after a failure"))


def test_writer_left_by_an_error_writes_to_the_end_and_the_error_stays(stop, caplog):
    written = []

    def full():
        written.append(1)
        raise OrchardError("no space")

    with pytest.raises(ValueError, match="of the training"), CheckpointWriter(stop) as writer:
        writer.begin(1, full)
        raise ValueError("of the training")
    assert written == [1] and "no space" in caplog.text


def test_writer_left_by_ctrl_c_does_not_wait(stop):
    never = threading.Event()
    with pytest.raises(KeyboardInterrupt), CheckpointWriter(stop) as writer:
        writer.begin(1, never.wait)
        raise KeyboardInterrupt
    assert stop.saved_step == -1
    never.set()
