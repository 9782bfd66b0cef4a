"""A disk that is full or read-only is one line, whoever writes to it."""

import errno
import os
import subprocess
import sys

import pytest

from orchard import storage

_FULL = "/dev/full"
_PROGRAM = """
import sys
from orchard import cli

def main():
    with open("/dev/full", "w") as file:
        file.write("too much")

cli.run(main)
"""


def test_command_that_fills_a_disk_by_itself_ends_in_one_line():
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the disk of an output, or of ")
    assert "No space left on device; make room there" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_explain_of_an_error_with_a_file_names_it(number):
    line = storage.explain(OSError(number, os.strerror(number), "out/model.keras"))
    assert line.startswith(f"out/model.keras: {os.strerror(number)}; make room there")


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOENT, "x"), ValueError("No space left"), OSError()]
)
def test_explain_of_other_errors_is_none(error):
    assert storage.explain(error) is None


def test_explain_of_an_error_of_tensorflow_names_its_file():
    tf = pytest.importorskip("tensorflow")
    text = (
        "{{function_node __wrapped__WriteSummary}} run/tensorboard/events.v2; No space left on "
        "device\n\tFailed to flush 11 events"
    )
    line = storage.explain(tf.errors.ResourceExhaustedError(None, None, text))
    assert line.startswith("run/tensorboard/events.v2: No space left on device; make room there")
    text = "OOM when allocating tensor with shape[64,512,512,3]"
    assert storage.explain(tf.errors.ResourceExhaustedError(None, None, text)) is None
    # What TensorFlow really raises: a file where a folder has to be is no matter of room.
    with pytest.raises(tf.errors.OpError) as caught:
        tf.io.write_file(_FULL + "/x", "too much")
    assert storage.explain(caught.value) is None
