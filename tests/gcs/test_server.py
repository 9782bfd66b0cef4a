"""The test server itself: what it promises the other tests, seen by plain clients."""

import concurrent.futures
import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption

from tests.gcs_server.conditions import Conditions

ROOT = Path(__file__).resolve().parents[2]
ABOVE_8_MIB = bytes(range(256)) * (36 << 10)  # 9 MiB: the client sends this resumably.
SMALL = b"small"


@pytest.fixture
def bucket(gcs):
    return storage.Client(project="test").bucket(gcs.bucket)


@pytest.mark.parametrize("content", [SMALL, ABOVE_8_MIB], ids=["multipart", "resumable"])
def test_upload_generation_absent_conflicts_with_an_object(bucket, content):
    bucket.blob("a").upload_from_string(b"first", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("a").upload_from_string(content, if_generation_match=0)
    assert bucket.blob("a").download_as_bytes() == b"first"


@pytest.mark.parametrize("content", [SMALL, ABOVE_8_MIB], ids=["multipart", "resumable"])
def test_upload_by_many_writers_creates_one_object(gcs, content):
    def create(index):
        client = storage.Client(project="test")
        try:
            blob = client.bucket(gcs.bucket).blob("contested")
            blob.upload_from_string(content + bytes([index]), if_generation_match=0)
        except exceptions.PreconditionFailed:
            return None
        return index

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        winners = [index for index in pool.map(create, range(6)) if index is not None]
    assert len(winners) == 1
    assert gcs.read("contested") == content + bytes(winners)


def test_download_and_delete_check_the_generation(bucket):
    blob = bucket.blob("a")
    blob.upload_from_string(SMALL)
    first = blob.generation
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("a").delete(if_generation_match=first + 1)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("a").download_as_bytes(if_generation_match=first + 1)
    bucket.blob("a").upload_from_string(b"second", if_generation_match=first)
    with pytest.raises(exceptions.NotFound):
        bucket.blob("a", generation=first).download_as_bytes()


@pytest.mark.parametrize("content", [SMALL, ABOVE_8_MIB], ids=["multipart", "resumable"])
def test_upload_corrupted_by_the_network_is_refused(gcs, bucket, content):
    corrupted = Conditions(fault_rate=1.0, fault_kinds=("corrupt",), fault_limit=1)
    gcs.set_conditions(corrupted)
    with pytest.raises((exceptions.BadRequest, DataCorruption)):
        bucket.blob("a").upload_from_string(content, checksum="crc32c")
    assert gcs.objects() == {}


def test_download_corrupted_by_the_network_is_noticed_by_the_client(gcs, bucket):
    bucket.blob("a").upload_from_string(ABOVE_8_MIB)
    gcs.set_conditions(Conditions(fault_rate=1.0, fault_kinds=("corrupt",)))
    with pytest.raises(DataCorruption):
        bucket.blob("a").download_as_bytes(checksum="crc32c")


@pytest.mark.parametrize("kind", ["429", "503", "reset", "lost_response", "truncate"])
def test_fault_injected_costs_a_retry_and_no_byte(gcs, bucket, kind):
    gcs.set_conditions(Conditions(fault_rate=1.0, fault_kinds=(kind,), fault_limit=2))
    bucket.blob("a").upload_from_string(ABOVE_8_MIB)
    assert gcs.read("a") == ABOVE_8_MIB
    assert [entry["fault"] for entry in gcs.take_log()].count(kind) == 2


def test_faults_of_the_same_seed_are_the_same(gcs, bucket):
    def faults(seed):
        gcs.set_conditions(Conditions(fault_rate=0.3, fault_seed=seed))
        for index in range(24):
            with contextlib.suppress(Exception):
                bucket.blob(f"o{index}").exists(retry=None)
        # The client also looks at the bucket, in the background: when, is not ours to say.
        log = [entry for entry in gcs.take_log() if entry["operation"] == "stat"]
        return [(entry["path"], entry["fault"]) for entry in log]

    assert faults(1) == faults(1) != faults(2)


def test_other_hosts_are_refused(gcs):
    command = [
        *(sys.executable, "-c"),
        "import urllib.request; urllib.request.urlopen('https://example.com')",
    ]
    done = subprocess.run(command, env=gcs.process_env(), capture_output=True, text=True)
    assert "Tunnel connection failed: 403" in done.stderr


@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGTERM])
def test_server_ends_with_the_process_that_started_it(with_signal):
    command = "import os; print(os.environ['STORAGE_EMULATOR_HOST'], os.getpid(), flush=True)"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.gcs_server", "--", sys.executable, "-c"),
            command + "; import time; time.sleep(600)",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        url, pid = process.stdout.readline().split()
        process.send_signal(with_signal)
        process.wait(timeout=60)
    port = int(url.rpartition(":")[2])
    assert _happens(lambda: not _alive(int(pid)) and not _listening(port))


def test_command_exit_status_is_returned():
    command = [sys.executable, "-m", "tests.gcs_server", "--", sys.executable, "-c", "exit(7)"]
    assert subprocess.run(command, cwd=ROOT).returncode == 7


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def _listening(port: int) -> bool:
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    return wanted in Path("/proc/net/tcp").read_text()


def _happens(condition, seconds: float = 60) -> bool:
    """Whether it becomes true within so many seconds."""
    deadline = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return true
