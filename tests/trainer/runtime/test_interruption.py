import math
import os
import signal
import time

import pytest
import tensorflow as tf

from trainer.runtime.accelerator import Accelerator
from trainer.runtime.interruption import StopRequests, same_on_all_workers, stop_requests
from trainer.runtime.options import InterruptionOptions

_CPU = Accelerator("cpu", tf.distribute.get_strategy())


def _options(**changes):
    return InterruptionOptions(watch_preemption=False, **changes)


def test_requested_without_a_reason_is_false():
    requests = StopRequests(math.inf, _CPU)
    assert not requests.requested() and not requests.urgent()


def test_requested_leaves_time_for_the_longest_operation_and_a_save():
    requests = StopRequests(time.monotonic() + 1000, _CPU)
    requests.took(400)
    assert not requests.requested()
    requests.saved(step=3, seconds=600)
    requests.took(1)
    assert requests.requested() and not requests.urgent()
    assert requests.reason == "--max_minutes"


def test_stop_requests_sigterm_is_urgent_and_the_old_handler_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    with stop_requests(_options(), time.monotonic(), _CPU) as requests:
        os.kill(os.getpid(), signal.SIGTERM)
        assert requests.requested() and requests.urgent()
        assert requests.reason == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) == before


def test_stop_requests_max_minutes_counts_from_started():
    with stop_requests(_options(max_minutes=1.0), time.monotonic() - 61, _CPU) as requests:
        assert requests.requested()


def test_same_on_all_workers_alone_is_true():
    assert same_on_all_workers(7, _CPU)


def test_stop_requests_second_ctrl_c_stops_at_once_and_says_what_is_lost(capfd):
    before = signal.getsignal(signal.SIGINT)
    with (
        pytest.raises(KeyboardInterrupt),
        stop_requests(_options(), time.monotonic(), _CPU) as requests,
    ):
        requests.saved_step = 7
        os.kill(os.getpid(), signal.SIGINT)
        assert requests.requested() and requests.urgent() and requests.reason == "SIGINT"
        os.kill(os.getpid(), signal.SIGINT)
    first, second = capfd.readouterr().err.split("\n\n")
    assert "saving and stopping; Ctrl-C again" in first
    assert "stopped at once, without saving: what came after step 7 is lost" in second
    assert signal.getsignal(signal.SIGINT) == before


def test_stop_requests_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # As nohup does.
    try:
        with stop_requests(_options(), time.monotonic(), _CPU) as requests:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not requests.requested()
    finally:
        signal.signal(signal.SIGHUP, before)
