"""What holds for all tests."""

import gc
import os
import signal
import sys

import pytest
from hypothesis import settings

# jax would set it to 1 for all commands that tests start, which would then print everything.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# A suite in a shell's background has Ctrl-C ignored, and so would all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A property that is slow to check on a busy machine is not wrong.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def pytest_collection_finish(session):
    """What was imported stays: Python's garbage collector need not look through it ever again."""
    del session
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def determinism_ends_with_its_test():
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework import config

        # TensorFlow has no public way back, and other tests share this process.
        config.disable_op_determinism()


@pytest.fixture(scope="session")
def devices():
    """Eight virtual CPU devices: as many as any test needs, since jax makes them once a process."""
    jax = pytest.importorskip("jax")
    from trainer.xla import enable_all_dtypes

    enable_all_dtypes()
    jax.config.update("jax_platforms", "cpu")  # It would look for TPUs, too.
    jax.config.update("jax_num_cpu_devices", 8)
    return jax.devices("cpu")
