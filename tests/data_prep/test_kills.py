import os
import signal
import subprocess
import sys
import time

from tests.data_prep.builders import make_input
from tests.torture.campaigns import prep_command
from tests.torture.processes import processes_of_group

# The command, whose workers never get through with the later shards: however slow this process is
# to look, there is something left to interrupt.
_ENDLESS = """
import sys, time
from data_prep import main, pipeline
from orchard import cli

def write_some(task, write=pipeline.write_shard):
    if task.shard.index >= 10:
        time.sleep(1000)
    return write(task)

pipeline.write_shard = write_some
cli.run(main.main, *main.OPTIONS)
"""


def test_prepare_after_ctrl_c_stops_at_once_and_goes_on_when_run_again(tmp_path):
    make_input(tmp_path / "in", rows=200)
    command = prep_command(tmp_path, str(tmp_path / "out"))
    process = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, *command[3:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Whoever starts the tests in a shell's background has them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    receipts = tmp_path / "out" / ".staging" / "clothes" / "1.0.0" / "receipts"
    deadline = time.monotonic() + 300
    while not (receipts.exists() and any(receipts.iterdir())):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert output.strip().splitlines()[-1] == "interrupted: run the same command again to go on"
    assert not processes_of_group(process.pid)
    assert not (tmp_path / "out" / "clothes").exists()
    subprocess.run(command, check=True, capture_output=True, timeout=300)
