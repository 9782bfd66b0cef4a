"""How commands start TensorFlow, with a package of its name in its place: it prints and may die."""

import os
import signal
import subprocess
import sys

import pytest

from orchard import start_filter

# As TensorFlow 2.19, 2.20 and 2.21 print them on a machine without a GPU.
NOISE = """\
2026-11-29 04:05:06.789012: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.
2026-11-29 04:05:06.789012: E external/local_xla/xla/stream_executor/cuda/cuda_fft.cc:467] \
Unable to register cuFFT factory: Attempting to register factory for plugin cuFFT when one has \
already been registered
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
E0000 00:00:1795925482.683001   30529 cuda_dnn.cc:8579] Unable to register cuDNN factory: Attempting
W0000 00:00:1795925482.683001   30529 computation_placer.cc:177] computation placer already \
registered. Please check linkage and avoid linking the same target more than once.
I0000 00:00:1795925637.786873   31916 cpu_feature_guard.cc:227] This TensorFlow binary is optimized
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow.
"""
NO_GPU = """\
E0000 00:00:1795925482.683001   30529 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA \
error: Failed call to cuInit: UNKNOWN ERROR (303)
2026-11-29 04:05:06.789012: E external/local_xla/xla/stream_executor/cuda/cuda_platform.cc:51] \
failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)
"""
OTHERS = """\
E0000 00:00:1795925482.683001   30529 cuda_executor.cc:1] no kernel image is available
2026-11-29 04:05:06.789012: W tensorflow/core/gpu_device.cc:2344] Cannot dlopen some GPU libraries.
Fatal: libtpu version mismatch
error: in a line of ours: I0000 00:00:1795925637.786873   31916 cpu_feature_guard.cc:227] text
"""


def filtered(text, *patterns):
    command = [sys.executable, "-I", "-S", start_filter.__file__, *patterns]
    return subprocess.run(command, input=text.encode(), capture_output=True).stderr.decode()


def test_filter_drops_what_tensorflow_prints_as_it_starts_and_nothing_else():
    assert filtered(NOISE + OTHERS + NOISE + "no end of line") == OTHERS + "no end of line"


def test_filter_drops_the_lack_of_a_gpu_where_there_is_none_to_be_had():
    assert filtered(NO_GPU + OTHERS, start_filter.NO_GPU) == OTHERS
    assert filtered(NO_GPU + OTHERS) == NO_GPU + OTHERS


def test_filter_passes_the_beginning_of_a_line_that_waits():
    reader, writer = os.pipe()
    command = [sys.executable, "-I", "-S", start_filter.__file__]
    process = subprocess.Popen(command, stdin=reader, stderr=subprocess.PIPE)
    os.close(reader)
    os.write(writer, b"I0000 00:00:1.1   1 a.cc:1] dropped\n10%|# ")
    assert os.read(process.stderr.fileno(), 99) == b"10%|# "
    os.write(writer, b"\r20%|##\nI0000 00:00:1.1   1 a.cc:1] dropped\n")
    os.close(writer)
    assert process.communicate()[1] == b"\r20%|##\n"


# A jax that must not be found; and what TensorFlow is asked for after its import.
_TENSORFLOW = """
import contextlib, gc, os, sys, types
with contextlib.suppress(OSError):
    os.write(2, {noise!r}.encode())
assert not gc.isenabled()
try:
    import jax
except ImportError:
    pass
else:
    os.write(2, b"jax was imported")
def list_physical_devices(kind):
    with contextlib.suppress(OSError):
        os.write(2, {no_gpu!r}.encode())
test = types.SimpleNamespace(is_built_with_cuda=lambda: True)
config = types.SimpleNamespace(list_physical_devices=list_physical_devices)
{ending}
"""
_PROGRAM = """
import gc, os, sys
from orchard import cli
def main():
    finders = list(sys.meta_path)
    print("before", file=sys.stderr)
    import tensorflow, jax
    assert gc.isenabled() and len(sys.meta_path) == len(finders) - 1
    assert type(tensorflow.__spec__.loader).__name__ == "SourceFileLoader"
    print("after", file=sys.stderr)
    if sys.stderr:
        os.write(2, b"I0000 00:00:1.1   1 late.cc:1] is not of the start\\n")
cli.run(main)
"""


@pytest.fixture
def command(tmp_path):
    """Runs a command whose TensorFlow prints its lines and then does what `ending` says."""

    def run(ending="", prefix=(), **environment):
        folder = tmp_path / "tensorflow"
        folder.mkdir(exist_ok=True)
        code = _TENSORFLOW.format(noise=NOISE, no_gpu=NO_GPU, ending=ending)
        (folder / "__init__.py").write_text(code)
        (tmp_path / "jax.py").write_text("")
        ours = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
        inherited = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
        return subprocess.run(
            [*prefix, sys.executable, "-c", _PROGRAM],
            env=inherited | {"CUDA_VISIBLE_DEVICES": "-1"} | ours | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


_LATE = "I0000 00:00:1.1   1 late.cc:1] is not of the start\n"


def test_command_starts_tensorflow_without_a_line_of_its(command):
    done = command()
    assert (done.returncode, done.stderr) == (0, "before\nafter\n" + _LATE)


def test_command_with_a_log_level_of_the_users_shows_all(command):
    done = command(TF_CPP_MIN_LOG_LEVEL="0")
    assert (done.returncode, done.stderr) == (0, f"before\n{NOISE}{NO_GPU}after\n{_LATE}")


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("os.write(2, b'libtpu does not match'); os.abort()", -signal.SIGABRT),
        ("os.write(2, b'libtpu does not match'); os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("os.write(2, b'libtpu does not match'); os._exit(7)", 7),
    ],
)
def test_command_whose_tensorflow_dies_shows_its_last_words(ending, status, command):
    done = command(ending)
    # Of an abort Python itself says where it was.
    last = done.stderr.split("Fatal Python error")[0]
    assert (done.returncode, last) == (status, "before\nlibtpu does not match")


def test_command_whose_tensorflow_cannot_be_imported_says_why(command):
    done = command("raise ImportError('no such symbol')")
    assert done.returncode == 1 and done.stderr.startswith("before\nTraceback")
    assert done.stderr.endswith("ImportError: no such symbol\n")


def test_command_interrupted_while_tensorflow_is_imported_is_one_line(command):
    done = command("os.kill(os.getpid(), 2)")
    assert done.returncode == 130
    assert done.stderr == "before\ninterrupted: run the same command again to go on\n"


def test_command_without_stderr_runs(command):
    done = command(prefix=("sh", "-c", 'exec "$@" 2>&-', "sh"))
    assert (done.returncode, done.stdout) == (0, "before\nafter\n")


def test_command_whose_tensorflow_leaves_a_process_behind_goes_on_without_it(command):
    # It has stderr open, as it would without the filter.
    ending = "import subprocess; subprocess.Popen(['sleep', '3'])"
    done = command(ending)
    assert done.returncode == 0 and "before\nafter\n" in done.stderr
