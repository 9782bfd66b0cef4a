import os
import subprocess
import sys

_CHILD = """
import sys, time
from orchard.parallel.processes import die_with_parent
die_with_parent(int(sys.argv[1]))
print("ready", flush=True)
time.sleep(600)
"""
_PARENT = """
import os, subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1], str(os.getpid())])
"""


def test_die_with_parent_killed_parent_ends_the_worker():
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, _CHILD], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    # The worker holds the pipe open for as long as it lives.
    parent.communicate(timeout=60)


def test_die_with_parent_dead_already_ends_the_worker_at_once():
    not_the_parent = os.getppid()
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(not_the_parent)], capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, b"")


_READ_LIKE_A_WORKER = """
import resource, sys
from orchard.parallel import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults_of_reading():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    kept = [bytes(bytearray(3 << 20)) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults_of_reading()
print(faults_of_reading())
"""


def test_keep_freed_memory_large_buffers_are_used_again():
    def faults(mode):
        command = [sys.executable, "-c", _READ_LIKE_A_WORKER, mode]
        return int(subprocess.run(command, capture_output=True, check=True).stdout)

    # 12 MiB are 3,072 pages.
    assert faults("keep") < 100 < 1000 < faults("give back")
